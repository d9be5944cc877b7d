"""Any copy of any data set of songs with known stems, as a `DatasetDict` with one row per song."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import datasets

from modeling_unet_svs.audio_reading import one_line
from modeling_unet_svs.command.songs import AUDIO_SUFFIXES

from .hub import HUB_LAYOUTS, recognise, song_table
from .songs import (
    DETAILS,
    STEM_COLUMNS,
    BrokenSongError,
    canonical_stem,
    derived_references,
    features,
    file_reference,
    say_once,
)

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
    """A song of a folder."""

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
    """The row of a song, with the stems that follow from those it has."""
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


logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
MUSDB_STEMS = ("drums", "bass", "other", "vocals")
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
# Of songs that say nothing about splits, each so many-th validates.
HELD_OUT_EVERY = 10

FOLDER_LAYOUTS: dict[str, tuple[str, Callable[[Path], Iterator[FoundSong]]]] = {
    "musdb18": ("MUSDB18 .stem.mp4 files", stem_file_songs),
    "musdb18-hq": ("MUSDB18-HQ folders", folder_songs),
    "dsd100": ("DSD100's Mixtures and Sources", dsd100_songs),
    "mir1k": ("MIR-1K clips, voice on the right", mir1k_songs),
    "song-folders": ("a folder for each song", folder_songs),
}
LAYOUTS = (*FOLDER_LAYOUTS, *HUB_LAYOUTS)
CLIP_NAME = re.compile(r"[A-Za-z]+_\d+_\d+")


def load_song_collection(
    origin: str | Path, *, layout: str | None = None, skip_broken_songs: bool = False
) -> datasets.DatasetDict:
    """Finds the songs of a data set and says in one line of the log how they are laid out."""
    if layout is not None and layout not in LAYOUTS:
        raise ValueError(f"--layout {layout} is unknown: use one of {', '.join(LAYOUTS)}.")
    folder = Path(origin)
    if folder.is_dir():
        recognised = recognise_folder(folder)
        if layout in FOLDER_LAYOUTS or (layout is None and recognised in FOLDER_LAYOUTS):
            return _from_folder(folder, layout or recognised, recognised, skip_broken_songs)
        if layout is None and recognised is None:
            texts = {name: text for name, (text, _) in FOLDER_LAYOUTS.items()} | HUB_LAYOUTS
            described = ", ".join(f"{name} ({text})" for name, text in texts.items())
            raise ValueError(f"no songs found in {folder}: it needs one of {described}.")
    elif layout in FOLDER_LAYOUTS:
        raise ValueError(f"--layout {layout}: {origin} is no folder.")
    return _from_hub(str(origin), layout, skip_broken_songs)


def recognise_folder(folder: Path) -> str | None:
    """The layout of a folder."""
    if next(folder.rglob("*.stem.mp4"), None):
        return "musdb18"
    if _is_hub_copy(folder):
        return "hub"
    files = audio_files(folder)
    if (folder / "Sources").is_dir() and (folder / "Mixtures").is_dir():
        return "dsd100"
    stems = [path for path in files if canonical_stem(path.stem) and path.parent != folder]
    if stems:
        names = {canonical_stem(path.stem) for path in stems}
        has_splits = (folder / "train").is_dir() or (folder / "test").is_dir()
        return "musdb18-hq" if has_splits and names == {*MUSDB_STEMS, "mixture"} else "song-folders"
    if files and sum(bool(CLIP_NAME.fullmatch(path.stem)) for path in files) > len(files) / 2:
        return "mir1k"
    return None


def _from_folder(folder: Path, layout: str, recognised: str | None, skip: bool) -> datasets.DatasetDict:
    text, find = FOLDER_LAYOUTS[layout]
    songs = list(find(folder))
    if not songs:
        looks = f"; it looks like {recognised}" if recognised else ""
        raise ValueError(f"--layout {layout}: no songs laid out as {text} in {folder}{looks}.")
    source = {"mir1k": "mir1k", "musdb18": "musdb18", "musdb18-hq": "musdb18"}.get(layout, "stems")
    rows = list(complete_rows(songs, required_stems(songs, layout), source, skip))
    return _split_up(song_rows_table(rows), f"{folder}: {text} ({layout})")


def complete_rows(songs: Iterable[FoundSong], required: tuple[str, ...], source: str, skip: bool) -> Iterator[dict]:
    """Rows of the songs that lack nothing."""
    for song in songs:
        try:
            yield complete(song, required, source)
        except BrokenSongError as error:
            _leave_out(error, skip)


def _leave_out(reason: object, skip: bool) -> None:
    if not skip:
        raise BrokenSongError(f"{reason} --skip_broken_songs leaves such songs out.") from None
    logger.warning("left out: %s", reason)


def required_stems(songs: list[FoundSong], layout: str) -> tuple[str, ...]:
    """The stems that each song needs: vocals, an accompaniment, and those of MUSDB18's that most songs have."""
    if layout in ("musdb18", "musdb18-hq"):
        return MUSDB_STEMS
    usual = [name for name in ("drums", "bass", "other") if 2 * sum(name in song.stems for song in songs) > len(songs)]
    return (*usual, "vocals", "accompaniment")


