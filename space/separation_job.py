"""The separation of one song, with progress, that can be cancelled at any moment."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu import on_gpu
from mask_record import MaskRecorder, RecordedMask
from settings import Settings
from song_check import SongError, check_length, check_song, in_plain_words, max_samples
from turns import Turns

from modeling_unet_svs import UNetSVSModel
from modeling_unet_svs.audio_reading import AudioFileError, AudioInfo
from modeling_unet_svs.command.file_separation import separate_file
from modeling_unet_svs.command.songs import safe_name

# How often a page hears of the progress, and how long a cancelled page waits at most.
TICK_SECONDS = 0.4
# Without any progress: a decoder that a damaged file keeps busy for ever cannot be ended from outside.
STALL_SECONDS = 180
STALLED = "This song cannot be taken apart: it keeps the decoder busy and nothing comes of it."
logger = logging.getLogger("unet_svs.space")


@dataclass(frozen=True)
class Waiting:
    """A song whose turn has not come.

    Attributes:
        num_ahead: songs that have to be done before.
    """

    num_ahead: int


@dataclass(frozen=True)
class Progress:
    """How far a separation is.

    Attributes:
        done_seconds: of the song, separated.
        total_seconds: of the song, as its header says; `None` where it says nothing.
        left_seconds: of the visitor's time, as the speed so far tells; `None` where it tells nothing yet.
    """

    done_seconds: float
    total_seconds: float | None
    left_seconds: float | None


@dataclass(frozen=True)
class SeparatedSong:
    """Stems on the disk.

    Attributes:
        name: of the song, without folder and ending.
        stems: files, in the order of the model's stems.
        sampling_rate: in Hz.
        num_samples: for each channel.
        scale: factor that all stems were made quieter by, 1.0 where nothing would clip.
        mask: that the network gave, as long as someone wants to draw it.
    """

    name: str
    stems: dict[str, Path]
    sampling_rate: int
    num_samples: int
    scale: float
    mask: RecordedMask | None


class SeparationJob:
    """Separates songs with one model; each call of `run` is a song.

    Args:
        model: that separates.
        settings: with the limits and the number of songs at the same time.
    """

    def __init__(self, model: UNetSVSModel, settings: Settings):
        self.model, self.settings = model, settings
        self._turns = Turns(settings.concurrency, settings.queue_size)
        self._separated = on_gpu(self._steps)
        # A cancelled song's worker ends with its batch; the next song's begins after that, so that memory is bounded.
        self._slots = threading.Semaphore(settings.concurrency)

    def run(self, song: Path, folder: Path, format: str) -> Iterator[Waiting | Progress | SeparatedSong]:
        """Separates a song when its turn has come; closing the iterator cancels it.

        Args:
            song: file of the song.
            folder: where the stems go, as "SONG - STEM.FORMAT"; deleted by the caller, also after errors.
            format: ending of the stems' files.

        Yields:
            `Waiting` while others are before, `Progress` several times, `SeparatedSong` in the end.

        Raises:
            SongError: a song that cannot be taken apart, in words for the visitor.
        """
        # Before the queue, so that nobody waits for nothing.
        check = _Worker(lambda _: check_song(song, self.settings))
        if not check.ended(STALL_SECONDS):
            raise SongError(STALLED)
        info = check.result(song)
        ticket = self._turns.enter()
        if ticket is None:
            raise SongError("There are too many visitors now: please try again in some minutes.")
        try:
            while num_ahead := self._turns.ahead(ticket, TICK_SECONDS):
                yield Waiting(num_ahead)
            yield from self._separated(song, info, folder, format)
        finally:
            self._turns.leave(ticket)

    def _steps(self, song: Path, info: AudioInfo, folder: Path, format: str) -> Iterator[Progress | SeparatedSong]:
        yield Progress(0.0, None, None)
        outputs = {stem: folder / f"{song_name(song)} - {stem}.{format}" for stem in self.model.config.stems}
        expected = info.num_samples or max_samples(info, self.settings)
        recorder = MaskRecorder(self.model, info.sampling_rate, info.num_channels, expected)
        slot = _Slot(self._slots)
        worker = _Worker(lambda report: self._separate(recorder.model, song, info, outputs, slot, report))
        try:
            begun = time.monotonic()
            while not worker.ended(TICK_SECONDS):
                if worker.stalled_seconds() > STALL_SECONDS:
                    slot.release()
                    raise SongError(STALLED)
                yield _progress(worker.num_done, info, time.monotonic() - begun)
        finally:
            worker.cancelled.set()
        scale = worker.result(song)
        rate, mask = info.sampling_rate, recorder.recorded()
        yield SeparatedSong(song_name(song), outputs, rate, worker.num_done, scale, mask)

    def _separate(
        self,
        model: UNetSVSModel,
        song: Path,
        info: AudioInfo,
        outputs: dict[str, Path],
        slot: _Slot,
        report: Callable[[int], None],
    ) -> float:
        def advance(num_samples: int, total: int | None) -> None:
            check_length(info, num_samples, self.settings)
            report(num_samples)

        slot.acquire()
        try:
            report(0)
            return separate_file(model, song, outputs, progress_callback=advance)
        finally:
            slot.release()


class _Cancelled(Exception):
    """Ends a worker whose visitor has gone."""


class _Slot:
    """One of a semaphore's places, that can be taken away from who holds it."""

    def __init__(self, slots: threading.Semaphore):
        self._slots, self._held, self._lock = slots, False, threading.Lock()

    def acquire(self) -> None:
        self._slots.acquire()
        self._held = True

    def release(self) -> None:
        with self._lock:
            held, self._held = self._held, False
        if held:
            self._slots.release()


