"""Splits of the data sets that the trainer and the scores know by name: MUSDB18, MIR-1K, folders of instrumentals."""

from __future__ import annotations

from pathlib import Path

import datasets

from .folder_layouts import audio_files, folder_songs, mir1k_songs, stem_file_songs
from .song_collections import MUSDB18_VALIDATION, MUSDB_STEMS, complete_rows, song_rows_table
from .stem_references import derived_references, file_reference


def load_musdb18(musdb_dir: str | Path, split: str, skip_broken_songs: bool = False) -> datasets.Dataset:
    """MUSDB18 as `<split>/<song>.stem.mp4`, or MUSDB18-HQ as `<split>/<song>/{drums,bass,other,vocals}.wav`.

    Args:
        musdb_dir: folder with `train` and `test`.
        split: "train" (without the 14 validation songs), "validation" or "test".
        skip_broken_songs: whether songs that lack a stem are left out, and named in the log, instead of refused.

    Returns:
        One row per song, with the stems drums, bass, other and vocals.

    Raises:
        ValueError: no songs there, or one that lacks a stem.
    """
    folder = Path(musdb_dir) / ("test" if split == "test" else "train")
    found = list(stem_file_songs(folder)) or list(folder_songs(folder))
    if split != "test":
        found = [song for song in found if (song.name in MUSDB18_VALIDATION) == (split == "validation")]
    if not found:
        raise ValueError(
            f"no songs of MUSDB18's {split} split in {folder}: it needs SONG.stem.mp4 files, or SONG folders with "
            "drums.wav, bass.wav, other.wav and vocals.wav."
        )
    return song_rows_table(_with_split(complete_rows(found, MUSDB_STEMS, "musdb18", skip_broken_songs), split))


def load_mir1k(mir1k_dir: str | Path, split: str) -> datasets.Dataset:
    """MIR-1K: clips with the accompaniment on the left and the voice on the right, `<singer>_<song>_<clip>`.

    Args:
        mir1k_dir: folder of the clips.
        split: "validation" (the singers outside the largest group linked by backing tracks) or "train" (the others).

    Returns:
        One row per clip, with the stems accompaniment and vocals.

    Raises:
        ValueError: no clips there.
    """
    found = [song for song in mir1k_songs(Path(mir1k_dir)) if song.split == split]
    if not found:
        raise ValueError(f"no clips of MIR-1K's {split} split in {mir1k_dir}: it needs SINGER_SONG_CLIP audio files.")
    return song_rows_table(_with_split(complete_rows(found, (), "mir1k", False), split))


def load_instrumentals(instrumentals_dir: str | Path) -> datasets.Dataset:
    """A folder of music without voice, in any format, subfolders included.

    Args:
        instrumentals_dir: the folder.

    Returns:
        One row per file, with the stem accompaniment.

    Raises:
        ValueError: no audio files there.
    """
    root = Path(instrumentals_dir)
    rows = []
    for path in audio_files(root):
        details = {"source": "instrumentals", "split": "train", "bandwidth": float("inf")}
        stems = {"accompaniment": file_reference(path), **derived_references(["accompaniment"])}
        rows.append({"name": str(path.relative_to(root)), **details, **stems})
    if not rows:
        raise ValueError(f"no audio files in {root}.")
    return song_rows_table(rows)


def _with_split(rows, split: str) -> list[dict]:
    return [{**row, "split": split} for row in rows]


__all__ = [
    "MUSDB18_VALIDATION",
    "load_instrumentals",
    "load_mir1k",
    "load_musdb18",
]
