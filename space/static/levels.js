// How loud each stem is: its volume, mute and solo, and the one slider from voice only to no voice.

const SMOOTHING_SECONDS = 0.01;

export class Levels {
  constructor(numStems) {
    this.stems = Array.from({ length: numStems }, () => ({ volume: 1, muted: false, solo: false }));
    this.karaoke = 0;
  }

  // From -1, the first stem alone, over 0, all as they are, to 1, all but the first.
  share(index) {
    return Math.min(1, index === 0 ? 1 - this.karaoke : 1 + this.karaoke);
  }

  gain(index) {
    const { volume, muted, solo } = this.stems[index];
    const others = this.stems.some((stem) => stem.solo);
    return muted || (others && !solo) ? 0 : volume * this.share(index);
  }

  apply(transport) {
    if (!transport.context) return;
    transport.stems.forEach((stem, index) => {
      const { gain } = stem.gain;
      const now = transport.context.currentTime;
      gain.cancelScheduledValues(now);
      if (transport.playing) gain.setTargetAtTime(this.gain(index), now, SMOOTHING_SECONDS);
      else gain.setValueAtTime(this.gain(index), now);
    });
  }
}
