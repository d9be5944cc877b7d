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
    const size = Math.min(BLOCK_SAMPLES, length - start);
    const block = new DataView(new ArrayBuffer(size * frameBytes));
    for (let i = 0; i < size; i++) {
      channels.forEach((samples, channel) => {
        write(block, i * frameBytes + channel * numBytes, samples[start + i] * scale, format);
      });
    }
    parts.push(block);
  }
  return new Blob(parts, { type: "audio/wav" });
}

function write(view, offset, sample, format) {
  if (format === "float") return view.setFloat32(offset, sample, true);
  if (format === "16") return view.setInt16(offset, Math.round(sample * 2 ** 15), true);
  const number = Math.round(sample * 2 ** 23);
  view.setUint8(offset, number & 255);
  view.setInt16(offset + 1, number >> 8, true);
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
