"""Finds songs with known stems in folders of any layout, and chooses those for validation."""

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import itemgetter
from pathlib import Path

from modeling_unet_svs.command.songs import audio_files
from modeling_unet_svs.separation import refuse_if

from .hub import HUB_LAYOUTS, hub_songs
from .songs import SPLIT_OF_NAME, SPLITS, BrokenSongError, File, Song, canonical_stem, say_once, skip_broken

logger = logging.getLogger(__name__)

# Streams of a MUSDB18 stem file; stream 0 is a mixture that was encoded separately and is not the stems' sum.
STEM_STREAMS = {"drums": 1, "bass": 2, "other": 3, "vocals": 4}
STEM_FILE = ".stem.mp4"
REQUIRED_STEMS = ("vocals", "accompaniment")
# The other singers share backing tracks, directly or through each other, so none of them can be held out.
MIR1K_VALIDATION_SINGERS = ("jmzen",)
# Its clips have 8 kHz, of which their filter and codec left the last part half empty.
MIR1K_BANDWIDTH = 7600.0
# The standard validation songs in MUSDB18's train split.
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
# Groups and singers of the known collections of voices that validate.
VALIDATION_VOICES = ("csd/", "vocadito/", *(f"ravdess/actor_{number}" for number in (21, 22, 23, 24)))
# Without known validation songs, every tenth song validates.
HELD_OUT_EVERY = 10
CLIP_NAME = re.compile(r"[A-Za-z]+_\d+_\d+")


def stem_file_songs(root: Path) -> Iterator[Song]:
    """MUSDB18: `<split>/<song>.stem.mp4`."""
    for path in audio_files(root):
        if path.name.endswith(STEM_FILE):
            stems = {stem: File(str(path), audio_stream=stream) for stem, stream in STEM_STREAMS.items()}
            name = path.name.removesuffix(STEM_FILE)
            yield Song(name, "musdb18", _split_in(root, path), {"mixture": File(str(path)), **stems})


def folder_songs(root: Path, source: str = "stems") -> Iterator[Song]:
    """MUSDB18-HQ, or any `<song>/{vocals, accompaniment | mixture | drums, bass, other}.*`, split folders or not."""
    files = [path for path in audio_files(root) if not path.name.endswith(STEM_FILE)]
    yield from _songs_of_files(root, files, source)


def dsd100_songs(root: Path) -> Iterator[Song]:
    """DSD100: `Sources/<Dev or Test>/<song>/{drums,bass,other,vocals}.wav`, `Mixtures/<…>/<song>/mixture.wav`."""
    files = [path for path in audio_files(root) if {"Sources", "Mixtures"} & set(path.relative_to(root).parts)]
    yield from _songs_of_files(root, files, "stems")


def mir1k_songs(root: Path) -> Iterator[Song]:
    """MIR-1K: `<singer>_<song>_<clip>`, the accompaniment on the left and the voice on the right."""
    # The full distribution also has the uncut songs.
    clips = root / "Wavfile"
    for path in audio_files(clips if clips.is_dir() else root):
        stems = {"accompaniment": File(str(path), channel=0), "vocals": File(str(path), channel=1)}
        split = "validation" if path.stem.split("_")[0] in MIR1K_VALIDATION_SINGERS else "train"
        yield Song(path.stem, "mir1k", split, stems, MIR1K_BANDWIDTH)


def _songs_of_files(root: Path, files: list[Path], source: str) -> Iterator[Song]:
    songs: dict[Path, dict[str, File]] = {}
    for path in files:
        stem = canonical_stem(path.stem)
        if stem is None:
            say_once("files that are not named after a stem are left out", path)
            continue
        # DSD100 has one folder for a song's mixture and another for its parts.
        parts = [part for part in path.relative_to(root).parts[:-1] if part not in ("Mixtures", "Sources")]
        stems = songs.setdefault(root.joinpath(*parts), {})
        if stem in stems:
            raise ValueError(f"{stems[stem].path} and {path} are both the {stem} of {path.parent.name!r}.")
        stems[stem] = File(str(path))
    places = {folder: (_split_in(root, folder), folder.name) for folder in songs}
    counts = Counter(places.values())
    for folder, (split, name) in sorted(places.items(), key=itemgetter(1)):
        if counts[split, name] > 1:  # such as the "Intro" of several albums
            name = folder.relative_to(root).as_posix()
        yield Song(name, source, split, songs[folder])


