"""The songs that are scored: which ones, and their true stems."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modeling_unet_svs.audio_reading import AudioFileError, read_audio

from .decoded_cache import TOLERATED_SAMPLES
from .evaluation_arguments import EvaluationArguments
from .songs import ALL_CHANNELS, AUDIO_SUFFIXES, load_mir1k, load_musdb18

MIXTURE_NAME = "mixture"
# Copies as Opus files say 48 kHz.
MIR1K_RATE = 16_000


@dataclass(frozen=True)
class SongCollection:
    """Songs with known stems.

    Attributes:
        name: of the data set.
        split: of the data set.
        rows: of `songs.py`, one for each song.
        recorded_rate: sampling rate in Hz that the songs were recorded at, where their files may have a higher one.
    """

    name: str
    split: str
    rows: list[dict]
    recorded_rate: int | None = None

    def fingerprint(self) -> str:
        """Hash over the songs' names, and the names and sizes of their files; where those lie does not matter."""
        digest = hashlib.sha256()
        for row in self.rows:
            digest.update(repr(row["name"]).encode())
            for stem in row["stems"]:
                path = Path(stem["path"])
                size = path.stat().st_size if path.is_file() else None
                key = (stem["stem"], path.name, size, stem["audio_stream"], stem["channel"])
                digest.update(repr(key).encode())
        return f"sha256:{digest.hexdigest()}"


def load_songs(arguments: EvaluationArguments) -> SongCollection:
    """The songs that the command line names.

    Args:
        arguments: of which one of the folders is given.

    Returns:
        The songs.

    Raises:
        ValueError: no songs there, or a split that the data set does not have.
    """
    split = arguments.split
    if arguments.musdb_dir:
        rows = list(load_musdb18(arguments.musdb_dir, split))
        is_compressed = rows[0]["stems"][0]["path"].endswith(".stem.mp4")
        return SongCollection("MUSDB18" if is_compressed else "MUSDB18-HQ", split, rows)
    if arguments.mir1k_dir:
        if split == "test":
            raise ValueError("MIR-1K has no test split: give --split validation.")
        return SongCollection("MIR-1K", split, list(load_mir1k(arguments.mir1k_dir, split)), MIR1K_RATE)
    folder = Path(arguments.stems_dir)
    return SongCollection(folder.resolve().name, "all", folders_of_stems(folder))


def folders_of_stems(stems_dir: Path) -> list[dict]:
    """Songs as `<song>/<stem>.<format>`; all stems but `vocals` are accompaniment, and either side may be missing.

    Args:
        stems_dir: folder of the songs' folders.

    Returns:
        Rows as those of `songs.py`.

    Raises:
        ValueError: no songs there, or one with a mixture and no accompaniment.
    """
    rows = []
    for folder in sorted(path for path in stems_dir.glob("*") if path.is_dir()):
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in AUDIO_SUFFIXES)
        stems = [
            {"stem": path.stem, "path": str(path), "audio_stream": 0, "channel": ALL_CHANNELS}
            for path in files
            if path.stem != MIXTURE_NAME
        ]
        if len(files) > len(stems) and {stem["stem"] for stem in stems} <= {"vocals"}:
            raise ValueError(f"{folder} has a mixture and no accompaniment: it needs all stems of the mixture.")
        if stems:
            rows.append({"name": folder.name, "stems": stems})
    if not rows:
        raise ValueError(f"no songs in {stems_dir}: it needs SONG folders with vocals.* and accompaniment.* files.")
    return rows


def read_stems(song: Mapping) -> tuple[np.ndarray, int]:
    """Decodes a song's reference stems.

    Args:
        song: row of a `SongCollection`.

    Returns:
        Vocals and accompaniment, the sum of all other stems, float32 `(2, num_channels, num_samples)`, and the
        sampling rate in Hz. What a song does not have is digital silence.

    Raises:
        ValueError: a file that cannot be decoded, or that differs from the song's other ones in rate or length.
    """
    decoded: dict[str, np.ndarray] = {}
    sampling_rate, longest, shortest = None, 0, None
    for stem in song["stems"]:
        waveform, rate = read_audio(stem["path"], stem["audio_stream"])
        if not np.isfinite(waveform).all():
            raise AudioFileError(stem["path"], "has samples that are NaN or infinite.")
        if sampling_rate not in (None, rate):
            raise AudioFileError(stem["path"], f"has {rate} Hz where the song's other stems have {sampling_rate} Hz.")
        sampling_rate = rate
        channel = stem["channel"]
        decoded[stem["stem"]] = waveform if channel == ALL_CHANNELS else waveform[channel : channel + 1]
        longest = max(longest, waveform.shape[1])
        shortest = min(longest, shortest or longest, waveform.shape[1])
    if longest - shortest > TOLERATED_SAMPLES:
        described = ", ".join(f"{name} {array.shape[1] / sampling_rate:.2f} s" for name, array in decoded.items())
        raise ValueError(f"the stems of {song['name']!r} differ in length: {described}.")
    num_channels = max(len(waveform) for waveform in decoded.values())
    references = np.zeros((2, num_channels, shortest), dtype=np.float32)
    for name, waveform in decoded.items():
        references[0 if name == "vocals" else 1] += waveform[:, :shortest]
    return references, sampling_rate


__all__ = ["SongCollection", "load_songs", "read_stems"]
