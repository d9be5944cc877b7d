"""The events behind each click and each call of the API, and their messages."""

import hashlib
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from html import escape
from pathlib import Path

import gradio as gr
from downloads import make_download
from job import Progress, SeparatedSong, SeparationJob, SongError, clock
from mixer import file_data, mixer_value
from pictures import draw_pictures
from sweeping import FULL_FOLDER, TemporaryFolder

from modeling_unet_svs.separation import refuse_if

EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.ogg"))
# Lossless, half the size of WAV, and decoded sample for sample by browsers.
MIXER_FORMAT = "flac"
NO_SONG = "There is no song yet: choose one."
FULL = "There are too many visitors now: please try again in some minutes."
# Seconds before the end from which on an estimate means nothing.
SOON_SECONDS = 2


class PageEvents:
    """The events of the page and of the API; the stems are kept in `root`, those of each song in their own folder."""

    def __init__(self, job: SeparationJob, root: Path):
        self.job, self.root = job, root
        self.uploads = Uploads()
        self.folder = TemporaryFolder(root, job.settings)
        # Of each page: the number of its newest song, of the newest that began, and how many others gave way.
        self._newest: dict[str | None, int] = {}
        self._begun: dict[str | None, int] = {}
        self._gave_way: Counter[str | None] = Counter()

    def given(self, song: str | None, request: gr.Request) -> tuple:
        """Takes a song as soon as it is there, in place of any other, and makes its field free for the next one."""
        if song is not None:
            self.uploads.add(request.session_hash, song)
        self._newest[request.session_hash] = number = time.time_ns()
        # The bar shows only while there is no value, so progress that comes late cannot replace the last word.
        begun = gr.update(value="", bar=progress_html(Progress()))
        # Another value each time, so that the same song can begin again.
        return (song, number), None, begun, cancel_button(busy=True)

    def example(self, request: gr.Request) -> tuple:
        return self.given(str(EXAMPLES[0]), request)

    def check(self, given: tuple[str | None, int], request: gr.Request) -> Iterator:
        """Looks at a visitor's song before it queues, so that nobody waits for nothing."""
        song, number = given
        try:
            for _ in self.job.check(_given(song)):
                yield gr.skip()
            self._give_way(number, request)
        except SongError as error:
            yield message_html(str(error), error=True)
            raise gr.Error(str(error), print_exception=False, visible=False) from None
        self.uploads.begin_waiting(request.session_hash, song)
        yield gr.update(bar=waiting_html())

    def enter_queue(self, song: str | None, format: str, request: gr.Request) -> tuple[dict, dict]:
        """Notes that a program's song waits. Gradio calls a validator before the queue; this one refuses nothing."""
        if song is not None:
            self.uploads.begin_waiting(request.session_hash, song)
        return gr.validate(True, ""), gr.validate(True, "")

    def separate_for_page(
        self, given: tuple[str, int], previous: SeparatedSong | None, request: gr.Request
    ) -> Iterator:
        """Yields the status line, the column of results, the mixer's value and what can be downloaded."""
        unchanged = (gr.skip(),) * 3
        song, number = given
        self._give_way(number, request, begins=True)
        try:
            with closing(self._steps(song, MIXER_FORMAT, _owner(request), request)) as steps:
                for step in steps:
                    self._give_way(number, request)
                    if isinstance(step, Progress):
                        yield gr.update(bar=progress_html(step)), *unchanged
                    else:
                        result = step
                        n_fft = self.job.model.config.n_fft
                        pictures = draw_pictures(result.stems, result.mask, result.num_samples, n_fft, result.folder)
        except SongError as error:
            yield message_html(str(error), error=True), *unchanged
            raise gr.Error(str(error), print_exception=False, visible=False) from None
        delete_stems(previous)
        result = replace(result, mask=None)
        yield message_html(_summary(result)), gr.update(visible=True), mixer_value(result, pictures), result

    def separate_for_api(self, song: str | None, format: str, request: gr.Request) -> Iterator[tuple]:
        """Yields None for each stem until, in the end, one file for each; Gradio deletes them in time."""
        try:
            with closing(self._steps(song, format, "", request)) as steps:
                for step in steps:
                    if isinstance(step, Progress):
                        # Not `gr.skip()`: Gradio forgets the files of components that were updated.
                        yield (None,) * len(self.job.model.config.stems)
                    else:
                        paths = tuple(map(str, step.stems.values()))
        except SongError as error:
            raise gr.Error(str(error), print_exception=False) from None
        yield paths

    def _give_way(self, number: int, request: gr.Request, begins: bool = False) -> None:
        """Ends what is done for a song of which the page has a newer one, or which has already begun."""
        page = request.session_hash
        if self._newest.get(page) != number or (begins and self._begun.get(page) == number):
            self._gave_way[page] += 1
            raise gr.Error("Another song took its place.", print_exception=False, visible=False)
        if begins:
            self._begun[page] = number

    def end(self, status: str, request: gr.Request) -> tuple:
        """Hides the button; a run that ended without a word never began, because the queue was full."""
        if self._gave_way[request.session_hash]:
            self._gave_way[request.session_hash] -= 1
            return gr.skip(), gr.skip()
        return gr.skip() if status else message_html(FULL, error=True), cancel_button(busy=False)

    def download(self, song: SeparatedSong | None, asked: gr.EventData) -> tuple[str, dict]:
        """Makes the file that a visitor asks for; returns the status line, and what the page needs to save it."""
        try:
            path = make_download(song, str(asked.which), str(asked.format))
        except SongError as error:
            return message_html(str(error), error=True), gr.skip()
        # Another value each time, or the page would not see that the same file is asked for again.
        saved = {"name": path.name, "file": file_data(path), "asked": time.time_ns()}
        return message_html(f"{path.name} is saved."), saved

    def leave(self, request: gr.Request) -> None:
        """Deletes a page's song and stems when the page is closed."""
        for known in (self._newest, self._begun, self._gave_way):
            known.pop(request.session_hash, None)
        self.uploads.leave(request.session_hash)
        for folder in self.root.glob(f"{_owner(request)}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _steps(
        self, song: str | None, format: str, owner: str, request: gr.Request
    ) -> Iterator[Progress | SeparatedSong]:
        """Separates to a folder whose name nobody can guess, and deletes it after an error or if closed early."""
        path = _given(song)
        folder = self.root / f"{owner}{secrets.token_hex(16)}"
        try:
            with self.uploads.in_use(str(path), str(folder)):
                self.uploads.end_waiting(request.session_hash, song)
                refuse_if(self.folder.is_full(), FULL_FOLDER, error=SongError)
                folder.mkdir(mode=0o700)
                with closing(self.job.run(path, folder, format)) as steps:
                    yield from steps
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