def song_rows_table(rows: list[dict]) -> datasets.Dataset:
    """Rows as a table; stems that are not in `STEM_COLUMNS` get columns of their own."""
    others = sorted({name for row in rows for name in row} - set(DETAILS) - set(STEM_COLUMNS))
    names = [*DETAILS, *STEM_COLUMNS, *others]
    padded = [{name: row.get(name) for name in names} for row in rows]
    return datasets.Dataset.from_list(padded, features=features([*STEM_COLUMNS, *others]))


def _from_hub(origin: str, layout: str | None, skip: bool) -> datasets.DatasetDict:
    splits = open_hub_dataset(origin)
    columns = next(iter(splits.values())).features
    recognised = recognise(columns)
    if layout is None and recognised is None:
        raise ValueError(f"--dataset_name {origin}: no stems in its columns {', '.join(columns)}.")
    layout = layout or recognised
    tables = []
    for split, dataset in splits.items():
        name = {"valid": "validation", "val": "validation"}.get(split, split if split in SPLITS else "train")
        tables.append(song_table(dataset, layout, name, "stems"))
    songs = datasets.concatenate_datasets(tables) if len(tables) > 1 else tables[0]
    required = ("vocals", "accompaniment")
    missing = {
        stem: [not valid for chunk in songs.data.column(stem).chunks for valid in chunk.is_valid().to_pylist()]
        for stem in required
    }
    broken = {i: stem for stem, absent in missing.items() for i, gone in enumerate(absent) if gone}
    names = list(songs["name"])
    for index, stem in sorted(broken.items()):
        _leave_out(f"{names[index]!r} of {origin} has no {stem}.", skip)
    return _split_up(songs, f"{origin}: {HUB_LAYOUTS[layout]} ({layout})", set(broken))


def open_hub_dataset(origin: str) -> datasets.DatasetDict:
    """A data set of the Hub, or a local copy."""
    folder = Path(origin)
    try:
        if (folder / "dataset_dict.json").is_file():
            return datasets.load_from_disk(origin)
        if (folder / "state.json").is_file():
            return datasets.DatasetDict({"train": datasets.load_from_disk(origin)})
        return datasets.load_dataset(origin)
    except (FileNotFoundError, ConnectionError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(
            f"--dataset_name {origin} is neither a folder nor a data set of the Hub: {one_line(error)}"
        ) from None


def _is_hub_copy(folder: Path) -> bool:
    written = ("dataset_dict.json", "state.json", "dataset_infos.json")
    if any((folder / name).is_file() for name in written):
        return True
    return any(next(folder.rglob(pattern), None) for pattern in ("*.parquet", "*.arrow", "metadata.jsonl"))


def _split_up(songs: datasets.Dataset, text: str, left_out: Collection[int] = ()) -> datasets.DatasetDict:
    """The three splits, said in the log."""
    if len(left_out) == len(songs):
        raise ValueError(f"no songs left in {text}: all are broken.")
    splits, how = assign_splits(list(songs["name"]), list(songs["split"]))
    # Before rows are selected: a column added after that would copy the audio that is inside the others.
    renewed = songs.remove_columns("split").add_column("split", splits).select_columns(songs.column_names)
    parts = {
        split: renewed.select([i for i, its in enumerate(splits) if its == split and i not in left_out])
        for split in SPLITS
    }
    counts = ", ".join(f"{len(part)} {split}" for split, part in parts.items())
    logger.warning("%s: %s%s", text, counts, how)
    return datasets.DatasetDict(parts)


def assign_splits(names: list[str], splits: list[str]) -> tuple[list[str], str]:
    """The split of each song, with some to validate on."""
    splits = [split or "train" for split in splits]
    if "validation" in splits:
        return splits, ""
    standard = {_letters(name) for name in MUSDB18_VALIDATION}
    if any(_letters(name) in standard for name in names):
        held_out, how = standard, " (the standard songs of MUSDB18 validate)"
    else:
        train = sorted({_letters(name) for name, split in zip(names, splits) if split == "train"})
        held_out, how = set(train[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]) or set(train[1:2]), " (each tenth validates)"
    return [
        "validation" if split == "train" and _letters(name) in held_out else split
        for name, split in zip(names, splits)
    ], how


def is_held_out(name: str) -> bool:
    """Whether a song is one that everyone validates on, whatever its copy did to its name."""
    return _letters(name) in {_letters(song) for song in MUSDB18_VALIDATION}


def _letters(name: str) -> str:
    """A song's name without what copies of a data set change in it, and without the number of a segment."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r" \[\d+\]$", "", name).lower())


def load_musdb18(musdb_dir: str | Path, split: str, skip_broken_songs: bool = False) -> datasets.Dataset:
    """MUSDB18 as `<split>/<song>.stem.mp4`, or MUSDB18-HQ as `<split>/<song>/{drums,bass,other,vocals}.wav`."""
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
    """MIR-1K: clips with the accompaniment on the left and the voice on the right, `<singer>_<song>_<clip>`."""
    found = [song for song in mir1k_songs(Path(mir1k_dir)) if song.split == split]
    if not found:
        raise ValueError(f"no clips of MIR-1K's {split} split in {mir1k_dir}: it needs SINGER_SONG_CLIP audio files.")
    return song_rows_table(_with_split(complete_rows(found, (), "mir1k", False), split))


def load_instrumentals(instrumentals_dir: str | Path) -> datasets.Dataset:
    """A folder of music without voice, in any format, subfolders included."""
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
