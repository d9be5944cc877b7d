// A song may be dropped anywhere on a page, also on a part that would take files itself.

export function takeDroppedSongs(take) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  const show = (on) => document.documentElement.classList.toggle("unet-svs-dropping", on);
  const listen = (name, action) =>
    addEventListener(
      name,
      (event) => {
        if (!hasFiles(event)) return;
        event.preventDefault();
        event.stopPropagation();
        action(event);
      },
      { capture: true },
    );
  listen("dragenter", () => show(true));
  listen("dragover", () => show(true));
  listen("dragleave", (event) => event.relatedTarget || show(false));
  listen("drop", (event) => {
    show(false);
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
}