class Uploads:
    """The visitors' files, which are deleted when they are old enough, but not while they wait or are separated."""

    def __init__(self):
        self._in_use: list[str] = []
        self._of_pages: dict[str, set[str]] = {}
        self._waiting: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def add(self, visitor: str, path: str) -> None:
        """Notes a file that is deleted when the visitor leaves; everybody needs the examples."""
        if Path(path).name not in [example.name for example in EXAMPLES]:
            with self._lock:
                self._of_pages.setdefault(visitor, set()).add(path)

    def begin_waiting(self, visitor: str, path: str) -> None:
        with self._lock:
            self._waiting.append((visitor, path))

    def end_waiting(self, visitor: str, path: str) -> None:
        """Forgets the song whose turn it is, and all before it: the queue keeps its order, so they have left it."""
        with self._lock:
            if (visitor, path) in self._waiting:
                del self._waiting[: self._waiting.index((visitor, path)) + 1]

    @contextmanager
    def in_use(self, *paths: str) -> Iterator[None]:
        with self._lock:
            self._in_use += paths
        try:
            yield
        finally:
            with self._lock:
                for path in paths:
                    self._in_use.remove(path)

    def needed(self) -> set[str]:
        """Songs that wait, songs that are separated, and the folders of their stems."""
        with self._lock:
            return {*self._in_use, *(path for _, path in self._waiting)}

    def leave(self, visitor: str) -> None:
        with self._lock:
            self._waiting = [(other, path) for other, path in self._waiting if other != visitor]
            left = self._of_pages.pop(visitor, set())
            # Gradio stores the same file of two visitors once.
            needed = {path for _, path in self._waiting}.union(self._in_use, *self._of_pages.values())
            for path in left - needed:
                Path(path).unlink(missing_ok=True)


def delete_stems(song: SeparatedSong | None) -> None:
    if song is not None:
        shutil.rmtree(song.folder, ignore_errors=True)


def cancel_button(busy: bool) -> dict:
    """The button is there only while there is something to cancel."""
    return gr.update(visible=busy)


def message_html(text: str, error: bool = False) -> str:
    """A sentence in the status line; an alert if something went wrong."""
    role, live = ("alert", "assertive") if error else ("status", "polite")
    return _status(escape(text), "", role, live)


def waiting_html() -> str:
    """Gradio shows the place in the queue beside it."""
    return _status("Waiting for its turn…", _bar(""), live="polite")


def progress_html(progress: Progress) -> str:
    """A bar with the time that is left."""
    done, total = progress.done_seconds, progress.total_seconds
    if not done:
        return _status("Listening to the song…", _bar(""))
    if total is None:
        return _status(f"Separating: {clock(done)} done.", _bar(""))
    bar = _bar(f" max='{total:.2f}' value='{done:.2f}'")
    if done >= total:
        return _status("Writing the stems…", bar)
    return _status(f"Separating: {clock(done)} of {clock(total)}, {_left(progress.left_seconds)}.", bar)


def _status(text: str, bar: str, role: str = "status", live: str = "off") -> str:
    return f"<div class='unet-svs-status' role='{role}' aria-live='{live}'><p>{text}</p>{bar}</div>"


def _bar(attributes: str) -> str:
    return f"<progress aria-label='Progress of the separation'{attributes}></progress>"


def _left(seconds: float | None) -> str:
    if seconds is None:
        return "time left unknown yet"
    if seconds < SOON_SECONDS:
        return "a moment left"
    if seconds < 90:
        return f"about {round(seconds)} s left"
    return f"about {round(seconds / 60)} min left"


def _summary(song: SeparatedSong) -> str:
    if song.scale == 1:
        return "Done."
    return f"Done. All stems were made quieter by a factor of {song.scale:.3f}, or they would clip."


def _given(song: str | None) -> Path:
    if song is None:
        raise SongError(NO_SONG)
    return Path(song)


def _owner(request: gr.Request) -> str:
    """Beginning of the names of a page's folders; it does not give the session away."""
    return hashlib.sha256(str(request.session_hash).encode()).hexdigest()[:16]
