// `npm run vendor` writes the stretcher, as npm has it, below its licence to where the demo serves it from.

import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const folder = join(here, "node_modules", "signalsmith-stretch");
const { version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
const licence = `/*!
signalsmith-stretch ${version}, unchanged from npm. https://signalsmith-audio.co.uk/code/stretch/

MIT License

Copyright (c) 2022 Geraint Luff / Signalsmith Audio Ltd.
Copyright (c) 2025 Signalsmith Audio (Signalsmith Linear)

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
*/
`;
const code = await readFile(join(folder, "SignalsmithStretch.mjs"), "utf8");
await writeFile(join(here, "..", "static", "signalsmith-stretch.js"), licence + code);
