// What the visitor does and sees: a song, its separation, the mixer and the downloads.

import { clock, mountMixer } from "mixer";
import { Cancelled, Separator } from "./separator.js";
import { decodeSong, MAX_MEGABYTES, MAX_MINUTES } from "./song.js";
import { scaleOf, wavOf } from "./wav.js";

// From here on the end is too near for an estimate to mean anything.
const SOON_SECONDS = 2;
const DEVICES = { wasm: "the processor (WebAssembly)", webgpu: "the graphics card (WebGPU)" };
const find = (id) => document.getElementById(id);
const choice = Object.fromEntries(new URLSearchParams(location.search));
const mixer = { value: null };
let showMixer = () => {};
let separator = null;
let file = null;

function say(text, { failed = false, progress = null } = {}) {
  const bar = find("status").querySelector("progress");
  find("status").querySelector("p").textContent = text;
  find("status").setAttribute("role", failed ? "alert" : "status");
  find("status").setAttribute("aria-live", failed ? "assertive" : progress ? "off" : "polite");
  bar.hidden = !progress;
  if (!progress) return;
  bar.max = progress.total || 1;
  if (progress.done) bar.value = progress.done;
  else bar.removeAttribute("value");
}

function left(seconds) {
  if (seconds < SOON_SECONDS) return "a moment left";
  return seconds < 90 ? `about ${Math.round(seconds)} s left` : `about ${Math.round(seconds / 60)} min left`;
}

function choose(chosen) {
  file = chosen;
  // Beside the button, whichever way it came.
  const files = new DataTransfer();
  files.items.add(file);
  find("song").files = files.files;
  say(`${file.name} is there: take it apart.`);
}

async function takeExample() {
  try {
    const response = await fetch("Synthesised song.ogg");
    if (!response.ok) throw new Error(response.statusText);
    choose(new File([await response.blob()], "Synthesised song.ogg"));
  } catch {
    say("The example could not be loaded.", { failed: true });
  }
}

async function separate() {
  if (separator) return;
  if (!file) return say("There is no song yet: choose one.", { failed: true });
  const mine = (separator = new Separator(choice));
  setBusy(true);
  clear();
  try {
    say("Loading the network…", { progress: {} });
    const { config, device, threads } = await mine.load();
    find("runtime").textContent =
      `The network runs on ${DEVICES[device]}` + (threads ? `, ${threads} thread${threads > 1 ? "s" : ""}.` : ".");
    say("Reading the song…", { progress: {} });
    const song = await Promise.race([decodeSong(file, config.sampling_rate), mine.stopped]);
    say("Separating…", { progress: {} });
    const began = performance.now();
    const stems = await mine.separate(song, config, (done, total) => {
      if (!done) return;
      const seconds = ((performance.now() - began) / 1000) * (total / done - 1);
      say(`Separating: ${clock(done)} of ${clock(total)}, ${left(seconds)}.`, { progress: { done, total } });
    });
    show(stems);
    say("Done.");
  } catch (error) {
    if (error instanceof Cancelled) say("Cancelled.");
    else say(error.message, { failed: true });
  } finally {
    mine.close();
    separator = null;
    setBusy(false);
  }
}

function setBusy(busy) {
  for (const id of ["start", "song", "example"]) find(id).disabled = busy;
  find("cancel").disabled = !busy;
}

function clear() {
  find("result").hidden = true;
  find("saves").replaceChildren();
  mixer.value = null;
  showMixer();
}

function show(stems) {
  const name = file.name.replace(/\.[^.]*$/, "");
  const [{ buffer }] = stems;
  find("result").hidden = false;
  mixer.value = {
    song: name,
    sampling_rate: buffer.sampleRate,
    num_samples: buffer.length,
    stems,
    pictures: [],
    ticks: [],
  };
  showMixer();
  for (const stem of stems) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = stem.name;
    button.setAttribute("aria-label", `Download ${stem.name}`);
    button.addEventListener("click", () => save(name, stem, stems));
    find("saves").append(button);
  }
}

function save(name, stem, stems) {
  const format = find("format").value;
  const scale = format === "16" ? scaleOf(stems.map(({ buffer }) => buffer)) : 1;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(wavOf(stem.buffer, format, scale));
  link.download = `${name} - ${stem.name}.wav`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(scale < 1 ? `So that nothing clips, all stems are saved at ${scale.toFixed(3)} of their level.` : "Saved.");
}

function followTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => document.body.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", apply);
  apply();
}

followTheme();
find("limits").textContent = `At most ${MAX_MINUTES} minutes and ${MAX_MEGABYTES} MB.`;
mountMixer(find("mixer"), mixer, (_, changed) => (showMixer = changed));
find("song").addEventListener("change", ({ target }) => target.files.length && choose(target.files[0]));
find("example").addEventListener("click", takeExample);
find("start").addEventListener("click", separate);
find("cancel").addEventListener("click", () => separator && separator.cancel());
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (!separator && event.dataTransfer.files.length) choose(event.dataTransfer.files[0]);
});
