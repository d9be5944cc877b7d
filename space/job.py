"""Separates one song: checks it, works in a thread of its own, and reports progress and the end."""

import importlib.util
import logging
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from pictures import MaskRecorder, RecordedMask
from settings import Settings

from modeling_unet_svs.audio_reading import AudioFileError, AudioInfo, AudioReader
from modeling_unet_svs.command.file_separation import separate_file
from modeling_unet_svs.command.songs import safe_name
from modeling_unet_svs.network import UNetSVSModule
from modeling_unet_svs.separation import MAX_SAMPLING_RATE, MIN_SAMPLING_RATE, refuse_if

# -80 dB of full scale: below the noise of any recording.
SILENCE = 1e-4
MAX_CHANNELS = 8
# Interval of progress reports, and the longest that a cancelled song goes on.
TICK_SECONDS = 0.4
# A song without progress for this long is given up: a decoder that hangs cannot be ended from outside.
STALL_SECONDS = 180
# A cancelled song's thread ends with its batch. The next song waits for that, so that memory stays bounded.
LEAVING_SECONDS = 10
# GPU time that a song asks for on ZeroGPU; the visitor's quota has to cover it.
MAX_GPU_SECONDS = 120
STALLED = "This song cannot be taken apart: it keeps the decoder busy and nothing comes of it."
logger = logging.getLogger("unet_svs.space")
Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable)


class SongError(ValueError):
    """A song that cannot be taken apart; its text is one sentence for the visitor."""


@dataclass(frozen=True)
class Progress:
    """Progress of a separation: seconds of the song done and in all, and seconds that the visitor still waits."""

    done_seconds: float = 0.0
    total_seconds: float | None = None
    left_seconds: float | None = None


@dataclass(frozen=True)
class SeparatedSong:
    """Stems on the disk, in a folder of their own, made quieter by the factor `scale`; `mask` is for pictures."""

    name: str
    stems: dict[str, Path]
    sampling_rate: int
    num_samples: int
    scale: float
    mask: RecordedMask | None

    @property
    def folder(self) -> Path:
        return next(iter(self.stems.values())).parent


class SeparationJob:
    """Separates songs with one model; each call of `run` is a song."""

    def __init__(self, model: UNetSVSModule, settings: Settings):
        self.model, self.settings = model, settings
        self.run = on_gpu(self._run)
        self._leaving: set[Future] = set()

    def check(self, song: Path) -> Iterator[None]:
        """Raises `SongError` if a song cannot be taken apart; yields while it looks, so that it can be cancelled."""
        for _ in self._watched(song, lambda report: check_song(song, self.settings)):
            yield

    def _run(self, song: Path, folder: Path, format: str) -> Iterator[Progress | SeparatedSong]:
        """Yields progress several times and the separated song in the end; closing the iterator cancels it.

        The stems are "SONG - STEM.FORMAT" in a folder that the caller deletes, also after errors.
        """
        yield Progress()
        yield (yield from self._watched(song, lambda report: self._separate(song, folder, format, report)))

    def _separate(self, song: Path, folder: Path, format: str, report: Callable[[Progress], None]) -> SeparatedSong:
        wait(list(self._leaving), LEAVING_SECONDS)
        info = check_song(song, self.settings)
        rate = info.sampling_rate
        name = song_name(song)
        stems = {stem: folder / f"{name} - {stem}.{format}" for stem in self.model.config.stems}
        num_expected = info.num_samples or max_samples(info, self.settings)
        recorder = MaskRecorder(self.model, rate, info.num_channels, num_expected)
        begun, num_done = time.monotonic(), 0

        def advance(num_samples: int, total: int | None) -> None:
            nonlocal num_done
            num_done = num_samples
            check_length(info, num_samples, self.settings)
            done, elapsed = num_samples / rate, time.monotonic() - begun
            length = max(info.num_samples / rate, done) if info.num_samples else None
            report(Progress(done, length, (length - done) * elapsed / done if length and done else None))

        scale = separate_file(recorder.model, song, stems, progress_callback=advance)
        return SeparatedSong(name, stems, rate, num_done, scale, recorder.recorded())

    def _watched(
        self, song: Path, work: Callable[[Callable[[Progress], None]], Result]
    ) -> Generator[Progress, None, Result]:
        """Runs work in a thread and yields its last report now and then, so that the caller can leave at any time."""
        outcome: Future[Result] = Future()
        cancelled = threading.Event()
        last, heard = Progress(), time.monotonic()

        def report(progress: Progress) -> None:
            nonlocal last, heard
            if cancelled.is_set():
                raise _Cancelled
            last, heard = progress, time.monotonic()

        def in_thread() -> None:
            try:
                outcome.set_result(work(report))
            except BaseException as error:
                outcome.set_exception(error)

        threading.Thread(target=in_thread, daemon=True, name="separation").start()
        try:
            while not wait([outcome], TICK_SECONDS).done:
                if time.monotonic() - heard > STALL_SECONDS:
                    raise SongError(STALLED)
                yield last
        except GeneratorExit:
            self._leaving.add(outcome)
            outcome.add_done_callback(self._leaving.discard)
            raise
        finally:
            cancelled.set()
        with _in_plain_words(song):
            return outcome.result()


