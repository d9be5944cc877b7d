"""Decodes songs once, to files from which crops are read without decoding."""

import errno
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm.auto import tqdm

from modeling_unet_svs.audio.whole_files import whole_file
from modeling_unet_svs.audio_reading import AudioFileError
from modeling_unet_svs.separation import Resampler

from .songs import ALL_CHANNELS, Bytes, Recording, Song, check_alike, check_rates, decode_stem, say_once, skip_broken

logger = logging.getLogger(__name__)
# Part of the file names: change it whenever the result of decoding changes.
FORMAT = 4
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class DecodedSong:
    """A song whose stems are arrays, or .npy files of them, at the model's rate and with its channels."""

    name: str
    source: str
    bandwidth: float
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

    with ThreadPoolExecutor(num_workers or min(os.cpu_count() or 1, 8)) as executor:
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
        return _decoded(song, files, self.sampling_rate)

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
    return _decoded(song, stems, sampling_rate)


def _decoded(song: Song, stems: Mapping[str, Path | np.ndarray], sampling_rate: int) -> DecodedSong:
    lengths = {name: open_stem(stem).shape[1] for name, stem in stems.items()}
    check_alike(song.name, [(name, sampling_rate, length) for name, length in lengths.items()])
    return DecodedSong(song.name, song.source, song.bandwidth, min(lengths.values()), stems)


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
