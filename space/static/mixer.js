// The mixer's buttons, sliders and keys, for both pages.

import { Levels } from "./levels.js";
import { makeMix, mixName, signed } from "./mix.js";
import { saveFile } from "./saving.js";
import { NEUTRAL } from "./stretch.js";
import { clock, Timeline } from "./timeline.js";
import { Transport } from "./transport.js";

const STEP_SECONDS = 5;

async function fetchBytes(url, report) {
  const response = await fetch(url);
  if (!response.ok) throw new Error("The server answers " + response.status + ".");
  const total = Number(response.headers.get("content-length"));
  const reader = response.body.getReader();
  const chunks = [];
  let received = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    chunks.push(part.value);
    received += part.value.length;
    report(total ? received / total : 0);
  }
  return new Blob(chunks).arrayBuffer();
}

async function decode(song, report) {
  // At the song's own rate, or the browser would resample and no sample would be where it was.
  const decoder = new OfflineAudioContext(2, 1, song.sampling_rate);
  const shares = song.stems.map(() => 0);
  return Promise.all(
    song.stems.map(async ({ file, buffer }, index) => {
      // Of a song that was separated in the browser itself.
      if (buffer) return buffer;
      const bytes = await fetchBytes(file.url, (share) => {
        shares[index] = share;
        report(shares.reduce((a, b) => a + b) / shares.length);
      });
      return decoder.decodeAudioData(bytes);
    }),
  );
}

