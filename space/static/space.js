// What the demo's page does beside Gradio: it shows the mixer, and takes songs that are dropped anywhere.

import { takeDroppedSongs } from "./drop.js";
import { mountMixer } from "./mixer.js";

// Everything is given by Gradio.
export function showMixer(element, props, watch, trigger) {
  mountMixer(element, props, watch, (which, format) => trigger("submit", { which, format }));
}

export function takeSongs() {
  takeDroppedSongs((file) => {
    const input = document.querySelector("#song input[type=file]");
    const files = new DataTransfer();
    files.items.add(file);
    input.files = files.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
