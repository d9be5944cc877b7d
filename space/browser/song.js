// A file that the visitor has chosen, as samples at the network's rate.

import { clock } from "../static/timeline.js";

// A browser decodes whole files alone. A stereo song and its stems take 42 MB a minute at 44.1 kHz.
export const MAX_MINUTES = 15;
export const MAX_MEGABYTES = 500;

export async function decodeSong(file, samplingRate) {
  if (file.size > MAX_MEGABYTES * 1e6) {
    throw new Error(`${file.name} has ${Math.round(file.size / 1e6)} MB, and ${MAX_MEGABYTES} MB is the limit here.`);
  }
  checkLength(file, await lengthOf(file));
  let song;
  try {
    song = await new OfflineAudioContext(1, 1, samplingRate).decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Error(`${file.name} is not an audio file that this browser can read. Try another format, such as MP3 or WAV.`);
  }
  checkLength(file, song.duration);
  return song;
}

function checkLength(file, seconds) {
  if (seconds <= MAX_MINUTES * 60) return;
  throw new Error(`${file.name} lasts ${clock(seconds)} (minutes:seconds), and ${MAX_MINUTES} minutes are the limit here.`);
}

// Seconds as the header has them, before memory is spent on samples; 0 where the header does not say.
async function lengthOf(file) {
  const player = new Audio();
  player.preload = "metadata";
  player.src = URL.createObjectURL(file);
  try {
    return await new Promise((resolve) => {
      player.onloadedmetadata = () => resolve(Number.isFinite(player.duration) ? player.duration : 0);
      player.onerror = () => resolve(0);
    });
  } finally {
    URL.revokeObjectURL(player.src);
  }
}