// `props` and `watch` are those of Gradio's HTML component; `save(which, format)` saves a stem, or "all" as a zip.
export function mountMixer(element, props, watch, save) {
  const find = (selector, from = element) => from.querySelector(selector);
  let mixer = null;
  let generation = 0;

  function copyOf(name) {
    return find("template." + name).content.firstElementChild.cloneNode(true);
  }

  function say(text, failed = false) {
    const status = find(".loading");
    status.textContent = text;
    status.hidden = !text;
    status.classList.toggle("failed", failed);
  }

  class Mixer {
    constructor(song, buffers) {
      this.song = song;
      this.transport = new Transport(song.sampling_rate, buffers);
      this.levels = new Levels(buffers.length);
      this.timeline = new Timeline(find(".timeline"), this.transport);
      this.strips = song.stems.map((stem, index) => this.addStrip(stem, index, buffers[index]));
      this.addSaves();
      this.addPictures();
      this.transport.onchange = () => this.show();
      find(".seek").max = this.transport.duration;
      find(".seek").step = 0.01;
      find(".karaoke").value = 0;
      find(".duration").textContent = clock(this.transport.duration);
      this.timeline.draw();
      this.show();
    }

    addStrip(stem, index, buffer) {
      const strip = copyOf("strip");
      const number = index + 1;
      strip.setAttribute("aria-label", stem.name);
      strip.classList.toggle("voice", index === 0);
      find(".name", strip).textContent = stem.name;
      find(".mute", strip).setAttribute("aria-label", "Mute " + stem.name);
      find(".mute", strip).title = "Mute (" + number + ")";
      find(".solo", strip).setAttribute("aria-label", "Solo " + stem.name);
      find(".solo", strip).title = "Solo (Shift " + number + ")";
      find(".volume", strip).setAttribute("aria-label", "Volume of " + stem.name);
      find("canvas", strip).setAttribute("aria-label", "Waveform of " + stem.name);
      find(".mute", strip).addEventListener("click", () => this.toggle(index, "muted"));
      find(".solo", strip).addEventListener("click", () => this.toggle(index, "solo"));
      find(".volume", strip).addEventListener("input", (event) => {
        this.levels.stems[index].volume = Number(event.target.value) / 100;
        this.showLevels();
      });
      find(".strips").append(strip);
      this.timeline.add(find("canvas", strip), buffer);
      return strip;
    }

    addSaves() {
      const { stems, formats } = this.song;
      find(".format").replaceChildren(...formats.map(({ label, value }) => new Option(label, value)));
      const capital = (name) => name[0].toUpperCase() + name.slice(1);
      const choices = stems.map(({ name }) => [name, capital(name), name]);
      for (const [which, label, title] of [...choices, ["all", "All (zip)", "all stems as a zip"]]) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = label;
        button.setAttribute("aria-label", "Download " + title);
        button.addEventListener("click", () => save(which, find(".format").value));
        find(".saves .buttons").append(button);
      }
    }

    // Paints between what it says and what it does.
    async saveMix() {
      const button = find(".save-mix");
      if (button.ariaBusy === "true") return;
      button.ariaBusy = "true";
      const say = (text) => (find(".saved").textContent = text);
      say("Making the mix…");
      const name = mixName(this.song.song, this.transport);
      try {
        await new Promise((resolve) => setTimeout(resolve, 50));
        const report = (share) => say(`Making the mix… ${Math.round(100 * share)} %`);
        const { blob, scale } = await makeMix(this.transport, this.levels, find(".format").value, report);
        saveFile(blob, name);
        const level = scale < 1 ? `, at ${scale.toFixed(3)} of its level, or it would clip` : "";
        say(`${name} is saved${level}.`);
      } catch (error) {
        say("The mix could not be made. " + error.message);
      } finally {
        button.ariaBusy = "false";
      }
    }

    addPictures() {
      find(".pictures").hidden = !this.song.pictures.length;
      for (const { name, file } of this.song.pictures) {
        const picture = copyOf("picture");
        const isMask = name === "mask";
        find(".name", picture).textContent = name;
        find(".note", picture).textContent = isMask
          ? "what share of each tone the network gave to " + this.song.stems[0].name + ", from none (dark) to all (light)"
          : "";
        find("img", picture).src = file.url;
        find("img", picture).alt = (isMask ? "Mask" : "Spectrogram of the " + name) + " over the whole song";
        for (const { hertz, height } of this.song.ticks) {
          const tick = document.createElement("span");
          tick.className = "hertz";
          tick.textContent = hertz < 1000 ? hertz + " Hz" : hertz / 1000 + " kHz";
          tick.style.bottom = 100 * height + "%";
          find(".lane", picture).append(tick);
        }
        find(".pictures .rows").append(picture);
      }
    }

    toggle(index, switchName) {
      const stem = this.levels.stems[index];
      if (!stem) return;
      stem[switchName] = !stem[switchName];
      this.showLevels();
    }

    async togglePlay() {
      if (this.transport.playing) return this.transport.pause();
      this.transport.open();
      this.levels.apply(this.transport);
      await this.transport.play();
    }

    async setPitch(pitch) {
      try {
        await this.transport.setPitch(pitch);
      } catch (error) {
        find(".saved").textContent = "Key and tempo cannot be changed. " + error.message;
      }
    }

    toggleLoop() {
      this.transport.setLoop(!this.transport.loop.on);
    }

    markLoop(edge) {
      const { start, end } = this.transport.loop;
      const position = this.transport.position();
      const { duration } = this.transport;
      if (edge === "start") this.transport.setLoop(true, position, position < end ? end : duration);
      else if (position > 0) this.transport.setLoop(true, position > start ? start : 0, position);
    }

    showLevels() {
      this.levels.apply(this.transport);
      this.strips.forEach((strip, index) => {
        const { muted, solo, volume } = this.levels.stems[index];
        find(".mute", strip).setAttribute("aria-pressed", muted);
        find(".solo", strip).setAttribute("aria-pressed", solo);
        find(".volume", strip).setAttribute("aria-valuetext", Math.round(volume * 100) + " percent");
        strip.classList.toggle("silent", this.levels.gain(index) === 0);
      });
      const { karaoke } = this.levels;
      find(".karaoke").style.setProperty("--place", 50 + 50 * karaoke + "%");
      const part = Math.round((1 - Math.abs(karaoke)) * 100) + " percent of the ";
      const [voice, rest] = [this.song.stems[0].name, "rest"];
      const words = karaoke === 0 ? "song" : karaoke === -1 ? "voice only" : karaoke === 1 ? "no voice" : null;
      find(".karaoke").setAttribute("aria-valuetext", words || part + (karaoke < 0 ? rest : voice));
    }

    showPitch() {
      const { semitones, tempo } = this.transport.pitch;
      const percent = Math.round(100 * tempo);
      for (const [name, value, text] of [["key", semitones, signed(semitones)], ["tempo", percent, percent + " %"]]) {
        find("." + name).value = value;
        find(".value", find("." + name).parentElement).textContent = text;
      }
      const steps = Math.abs(semitones) === 1 ? " semitone " : " semitones ";
      const said = semitones ? Math.abs(semitones) + steps + (semitones > 0 ? "up" : "down") : "the song's own";
      find(".key").setAttribute("aria-valuetext", said);
      find(".tempo").setAttribute("aria-valuetext", percent + " percent");
    }

    showTime() {
      const position = this.transport.position();
      const seek = find(".seek");
      if (document.activeElement !== seek || !seek.matches(":active")) seek.value = position;
      seek.setAttribute("aria-valuetext", clock(position) + " of " + clock(this.transport.duration));
      find(".position").textContent = clock(position, true);
      this.timeline.show();
    }

    show() {
      const { playing, loop } = this.transport;
      find(".play").setAttribute("aria-label", playing ? "Pause" : "Play");
      find(".play").classList.toggle("playing", playing);
      find(".loop").setAttribute("aria-pressed", loop.on);
      find(".region").textContent =
        loop.on || loop.start > 0 || loop.end < this.transport.duration ? clock(loop.start, true) + " – " + clock(loop.end, true) : "";
      this.showLevels();
      this.showPitch();
      this.showTime();
      cancelAnimationFrame(this.frame);
      if (playing) this.animate();
    }

    animate() {
      this.showTime();
      if (this.transport.playing) this.frame = requestAnimationFrame(() => this.animate());
    }

    key(event) {
      const onButton = event.target.closest("button, summary");
      const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
      const actions = {
        " ": onButton ? null : () => this.togglePlay(),
        k: () => this.togglePlay(),
        j: () => this.transport.seek(this.transport.position() - STEP_SECONDS),
        l: () => this.transport.seek(this.transport.position() + STEP_SECONDS),
        0: () => this.transport.seek(0),
        r: () => this.toggleLoop(),
        "[": () => this.markLoop("start"),
        "]": () => this.markLoop("end"),
      };
      if (event.target.closest("select") || event.ctrlKey || event.metaKey || event.altKey) return;
      const action = digit
        ? () => this.toggle(Number(digit[1]) - 1, event.shiftKey ? "solo" : "muted")
        : actions[event.key.toLowerCase()];
      if (!action) return;
      event.preventDefault();
      action();
    }

    close() {
      this.transport.close();
      this.timeline.close();
      cancelAnimationFrame(this.frame);
      find(".strips").replaceChildren();
      find(".saves .buttons").replaceChildren();
      find(".saved").textContent = "";
      find(".pictures .rows").replaceChildren();
    }
  }

  async function load(song) {
    const mine = ++generation;
    if (mixer) mixer.close();
    mixer = window.unetSvsMixer = null;
    find(".mixer").classList.remove("ready");
    if (!song || !song.stems) return say("");
    find(".title").textContent = song.song;
    say("Loading the stems…");
    try {
      const buffers = await decode(song, (share) => {
        if (mine === generation) say("Loading the stems… " + Math.round(100 * share) + " %");
      });
      if (mine !== generation) return;
      say("");
      find(".mixer").classList.add("ready");
      mixer = window.unetSvsMixer = new Mixer(song, buffers);
      find(".play").focus({ preventScroll: true });
      find(".mixer").scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (mine === generation) say("The stems could not be loaded. " + error.message, true);
    }
  }

  find(".play").addEventListener("click", () => mixer && mixer.togglePlay());
  find(".save-mix").addEventListener("click", () => mixer && mixer.saveMix());
  find(".loop").addEventListener("click", () => mixer && mixer.toggleLoop());
  find(".loop-start").addEventListener("click", () => mixer && mixer.markLoop("start"));
  find(".loop-end").addEventListener("click", () => mixer && mixer.markLoop("end"));
  find(".seek").addEventListener("input", (event) => mixer && mixer.transport.seek(Number(event.target.value)));
  find(".karaoke").addEventListener("input", (event) => {
    if (!mixer) return;
    mixer.levels.karaoke = Number(event.target.value) / 100;
    mixer.showLevels();
  });
  const onPitch = (slider, pitchAt, neutral) => {
    slider.addEventListener("input", () => mixer && mixer.setPitch(pitchAt(Number(slider.value))));
    slider.addEventListener("dblclick", () => mixer && mixer.setPitch(pitchAt(neutral)));
  };
  onPitch(find(".key"), (semitones) => ({ semitones }), NEUTRAL.semitones);
  onPitch(find(".tempo"), (percent) => ({ tempo: percent / 100 }), 100 * NEUTRAL.tempo);
  find(".mixer").addEventListener("keydown", (event) => mixer && mixer.key(event));
  watch("value", () => load(props.value));
  load(props.value);
}
