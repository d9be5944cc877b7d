// Waveform to complex spectrogram and back, frame by frame, as in `spectrogram.py`.

import FFT from "fft.js";

export class Stft {
  constructor(nFft, hopLength) {
    this.nFft = nFft;
    this.hopLength = hopLength;
    this.numBins = nFft / 2 + 1;
    this.fft = new FFT(nFft);
    // Periodic Hann, the analysis and the synthesis window.
    this.window = Float64Array.from({ length: nFft }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / nFft));
    this.frame = new Float64Array(nFft);
    this.spectrum = new Float64Array(2 * nFft);
    this.waveform = new Float64Array(2 * nFft);
  }

  // Real and imaginary parts, one after the other, of the frame that begins at a sample.
  analyse(samples, start, spectrum) {
    for (let i = 0; i < this.nFft; i++) this.frame[i] = samples[start + i] * this.window[i];
    this.fft.realTransform(this.spectrum, this.frame);
    for (let i = 0; i < spectrum.length; i++) spectrum[i] = this.spectrum[i];
  }

  // Adds the windowed inverse of a frame to what is at a sample; the envelope is not divided by yet.
  synthesise(spectrum, samples, start) {
    this.spectrum.set(spectrum);
    this.fft.completeSpectrum(this.spectrum);
    this.fft.inverseTransform(this.waveform, this.spectrum);
    for (let i = 0; i < this.nFft; i++) samples[start + i] += this.waveform[2 * i] * this.window[i];
  }

  // Sum of all squared windows over one hop.
  envelope() {
    const sums = new Float64Array(this.hopLength);
    this.window.forEach((weight, i) => (sums[i % this.hopLength] += weight ** 2));
    return sums;
  }
}
