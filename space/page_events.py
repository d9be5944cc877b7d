"""What happens at each click and each call of the API."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import gradio as gr
from downloads import make_download
from mixer import file_data, mixer_value
from progress_bar import message_html, progress_html
from result_folders import ResultFolders
from separation_job import Progress, SeparatedSong, SeparationJob, Waiting
from song_check import SongError
from spectrogram_pictures import draw_pictures

# Lossless, half the size of WAV, and decoded sample for sample by browsers.
MIXER_FORMAT = "flac"
NO_SONG = "There is no song yet: drop one, record one or pick the example."


class PageEvents:
    """What the page does.

    Args:
        job: that separates.
        folders: where the stems are kept.
    """

    def __init__(self, job: SeparationJob, folders: ResultFolders):
        self.job, self.folders = job, folders
        self._cancelled: dict[str, threading.Event] = {}

    def separate_for_page(self, song: str | None, request: gr.Request) -> Iterator[tuple]:
        """A visitor's song.

        Args:
            song: file of the song.
            request: of the visitor.

        Yields:
            The status line, the column of results, the mixer's value and what can be downloaded.

        Raises:
            gr.Error: in plain words, a song that cannot be taken apart.
        """
        folder = self.folders.new()
        cancelled = self._cancelled[request.session_hash] = threading.Event()
        try:
            with closing(self._steps(song, folder, MIXER_FORMAT)) as steps:
                for step in steps:
                    if cancelled.is_set():
                        break
                    if isinstance(step, SeparatedSong):
                        yield self._result(step, folder, request.session_hash)
                        return
                    yield progress_html(step), gr.skip(), gr.skip(), gr.skip()
            self.folders.delete(folder)
            yield message_html("Cancelled."), gr.skip(), gr.skip(), gr.skip()
        except gr.Error as error:
            self.folders.delete(folder)
            yield message_html(str(error.message), error=True), gr.skip(), gr.skip(), gr.skip()
            raise
        except BaseException:
            self.folders.delete(folder)
            raise
        finally:
            self._cancelled.pop(request.session_hash, None)

    def cancel(self, request: gr.Request) -> None:
        """Ends a visitor's separation at its next step; the page then says so itself.

        Args:
            request: of the visitor.
        """
        # Gradio's own `cancels` would answer beside the separation, so that either could have the last word.
        if cancelled := self._cancelled.get(request.session_hash):
            cancelled.set()

    def separate_for_api(self, song: str | None, format: str) -> Iterator[tuple]:
        """A program's song.

        Args:
            song: file of the song.
            format: ending of the stems' files.

        Yields:
            Nothing new until, in the end, one file for each stem.

        Raises:
            gr.Error: in plain words, a song that cannot be taken apart.
        """
        folder = self.folders.new()
        waiting = (gr.skip(),) * len(self.job.model.config.stems)
        try:
            for step in self._steps(song, folder, format):
                yield tuple(map(str, step.stems.values())) if isinstance(step, SeparatedSong) else waiting
        except BaseException:
            self.folders.delete(folder)
            raise

    def download(self, song: SeparatedSong | None, which: str, format: str) -> dict:
        """Makes the file that a visitor asks for.

        Args:
            song: whose stems are on the disk.
            which: stem, or all.
            format: ending of the file.

        Returns:
            What the page needs to save it.

        Raises:
            gr.Error: in plain words, why not.
        """
        if song is None:
            raise gr.Error(NO_SONG, print_exception=False)
        try:
            path = make_download(song, which, format)
        except SongError as error:
            raise gr.Error(str(error), print_exception=False) from None
        # Another value each time, or the page would not see that the same file is asked for again.
        return {"name": path.name, "file": file_data(path), "asked": time.time_ns()}

    def leave(self, request: gr.Request) -> None:
        """Deletes what a page has when it is closed.

        Args:
            request: of the visitor.
        """
        self.folders.forget(request.session_hash)

    def _result(self, song: SeparatedSong, folder: Path, visitor: str) -> tuple:
        pictures = draw_pictures(song.stems, song.mask, song.num_samples, self.job.model.config.n_fft, folder)
        song = replace(song, mask=None)
        self.folders.give(folder, visitor)
        return message_html(_summary(song)), gr.Column(visible=True), mixer_value(song, pictures), song

    def _steps(self, song: str | None, folder: Path, format: str) -> Iterator[Waiting | Progress | SeparatedSong]:
        if song is None:
            raise gr.Error(NO_SONG, print_exception=False)
        try:
            yield from self.job.run(Path(song), folder, format)
        except SongError as error:
            raise gr.Error(str(error), print_exception=False) from None


def _summary(song: SeparatedSong) -> str:
    if song.scale == 1:
        return "Done."
    return f"Done. All stems were made quieter by a factor of {song.scale:.3f}, or they would clip."


__all__ = ["PageEvents"]
