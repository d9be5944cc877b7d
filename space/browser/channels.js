// A song of any number of channels through a network of its own number, as in `stream.py`.

import { PatchSeparator } from "./patches.js";

export class ChannelSeparator {
  constructor(config, estimateMasks, batchSize, numChannels) {
    this.numChannels = numChannels;
    this.width = config.num_channels;
    const numGroups = Math.ceil(numChannels / this.width);
    this.groups = Array.from({ length: numGroups }, () => new PatchSeparator(config, estimateMasks, batchSize));
  }

  // Takes samples of each channel and gives, of each source and channel, those that are complete.
  push(block) {
    return this.each((group, first) =>
      group.push(Array.from({ length: this.width }, (_, i) => block[Math.min(first + i, block.length - 1)])),
    );
  }

  flush() {
    return this.each((group) => group.flush());
  }

  async each(action) {
    const estimates = [];
    for (const [index, group] of this.groups.entries()) estimates.push(await action(group, index * this.width));
    return estimates[0].map((_, source) => estimates.flatMap((each) => each[source]).slice(0, this.numChannels));
  }
}
