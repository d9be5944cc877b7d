// The mix as it sounds now, as a file.

import { isNeutral, stretched } from "./stretch.js";
import { scaleOf, wavOf } from "./wav.js";

const WAV_FORMATS = ["16", "float"];

// Samples of all stems, each multiplied by its gain, from one time to another: what the browser's own mixer gives.
function sum(buffers, gains, { start, end }) {
  const { numberOfChannels, sampleRate, length } = buffers[0];
  const first = Math.round(start * sampleRate);
  const last = Math.min(length, Math.max(first + 1, Math.round(end * sampleRate)));
  const mix = new AudioBuffer({ numberOfChannels, length: last - first, sampleRate });
  for (let channel = 0; channel < numberOfChannels; channel++) {
    const samples = mix.getChannelData(channel);
    buffers.forEach((buffer, index) => {
      const gain = gains[index];
      const stem = buffer.getChannelData(channel);
      if (gain) for (let i = 0; i < samples.length; i++) samples[i] += gain * stem[first + i];
    });
  }
  return mix;
}

// Gives the file and what its samples were multiplied by; `format` is that of other downloads, and 24 bits take the
// place of one that is not made here.
export async function makeMix(transport, levels, format, report) {
  const { loop, duration, stems, pitch } = transport;
  const region = loop.on ? loop : { start: 0, end: duration };
  const gains = stems.map((_, index) => levels.gain(index));
  const played = sum(stems.map(({ buffer }) => buffer), gains, region);
  const mix = isNeutral(pitch) ? played : await stretched(played, pitch, report);
  const bits = WAV_FORMATS.includes(format) ? format : "24";
  const scale = scaleOf([mix], bits);
  return { blob: wavOf(mix, bits, scale), scale };
}

// With what is not as in the song.
export function mixName(song, { loop, pitch: { semitones, tempo } }) {
  const parts = ["mix"];
  if (loop.on) parts.push("loop");
  if (semitones) parts.push(`key ${signed(semitones)}`);
  if (tempo !== 1) parts.push(`tempo ${Math.round(100 * tempo)}`);
  return `${song} (${parts.join(", ")}).wav`;
}

export function signed(number) {
  return (number > 0 ? "+" : "") + number;
}
