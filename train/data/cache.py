"""Songs decoded once, to files that crops are read from without decoding."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
from filelock import FileLock
from pyarrow import Buffer
from tqdm.auto import tqdm

from modeling_unet_svs.audio_reading import AudioFileError
from modeling_unet_svs.separation import Resampler

from .songs import (
    ALL_CHANNELS,
    TOLERATED_SAMPLES,
    BrokenSongError,
    add_up,
    check_alike,
    decode_reference,
    describe,
    label_of,
    say_once,
    stem_names,
    terms_of,
)

BLOCK_BYTES = 1 << 20


class ContentFingerprints:
    """Hashes of files' contents, remembered in a file, so that bytes are read once and not at each start."""

    def __init__(self, index: str | Path):
        self.index = Path(index)
        self._lock = threading.Lock()
        self._known: dict[tuple, str] = {}
        if self.index.is_file():
            for line in self.index.read_text(errors="replace").splitlines():
                try:
                    *key, fingerprint = json.loads(line)
                except (ValueError, TypeError):
                    continue
                self._known[tuple(key)] = fingerprint

    def of_file(self, path: str | Path) -> str:
        """The hash of a file's bytes."""
        try:
            status = os.stat(path)
            key = (os.path.abspath(path), status.st_size, status.st_mtime_ns)
            with self._lock:
                known = self._known.get(key)
            if known is not None:
                return known
            digest = hashlib.blake2b(digest_size=16)
            with open(path, "rb") as file:
                while block := file.read(BLOCK_BYTES):
                    digest.update(block)
        except OSError as error:
            raise AudioFileError(path, f"cannot be read: {error.strerror}.") from None
        return self._remember(key, digest.hexdigest())

    def of_embedded(self, content: Buffer, *place: str | int) -> str:
        """The hash of a file that is inside a data set."""
        with self._lock:
            known = self._known.get(place)
        return known or self._remember(place, hashlib.blake2b(content, digest_size=16).hexdigest())

    def _remember(self, key: tuple, fingerprint: str) -> str:
        line = f"{json.dumps([*key, fingerprint])}\n".encode()
        with self._lock:
            self._known[key] = fingerprint
            try:
                with open(self.index, "ab", buffering=0) as file:
                    file.write(line)
            except OSError:  # a full disk is noticed, and said, where songs are written
                pass
        return fingerprint


logger = logging.getLogger(__name__)

# Part of the files' names: whatever changes what decoding gives must change it.
FORMAT = 3
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SAMPLE_BYTES = np.dtype(np.float16).itemsize
# What the file system is left with when all songs are decoded.
SPARE_BYTES = 64 << 20
NUM_LOCKS_DIGITS = 2

DECODED_FEATURES = datasets.Features(
    {
        "name": datasets.Value("string"),
        "source": datasets.Value("string"),
        "split": datasets.Value("string"),
        "bandwidth": datasets.Value("float32"),
        "num_samples": datasets.Value("int64"),
        "stem_files": [{"stem": datasets.Value("string"), "file": datasets.Value("string")}],
    }
)


class CacheFullError(ValueError):
    """The disk does not hold what is decoded; the text names the flag and the sizes."""


@dataclass(frozen=True)
class Settings:
    """What songs are decoded to."""

    cache_dir: Path
    sampling_rate: int
    num_channels: int


@dataclass(frozen=True)
class _Plan:
    """A song's stems, the files that they are decoded to, and what those that are missing will take."""

    index: int
    details: Mapping[str, str | float]
    files: Mapping[str, Path]
    missing_bytes: int


