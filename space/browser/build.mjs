// `node build.mjs [folder [checkpoint [address]]]` bundles the page with the Space's mixer, the WebAssembly files and the
// network; the address is where it will be, for those who show links to it.

import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const shared = join(here, "..", "static");
const runtime = join(here, "node_modules", "onnxruntime-web", "dist");
const target = process.argv[2] ?? join(here, "dist");
const checkpoint = process.argv[3] ?? join(here, "..", "..", "modeling_unet_svs", "checkpoint");
const address = process.argv[4] ?? "";
const text = (...path) => readFile(join(...path), "utf8");

await mkdir(join(target, "model"), { recursive: true });
for (const name of ["config.json", "model.onnx", "model.safetensors"]) {
  await cp(join(checkpoint, name), join(target, "model", name), { dereference: true });
}
await build({
  entryPoints: [join(here, "page.js"), join(here, "worker.js")],
  outdir: target,
  bundle: true,
  splitting: true,
  format: "esm",
  minify: true,
  target: "es2022",
  conditions: ["onnxruntime-web-use-extern-wasm"],
});
const mixer = (await text(shared, "mixer.css")) + (await text(shared, "timeline.css"));
const styles = [await text(shared, "page.css"), await text(here, "page.css"), `#mixer {\n${mixer}\n}`];
await build({
  stdin: { contents: styles.join("\n"), loader: "css" },
  outfile: join(target, "page.css"),
  minify: true,
  target: ["chrome109", "firefox115", "safari16"],
});
const parts = { mixer: await text(shared, "mixer.html"), licence: escape(await licenceOf(checkpoint)), address };
const html = await text(here, "index.html");
await writeFile(join(target, "index.html"), html.replace(/<!-- (mixer|licence|address) -->/g, (_, part) => parts[part]));
for (const name of ["ort-wasm-simd-threaded", "ort-wasm-simd-threaded.asyncify"]) {
  for (const ending of [".mjs", ".wasm"]) await cp(join(runtime, name + ending), join(target, name + ending));
}
for (const name of ["signalsmith-stretch.js", "preview.png"]) await cp(join(shared, name), join(target, name));
await cp(join(here, "..", "examples", "Synthesised song.ogg"), join(target, "Synthesised song.ogg"));

// As the model card has it.
async function licenceOf(folder) {
  const card = await text(folder, "README.md").catch(() => "");
  const [, data] = /^---\n(.*?)\n---$/ms.exec(card) ?? ["", ""];
  const [, licence] = /^license_name: (.+)$/m.exec(data) ?? /^license: (.+)$/m.exec(data) ?? ["", "not said"];
  return licence.replace(/^(["'])(.*)\1$/, "$2");
}

function escape(words) {
  return words.replace(/[&<>]/g, (letter) => `&#${letter.charCodeAt(0)};`);
}
