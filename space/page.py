"""The page and the API: what is where, and what it is wired to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gradio as gr
from browser_page import browser_page_html
from checkpoint_panel import checkpoint_html
from downloads import ALL_STEMS, FORMATS
from mixer import mixer_component
from page_events import PageEvents
from progress_bar import message_html
from result_folders import ResultFolders
from separation_job import SeparationJob
from settings import Settings

from modeling_unet_svs import UNetSVSModel

STATIC = Path(__file__).parent / "static"
EXAMPLES = Path(__file__).parent / "examples"
SEPARATION, DOWNLOADS = "separation", "downloads"
MAX_DOWNLOADS_AT_ONCE = 2
# Of events that are the page's own business, and quick.
OWN = {"api_visibility": "private", "show_progress": "hidden", "queue": False}


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


def build_page(name: str, model: UNetSVSModel, folders: ResultFolders, settings: Settings) -> gr.Blocks:
    """Lays out the page.

    Args:
        name: folder or Hub id of the checkpoint.
        model: loaded from it.
        folders: where the stems are kept.
        settings: of the operator.

    Returns:
        The page.
    """
    events = PageEvents(SeparationJob(model, settings), folders)
    seconds = max(1, int(settings.keep_minutes * 60))
    with gr.Blocks(title="unet-svs: take a song apart", delete_cache=(min(seconds, 60), seconds)) as blocks:
        gr.HTML(
            "<header><h1>Take a song apart</h1><p>Drop a song and get its voice and its accompaniment, in full "
            f"length, to play with and to keep. At most {settings.max_minutes:g} minutes and "
            f"{settings.max_megabytes:g} MB; all is deleted when you leave, or after "
            f"{settings.keep_minutes:g} minutes.</p>{browser_page_html()}</header>",
            elem_classes="unet-svs-header",
        )
        given = _input()
        result = _results(events, model.config.stems)
        with gr.Accordion("What separates here", open=True):
            gr.HTML(checkpoint_html(name, model), elem_id="checkpoint", apply_default_css=False)
        _wire(events, given, result, settings)
        _add_api(events, model.config.stems, settings)
        blocks.unload(events.leave)
    # The songs' own queue tells how many are ahead; Gradio's has to let them in.
    return blocks.queue(default_concurrency_limit=MAX_DOWNLOADS_AT_ONCE)


def _input() -> _Input:
    with gr.Tabs(elem_id="given"):
        with gr.Tab("Song file"):
            song = gr.File(label="Song (audio or video, any usual format)", height=142, elem_id="song")
        with gr.Tab("Record"):
            recording = gr.Audio(
                sources=["microphone"], type="filepath", label="Record", show_label=False, editable=False
            )
    gr.Examples(
        examples=[[str(path)] for path in sorted(EXAMPLES.glob("*.ogg"))],
        inputs=[song],
        label="Example (computed by a program: its singer is a synthesiser)",
        api_visibility="private",
        cache_examples=False,
    )
    with gr.Row():
        start = gr.Button("Take it apart", variant="primary", elem_id="start", min_width=140)
        cancel = gr.Button("Cancel", interactive=False, elem_id="cancel", min_width=140)
    status = gr.HTML(message_html("Choose a song, then take it apart."), elem_id="status")
    recorded = message_html("The recording is there: take it apart.")
    recording.stop_recording(lambda path: (path, recorded), recording, [song, status], **OWN)
    return _Input(song, start, cancel, status)


def _results(events: PageEvents, stems: tuple[str, ...]) -> _Output:
    song = gr.State(None)
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
    buttons = [given.start, given.cancel]
    begin = given.start.click(lambda: _buttons(busy=True), outputs=buttons, **OWN)
    separation = begin.then(
        events.separate_for_page,
        given.song,
        [given.status, result.column, result.mixer, result.song],
        concurrency_id=SEPARATION,
        concurrency_limit=settings.num_visitors,
        trigger_mode="once",
        show_progress="hidden",
        api_visibility="private",
    )
    separation.success(lambda: _buttons(busy=False), outputs=buttons, **OWN)
    separation.failure(lambda: _buttons(busy=False), outputs=buttons, **OWN)
    given.cancel.click(events.cancel, **OWN)


def _buttons(busy: bool) -> tuple[gr.Button, gr.Button]:
    return gr.Button(interactive=not busy), gr.Button(interactive=busy)


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
        concurrency_id=SEPARATION,
        concurrency_limit=settings.num_visitors,
    )


__all__ = ["STATIC", "build_page"]