class _Cancelled(Exception):
    """Ends the work for a visitor who has gone."""


def on_gpu(function: Function) -> Function:
    """Makes a function or generator ask for a GPU at each call where the package `spaces` is installed (ZeroGPU)."""
    if importlib.util.find_spec("spaces") is None:
        return function
    import spaces

    return spaces.GPU(duration=MAX_GPU_SECONDS)(function)


def check_song(path: Path, settings: Settings) -> AudioInfo:
    """Checks a file's size and header, and its samples up to the first that is not silent."""
    size = path.stat().st_size if path.exists() else 0
    refuse = partial(refuse_if, error=SongError)
    limit = f"{settings.max_megabytes:g} MB is the limit here: try it as MP3 or FLAC."
    refuse(size > settings.max_bytes, f"{path.name} has {size / 1e6:.1f} MB, and {limit}")
    with _in_plain_words(path), AudioReader(path) as reader:
        info = reader.info
        num_channels, rate = info.num_channels, info.sampling_rate
        limit = f"{MAX_CHANNELS} is the limit here."
        refuse(num_channels > MAX_CHANNELS, f"{path.name} has {num_channels} channels, and {limit}")
        rates = f"use {MIN_SAMPLING_RATE} to {MAX_SAMPLING_RATE} Hz."
        is_out = not MIN_SAMPLING_RATE <= rate <= MAX_SAMPLING_RATE
        refuse(is_out, f"{path.name} has a sampling rate of {rate} Hz: {rates}")
        check_length(info, info.num_samples or 0, settings)
        num_samples = 0
        for block in reader.blocks():
            is_damaged = not np.isfinite(block).all()
            refuse(is_damaged, f"{path.name} is damaged: it has samples that are not numbers.")
            if np.abs(block).max() > SILENCE:
                return info
            num_samples += block.shape[1]
            check_length(info, num_samples, settings)
    raise SongError(f"{path.name} is silent from beginning to end: there is nothing to take apart.")


def max_samples(info: AudioInfo, settings: Settings) -> int:
    """Longest song allowed, in samples per channel: each further pair of channels counts as another song."""
    num_pairs = math.ceil(info.num_channels / 2)
    return int(settings.max_minutes * 60 / num_pairs * info.sampling_rate)


def check_length(info: AudioInfo, num_samples: int, settings: Settings) -> None:
    """Refuses a song that is too long, as far as its length is known."""
    limit = max_samples(info, settings)
    if num_samples > limit:
        length, most = clock(num_samples / info.sampling_rate), clock(limit / info.sampling_rate)
        raise SongError(
            f"{info.path.name} lasts {length} (minutes:seconds) or more, and {most} is the limit here: "
            "cut it into parts."
        )


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, "3:07"."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


@contextmanager
def _in_plain_words(song: Path) -> Iterator[None]:
    """Turns any error into one sentence that names the song as the visitor knows it, without folders."""
    try:
        yield
    except Exception as error:
        if isinstance(error, AudioFileError):
            sentence = f"{song.name} {error.args[1]}".replace("\n", " ")
        elif isinstance(error, ValueError):
            sentence = str(error).replace(str(song), song.name)
        else:
            logger.exception("separation failed")
            sentence = "Something went wrong here while the song was taken apart: please try again."
        raise SongError(sentence) from None


def song_name(song: Path) -> str:
    """A song's name, short enough for the names of its stems' files."""
    return safe_name(song.stem.removesuffix(".stem").strip() or "song")
