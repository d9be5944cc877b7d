// WAV files, made in the page.

const BLOCK_SAMPLES = 1 << 16;
const BYTES = { 16: 2, 24: 3, float: 4 };

// The factor that brings all buffers between -1 and the largest number of so many bits, so that they still add up.
export function scaleOf(buffers, format) {
  if (format === "float") return 1;
  const largest = 1 - 2 ** (1 - format);
  let [highest, lowest] = [0, 0];
  for (const buffer of buffers) {
    for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
      for (const sample of buffer.getChannelData(channel)) {
        if (sample > highest) highest = sample;
        else if (sample < lowest) lowest = sample;
      }
    }
  }
  return Math.min(1, highest > largest ? largest / highest : 1, lowest < -1 ? -1 / lowest : 1);
}

// `format` is "16" or "24", for which samples are multiplied by `scale`, or "float".
export function wavOf(buffer, format, scale) {
  const { numberOfChannels, sampleRate, length } = buffer;
  const numBytes = BYTES[format];
  const frameBytes = numBytes * numberOfChannels;
  const channels = Array.from({ length: numberOfChannels }, (_, channel) => buffer.getChannelData(channel));
  const parts = [header(format === "float" ? 3 : 1, numberOfChannels, sampleRate, numBytes, length * frameBytes)];
  for (let start = 0; start < length; start += BLOCK_SAMPLES) {
    const block = channels.map((samples) => samples.subarray(start, start + BLOCK_SAMPLES));
    parts.push(WRITERS[format](block, block[0].length * block.length, scale));
  }
  return new Blob(parts, { type: "audio/wav" });
}

// Every browser's numbers have their lowest byte first, as WAV has.
const WRITERS = {
  16: (channels, size, scale) => interleaved(channels, new Int16Array(size), (sample) => Math.round(sample * scale * 2 ** 15)),
  float: (channels, size) => interleaved(channels, new Float32Array(size), (sample) => sample),
  24: (channels, size, scale) => {
    const numbers = interleaved(channels, new Int32Array(size), (sample) => Math.round(sample * scale * 2 ** 23));
    const bytes = new Uint8Array(3 * size);
    for (let i = 0; i < size; i++) {
      bytes[3 * i] = numbers[i];
      bytes[3 * i + 1] = numbers[i] >> 8;
      bytes[3 * i + 2] = numbers[i] >> 16;
    }
    return bytes;
  },
};

function interleaved(channels, result, convert) {
  channels.forEach((samples, channel) => {
    for (let i = 0; i < samples.length; i++) result[i * channels.length + channel] = convert(samples[i]);
  });
  return result;
}

function header(kind, numChannels, samplingRate, numBytes, dataBytes) {
  const view = new DataView(new ArrayBuffer(44));
  const letters = (offset, text) => [...text].forEach((letter, i) => view.setUint8(offset + i, letter.charCodeAt(0)));
  letters(0, "RIFF");
  view.setUint32(4, 36 + dataBytes, true);
  letters(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, kind, true);
  view.setUint16(22, numChannels, true);
  view.setUint32(24, samplingRate, true);
  view.setUint32(28, samplingRate * numChannels * numBytes, true);
  view.setUint16(32, numChannels * numBytes, true);
  view.setUint16(34, 8 * numBytes, true);
  letters(36, "data");
  view.setUint32(40, dataBytes, true);
  return view;
}
