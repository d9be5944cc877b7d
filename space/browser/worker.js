// Separates in a thread of its own: blocks of the mixture in, blocks of the sources out.

import { ChannelSeparator } from "./channels.js";
import { Network } from "./network.js";

// As on the command line, or the end of a song would be mirrored elsewhere.
const BATCH_SIZE = 4;
let network = null;
let separator = null;

const tasks = {
  async load({ folder, choice }) {
    network = await Network.load(folder, choice);
    return { config: network.config, device: network.device, threads: network.threads };
  },
  async start({ numChannels }) {
    const estimateMasks = (magnitude) => network.estimateMasks(magnitude);
    separator = new ChannelSeparator(network.config, estimateMasks, BATCH_SIZE, numChannels);
  },
  push: ({ block }) => separator.push(block),
  flush: () => separator.flush(),
};

addEventListener("message", async ({ data }) => {
  try {
    const result = await tasks[data.task](data);
    postMessage({ result }, Array.isArray(result) ? result.flat().map((row) => row.buffer) : []);
  } catch (error) {
    postMessage({ error: error.message ?? String(error) });
  }
});
