"""Lays out the page and the API, and wires them to their events."""

import json
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.routes import templates
from jinja2 import ChoiceLoader, DictLoader
from job import SeparationJob
from mixer import FORMATS, MODULES, STATIC, TAKE_SONGS, mixer_component
from page_events import PageEvents, cancel_button, delete_stems, message_html
from settings import Settings
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.command.checkpoint import describe_checkpoint
from modeling_unet_svs.network import UNetSVSModule

# Songs that are separated share a queue, whether they come from a page or a program; so do downloads.
SEPARATION, DOWNLOADS = "separation", "downloads"
MAX_DOWNLOADS_AT_ONCE = 2
# A century, which Gradio can add to a date.
NEVER_SECONDS = 100 * 366 * 24 * 3600
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
    example: gr.Button
    recording: gr.Audio
    given: gr.State
    cancel: gr.Button
    status: gr.HTML


@dataclass(frozen=True)
class _Output:
    column: gr.Column
    mixer: gr.HTML
    link: gr.HTML
    song: gr.State


def build_page(name: str, model: UNetSVSModule, results: Path, settings: Settings) -> gr.Blocks:
    """Lays out the page; `name` is the folder or Hub id of the checkpoint, `results` the folder for stems."""
    events = PageEvents(SeparationJob(model, settings), results)
    events.folder.keep_swept(events.uploads.needed)
    about = describe_checkpoint(name)
    # Gradio would delete songs that wait in the queue; of its own accord it deletes what is left at the end alone.
    with gr.Blocks(title="unet-svs: take a song apart", delete_cache=(NEVER_SECONDS, NEVER_SECONDS)) as blocks:
        gr.HTML(header_html(about, settings), elem_classes="unet-svs-header", js_on_load=TAKE_SONGS)
        given = _input()
        result = _results(settings)
        with gr.Accordion("About the model", open=False):
            gr.HTML(checkpoint_html(name, about), elem_id="checkpoint", apply_default_css=False)
        _wire(events, given, result, settings)
        _add_api(events, model.config.stems, settings)
        blocks.unload(events.leave)
    # Once a second, or those who wait would not hear of others who cancel.
    return blocks.queue(max_size=settings.queue_size, status_update_rate=1)


def _input() -> _Input:
    with gr.Row(elem_id="given"):
        song = song_file("Song (audio or video, any usual format)", show_label=False, height=64, elem_id="song")
        example = gr.Button("Try the example", elem_id="example", min_width=170, scale=0)
        record = gr.Button("Record", elem_id="record", min_width=100, scale=0)
    with gr.Row(visible=False) as recorder:
        recording = gr.Audio(sources=["microphone"], type="filepath", show_label=False, editable=False)
    with gr.Row(elem_id="progress"):
        status = gr.HTML("", html_template="${value || bar}", bar="", elem_id="status", scale=1)
        cancel = gr.Button("Cancel", visible=False, elem_id="cancel", min_width=110, scale=0)
    is_open = gr.State(False)
    record.click(lambda shown: (not shown, gr.update(visible=not shown)), is_open, [is_open, recorder], **AT_ONCE)
    return _Input(song, example, recording, gr.State(), cancel, status)


def _results(settings: Settings) -> _Output:
    song = gr.State(time_to_live=settings.keep_seconds, delete_callback=delete_stems)
    with gr.Column(visible=False, elem_id="result") as column:
        mixer = mixer_component()
        link = gr.HTML(
            html_template="<a class='unet-svs-link' hidden></a>",
            js_on_load=(STATIC / "download.js").read_text("utf-8"),
            apply_default_css=False,
        )
    return _Output(column, mixer, link, song)


def _wire(events: PageEvents, given: _Input, result: _Output, settings: Settings) -> None:
    # More than one at a time, since a song takes the place of the one before it while that one is under way.
    many = {"trigger_mode": "multiple"}
    check = given.given.change(events.check, given.given, given.status, concurrency_limit=None, **many, **PRIVATE)
    separation = check.success(
        events.separate_for_page,
        [given.given, result.song],
        [given.status, result.column, result.mixer, result.song],
        concurrency_id=SEPARATION,
        concurrency_limit=settings.concurrency,
        show_progress="minimal",
        show_progress_on=[given.status],
        api_visibility="private",
        **many,
    )
    # A song begins with the gesture that gives it. Only events of the queue tell the page that a state has changed.
    begin = {"concurrency_limit": None, **many, **PRIVATE}
    taken = [given.given, given.song, given.status, given.cancel]
    begun = [
        given.song.upload(events.given, given.song, taken, **begin),
        given.recording.stop_recording(events.given, given.recording, taken, **begin),
        given.example.click(events.example, None, taken, **begin),
    ]
    ends = [*(each.failure for each in [*begun, check, separation]), separation.success]
    for ended in ends:
        ended(events.end, given.status, [given.status, given.cancel], **AT_ONCE)
    # The page says so itself, before anything that the server says of the end.
    said = json.dumps([message_html("Cancelled."), cancel_button(busy=False)])
    stopped = [given.status, given.cancel]
    given.cancel.click(None, None, stopped, js=f"() => {said}", cancels=[check, separation])
    result.mixer.submit(
        events.download,
        result.song,
        [given.status, result.link],
        concurrency_id=DOWNLOADS,
        concurrency_limit=MAX_DOWNLOADS_AT_ONCE,
        **PRIVATE,
    )


