"""Folders of songs as they are distributed, or as anyone keeps them, to rows of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from modeling_unet_svs.song_list import AUDIO_SUFFIXES

from .stem_names import canonical_stem
from .stem_references import BrokenSongError, derived_references, file_reference, say_once

# Streams of a MUSDB18 stem file; stream 0 is a mixture that was encoded by itself and is not the stems' sum.
STEM_STREAMS = {"drums": 1, "bass": 2, "other": 3, "vocals": 4}
# MIR-1K was recorded at 16 kHz; the converters' filters end a little below half of that.
MIR1K_BANDWIDTH = 7600.0
# The others are linked by songs that are sung to the same backing track, directly or through others.
MIR1K_VALIDATION_SINGERS = ("jmzen",)
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "dev": "train",  # DSD100's name for what is trained on
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}


@dataclass(frozen=True)
class FoundSong:
    """A song of a folder.

    Attributes:
        name: of the song.
        split: "train", "validation" or "test", as the folders have it; "" where they say nothing.
        stems: references by name, without those that follow from others.
        bandwidth: Hz up to which it was recorded.
    """

    name: str
    split: str
    stems: Mapping[str, dict]
    bandwidth: float = float("inf")


def audio_files(folder: str | Path) -> list[Path]:
    """All audio files of a folder and its subfolders, by their endings, hidden ones left out."""
    return sorted(
        path
        for path in Path(folder).rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")
    )


def stem_file_songs(root: Path) -> Iterator[FoundSong]:
    """MUSDB18: `<split>/<song>.stem.mp4`."""
    for path in sorted(root.rglob("*.stem.mp4")):
        stems = {"mixture": file_reference(path)}
        stems |= {stem: file_reference(path, audio_stream=stream) for stem, stream in STEM_STREAMS.items()}
        yield FoundSong(path.name.removesuffix(".stem.mp4"), _split_in(root, path), stems)


def folder_songs(root: Path) -> Iterator[FoundSong]:
    """MUSDB18-HQ, or any `<song>/{vocals, accompaniment | mixture | drums, bass, other}.*`, split folders or not."""
    yield from _songs_of_files(root, [path for path in audio_files(root) if not path.name.endswith(".stem.mp4")])


def dsd100_songs(root: Path) -> Iterator[FoundSong]:
    """DSD100: `Sources/<Dev or Test>/<song>/{drums,bass,other,vocals}.wav`, `Mixtures/<…>/<song>/mixture.wav`."""
    files = [path for path in audio_files(root) if {"Sources", "Mixtures"} & set(path.relative_to(root).parts)]
    yield from _songs_of_files(root, files)


def mir1k_songs(root: Path) -> Iterator[FoundSong]:
    """MIR-1K: `<singer>_<song>_<clip>`, the accompaniment on the left and the voice on the right."""
    # The whole distribution has the songs uncut, too.
    clips = root / "Wavfile"
    for path in audio_files(clips if clips.is_dir() else root):
        stems = {"accompaniment": file_reference(path, channel=0), "vocals": file_reference(path, channel=1)}
        split = "validation" if path.stem.split("_")[0] in MIR1K_VALIDATION_SINGERS else "train"
        yield FoundSong(path.stem, split, stems, MIR1K_BANDWIDTH)


def complete(song: FoundSong, required: tuple[str, ...], source: str) -> dict:
    """The row of a song, with the stems that follow from those it has.

    Args:
        song: as it was found.
        required: stems without which it is broken.
        source: of the row.

    Returns:
        Row of a table of songs.

    Raises:
        BrokenSongError: a stem is missing.
    """
    stems = {**song.stems, **derived_references(list(song.stems))}
    for stem in required:
        if stem not in stems:
            had = ", ".join(sorted(song.stems)) or "nothing"
            raise BrokenSongError(f"{song.name!r} has no {stem}: {_expected(song, stem)} is missing ({had} is there).")
    row = {"name": song.name, "source": source, "split": song.split, "bandwidth": song.bandwidth}
    return {**row, **stems}


def _expected(song: FoundSong, stem: str) -> str:
    """Where a missing stem would be."""
    paths = [Path(reference["path"]) for reference in song.stems.values() if reference["path"]]
    return str(paths[0].with_stem(stem)) if paths else stem


def _songs_of_files(root: Path, files: list[Path]) -> Iterator[FoundSong]:
    songs: dict[tuple[str, str], dict[str, dict]] = {}
    for path in files:
        stem = canonical_stem(path.stem)
        if stem is None:
            say_once(f"files that are not named after a stem are left out, such as {path}")
            continue
        stems = songs.setdefault((_split_in(root, path.parent), path.parent.name), {})
        if stem in stems:
            raise ValueError(f"{stems[stem]['path']} and {path} are both the {stem} of {path.parent.name!r}.")
        stems[stem] = file_reference(path)
    for (split, name), stems in sorted(songs.items()):
        yield FoundSong(name, split, stems)


def _split_in(root: Path, song: Path) -> str:
    """The split that a folder between the root and the song is named after."""
    for part in song.relative_to(root).parts[:-1]:
        if part.lower() in SPLIT_FOLDERS:
            return SPLIT_FOLDERS[part.lower()]
    return SPLIT_FOLDERS.get(root.name.lower(), "")


__all__ = [
    "MIR1K_VALIDATION_SINGERS",
    "STEM_STREAMS",
    "FoundSong",
    "audio_files",
    "complete",
    "dsd100_songs",
    "folder_songs",
    "mir1k_songs",
    "stem_file_songs",
]