def decode_songs(
    songs: datasets.Dataset,
    cache_dir: str | Path,
    sampling_rate: int,
    num_channels: int,
    num_workers: int | None = None,
    skip_broken_songs: bool = False,
) -> datasets.Dataset:
    """Decodes all stems to one rate and number of channels."""
    settings = Settings(Path(cache_dir), sampling_rate, num_channels)
    try:
        (settings.cache_dir / "locks").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--cache_dir {cache_dir} cannot be written to: {error.strerror}.") from None
    fingerprints = ContentFingerprints(settings.cache_dir / "fingerprints.jsonl")
    workers = num_workers or min(os.cpu_count() or 1, 8)

    def keep(work: Callable, items: Iterable, description: str) -> list:
        """Results of work on songs, without broken ones, in order."""

        def attempt(item):
            try:
                return work(item)
            except CacheFullError:
                raise
            except ValueError as error:
                if not skip_broken_songs:
                    raise
                logger.warning("left out: %s", error)
                return None

        with ThreadPoolExecutor(workers) as executor:
            futures = [executor.submit(attempt, item) for item in items]
            try:
                progress = tqdm(
                    futures,
                    desc=description,
                    unit="song",
                    mininterval=1,
                    leave=description == "Decoding",
                    disable=not logger.isEnabledFor(logging.WARNING),
                )
                return [result for result in (future.result() for future in progress) if result is not None]
            finally:
                executor.shutdown(cancel_futures=True)

    plans = keep(lambda index: _plan(songs, index, settings, fingerprints), range(len(songs)), "Looking up")
    waiting = [plan for plan in plans if plan.missing_bytes]
    if waiting:
        _check_space(settings.cache_dir, len(waiting), sum(plan.missing_bytes for plan in waiting))
    description = "Decoding" if waiting else "Opening"
    rows = keep(lambda plan: _decode_song(songs, plan, settings), plans, description)
    if not rows and len(songs):
        raise ValueError("no songs left: all are broken.")
    return datasets.Dataset.from_list(rows, features=DECODED_FEATURES)


def open_stem(file: str | Path) -> np.memmap:
    """A decoded stem, read from disk where it is sliced."""
    return np.load(file, mmap_mode="r")


def _plan(songs: datasets.Dataset, index: int, settings: Settings, fingerprints: ContentFingerprints) -> _Plan:
    song, contents = _without_bytes(songs, index)
    files, infos = {}, []
    for stem in stem_names(song):
        terms = [(sign, reference, contents.get(id(reference))) for sign, reference in terms_of(song, stem)]
        identity = [
            (sign, _fingerprint(reference, content, fingerprints), reference["audio_stream"], reference["channel"])
            for sign, reference, content in terms
        ]
        name = repr((FORMAT, identity, settings.sampling_rate, settings.num_channels))
        files[stem] = settings.cache_dir / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.npy"
        if not files[stem].exists():
            for _, reference, content in terms:
                if content is not None:
                    reference = {**reference, "bytes": content[0].to_pybytes()}
                infos.append((label_of(reference), describe(reference)))
    # Lengths in headers may be estimates; those of decoded stems are compared later.
    check_alike(song["name"], [(label, info.sampling_rate, None) for label, info in infos])
    seconds = sum((info.num_samples or 0) / info.sampling_rate for _, info in infos)
    stem_bytes = seconds * settings.sampling_rate * settings.num_channels * SAMPLE_BYTES
    details = {name: song[name] for name in ("name", "source", "split", "bandwidth")}
    return _Plan(index, details, files, round(stem_bytes))


def _without_bytes(songs: datasets.Dataset, index: int) -> tuple[dict, dict[int, tuple[pa.Buffer, tuple]]]:
    """A row whose embedded audio is not copied, and that audio, and its place, by its reference's `id`."""
    song, contents = {}, {}
    row = songs.with_format("arrow")[index]
    for name in row.column_names:
        column = next(chunk for chunk in row.column(name).chunks if len(chunk))
        if not pa.types.is_struct(column.type):
            song[name] = column[0].as_py()
        elif column[0].is_valid:
            fields = {field.name: column.field(field.name)[0] for field in column.type}
            content = fields.pop("bytes")
            song[name] = {**{key: value.as_py() for key, value in fields.items()}, "bytes": None}
            if content.is_valid:
                contents[id(song[name])] = (content.as_buffer(), (songs._fingerprint, index, name))
    return song, contents


def _fingerprint(
    reference: Mapping, content: tuple[pa.Buffer, tuple] | None, fingerprints: ContentFingerprints
) -> str:
    if content is None:
        return fingerprints.of_file(reference["path"])
    return fingerprints.of_embedded(content[0], *content[1])


