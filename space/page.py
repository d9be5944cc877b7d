"""The page and the API: what is where, and what happens at which click."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gradio as gr
from checkpoint_panel import checkpoint_html
from downloads import ALL_STEMS, FORMATS, make_download
from gpu import on_gpu
from mixer import file_data, mixer_component, mixer_value
from progress_bar import message_html, progress_html
from result_folders import ResultFolders
from separation_job import Progress, SeparatedSong, SeparationJob
from settings import Settings
from song_check import SongError
from spectrogram_pictures import draw_pictures

from modeling_unet_svs import UNetSVSModel

STATIC = Path(__file__).parent / "static"
EXAMPLES = Path(__file__).parent / "examples"
# Lossless, half the size of WAV, and decoded sample for sample by browsers.
MIXER_FORMAT = "flac"
SEPARATION, DOWNLOADS = "separation", "downloads"
MAX_DOWNLOADS_AT_ONCE = 2
WELCOME = "Choose a song, then take it apart."
NO_SONG = "There is no song yet: drop one, record one or pick the example."


class Page:
    """What the events of the page do.

    Args:
        job: that separates.
        folders: where the stems are kept.
        settings: of the operator.
    """

    def __init__(self, job: SeparationJob, folders: ResultFolders, settings: Settings):
        self.job, self.folders, self.settings = job, folders, settings
        self._run = on_gpu(job.run)

    def separate_for_page(self, song: str | None, request: gr.Request) -> Iterator[tuple]:
        """A visitor's song: the status line, then the mixer and what it plays."""
        folder = self.folders.new()
        try:
            for step in self._steps(song, folder, MIXER_FORMAT):
                if isinstance(step, Progress):
                    yield progress_html(step), gr.skip(), gr.skip(), gr.skip()
                    continue
                pictures = draw_pictures(step.stems, step.num_samples, self.job.model.config.n_fft, folder)
                self.folders.give(folder, request.session_hash)
                yield message_html(_summary(step)), gr.Column(visible=True), mixer_value(step, pictures), step
        except gr.Error as error:
            self.folders.delete(folder)
            yield message_html(str(error.message), error=True), gr.skip(), gr.skip(), gr.skip()
            raise
        except BaseException:
            self.folders.delete(folder)
            raise

    def separate_for_api(self, song: str | None, format: str) -> Iterator[tuple]:
        """A program's song: in the end, one file for each stem."""
        folder = self.folders.new()
        waiting = (gr.skip(),) * len(self.job.model.config.stems)
        try:
            for step in self._steps(song, folder, format):
                yield waiting if isinstance(step, Progress) else tuple(map(str, step.stems.values()))
        except BaseException:
            self.folders.delete(folder)
            raise

    def download(self, song: SeparatedSong | None, which: str, format: str) -> dict:
        """Makes a file and tells the page to save it."""
        if song is None:
            raise gr.Error(NO_SONG, print_exception=False)
        try:
            path = make_download(song, which, format)
        except SongError as error:
            raise gr.Error(str(error), print_exception=False) from None
        return {"name": path.name, "file": file_data(path)}

    def leave(self, request: gr.Request) -> None:
        """Deletes what a page has when it is closed."""
        self.folders.forget(request.session_hash)

    def _steps(self, song: str | None, folder: Path, format: str) -> Iterator[Progress | SeparatedSong]:
        if song is None:
            raise gr.Error(NO_SONG, print_exception=False)
        try:
            yield from self._run(Path(song), folder, format)
        except SongError as error:
            raise gr.Error(str(error), print_exception=False) from None


