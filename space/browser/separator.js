// The page's side of the worker: a song in, its stems out, or an end at any time.

const BLOCK_SECONDS = 10;
const MODEL = new URL("model/", document.baseURI).href;

export class Separator {
  // `choice` may name a device.
  constructor(choice) {
    this.choice = choice;
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.stopped = new Promise((_, reject) => (this.stop = reject));
    this.stopped.catch(() => {});
  }

  ask(task, values = {}, transfer = []) {
    const answer = new Promise((resolve, reject) => {
      this.worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data.result));
      this.worker.onerror = () => reject(new Error("The part that separates could not be started: load the page again."));
      this.worker.postMessage({ task, ...values }, transfer);
    });
    return Promise.race([answer, this.stopped]);
  }

  // Gives the network's description, and where it runs.
  load() {
    return this.ask("load", { folder: MODEL, choice: this.choice });
  }

  // Gives an `AudioBuffer` for each stem. The song's own becomes that of the residual, where there is one.
  async separate(song, { sources, stems, residual }, report) {
    const { numberOfChannels, length, sampleRate } = song;
    const channels = Array.from({ length: numberOfChannels }, (_, channel) => song.getChannelData(channel));
    const buffers = new Map(sources.map((name) => [name, new AudioBuffer({ numberOfChannels, length, sampleRate })]));
    if (residual) buffers.set(residual, song);
    let done = 0;
    const store = (estimates) => {
      estimates.forEach((rows, source) =>
        rows.forEach((row, channel) => {
          buffers.get(sources[source]).getChannelData(channel).set(row, done);
          if (residual) subtract(channels[channel], row, done);
        }),
      );
      done += estimates[0][0].length;
      report(done / sampleRate, song.duration);
    };
    await this.ask("start", { numChannels: numberOfChannels });
    for (let start = 0; start < length; start += BLOCK_SECONDS * sampleRate) {
      const block = channels.map((samples) => samples.slice(start, start + BLOCK_SECONDS * sampleRate));
      store(await this.ask("push", { block }, block.map((row) => row.buffer)));
    }
    store(await this.ask("flush"));
    return stems.map((name) => ({ name, buffer: buffers.get(name) }));
  }

  cancel() {
    this.close();
    this.stop(new Cancelled());
  }

  // Gives the network's memory back, at once.
  close() {
    this.worker.terminate();
  }
}

export class Cancelled extends Error {}

function subtract(samples, row, start) {
  for (let i = 0; i < row.length; i++) samples[start + i] -= row[i];
}
