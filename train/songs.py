"""Collections of songs on disk as tables with one row per song: MUSDB18, MIR-1K, folders of instrumentals."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import datasets

STEMS = ("drums", "bass", "other", "vocals")
# Streams of a MUSDB18 stem file; stream 0 is a mixture that was encoded by itself and is not the stems' sum.
STEM_STREAMS = {"drums": 1, "bass": 2, "other": 3, "vocals": 4}
AUDIO_SUFFIXES = {".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".mp4", ".aiff", ".aif"}
ALL_CHANNELS = -1

# The songs of MUSDB18's train split that everyone validates on.
MUSDB18_VALIDATION = (
    "Actions - One Minute Smile",
    "Clara Berry And Wooldog - Waltz For My Victims",
    "Johnny Lokke - Promises & Lies",
    "Patrick Talbot - A Reason To Leave",
    "Triviul - Angelsaint",
    "Alexander Ross - Goodbye Bolero",
    "Fergessen - Nos Palpitants",
    "Leaf - Summerghost",
    "Skelpolu - Human Mistakes",
    "Young Griffo - Pennies",
    "ANiMAL - Rockshow",
    "James May - On The Line",
    "Meaxic - Take A Step",
    "Traffic Experiment - Sirens",
)
# The singer none of whose backing tracks, as far as known, another one sings to.
MIR1K_VALIDATION = ("jmzen",)
# MIR-1K was recorded at 16 kHz; the converters' filters end a little below half of that.
MIR1K_BANDWIDTH = 7600.0

FEATURES = datasets.Features(
    {
        "name": datasets.Value("string"),
        "source": datasets.Value("string"),
        "split": datasets.Value("string"),
        # Hz up to which the recording has content; infinite where it is as wide as its sampling rate allows.
        "bandwidth": datasets.Value("float32"),
        "stems": [
            {
                "stem": datasets.Value("string"),
                "path": datasets.Value("string"),
                "audio_stream": datasets.Value("int32"),
                "channel": datasets.Value("int32"),
            }
        ],
    }
)


def load_musdb18(musdb_dir: str | Path, split: str) -> datasets.Dataset:
    """MUSDB18 as `<split>/<song>.stem.mp4`, or MUSDB18-HQ as `<split>/<song>/{drums,bass,other,vocals}.wav`.

    Args:
        musdb_dir: folder with `train` and `test`.
        split: "train" (without the 14 validation songs), "validation" or "test".

    Returns:
        One row per song, with the stems drums, bass, other and vocals.

    Raises:
        ValueError: no songs there, or one that lacks a stem.
    """
    folder = Path(musdb_dir) / ("test" if split == "test" else "train")
    songs = {path.name.removesuffix(".stem.mp4"): path for path in folder.glob("*.stem.mp4")}
    if not songs:
        songs = {path.name: path for path in folder.glob("*") if path.is_dir()}
    if split != "test":
        songs = {name: path for name, path in songs.items() if (name in MUSDB18_VALIDATION) == (split == "validation")}
    if not songs:
        raise ValueError(
            f"no songs of MUSDB18's {split} split in {folder}: it needs SONG.stem.mp4 files, or SONG folders with "
            "drums.wav, bass.wav, other.wav and vocals.wav."
        )
    rows = []
    for name, path in sorted(songs.items()):
        if path.is_dir():
            stems = [_stem(stem, path / f"{stem}.wav") for stem in STEMS]
            missing = [stem["path"] for stem in stems if not Path(stem["path"]).is_file()]
            if missing:
                raise ValueError(f"{missing[0]} is missing: each song of MUSDB18-HQ needs all of {', '.join(STEMS)}.")
        else:
            stems = [_stem(stem, path, audio_stream=STEM_STREAMS[stem]) for stem in STEMS]
        rows.append(_row(name, "musdb18", split, float("inf"), stems))
    return _table(rows)


def load_mir1k(mir1k_dir: str | Path, split: str) -> datasets.Dataset:
    """MIR-1K: clips with the accompaniment on the left and the voice on the right, `<singer>_<song>_<clip>`.

    Args:
        mir1k_dir: folder of the clips.
        split: "validation" (all clips of a singer who shares no backing track with others) or "train" (the rest).

    Returns:
        One row per clip, with the stems accompaniment and vocals.

    Raises:
        ValueError: no clips there.
    """
    rows = []
    for path in _audio_files(mir1k_dir):
        held_out = path.stem.split("_")[0] in MIR1K_VALIDATION
        if held_out == (split == "validation"):
            stems = [_stem("accompaniment", path, channel=0), _stem("vocals", path, channel=1)]
            rows.append(_row(path.stem, "mir1k", split, MIR1K_BANDWIDTH, stems))
    if not rows:
        raise ValueError(f"no clips of MIR-1K's {split} split in {mir1k_dir}: it needs SINGER_SONG_CLIP audio files.")
    return _table(rows)


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
    rows = [
        _row(str(path.relative_to(root)), "instrumentals", "train", float("inf"), [_stem("accompaniment", path)])
        for path in _audio_files(root)
    ]
    if not rows:
        raise ValueError(f"no audio files in {root}.")
    return _table(rows)


def _audio_files(folder: str | Path) -> list[Path]:
    return sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)


def _stem(stem: str, path: Path, audio_stream: int = 0, channel: int = ALL_CHANNELS) -> dict:
    return {"stem": stem, "path": str(path), "audio_stream": audio_stream, "channel": channel}


def _row(name: str, source: str, split: str, bandwidth: float, stems: list[dict]) -> dict:
    return {"name": name, "source": source, "split": split, "bandwidth": bandwidth, "stems": stems}


def _table(rows: Iterable[dict]) -> datasets.Dataset:
    return datasets.Dataset.from_list(list(rows), features=FEATURES)


__all__ = ["ALL_CHANNELS", "load_instrumentals", "load_mir1k", "load_musdb18"]