def _check_space(cache_dir: Path, num_songs: int, needed: int) -> None:
    free = shutil.disk_usage(cache_dir).free
    logger.warning(
        "decoding %d songs to %s: about %s, of %s that are free", num_songs, cache_dir, _size(needed), _size(free)
    )
    if needed + SPARE_BYTES > free:
        raise CacheFullError(
            f"--cache_dir {cache_dir}: decoded songs need about {_size(needed)}, and {_size(free)} are free "
            "there: choose another folder, or --streaming."
        )


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def _decode_song(songs: datasets.Dataset, plan: _Plan, settings: Settings) -> dict:
    missing = [stem for stem, file in plan.files.items() if not file.exists()]
    song = songs[plan.index] if missing else plan.details
    for stem in missing:
        _decode_once(song, stem, plan.files[stem], settings)
    lengths = {stem: open_stem(file).shape[1] for stem, file in plan.files.items()}
    if max(lengths.values()) - min(lengths.values()) > TOLERATED_SAMPLES:
        described = ", ".join(f"{stem} {length / settings.sampling_rate:.2f} s" for stem, length in lengths.items())
        raise BrokenSongError(f"the stems of {song['name']!r} differ in length: {described}.")
    stem_files = [{"stem": stem, "file": str(file)} for stem, file in plan.files.items()]
    return {**plan.details, "num_samples": min(lengths.values()), "stem_files": stem_files}


def _decode_once(song: Mapping, stem: str, target: Path, settings: Settings) -> None:
    """Decodes a stem while no other process or thread does."""
    # A few lock files for all: one for each stem would stay in the folder for ever.
    with FileLock(settings.cache_dir / "locks" / f"{target.name[:NUM_LOCKS_DIGITS]}.lock"):
        if target.exists():
            return
        for abandoned in settings.cache_dir.glob(f"{target.stem}.*.partial"):
            abandoned.unlink(missing_ok=True)
        waveform = decode_stem(song, stem, settings.sampling_rate, settings.num_channels)
        write_whole(waveform, target)


def decode_stem(song: Mapping, stem: str, sampling_rate: int, num_channels: int) -> np.ndarray:
    """Decodes a stem of a song."""
    decoded = [(sign, *decode_reference(ref), label_of(ref), ref["channel"]) for sign, ref in terms_of(song, stem)]
    waveform, rate = add_up(song["name"], [term[:4] for term in decoded])
    label = decoded[0][3]
    if num_channels == 1:
        waveform = waveform.mean(axis=0, keepdims=True)
    elif len(waveform) == 1:
        if decoded[0][4] == ALL_CHANNELS:
            say_once(f"mono stems are made stereo, such as {label}")
        waveform = np.repeat(waveform, num_channels, axis=0)
    elif len(waveform) != num_channels:
        raise AudioFileError(label, f"has {len(waveform)} channels where {num_channels} are needed.")
    if rate != sampling_rate:
        # As separation does it; PyTorch's takes seconds a song between rates with no large common factor.
        waveform = Resampler(rate, sampling_rate, len(waveform)).push(waveform, last=True)
    return waveform.astype(np.float16)


def write_whole(waveform: np.ndarray, target: Path) -> None:
    """Writes an array as a .npy file that is whole or not there."""
    partial = target.with_name(f"{target.stem}.{os.getpid()}.partial")
    waveform = np.ascontiguousarray(waveform)
    try:
        with open(partial, "wb") as file:
            # Not `np.save`, whose error on a full disk does not say that it is one.
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(waveform))
            file.write(waveform.data)
        os.replace(partial, target)
    except OSError as error:
        if error.errno in FULL_DISK:
            raise CacheFullError(
                f"--cache_dir {target.parent}: the disk is full. What is decoded is kept: make space and start again, "
                "or choose another folder."
            ) from None
        raise ValueError(f"--cache_dir {target.parent} cannot be written to: {error.strerror}.") from None
    finally:
        partial.unlink(missing_ok=True)
