// One clock for all stems: whatever is played begins at one time of one AudioContext, so the stems cannot drift apart.

const LEAD_SECONDS = 0.03;
const FADE_SECONDS = 0.005;

export class Transport {
  constructor(samplingRate, buffers) {
    this.samplingRate = samplingRate;
    this.stems = buffers.map((buffer) => ({ buffer, gain: null, source: null, fade: null, startedAt: 0, offset: 0 }));
    this.duration = Math.max(...buffers.map((buffer) => buffer.duration));
    this.context = null;
    this.playing = false;
    this.offset = 0;
    this.loop = { on: false, start: 0, end: this.duration };
    this.onchange = () => {};
  }

  // Made at the first play, because browsers give no sound before a visitor has asked for it.
  open() {
    if (this.context) return;
    this.context = new AudioContext({ sampleRate: this.samplingRate, latencyHint: "interactive" });
    for (const stem of this.stems) {
      stem.gain = this.context.createGain();
      stem.gain.connect(this.context.destination);
    }
  }

  async play() {
    this.open();
    await this.context.resume();
    if (this.playing || !this.context) return;
    if (this.offset >= this.duration - FADE_SECONDS) this.offset = 0;
    this.start();
    this.onchange();
  }

  start() {
    const { on, start, end } = this.loop;
    if (on && (this.offset < start || this.offset >= end)) this.offset = start;
    const when = this.context.currentTime + LEAD_SECONDS;
    for (const stem of this.stems) {
      stem.source = this.context.createBufferSource();
      stem.source.buffer = stem.buffer;
      Object.assign(stem.source, { loop: on, loopStart: start, loopEnd: end });
      stem.fade = this.context.createGain();
      stem.fade.gain.setValueAtTime(0, when);
      stem.fade.gain.linearRampToValueAtTime(1, when + FADE_SECONDS);
      stem.source.connect(stem.fade).connect(stem.gain);
      stem.startedAt = when;
      stem.offset = this.offset;
      stem.source.start(when, this.offset);
    }
    const first = this.stems[0].source;
    first.onended = () => first === this.stems[0].source && this.end();
    this.playing = true;
  }

  stop() {
    this.offset = this.position();
    this.playing = false;
    const now = this.context ? this.context.currentTime : 0;
    for (const { source, fade } of this.stems) {
      if (!source) continue;
      source.onended = null;
      fade.gain.cancelScheduledValues(now);
      fade.gain.setTargetAtTime(0, now, FADE_SECONDS / 3);
      source.stop(now + 2 * FADE_SECONDS);
    }
    for (const stem of this.stems) stem.source = null;
  }

  pause() {
    if (!this.playing) return;
    this.stop();
    this.onchange();
  }

  end() {
    this.playing = false;
    this.offset = this.duration;
    for (const stem of this.stems) stem.source = null;
    this.onchange();
  }

  seek(seconds) {
    const wasPlaying = this.playing;
    if (wasPlaying) this.stop();
    // On a whole sample, or each stem would be interpolated between two.
    const sample = Math.round(Math.min(Math.max(seconds, 0), this.duration) * this.samplingRate);
    this.offset = sample / this.samplingRate;
    if (wasPlaying) this.start();
    this.onchange();
  }

  setLoop(on, start = this.loop.start, end = this.loop.end) {
    const position = this.position();
    const wasPlaying = this.playing;
    if (wasPlaying) this.stop();
    this.loop = { on, start: Math.max(0, Math.min(start, end)), end: Math.min(this.duration, Math.max(start, end)) };
    this.offset = position;
    if (wasPlaying) this.start();
    this.onchange();
  }

  positionOf(stem) {
    if (!this.playing) return this.offset;
    const position = stem.offset + Math.max(0, this.context.currentTime - stem.startedAt);
    const { on, start, end } = this.loop;
    if (on && position >= end) return start + ((position - start) % (end - start));
    return Math.min(position, this.duration);
  }

  position() {
    return this.positionOf(this.stems[0]);
  }

  close() {
    if (this.playing) this.stop();
    if (this.context) this.context.close();
    this.context = null;
    this.onchange = () => {};
  }
}