class _Worker:
    """A thread that separates, so that its caller can look at the clock and leave."""

    def __init__(self, work: Callable[[Callable[[int], None]], object]):
        self.cancelled = threading.Event()
        self.num_done = 0
        self._reported = time.monotonic()
        self._outcome: queue.Queue[object] = queue.Queue()
        self._ended: object = None
        self._work = work
        threading.Thread(target=self._run, daemon=True, name="separation").start()

    def _run(self) -> None:
        try:
            self._outcome.put(self._work(self._report))
        except Exception as error:
            self._outcome.put(error)

    def _report(self, num_samples: int) -> None:
        if self.cancelled.is_set():
            raise _Cancelled
        self.num_done, self._reported = num_samples, time.monotonic()

    def stalled_seconds(self) -> float:
        """Since the work was heard of."""
        return time.monotonic() - self._reported

    def ended(self, timeout: float) -> bool:
        """Waits, and says whether the work has ended."""
        try:
            self._ended = self._outcome.get(timeout=timeout)
        except queue.Empty:
            return False
        return True

    def result(self, song: Path) -> Any:
        """What the work returned, or an error for the visitor."""
        outcome = self._ended
        if isinstance(outcome, AudioFileError):
            raise SongError(in_plain_words(outcome, song)) from None
        if isinstance(outcome, ValueError):
            raise SongError(str(outcome).replace(str(song), song.name)) from None
        if isinstance(outcome, Exception):
            logger.error("separation failed", exc_info=outcome)
            raise SongError("Something went wrong here while the song was taken apart: please try again.") from None
        return outcome


def _progress(num_done: int, info: AudioInfo, elapsed: float) -> Progress:
    done, total = num_done / info.sampling_rate, None
    if info.num_samples:
        total = max(info.num_samples / info.sampling_rate, done)
    left = (total - done) * elapsed / done if total and done else None
    return Progress(done, total, left)


def song_name(song: Path) -> str:
    """A song's name, short enough for the names of its stems' files."""
    return safe_name(song.stem.removesuffix(".stem").strip() or "song")


__all__ = ["Progress", "SeparatedSong", "SeparationJob", "Waiting", "song_name"]