def _split_in(root: Path, song: Path) -> str:
    """The split that a folder between the root and the song, or the root, is named after; "" where none is."""
    parts = (*song.relative_to(root).parts[:-1], root.name)
    return next((SPLIT_OF_NAME[part.lower()] for part in parts if part.lower() in SPLIT_OF_NAME), "")


FOLDER_LAYOUTS: dict[str, tuple[str, Callable[[Path], Iterator[Song]]]] = {
    "musdb18": ("MUSDB18 .stem.mp4 files", stem_file_songs),
    "musdb18-hq": ("MUSDB18-HQ folders", partial(folder_songs, source="musdb18")),
    "dsd100": ("DSD100's Mixtures and Sources", dsd100_songs),
    "mir1k": ("MIR-1K clips, voice on the right", mir1k_songs),
    "song-folders": ("a folder for each song", folder_songs),
}
LAYOUTS = (*FOLDER_LAYOUTS, *HUB_LAYOUTS)


def recognise_folder(folder: Path) -> str | None:
    """The layout of a folder; "hub" for a copy of a data set of the Hub."""
    files = audio_files(folder)
    if any(path.name.endswith(STEM_FILE) for path in files):
        return "musdb18"
    if _is_hub_copy(folder):
        return "hub"
    if (folder / "Sources").is_dir() and (folder / "Mixtures").is_dir():
        return "dsd100"
    names = {canonical_stem(path.stem) for path in files if path.parent != folder} - {None}
    if names:
        has_splits = (folder / "train").is_dir() or (folder / "test").is_dir()
        return "musdb18-hq" if has_splits and names == {*STEM_STREAMS, "mixture"} else "song-folders"
    if files and sum(bool(CLIP_NAME.fullmatch(path.stem)) for path in files) > len(files) / 2:
        return "mir1k"
    return None


def _is_hub_copy(folder: Path) -> bool:
    if any((folder / name).is_file() for name in ("dataset_dict.json", "state.json", "dataset_infos.json")):
        return True
    return any(next(folder.rglob(pattern), None) for pattern in ("*.parquet", "*.arrow", "metadata.jsonl"))


def load_song_collection(
    origin: str | Path, *, layout: str | None = None, skip_broken_songs: bool = False
) -> dict[str, list[Song]]:
    """The songs of a folder or a data set of the Hub, by split; the log says how they are laid out."""
    refuse_if(
        layout is not None and layout not in LAYOUTS, f"--layout {layout} is unknown: use one of {', '.join(LAYOUTS)}."
    )
    folder = Path(origin)
    recognised = recognise_folder(folder) if folder.is_dir() else "hub"
    if layout is None and recognised is None:
        texts = {name: text for name, (text, _) in FOLDER_LAYOUTS.items()} | HUB_LAYOUTS
        described = ", ".join(f"{name} ({text})" for name, text in texts.items())
        raise ValueError(f"no songs found in {folder}: it needs one of {described}.")
    if layout in HUB_LAYOUTS or (layout is None and recognised == "hub"):
        layout, songs = hub_songs(str(origin), layout)
        text, required = HUB_LAYOUTS[layout], REQUIRED_STEMS
    else:
        layout = layout or recognised
        text, find = FOLDER_LAYOUTS[layout]
        songs = list(find(folder))
        if not songs:
            looks = f"; it looks like {recognised}" if recognised else ""
            raise ValueError(f"--layout {layout}: no songs laid out as {text} in {folder}{looks}.")
        required = _required_stems(songs, layout)
    text = f"{origin}: {text} ({layout})"
    songs = list(whole_songs(songs, required, origin, skip_broken_songs))
    refuse_if(not songs, f"no songs left in {text}: all are broken.")
    how = _assign_splits(songs)
    splits = {split: [song for song in songs if song.split == split] for split in SPLITS}
    logger.warning("%s: %s%s", text, ", ".join(f"{len(part)} {split}" for split, part in splits.items()), how)
    return splits


def _required_stems(songs: list[Song], layout: str) -> tuple[str, ...]:
    """The stems that each song needs: vocals, an accompaniment, and those of MUSDB18's that most songs have."""
    if layout in ("musdb18", "musdb18-hq"):
        return tuple(STEM_STREAMS)
    usual = [name for name in ("drums", "bass", "other") if 2 * sum(name in song.stems for song in songs) > len(songs)]
    return (*usual, *REQUIRED_STEMS)


