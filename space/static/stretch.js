// Another key or tempo, by signalsmith-stretch, which is loaded with the first change.

const LIBRARY = new URL("signalsmith-stretch.js", import.meta.url).href;
// Until the stretcher has heard enough to give sound.
const OFFLINE_LEAD_SECONDS = 0.5;
const REPORT_MILLISECONDS = 2000;

export const NEUTRAL = { semitones: 0, tempo: 1 };

export function isNeutral({ semitones, tempo }) {
  return semitones === NEUTRAL.semitones && tempo === NEUTRAL.tempo;
}

// A node that holds the samples of all buffers, one channel after the other.
async function makeNode(context, buffers) {
  if (!context.audioWorklet) throw new Error("The page has to come by HTTPS for another key or tempo.");
  const { default: SignalsmithStretch } = await import(LIBRARY);
  // From its file, since the browser page takes no scripts from memory.
  SignalsmithStretch.moduleUrl = LIBRARY;
  const channels = buffers.flatMap((buffer) =>
    Array.from({ length: buffer.numberOfChannels }, (_, channel) => buffer.getChannelData(channel).slice()),
  );
  const options = { numberOfInputs: 1, numberOfOutputs: 1, outputChannelCount: [channels.length] };
  const node = await SignalsmithStretch(context, options);
  await node.addBuffers(channels, channels.map((samples) => samples.buffer));
  return node;
}

// Plays all stems together: one node, of which each stem has its own output.
export class Stretch {
  static async load(context, buffers) {
    const node = await makeNode(context, buffers);
    return new Stretch(context, node, buffers, await node.latency());
  }

  constructor(context, node, buffers, leadSeconds) {
    this.node = node;
    this.leadSeconds = leadSeconds;
    const numChannels = buffers[0].numberOfChannels;
    const splitter = context.createChannelSplitter(buffers.length * numChannels);
    node.connect(splitter);
    this.outputs = buffers.map((_, index) => {
      const merger = context.createChannelMerger(numChannels);
      for (let channel = 0; channel < numChannels; channel++) {
        splitter.connect(merger, index * numChannels + channel, channel);
      }
      return merger;
    });
  }

  // From a time of the context on, what is at `input` seconds of the song.
  play(when, input, { semitones, tempo }, { on, start, end }) {
    const [loopStart, loopEnd] = on ? [start, end] : [0, 0];
    this.node.schedule({ active: true, output: when, input, rate: tempo, semitones, loopStart, loopEnd });
  }

  stop(when) {
    this.node.schedule({ active: false, output: when });
  }
}

// A whole buffer in another key or tempo; `report` is told what share is done.
export async function stretched(buffer, { semitones, tempo }, report) {
  const { numberOfChannels, sampleRate } = buffer;
  const lead = Math.round(OFFLINE_LEAD_SECONDS * sampleRate);
  const length = Math.max(1, Math.round(buffer.length / tempo));
  const context = new OfflineAudioContext(numberOfChannels, lead + length, sampleRate);
  const node = await makeNode(context, [buffer]);
  await node.schedule({ active: true, output: lead / sampleRate, input: 0, rate: tempo, semitones });
  node.connect(context.destination);
  const watching = setInterval(() => report((context.currentTime * sampleRate) / context.length), REPORT_MILLISECONDS);
  const rendered = await context.startRendering().finally(() => clearInterval(watching));
  const result = new AudioBuffer({ numberOfChannels, length, sampleRate });
  for (let channel = 0; channel < numberOfChannels; channel++) {
    result.copyToChannel(rendered.getChannelData(channel).subarray(lead), channel);
  }
  return result;
}
