"""The mixer as a component: one transport for all stems, in the visitor's browser."""

from pathlib import Path

import gradio as gr
from job import SeparatedSong
from pictures import Pictures

STATIC = Path(__file__).parent / "static"
# The modules are served beside the page, at an address that is relative to it.
MODULES = "/mixer"
IMPORTED = f'import(new URL(".{MODULES}/space.js", document.baseURI))'
SHOW_MIXER = f"""
{IMPORTED}
  .then(({{ showMixer }}) => showMixer(element, props, watch, trigger))
  .catch((error) => (element.textContent = "The mixer could not be loaded: load the page again. " + error.message));
"""
# Of a part of the page that is there from the beginning: Gradio makes the mixer's only with the first song.
TAKE_SONGS = f"{IMPORTED}.then(({{ takeSongs }}) => takeSongs());"
FORMATS = ("wav", "flac", "mp3")


def mixer_component() -> gr.HTML:
    """Makes the component, with its own style and script; its value is what `mixer_value` makes."""
    return gr.HTML(
        html_template=(STATIC / "mixer.html").read_text("utf-8"),
        css_template="".join((STATIC / style).read_text("utf-8") for style in ("mixer.css", "timeline.css")),
        js_on_load=SHOW_MIXER,
        apply_default_css=False,
    )


def mixer_value(song: SeparatedSong, pictures: Pictures) -> dict:
    """What the mixer needs to know of a song whose stems are on the disk, in a format that browsers decode."""
    return {
        "song": song.name,
        "sampling_rate": song.sampling_rate,
        "num_samples": song.num_samples,
        "stems": [{"name": name, "file": file_data(path)} for name, path in song.stems.items()],
        "formats": [{"value": format, "label": format.upper()} for format in FORMATS],
        "pictures": [{"name": name, "file": file_data(path)} for name, path in pictures.files.items()],
        "ticks": [{"hertz": hertz, "height": height} for hertz, height in pictures.ticks.items()],
    }


def file_data(path: Path) -> dict:
    """A file of Gradio's temporary folder, for a page: Gradio adds its address."""
    return gr.FileData(path=str(path), orig_name=path.name).model_dump()