def build_page(name: str, model: UNetSVSModel, folders: ResultFolders, settings: Settings) -> gr.Blocks:
    """Lays out the page.

    Args:
        name: folder or Hub id of the checkpoint.
        model: loaded from it.
        folders: where the stems are kept.
        settings: of the operator.

    Returns:
        The page, with its queue.
    """
    page = Page(SeparationJob(model, settings), folders, settings)
    stems = model.config.stems
    seconds = int(settings.keep_minutes * 60)
    with gr.Blocks(title="unet-svs: take a song apart", delete_cache=(min(seconds, 60), seconds)) as blocks:
        gr.HTML(
            "<header><h1>Take a song apart</h1><p>Drop a song and get its voice and its accompaniment, in full length, "
            f"to play with and to keep. At most {settings.max_minutes:g} minutes and {settings.max_megabytes:g} MB; "
            f"all is deleted when you leave, or after {settings.keep_minutes:g} minutes.</p></header>",
            elem_classes="unet-svs-header",
        )
        with gr.Tabs():
            with gr.Tab("Song file"):
                song = gr.File(label="Song (audio or video, any usual format)", height=150, elem_id="song")
            with gr.Tab("Record"):
                recording = gr.Audio(
                    sources=["microphone"], type="filepath", label="Record", show_label=False, editable=False
                )
        gr.Examples(
            examples=[[str(path)] for path in sorted(EXAMPLES.iterdir()) if path.suffix == ".ogg"],
            inputs=[song],
            label="Example (made by a program: its singer is a synthesiser)",
            api_visibility="private",
            cache_examples=False,
        )
        with gr.Row():
            start = gr.Button("Take it apart", variant="primary", elem_id="start")
            cancel = gr.Button("Cancel", interactive=False, elem_id="cancel")
        status = gr.HTML(message_html(WELCOME), elem_id="status")
        result = gr.State(None)
        with gr.Column(visible=False, elem_id="result") as results:
            mixer = mixer_component()
            with gr.Row(elem_id="downloads"):
                choices = [(stem.capitalize(), stem) for stem in stems] + [("All, as a zip", ALL_STEMS)]
                which = gr.Radio(choices, value=ALL_STEMS, label="Download", elem_id="which")
                format = gr.Radio([(f.upper(), f) for f in FORMATS], value="wav", label="As", elem_id="format")
                save = gr.Button("Download", elem_id="save")
            link = gr.HTML(
                html_template="<a class='unet-svs-link' hidden></a>",
                js_on_load=(STATIC / "download.js").read_text("utf-8"),
                apply_default_css=False,
                elem_id="link",
            )
        with gr.Accordion("What separates here", open=True):
            gr.HTML(checkpoint_html(name, model), elem_id="checkpoint")

        hidden = {"api_visibility": "private", "show_progress": "hidden"}
        recording.stop_recording(lambda path: path, recording, song, queue=False, **hidden)
        begin = start.click(
            lambda: (gr.Button(interactive=False), gr.Button(interactive=True), message_html("In the queue…")),
            outputs=[start, cancel, status],
            queue=False,
            **hidden,
        )
        separation = begin.then(
            page.separate_for_page,
            song,
            [status, results, mixer, result],
            concurrency_id=SEPARATION,
            concurrency_limit=settings.concurrency,
            trigger_mode="once",
            show_progress="minimal",
            show_progress_on=[status],
            api_visibility="private",
        )
        idle = {"fn": lambda: (gr.Button(interactive=True), gr.Button(interactive=False)), "outputs": [start, cancel]}
        separation.then(**idle, queue=False, **hidden)
        cancel.click(
            lambda: (gr.Button(interactive=True), gr.Button(interactive=False), message_html("Cancelled.")),
            outputs=[start, cancel, status],
            cancels=[separation],
            queue=False,
            **hidden,
        )
        save.click(
            page.download,
            [result, which, format],
            link,
            concurrency_id=DOWNLOADS,
            concurrency_limit=MAX_DOWNLOADS_AT_ONCE,
            show_progress="minimal",
            show_progress_on=[save],
            api_visibility="private",
        )
        _add_api(page, stems, settings)
        blocks.unload(page.leave)
    return blocks.queue(max_size=settings.queue_size, default_concurrency_limit=MAX_DOWNLOADS_AT_ONCE)


def _add_api(page: Page, stems: tuple[str, ...], settings: Settings) -> None:
    song = gr.File(label="song", visible=False)
    format = gr.Radio(list(FORMATS), value="wav", label="format", visible=False)
    outputs = [gr.File(label=stem, visible=False) for stem in stems]
    gr.Button(visible=False).click(
        page.separate_for_api,
        [song, format],
        outputs,
        api_name="separate",
        api_description="Takes a song apart and returns a file for each stem: " + ", ".join(stems) + ".",
        concurrency_id=SEPARATION,
        concurrency_limit=settings.concurrency,
    )


def _summary(song: SeparatedSong) -> str:
    if song.scale == 1:
        return "Done."
    return f"Done. All stems were made quieter by a factor of {song.scale:.3f}, or they would clip."


__all__ = ["build_page"]
