"""Songs decoded once, to files that crops are read from without decoding."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import datasets
import numpy as np
import torch
import torchaudio

from modeling_unet_svs.audio_reading import AudioFileError, read_audio

from .songs import ALL_CHANNELS

# Stems of one song may differ by this much: the padding of a lossy encoder.
TOLERATED_SAMPLES = 4096


def decode_songs(
    songs: datasets.Dataset, cache_dir: str | Path, sampling_rate: int, num_channels: int, num_proc: int | None = None
) -> datasets.Dataset:
    """Decodes all stems to one rate and number of channels.

    What was decoded before is not decoded again: files are named after their source's path, size and time and after
    all settings, and are renamed to that name when whole, so that an interrupted call is simply made again and two
    processes may work side by side. They hold half-precision floats, for half the space; their rounding lies 66 dB
    under the music.

    Args:
        songs: rows of `songs.py`.
        cache_dir: where the files are kept.
        sampling_rate: in Hz.
        num_channels: 1 (the mean of all channels) or 2 (mono is doubled).
        num_proc: processes that decode; `None` for this one alone.

    Returns:
        The rows with two more columns: `num_samples`, and `stem_files`, a list of `stem` and `file`.

    Raises:
        ValueError: a file that cannot be decoded, or stems of one song with different lengths.
    """
    cache_dir = Path(cache_dir)
    cache_dir.mkdir(parents=True, exist_ok=True)
    return songs.map(
        _decode_song,
        fn_kwargs={"cache_dir": str(cache_dir), "sampling_rate": sampling_rate, "num_channels": num_channels},
        num_proc=num_proc,
        # The rows are cheap once the files exist, and the files may have been removed.
        load_from_cache_file=False,
        keep_in_memory=num_proc is None,
        desc="Decoding",
    )


def open_stem(file: str | Path) -> np.memmap:
    """A decoded stem, read from disk where it is sliced.

    Args:
        file: made by `decode_songs`.

    Returns:
        float16 array `(num_channels, num_samples)`.
    """
    return np.load(file, mmap_mode="r")


def _decode_song(song: dict, cache_dir: str, sampling_rate: int, num_channels: int) -> dict:
    files = [_cached_file(stem, Path(cache_dir), sampling_rate, num_channels) for stem in song["stems"]]
    lengths = [open_stem(file).shape[1] for file in files]
    if max(lengths) - min(lengths) > TOLERATED_SAMPLES:
        described = ", ".join(f"{s['stem']} {n / sampling_rate:.2f} s" for s, n in zip(song["stems"], lengths))
        raise ValueError(f"the stems of {song['name']!r} differ in length: {described}.")
    stem_files = [{"stem": stem["stem"], "file": str(file)} for stem, file in zip(song["stems"], files)]
    return {"num_samples": min(lengths), "stem_files": stem_files}


def _cached_file(stem: dict, cache_dir: Path, sampling_rate: int, num_channels: int) -> Path:
    try:
        status = os.stat(stem["path"])
    except OSError as error:
        raise AudioFileError(stem["path"], f"{error.strerror}.") from None
    identity = (
        os.path.abspath(stem["path"]),
        status.st_size,
        status.st_mtime_ns,
        stem["audio_stream"],
        stem["channel"],
    )
    key = hashlib.sha256(repr((identity, sampling_rate, num_channels)).encode()).hexdigest()[:32]
    target = cache_dir / f"{key}.npy"
    if not target.exists():
        waveform = _decode(stem, sampling_rate, num_channels)
        partial = cache_dir / f"{key}.{os.getpid()}.partial"
        try:
            with open(partial, "wb") as file:
                np.save(file, waveform)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    return target


def _decode(stem: dict, sampling_rate: int, num_channels: int) -> np.ndarray:
    waveform, rate = read_audio(stem["path"], stem["audio_stream"])
    if not np.isfinite(waveform).all():
        raise AudioFileError(stem["path"], "has samples that are NaN or infinite.")
    if stem["channel"] != ALL_CHANNELS:
        waveform = waveform[stem["channel"] : stem["channel"] + 1]
    if num_channels == 1:
        waveform = waveform.mean(axis=0, keepdims=True)
    elif len(waveform) == 1:
        waveform = np.repeat(waveform, num_channels, axis=0)
    elif len(waveform) != num_channels:
        raise AudioFileError(stem["path"], f"has {len(waveform)} channels where {num_channels} are needed.")
    if rate != sampling_rate:
        waveform = torchaudio.functional.resample(torch.from_numpy(waveform), rate, sampling_rate).numpy()
    return waveform.astype(np.float16)


__all__ = ["decode_songs", "open_stem"]
