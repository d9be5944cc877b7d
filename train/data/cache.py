"""Decodes songs once, to files from which crops are read without decoding."""

import errno
import hashlib
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm.auto import tqdm

from modeling_unet_svs.audio.whole_files import replace_text, whole_file
from modeling_unet_svs.audio_reading import AudioFileError
from modeling_unet_svs.separation import Resampler

from .songs import ALL_CHANNELS, Bytes, Recording, Song, check_alike, check_rates, decode_stem, say_once, skip_broken

logger = logging.getLogger(__name__)
# Part of the file names: change it whenever the result of decoding changes.
FORMAT = 4
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Bandwidths are measured in frames of so many samples, at most so many of them, and in bands of so many Hz.
BAND_WINDOW, MAX_BAND_FRAMES, BAND = 2048, 1024, 100.0
# A band counts by its loudest frames, such as consonants: this share of all frames.
LOUD_SHARE = 0.03
# Voices always fill these Hz. Codecs leave a little where nothing was, but not this many dB under them.
FILLED_BAND, EMPTY_LEVEL = (1000.0, 4000.0), -31.0


@dataclass(frozen=True)
class DecodedSong:
    """A song whose stems are arrays, or .npy files of them, at the model's rate and with its channels."""

    name: str
    source: str
    bandwidth: float  # Hz up to which the recordings have content; infinite for all that the rate can hold
    num_samples: int
    stems: Mapping[str, Path | np.ndarray]

    def stem(self, name: str) -> np.ndarray:
        """Float16 samples `(num_channels, num_samples or more)`, read from disk when they are sliced."""
        return open_stem(self.stems[name])


def open_stem(stem: Path | np.ndarray) -> np.ndarray:
    return np.load(stem, mmap_mode="r") if isinstance(stem, Path) else stem


def decode_songs(
    songs: Sequence[Song],
    cache_dir: str | Path,
    sampling_rate: int,
    num_channels: int,
    num_workers: int | None = None,
    skip_broken_songs: bool = False,
) -> list[DecodedSong]:
    """Decodes the stems that are not decoded yet; songs keep their order."""
    cache = _Cache(Path(cache_dir), sampling_rate, num_channels)
    with _written(cache.folder):
        (cache.folder / "locks").mkdir(parents=True, exist_ok=True)

    def decode(song: Song) -> DecodedSong | None:
        with skip_broken(skip_broken_songs):
            return cache.decode(song)

    # Most of the work holds Python's lock: 16 threads on 16 cores decoded a quarter of what one thread does.
    with ThreadPoolExecutor(num_workers or 2) as executor:
        futures = [executor.submit(decode, song) for song in songs]
        is_silent = not logger.isEnabledFor(logging.WARNING)
        try:
            progress = tqdm(futures, desc="Decoding", unit="song", mininterval=1, disable=is_silent)
            return [song for song in (future.result() for future in progress) if song is not None]
        finally:
            executor.shutdown(cancel_futures=True)


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    """Context manager for writing to the folder; errors name the flag."""
    try:
        yield
    except OSError as error:
        said = f" cannot be written to: {error.strerror}."
        if error.errno in FULL_DISK:
            said = ": the disk is full. What is decoded is kept: make space and start again, or choose another folder."
        raise ValueError(f"--cache_dir {folder}{said}") from None


@dataclass(frozen=True)
class _Cache:
    folder: Path
    sampling_rate: int
    num_channels: int

    def decode(self, song: Song) -> DecodedSong:
        files = {stem: self._file(song, stem) for stem in song.parts}
        missing = [stem for stem, file in files.items() if not file.exists()]
        check_rates(song, missing)  # before any stem is kept
        for stem in missing:
            self._decode_once(song, stem, files[stem])
        return _decoded(song, files, self.sampling_rate, map(self._bandwidth, files.values()))

    def _bandwidth(self, stem: Path) -> float:
        """The bandwidth of a decoded stem, measured once and kept beside it."""
        kept = stem.with_suffix(".bandwidth")
        if not kept.exists():
            bandwidth = measure_bandwidth(open_stem(stem), self.sampling_rate)
            with _written(self.folder):
                replace_text(kept, str(bandwidth))
        return float(kept.read_text())

    def _file(self, song: Song, stem: str) -> Path:
        """The file of a stem; its name changes with whatever the stem is decoded from."""
        terms = [(sign, _identity(recording)) for sign, recording in song.terms(stem)]
        name = repr((FORMAT, terms, self.sampling_rate, self.num_channels))
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.npy"

    def _decode_once(self, song: Song, stem: str, target: Path) -> None:
        """Decodes a stem while no other process or thread does."""
        # A few lock files for all: one for each stem would stay in the folder for ever.
        with FileLock(self.folder / "locks" / f"{target.name[:2]}.lock"):
            if target.exists():
                return
            waveform = np.ascontiguousarray(_stem_for_model(song, stem, self.sampling_rate, self.num_channels))
            with _written(self.folder), whole_file(target) as file:
                # Not `np.save`, whose error on a full disk does not say that it is one.
                np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(waveform))
                file.write(waveform.data)