def _add_api(events: PageEvents, stems: tuple[str, ...], settings: Settings) -> None:
    gr.Button(visible=False).click(
        events.separate_for_api,
        [
            song_file("song", visible=False),
            gr.Radio(list(FORMATS), value="wav", label="format", visible=False),
        ],
        [gr.File(label=stem, visible=False) for stem in stems],
        api_name="separate",
        api_description="Takes a song apart and returns a file for each stem: " + ", ".join(stems) + ".",
        validator=events.enter_queue,
        concurrency_id=SEPARATION,
        concurrency_limit=settings.concurrency,
    )


def song_file(label: str, **options: Any) -> gr.File:
    """A field for a file that is uploaded here; Gradio itself would fetch any web address, whole into memory."""
    file = gr.File(label=label, **options)
    move = file.async_move_resource_to_block_cache

    async def move_unless_address(path: str | Path | None) -> str | None:
        if "://" in str(path):
            raise gr.Error("Web addresses are not fetched here: send the song's own file.", print_exception=False)
        return await move(path)

    # A subclass would do, but Gradio writes a file of types beside each that it meets.
    file.async_move_resource_to_block_cache = move_unless_address
    return file


def header_html(about: list[tuple[str, str]], settings: Settings) -> str:
    """What the page is, how much it takes, what becomes of a song, and for what the model may be used."""
    licence = dict(about).get("licence", "not said")
    return (
        "<header><h1>Take a song apart</h1><p>Drop a song anywhere and get its voice and its accompaniment, "
        f"to play with and to keep. At most {settings.max_minutes:g} minutes and {settings.max_megabytes:g} MB. "
        "Song and stems are deleted when you close this page, or after "
        f"{settings.keep_minutes:g} minutes. Licence of the model: {escape(licence)}.</p>"
        f"{browser_page_html()}</header>"
    )


def checkpoint_html(name: str, about: list[tuple[str, str]]) -> str:
    """Which checkpoint separates, and what `unet-svs info` says of it."""
    # The operator's folders are nobody's business; the last two parts are a name.
    embedded = "the one that comes with unet-svs"
    shown = embedded if name == DEFAULT_CHECKPOINT else "/".join(name.rstrip("/").split("/")[-2:])
    rows = [("checkpoint", shown), *about]
    cells = "".join(f"<tr><th scope='row'>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in rows)
    return f"<table class='unet-svs-checkpoint'><tbody>{cells}</tbody></table>"


def name_page_in_links() -> None:
    """Gives links to the page our title, text and picture; Gradio's scripts would add a `head` too late for that."""
    loader, name = templates.env.loader, "frontend/index.html"
    gradios, *_ = loader.get_source(templates.env, name)
    ours = "<head>" + (STATIC / "preview.html").read_text("utf-8")
    page = re.sub(r'<meta\s+(property="og:|name="twitter:)[^>]*>', "", gradios).replace("<head>", ours, 1)
    templates.env.loader = ChoiceLoader([DictLoader({name: page}), loader])


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
    return [Mount("/browser", _Files(ISOLATED, directory=BROWSER_PAGE, html=True))] if _browser_page_is_built() else []


def mixer_routes() -> list[Mount]:
    """Serves the mixer's modules; browsers ask each time whether they are still the same."""
    return [Mount(MODULES, _Files({"Cache-Control": "no-cache"}, directory=STATIC))]


def _browser_page_is_built() -> bool:
    return (BROWSER_PAGE / "index.html").is_file() and (BROWSER_PAGE / "model" / "model.onnx").is_file()


class _Files(StaticFiles):
    """Files with more headers than their own."""

    def __init__(self, headers: dict[str, str], **options):
        super().__init__(**options)
        self._headers = headers

    def file_response(self, *args, **kwargs):
        response = super().file_response(*args, **kwargs)
        response.headers.update(self._headers)
        return response
