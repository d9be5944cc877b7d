// Overlapping patches with the context at their edges thrown away, as in `patches.py`: the stems are the same.

import { Stft } from "./stft.js";

export class PatchSeparator {
  // `estimateMasks` takes magnitudes (1, channels, bins, frames) and gives masks (1, sources, channels, bins, frames).
  constructor(config, estimateMasks, batchSize) {
    this.config = config;
    this.estimateMasks = estimateMasks;
    this.batchSize = batchSize;
    this.stft = new Stft(config.n_fft, config.hop_length);
    this.envelope = this.stft.envelope();
    this.overlap = config.n_fft - config.hop_length;
    this.keptFrames = config.num_frames - 2 * config.context_frames;
    this.patchSamples = this.keptFrames * config.hop_length;
    this.contextSamples = config.context_frames * config.hop_length;
    this.historySamples = this.contextSamples + this.overlap;
    // What the next patches begin with, and behind it what has come in.
    this.samples = this.rows(this.historySamples);
    this.tail = config.sources.map(() => this.rows(this.overlap));
    // The first frame begins before the first sample, so that every sample has all the frames that can hold it.
    this.beforeFirst = this.overlap;
    this.numPushed = this.numEstimated = 0;
  }

  rows(length) {
    return Array.from({ length: this.config.num_channels }, () => new Float32Array(length));
  }

  neededSamples(numPatches) {
    return numPatches * this.patchSamples + 2 * this.contextSamples + this.overlap;
  }

  append(block) {
    this.samples = this.samples.map((row, channel) => joined(row, block[channel]));
  }

  // Takes samples of each channel and gives, of each source and channel, those that are complete.
  async push(block) {
    this.append(block);
    this.numPushed += block[0].length;
    const estimates = [];
    while (this.samples[0].length >= this.neededSamples(this.batchSize)) {
      estimates.push(await this.separate(this.batchSize));
    }
    return this.join(estimates);
  }

  // Gives what is left. The network is shown the end mirrored, where silence would be like nothing it has learned from.
  async flush() {
    const waiting = this.samples[0].length - this.historySamples;
    const numBefore = Math.min(this.numPushed - waiting, this.historySamples);
    let end = this.samples.map((row) => row.slice(row.length - waiting - numBefore));
    const estimates = [];
    while (this.numEstimated < this.numPushed) {
      const rest = this.numPushed - this.numEstimated + this.beforeFirst;
      const numPatches = Math.min(this.batchSize, Math.ceil(rest / this.patchSamples));
      const missing = this.neededSamples(numPatches) - this.samples[0].length;
      if (missing > 0) {
        const mirrored = end.map((row) => mirror(row, missing));
        end = end.map((row, channel) => joined(row, mirrored[channel]));
        this.append(mirrored);
      }
      estimates.push(await this.separate(numPatches));
    }
    const surplus = this.numEstimated - this.numPushed;
    return this.join(estimates).map((source) => source.map((row) => row.subarray(0, row.length - surplus)));
  }

  async separate(numPatches) {
    const { hop_length: hopLength, num_frames: numFrames, context_frames: contextFrames, sources } = this.config;
    const numSamples = numPatches * this.patchSamples;
    const added = sources.map((_, source) =>
      this.tail[source].map((tail) => joined(tail, new Float32Array(numSamples))),
    );
    for (let patch = 0; patch < numPatches; patch++) {
      const spectra = this.analyse(patch * this.patchSamples);
      const masks = await this.estimateMasks(this.magnitudes(spectra));
      const masked = new Float32Array(2 * this.stft.numBins);
      added.forEach((rows, source) =>
        rows.forEach((row, channel) => {
          const first = (source * rows.length + channel) * this.stft.numBins * numFrames;
          for (let frame = 0; frame < this.keptFrames; frame++) {
            const spectrum = spectra[channel][contextFrames + frame];
            for (let bin = 0; bin < this.stft.numBins; bin++) {
              const mask = masks[first + bin * numFrames + contextFrames + frame];
              masked[2 * bin] = spectrum[2 * bin] * mask;
              masked[2 * bin + 1] = spectrum[2 * bin + 1] * mask;
            }
            this.stft.synthesise(masked, row, (patch * this.keptFrames + frame) * hopLength);
          }
        }),
      );
    }
    this.samples = this.samples.map((row) => row.slice(numSamples));
    this.tail = added.map((rows) => rows.map((row) => row.slice(numSamples)));
    const skipped = Math.min(this.beforeFirst, numSamples);
    this.beforeFirst -= skipped;
    this.numEstimated += numSamples - skipped;
    return added.map((rows) =>
      rows.map((row) => row.slice(0, numSamples).map((value, i) => value / this.envelope[i % hopLength]).subarray(skipped)),
    );
  }

  analyse(start) {
    return this.samples.map((row) =>
      Array.from({ length: this.config.num_frames }, (_, frame) => {
        const spectrum = new Float32Array(2 * this.stft.numBins);
        this.stft.analyse(row, start + frame * this.config.hop_length, spectrum);
        return spectrum;
      }),
    );
  }

  magnitudes(spectra) {
    const { num_frames: numFrames } = this.config;
    const { numBins } = this.stft;
    const magnitudes = new Float32Array(spectra.length * numBins * numFrames);
    spectra.forEach((frames, channel) =>
      frames.forEach((spectrum, frame) => {
        const first = channel * numBins * numFrames + frame;
        for (let bin = 0; bin < numBins; bin++) {
          magnitudes[first + bin * numFrames] = Math.sqrt(spectrum[2 * bin] ** 2 + spectrum[2 * bin + 1] ** 2);
        }
      }),
    );
    return magnitudes;
  }

  join(estimates) {
    return this.config.sources.map((_, source) =>
      this.rows(0).map((_, channel) => joined(...estimates.map((estimate) => estimate[source][channel]))),
    );
  }
}

function joined(...rows) {
  const all = new Float32Array(rows.reduce((length, row) => length + row.length, 0));
  let start = 0;
  for (const row of rows) {
    all.set(row, start);
    start += row.length;
  }
  return all;
}

// What follows a row that is mirrored at its end, and again wherever that ends.
function mirror(row, length) {
  return Float32Array.from({ length }, (_, i) => {
    const place = (row.length + i) % (2 * row.length);
    return row[place < row.length ? place : 2 * row.length - 1 - place];
  });
}