def _identity(recording: Recording) -> tuple:
    """Differs wherever the content may differ; reads nothing but bytes that have no place."""
    if isinstance(recording, Bytes):
        return recording.place or (hashlib.sha256(recording.content).hexdigest(),)
    path = recording.path if recording.is_remote else os.path.abspath(recording.path)
    named = (path, recording.audio_stream, recording.channel)
    if recording.is_remote:
        return named
    try:
        status = os.stat(recording.path)
    except OSError as error:
        raise AudioFileError(recording.path, f"cannot be read: {error.strerror}.") from None
    return (*named, status.st_size, status.st_mtime_ns)


def decode_song(song: Song, sampling_rate: int, num_channels: int) -> DecodedSong:
    """Decodes all stems to memory."""
    stems = {name: _stem_for_model(song, name, sampling_rate, num_channels) for name in song.parts}
    bandwidths = [measure_bandwidth(stem, sampling_rate) for stem in stems.values()]
    return _decoded(song, stems, sampling_rate, bandwidths)


def _decoded(
    song: Song, stems: Mapping[str, Path | np.ndarray], sampling_rate: int, bandwidths: Iterable[float]
) -> DecodedSong:
    lengths = {name: open_stem(stem).shape[1] for name, stem in stems.items()}
    check_alike(song.name, [(name, sampling_rate, length) for name, length in lengths.items()])
    return DecodedSong(song.name, song.source, min(max(bandwidths), song.max_bandwidth), min(lengths.values()), stems)


def _stem_for_model(song: Song, stem: str, sampling_rate: int, num_channels: int) -> np.ndarray:
    """Float16 samples of a stem at the model's rate and with its channels."""
    waveform, rate = decode_stem(song, stem)
    first = song.terms(stem)[0][1]
    if num_channels == 1:
        waveform = waveform.mean(axis=0, keepdims=True)
    elif len(waveform) == 1:
        if first.channel == ALL_CHANNELS:
            say_once("mono stems are made stereo", first.label)
        waveform = np.repeat(waveform, num_channels, axis=0)
    elif len(waveform) != num_channels:
        raise AudioFileError(first.label, f"has {len(waveform)} channels where {num_channels} are needed.")
    # Separation resamples so, too; PyTorch takes seconds a song between rates with no large common factor.
    return Resampler(rate, sampling_rate, len(waveform)).push(waveform, last=True).astype(np.float16)


def measure_bandwidth(waveform: np.ndarray, sampling_rate: int) -> float:
    """The Hz above which a recording has nothing; infinite if it has no gap there, is silent, or too short to tell."""
    hop = BAND_WINDOW // 2
    num_frames = waveform.shape[1] // hop - 1
    num_loud = int(min(num_frames, MAX_BAND_FRAMES) * LOUD_SHARE)
    if num_loud < 1:
        return math.inf
    starts = np.linspace(0, num_frames - 1, min(num_frames, MAX_BAND_FRAMES)).astype(int) * hop
    frames = np.stack([waveform[:, start : start + BAND_WINDOW].mean(axis=0, dtype=np.float32) for start in starts])
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(BAND_WINDOW).astype(np.float32))))
    edges = np.arange(0, sampling_rate / 2, BAND)
    levels = np.add.reduceat(power, np.ceil(edges * BAND_WINDOW / sampling_rate).astype(int), axis=1)
    loud = np.sort(levels, axis=0)[-num_loud:].mean(axis=0)
    filled = loud[(edges >= FILLED_BAND[0]) & (edges < FILLED_BAND[1])]
    if not filled.any():
        return math.inf
    highest = edges[np.flatnonzero(loud > filled.mean() * 10 ** (EMPTY_LEVEL / 10))[-1]]
    return float(highest + BAND) if highest + 2 * BAND < sampling_rate / 2 else math.inf
