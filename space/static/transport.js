// One clock for all stems: whatever is played begins at one time of one AudioContext, so the stems cannot drift apart.

import { isNeutral, NEUTRAL, Stretch } from "./stretch.js";

const LEAD_SECONDS = 0.03;
const FADE_SECONDS = 0.005;

export class Transport {
  constructor(samplingRate, buffers) {
    this.samplingRate = samplingRate;
    this.stems = buffers.map((buffer) => ({ buffer, gain: null, source: null, fade: null }));
    this.duration = Math.max(...buffers.map((buffer) => buffer.duration));
    this.context = null;
    this.playing = false;
    this.offset = 0;
    this.startedAt = 0;
    this.loop = { on: false, start: 0, end: this.duration };
    // What is asked for, and what is heard: another key or tempo has to be loaded first.
    this.pitch = { ...NEUTRAL };
    this.heard = { ...NEUTRAL };
    this.stretch = null;
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
    this.heard = this.stretch ? { ...this.pitch } : { ...NEUTRAL };
    const isStretched = !isNeutral(this.heard);
    const when = this.context.currentTime + (isStretched ? this.stretch.leadSeconds : LEAD_SECONDS);
    this.startedAt = when;
    this.stems.forEach((stem, index) => {
      stem.fade = this.context.createGain();
      stem.fade.gain.setValueAtTime(0, when);
      stem.fade.gain.linearRampToValueAtTime(1, when + FADE_SECONDS);
      stem.source = isStretched ? this.stretch.outputs[index] : this.playSamples(stem.buffer, when);
      stem.source.connect(stem.fade).connect(stem.gain);
    });
    this.playing = true;
    if (isStretched) return this.bend(when);
    const first = this.stems[0].source;
    first.onended = () => first === this.stems[0].source && this.end();
  }

  // With neither key nor tempo changed, every sample is heard as it is.
  playSamples(buffer, when) {
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    Object.assign(source, { loop: this.loop.on, loopStart: this.loop.start, loopEnd: this.loop.end });
    source.start(when, this.offset);
    return source;
  }

  // Goes on in the key and at the tempo that are to be heard.
  bend(when) {
    this.stretch.play(when, this.offset, this.heard, this.loop);
    this.awaitEnd();
  }

  awaitEnd() {
    clearTimeout(this.timer);
    if (this.loop.on) return;
    const left = (this.duration - this.position()) / this.heard.tempo;
    const lead = Math.max(0, this.startedAt - this.context.currentTime);
    this.timer = setTimeout(() => (left > 0 ? this.awaitEnd() : this.end()), 1000 * (left + lead));
  }

  stop() {
    this.offset = this.position();
    this.playing = false;
    clearTimeout(this.timer);
    const now = this.context ? this.context.currentTime : 0;
    for (const { source, fade } of this.stems) {
      if (!source) continue;
      fade.gain.cancelScheduledValues(now);
      fade.gain.setTargetAtTime(0, now, FADE_SECONDS / 3);
      if (source.stop) {
        source.onended = null;
        source.stop(now + 2 * FADE_SECONDS);
      } else {
        setTimeout(() => source.disconnect(fade), 10_000 * FADE_SECONDS);
      }
    }
    if (!isNeutral(this.heard)) this.stretch.stop(now + 2 * FADE_SECONDS);
    for (const stem of this.stems) stem.source = null;
  }

  pause() {
    if (!this.playing) return;
    this.stop();
    this.onchange();
  }

  end() {
    if (!isNeutral(this.heard)) this.stop();
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
    this.restarted(() => {
      this.loop = { on, start: Math.max(0, Math.min(start, end)), end: Math.min(this.duration, Math.max(start, end)) };
    });
    this.onchange();
  }

  // Key in semitones, tempo as a factor; the song goes on as it was until the stretcher is there.
  async setPitch(pitch) {
    this.pitch = { ...this.pitch, ...pitch };
    this.onchange();
    if (!isNeutral(this.pitch) && !this.stretch) {
      this.open();
      this.loading ??= Stretch.load(this.context, this.stems.map(({ buffer }) => buffer));
      try {
        const stretch = await this.loading;
        if (this.context) this.stretch = stretch;
      } catch (error) {
        this.loading = null;
        this.pitch = { ...NEUTRAL };
        this.onchange();
        throw error;
      }
    }
    if (!this.playing || (!this.stretch && isNeutral(this.pitch))) return;
    if (isNeutral(this.pitch) || isNeutral(this.heard)) {
      if (isNeutral(this.pitch) !== isNeutral(this.heard)) this.restarted(() => {});
    } else {
      this.offset = this.position();
      this.startedAt = this.context.currentTime;
      this.heard = { ...this.pitch };
      this.bend(this.startedAt);
    }
  }

  // Does what cannot be done to sources that play.
  restarted(change) {
    const wasPlaying = this.playing;
    const position = this.position();
    if (wasPlaying) this.stop();
    change();
    // Stems between two samples would be interpolated.
    this.offset = Math.round(position * this.samplingRate) / this.samplingRate;
    if (wasPlaying) this.start();
  }

  position() {
    if (!this.playing) return this.offset;
    const position = this.offset + Math.max(0, this.context.currentTime - this.startedAt) * this.heard.tempo;
    const { on, start, end } = this.loop;
    if (on && position >= end) return start + ((position - start) % (end - start));
    return Math.min(position, this.duration);
  }

  close() {
    if (this.playing) this.stop();
    if (this.context) this.context.close();
    this.context = this.stretch = null;
    this.onchange = () => {};
  }
}
