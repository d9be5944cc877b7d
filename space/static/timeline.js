// Lanes as wide as the song: waveforms, pictures, the playhead and the region that is repeated.

const NUM_PEAKS = 1600;
const MAX_SAMPLES_PER_PEAK = 2000;
const DRAG_PIXELS = 6;
const TICK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600];

export function clock(seconds, withTenths = false) {
  const tenths = Math.floor(seconds * 10 + 1e-6);
  const text = Math.floor(tenths / 600) + ":" + String(Math.floor(tenths / 10) % 60).padStart(2, "0");
  return withTenths ? text + "." + (tenths % 10) : text;
}

// Largest level in each slice; a long slice is looked at in steps, which the eye does not notice.
function peaksOf(buffer) {
  const peaks = new Float32Array(NUM_PEAKS);
  const perPeak = buffer.length / NUM_PEAKS;
  const step = Math.max(1, Math.floor(perPeak / MAX_SAMPLES_PER_PEAK));
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const samples = buffer.getChannelData(channel);
    for (let index = 0; index < NUM_PEAKS; index++) {
      const end = Math.min(samples.length, Math.ceil((index + 1) * perPeak));
      for (let i = Math.floor(index * perPeak); i < end; i += step) {
        const level = Math.abs(samples[i]);
        if (level > peaks[index]) peaks[index] = level;
      }
    }
  }
  return peaks;
}

function drawWaveform(canvas, peaks, loudest) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width || !height) return;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.fillStyle = getComputedStyle(canvas).color;
  for (let x = 0; x < width; x++) {
    const first = Math.floor((x / width) * peaks.length);
    const last = Math.max(first + 1, Math.floor(((x + 1) / width) * peaks.length));
    let level = 0;
    for (let i = first; i < last; i++) level = Math.max(level, peaks[i]);
    const bar = Math.max(1, (level / loudest) * (height - 4));
    pen.fillRect(x, (height - bar) / 2, 1, bar);
  }
}

export class Timeline {
  constructor(root, transport) {
    this.root = root;
    this.transport = transport;
    this.waveforms = [];
    this.drag = null;
    this.controller = new AbortController();
    const { signal } = this.controller;
    root.addEventListener("pointerdown", (event) => this.press(event), { signal });
    root.addEventListener("pointermove", (event) => this.move(event), { signal });
    root.addEventListener("pointerup", (event) => this.release(event), { signal });
    root.addEventListener("pointercancel", () => this.giveUp(), { signal });
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(root);
    this.colours = new MutationObserver(() => this.draw());
    for (const element of [document.documentElement, document.body]) {
      this.colours.observe(element, { attributes: true, attributeFilter: ["class", "style"] });
    }
  }

  add(canvas, buffer) {
    this.waveforms.push({ canvas, peaks: peaksOf(buffer) });
  }

  draw() {
    const loudest = Math.max(1e-4, ...this.waveforms.map(({ peaks }) => peaks.reduce((a, b) => Math.max(a, b), 0)));
    for (const { canvas, peaks } of this.waveforms) drawWaveform(canvas, peaks, loudest);
    this.drawAxis();
  }

  drawAxis() {
    const axis = this.root.querySelector(".axis");
    const { duration } = this.transport;
    const fitting = Math.max(1, Math.floor(axis.clientWidth / 64));
    const step = TICK_STEPS.find((seconds) => duration / seconds <= fitting) || TICK_STEPS[TICK_STEPS.length - 1];
    axis.replaceChildren();
    for (let seconds = 0; seconds <= duration; seconds += step) {
      const tick = document.createElement("span");
      tick.textContent = clock(seconds);
      tick.style.left = (100 * seconds) / duration + "%";
      // Near the right edge the number goes to the left of its mark, where there is room.
      if (seconds / duration > 1 - 40 / axis.clientWidth) tick.classList.add("last");
      axis.append(tick);
    }
  }

  show() {
    const { duration, loop } = this.transport;
    const region = this.drag && this.drag.moved ? { on: true, ...this.region() } : loop;
    this.root.style.setProperty("--position", this.transport.position() / duration);
    this.root.style.setProperty("--loop-start", region.start / duration);
    this.root.style.setProperty("--loop-end", region.end / duration);
    this.root.classList.toggle("looping", region.on);
  }

  secondsAt(event) {
    const lane = this.root.querySelector(".lane").getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - lane.left) / lane.width, 0), 1);
    return share * this.transport.duration;
  }

  region() {
    const { from, to } = this.drag;
    return { start: Math.min(from, to), end: Math.max(from, to) };
  }

  press(event) {
    if (event.button !== 0 || !event.target.closest(".lane, .axis")) return;
    const seconds = this.secondsAt(event);
    this.drag = { x: event.clientX, from: seconds, to: seconds, moved: false };
    this.root.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (!this.drag) return;
    this.drag.to = this.secondsAt(event);
    this.drag.moved ||= Math.abs(event.clientX - this.drag.x) > DRAG_PIXELS;
    this.show();
  }

  release(event) {
    if (!this.drag) return;
    this.drag.to = this.secondsAt(event);
    const { start, end } = this.region();
    const { moved } = this.drag;
    this.drag = null;
    if (moved && end > start) {
      this.transport.setLoop(true, start, end);
      this.transport.seek(start);
    } else {
      this.transport.seek(start);
    }
  }

  giveUp() {
    this.drag = null;
    this.show();
  }

  close() {
    this.controller.abort();
    this.resize.disconnect();
    this.colours.disconnect();
  }
}
