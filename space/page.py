"""Lays out the page and the API, and wires them to their events."""

import json
from dataclasses import dataclass
from html import escape
from pathlib import Path

import gradio as gr
from downloads import ALL_STEMS, FORMATS
from job import SeparationJob
from mixer import STATIC, mixer_component
from page_events import EXAMPLES, PageEvents, buttons, delete_stems, message_html
from settings import Settings
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.command.checkpoint import describe_checkpoint
from modeling_unet_svs.network import UNetSVSModule

# Songs that are separated share a queue, whether they come from a page or a program; so do downloads.
SEPARATION, DOWNLOADS = "separation", "downloads"
MAX_DOWNLOADS_AT_ONCE = 2
# Events that only the page uses; those that are quick need no queue.
PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE = {**PRIVATE, "queue": False}
# The page that separates in the visitor's own browser, if it was built.
BROWSER_PAGE = Path(__file__).parent / "browser" / "dist"
# With these headers a browser gives that page more than one thread.
ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


@dataclass(frozen=True)
class _Input:
    song: gr.File
    start: gr.Button
    cancel: gr.Button
    status: gr.HTML


@dataclass(frozen=True)
class _Output:
    column: gr.Column
    mixer: gr.HTML
    song: gr.State


def build_page(name: str, model: UNetSVSModule, results: Path, settings: Settings) -> gr.Blocks:
    """Lays out the page; `name` is the folder or Hub id of the checkpoint, `results` the folder for stems."""
    events = PageEvents(SeparationJob(model, settings), results)
    delete_cache = (min(settings.keep_seconds, 60), settings.keep_seconds)
    with gr.Blocks(title="unet-svs: take a song apart", delete_cache=delete_cache) as blocks:
        gr.HTML(
            "<header><h1>Take a song apart</h1><p>Drop a song and get its voice and its accompaniment, in full "
            f"length, to play with and to keep. At most {settings.max_minutes:g} minutes and "
            f"{settings.max_megabytes:g} MB; all is deleted when you leave, or after "
            f"{settings.keep_minutes:g} minutes.</p>{browser_page_html()}</header>",
            elem_classes="unet-svs-header",
        )
        given = _input(events)
        result = _results(events, model.config.stems, settings)
        with gr.Accordion("What separates here", open=True):
            gr.HTML(checkpoint_html(name), elem_id="checkpoint", apply_default_css=False)
        _wire(events, given, result, settings)
        _add_api(events, model.config.stems, settings)
        blocks.unload(events.leave)
    # Once a second, or those who wait would not hear of others who cancel.
    return blocks.queue(max_size=settings.queue_size, status_update_rate=1)


def _input(events: PageEvents) -> _Input:
    with gr.Tabs(elem_id="given"):
        with gr.Tab("Song file"):
            song = gr.File(label="Song (audio or video, any usual format)", height=142, elem_id="song")
        with gr.Tab("Record"):
            recording = gr.Audio(
                sources=["microphone"], type="filepath", label="Record", show_label=False, editable=False
            )
    gr.Examples(
        examples=[[str(path)] for path in EXAMPLES],
        inputs=[song],
        label="Example (computed by a program: its singer is a synthesiser)",
        api_visibility="private",
        cache_examples=False,
    )
    with gr.Row():
        start = gr.Button("Take it apart", variant="primary", elem_id="start", min_width=140)
        cancel = gr.Button("Cancel", interactive=False, elem_id="cancel", min_width=140)
    welcome = message_html("Choose a song, then take it apart.")
    status = gr.HTML(welcome, html_template="${value || bar}", bar="", elem_id="status")
    song.upload(events.uploaded, song, **AT_ONCE)
    recording.stop_recording(events.recorded, recording, [song, status], **AT_ONCE)
    return _Input(song, start, cancel, status)