def whole_songs(
    songs: Iterable[Song], required: Iterable[str], origin: object, skip_broken_songs: bool
) -> Iterator[Song]:
    """The songs that lack none of the required stems."""
    for song in songs:
        lacking = next((stem for stem in required if stem not in song.stems), None)
        if lacking is None:
            yield song
            continue
        files = [Path(stem.path) for stem in song.stems.values() if isinstance(stem, File)]
        reason = f"{song.name!r} of {origin} has no {lacking}."
        if files:
            had = ", ".join(sorted(song.recorded))
            reason = f"{song.name!r} has no {lacking}: {files[0].with_stem(lacking)} is missing ({had} is there)."
        with skip_broken(skip_broken_songs):
            raise BrokenSongError(f"{reason} --skip_broken_songs leaves such songs out.")


def _assign_splits(songs: list[Song]) -> str:
    """Assigns a split to each song; returns in words how the validation songs were chosen."""
    for song in songs:
        song.split = song.split or "train"
    if any(song.split == "validation" for song in songs):
        return ""
    held_out, how = STANDARD_NAMES, " (the standard songs of MUSDB18 validate)"
    if not any(is_held_out(song.name) for song in songs):
        names = sorted({_letters(song.name) for song in songs if song.split == "train"})
        held_out, how = set(names[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]) or set(names[1:2]), " (each tenth validates)"
    for song in songs:
        if song.split == "train" and _letters(song.name) in held_out:
            song.split = "validation"
    return how


def _letters(name: str) -> str:
    """The part of a song's name on which copies of a data set agree, without a segment's number."""
    name = unicodedata.normalize("NFKC", re.sub(r" \[\d+\]$", "", name)).casefold()
    return re.sub(r"[\W_]", "", name) or name


STANDARD_NAMES = {_letters(name) for name in MUSDB18_VALIDATION}


def is_held_out(name: str) -> bool:
    """Whether a song is a standard validation song, however its copy spells the name."""
    return _letters(name) in STANDARD_NAMES


def load_musdb18(musdb_dir: str | Path, split: str, skip_broken_songs: bool = False) -> list[Song]:
    """MUSDB18 as `<split>/<song>.stem.mp4`, or MUSDB18-HQ as `<split>/<song>/{drums,bass,other,vocals}.wav`."""
    folder = Path(musdb_dir) / ("test" if split == "test" else "train")
    songs = list(stem_file_songs(folder)) or list(folder_songs(folder, "musdb18"))
    if split != "test":
        songs = [song for song in songs if is_held_out(song.name) == (split == "validation")]
    refuse_if(
        not songs,
        f"no songs of MUSDB18's {split} split in {folder}: it needs SONG.stem.mp4 files, or SONG folders with "
        "drums.wav, bass.wav, other.wav and vocals.wav.",
    )
    for song in songs:
        song.split = split
    return list(whole_songs(songs, STEM_STREAMS, musdb_dir, skip_broken_songs))


def load_mir1k(mir1k_dir: str | Path, split: str) -> list[Song]:
    """Clips of MIR-1K: one singer validates, all others are trained on."""
    songs = [song for song in mir1k_songs(Path(mir1k_dir)) if song.split == split]
    refuse_if(not songs, f"no clips of MIR-1K's {split} split in {mir1k_dir}: it needs SINGER_SONG_CLIP audio files.")
    return songs


def load_instrumentals(instrumentals_dir: str | Path) -> list[Song]:
    """Music without voice."""
    return _single_stems(Path(instrumentals_dir), "accompaniment", "instrumentals")


def load_voices(voices_dir: str | Path, split: str) -> list[Song]:
    """Voices without music: the known groups validate, or each tenth, or the last of fewer; groups stay whole."""
    songs = _single_stems(Path(voices_dir), "vocals", "voices")
    held_out = tuple(known for known in VALIDATION_VOICES if any(song.name.startswith(known) for song in songs))
    groups = sorted({voice_group(song.name) for song in songs})
    if not held_out and len(groups) > 1:
        held_out = tuple(f"{group}/" for group in groups[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY] or groups[-1:])
    for song in songs:
        song.split = "validation" if f"{song.name}/".startswith(held_out) else "train"
    return [song for song in songs if song.split == split]


def voice_group(name: str) -> str:
    """The group of singers that a voice belongs to: the first part of its path."""
    return name.split("/")[0]


def _single_stems(root: Path, stem: str, source: str) -> list[Song]:
    """All audio files of a folder, each of them one stem; all are for training."""
    songs = [
        Song(path.relative_to(root).as_posix(), source, "train", {stem: File(str(path))}) for path in audio_files(root)
    ]
    refuse_if(not songs, f"no audio files in {root}.")
    return songs
