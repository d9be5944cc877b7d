// What the visitor does and sees: a song, its separation, the mixer and the downloads.

import { downloadZip } from "client-zip";
import { takeDroppedSongs } from "../static/drop.js";
import { mountMixer } from "../static/mixer.js";
import { saveFile } from "../static/saving.js";
import { clock } from "../static/timeline.js";
import { scaleOf, wavOf } from "../static/wav.js";
import { Cancelled, Separator } from "./separator.js";
import { decodeSong, MAX_MEGABYTES, MAX_MINUTES } from "./song.js";

// From here on the end is too near for an estimate to mean anything.
const SOON_SECONDS = 2;
const DEVICES = { wasm: "the processor (WebAssembly)", webgpu: "the graphics card (WebGPU)" };
const find = (id) => document.getElementById(id);
const choice = Object.fromEntries(new URLSearchParams(location.search));
const mixer = { value: null };
let showMixer = () => {};
const FORMATS = [
  { value: "16", label: "WAV, 16 bits" },
  { value: "float", label: "WAV, 32 bits (float)" },
];
let separator = null;

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

async function takeExample() {
  try {
    const response = await fetch("Synthesised song.ogg");
    if (!response.ok) throw new Error(response.statusText);
    separate(new File([await response.blob()], "Synthesised song.ogg"));
  } catch {
    say("The example could not be loaded.", { failed: true });
  }
}

// A song begins with the gesture that gives it, and takes the place of the one before it.
async function separate(file) {
  if (separator) separator.cancel();
  const mine = (separator = new Separator(choice));
  find("cancel").hidden = false;
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
    show(file, stems);
    say("Done.");
  } catch (error) {
    if (mine !== separator) return;
    if (error instanceof Cancelled) say("Cancelled.");
    else say(error.message, { failed: true });
  } finally {
    mine.close();
    if (mine === separator) {
      separator = null;
      find("cancel").hidden = true;
    }
  }
}

function clear() {
  find("result").hidden = true;
  mixer.value = null;
  showMixer();
}

function show(file, stems) {
  const name = file.name.replace(/\.[^.]*$/, "");
  const [{ buffer }] = stems;
  find("result").hidden = false;
  mixer.value = {
    song: name,
    sampling_rate: buffer.sampleRate,
    num_samples: buffer.length,
    stems,
    formats: FORMATS,
    pictures: [],
    ticks: [],
  };
  showMixer();
}

// Saves one stem, or "all" as a zip.
async function save(which, format) {
  const { song, stems } = mixer.value;
  const buffers = stems.map(({ buffer }) => buffer);
  const scale = scaleOf(buffers, format);
  const files = stems
    .filter(({ name }) => which === "all" || which === name)
    .map(({ name, buffer }) => ({ name: `${song} - ${name}.wav`, input: wavOf(buffer, format, scale) }));
  if (which === "all") saveFile(await downloadZip(files).blob(), `${song} - stems.zip`);
  else saveFile(files[0].input, files[0].name);
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
mountMixer(find("mixer"), mixer, (_, changed) => (showMixer = changed), save);
find("song").addEventListener("change", ({ target }) => {
  if (target.files.length) separate(target.files[0]);
  // So that the same song can be chosen again.
  target.value = "";
});
find("example").addEventListener("click", takeExample);
find("cancel").addEventListener("click", () => separator.cancel());
takeDroppedSongs(separate);