def _results(events: PageEvents, stems: tuple[str, ...], settings: Settings) -> _Output:
    song = gr.State(time_to_live=settings.keep_seconds, delete_callback=delete_stems)
    with gr.Column(visible=False, elem_id="result") as column:
        mixer = mixer_component()
        with gr.Row(elem_id="downloads"):
            choices = [(stem.capitalize(), stem) for stem in stems] + [("All, as a zip", ALL_STEMS)]
            which = gr.Radio(choices, value=ALL_STEMS, label="Download", elem_id="which", scale=3, min_width=320)
            formats = [(format.upper(), format) for format in FORMATS]
            format = gr.Radio(formats, value="wav", label="As", elem_id="format", scale=2, min_width=240)
            save = gr.Button("Download", elem_id="save", scale=1, min_width=140)
        link = gr.HTML(
            html_template="<a class='unet-svs-link' hidden></a>",
            js_on_load=(STATIC / "download.js").read_text("utf-8"),
            apply_default_css=False,
        )
    save.click(
        events.download,
        [song, which, format],
        link,
        concurrency_id=DOWNLOADS,
        concurrency_limit=MAX_DOWNLOADS_AT_ONCE,
        show_progress="minimal",
        show_progress_on=[save],
        api_visibility="private",
    )
    return _Output(column, mixer, song)


def _wire(events: PageEvents, given: _Input, result: _Output, settings: Settings) -> None:
    controls = [given.status, given.start, given.cancel]
    begin = given.start.click(events.begin, None, controls, **AT_ONCE)
    check = begin.then(events.check, given.song, given.status, concurrency_limit=None, **PRIVATE)
    separation = check.success(
        events.separate_for_page,
        [given.song, result.song],
        [given.status, result.column, result.mixer, result.song],
        concurrency_id=SEPARATION,
        concurrency_limit=settings.concurrency,
        show_progress="minimal",
        show_progress_on=[given.status],
        api_visibility="private",
    )
    for ended in (check.failure, separation.success, separation.failure):
        ended(events.end, given.status, controls, **AT_ONCE)
    # The page says so itself, before anything that the server says of the end.
    said = json.dumps([message_html("Cancelled."), *buttons(busy=False)])
    given.cancel.click(None, None, controls, js=f"() => {said}", cancels=[check, separation])


def _add_api(events: PageEvents, stems: tuple[str, ...], settings: Settings) -> None:
    gr.Button(visible=False).click(
        events.separate_for_api,
        [
            gr.File(label="song", visible=False),
            gr.Radio(list(FORMATS), value="wav", label="format", visible=False),
        ],
        [gr.File(label=stem, visible=False) for stem in stems],
        api_name="separate",
        api_description="Takes a song apart and returns a file for each stem: " + ", ".join(stems) + ".",
        validator=events.enter_queue,
        concurrency_id=SEPARATION,
        concurrency_limit=settings.concurrency,
    )


def checkpoint_html(name: str) -> str:
    """Which checkpoint separates, and what `unet-svs info` says of it."""
    # The operator's folders are nobody's business; the last two parts are a name.
    embedded = "the one that comes with unet-svs"
    shown = embedded if name == DEFAULT_CHECKPOINT else "/".join(name.rstrip("/").split("/")[-2:])
    rows = [("checkpoint", shown), *describe_checkpoint(name)]
    cells = "".join(f"<tr><th scope='row'>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in rows)
    return f"<table class='unet-svs-checkpoint'><tbody>{cells}</tbody></table>"


def browser_page_html() -> str:
    """Links to the page that separates in the visitor's browser; empty if it was not built."""
    if not _browser_page_is_built():
        return ""
    return (
        "<p>Or <a href='browser/' target='_blank'>on your own computer</a>: "
        "the song is separated in your browser, and nothing is uploaded.</p>"
    )


def browser_page_routes() -> list[Mount]:
    """Serves that page beside the demo."""
    return [Mount("/browser", _IsolatedFiles(directory=BROWSER_PAGE, html=True))] if _browser_page_is_built() else []


def _browser_page_is_built() -> bool:
    return (BROWSER_PAGE / "index.html").is_file() and (BROWSER_PAGE / "model" / "model.onnx").is_file()


class _IsolatedFiles(StaticFiles):
    def file_response(self, *args, **kwargs):
        response = super().file_response(*args, **kwargs)
        response.headers.update(ISOLATED)
        return response
