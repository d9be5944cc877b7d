"""Songs of Hub data sets, whose layout is recognised by their columns."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from modeling_unet_svs.audio_reading import one_line
from modeling_unet_svs.separation import refuse_if

from .songs import SPLIT_OF_NAME, Bytes, File, Recording, Song, canonical_stem, decode_recording

COLUMNS, SEGMENTS, FIVE_ROWS, STEM_ROWS = "columns", "segments", "five-rows", "stem-rows"
HUB_LAYOUTS = {
    COLUMNS: "one row per song with a column per stem",
    SEGMENTS: "pre-cut segments with a column per stem",
    FIVE_ROWS: "five consecutive rows per song",
    STEM_ROWS: "one row per stem",
}
SEGMENT_COLUMNS = ("segment", "segment_id", "segment_index", "chunk", "chunk_id", "chunk_index", "start", "offset")
SEGMENT_COLUMNS += ("start_time", "clip", "part")
SONG_COLUMNS = ("name", "song", "title", "track", "song_name", "track_name", "song_id", "track_id", "folder")
STEM_COLUMNS = ("stem", "stem_name", "stem_type", "instrument", "source", "label", "type", "target", "part")
# Orders of five unnamed rows, by the place of the mixture: that of the streams of a MUSDB18 file, and that of the
# file names of MUSDB18-HQ.
FIVE_ROW_ORDERS = {
    0: ("mixture", "drums", "bass", "other", "vocals"),
    2: ("bass", "drums", "mixture", "other", "vocals"),
}
# Relative power of a mixture that its stems may leave unexplained: 0.0016 in MUSDB18 itself.
MAX_MIXTURE_ERROR = 0.02


def audio_columns(columns: Mapping) -> list[str]:
    """The columns that hold audio: of the type Audio, or with fields `bytes` and `path`."""
    return [
        name
        for name, feature in columns.items()
        if isinstance(feature, datasets.Audio) or (isinstance(feature, dict) and {"bytes", "path"} <= set(feature))
    ]


def recognise(columns: Mapping) -> str | None:
    """The layout of a data set, by its columns."""
    if len(_stem_columns(columns)) > 1:
        return SEGMENTS if set(SEGMENT_COLUMNS) & set(columns) else COLUMNS
    if len(audio_columns(columns)) != 1:
        return None
    return STEM_ROWS if _label_column(columns) else FIVE_ROWS


def _stem_columns(columns: Mapping) -> dict[str, str]:
    """The columns that are named after stems."""
    named = {canonical_stem(name): name for name in audio_columns(columns)}
    return {stem: name for stem, name in named.items() if stem}


def _label_column(columns: Mapping) -> str | None:
    """The column that says which stem a row is."""
    for name in STEM_COLUMNS:
        feature = columns.get(name)
        if isinstance(feature, datasets.ClassLabel) and any(map(canonical_stem, feature.names)):
            return name
        if isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string"):
            return name
    return None


def hub_songs(origin: str, layout: str | None) -> tuple[str, list[Song]]:
    """The layout and the songs of a data set of the Hub, or of a local copy."""
    splits = _open(origin)
    columns = next(iter(splits.values())).features
    layout = layout or recognise(columns)
    refuse_if(layout is None, f"--dataset_name {origin}: no stems in its columns {', '.join(columns)}.")
    songs = []
    for name, rows in splits.items():
        split = SPLIT_OF_NAME.get(name, "train")
        found = songs_of_rows(_mapped_rows(rows), rows.features, layout, split)
        songs += _joined(found) if layout == STEM_ROWS else found
    counts: Counter[tuple[str, str]] = Counter()
    for song in songs if layout == SEGMENTS else ():
        key = (song.split, song.name)
        song.name = f"{song.name} [{counts[key]:04d}]"
        counts[key] += 1
    return layout, songs


def _open(origin: str) -> datasets.DatasetDict:
    folder = Path(origin)
    with opened(f"--dataset_name {origin} is neither a folder nor a data set of the Hub"):
        if (folder / "dataset_dict.json").is_file():
            return datasets.load_from_disk(origin)
        if (folder / "state.json").is_file():
            return datasets.DatasetDict({"train": datasets.load_from_disk(origin)})
        return datasets.load_dataset(origin)


@contextmanager
def opened(otherwise: str) -> Iterator[None]:
    """Context in which a data set is opened; an error becomes one line."""
    try:
        yield
    except (FileNotFoundError, ConnectionError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(f"{otherwise}: {one_line(error)}") from None


def _mapped_rows(rows: datasets.Dataset) -> Iterator[dict[str, Any]]:
    """Rows whose audio stays where `datasets` has mapped it into memory."""
    audio, mapped = audio_columns(rows.features), rows.with_format("arrow")
    statuses = [(file["filename"], os.stat(file["filename"])) for file in rows.cache_files]
    files = repr([(name, status.st_size, status.st_mtime_ns) for name, status in statuses]) if statuses else ""
    for index in range(len(rows)):
        row = {}
        for name, (value,) in zip(rows.column_names, mapped[index].columns):
            if name in audio and value.is_valid:
                place = (files, index, name) if files else None
                row[name] = recording_of(value["bytes"].as_buffer(), value["path"].as_py(), place)
            else:
                row[name] = value.as_py()
        yield row


def recording_of(content: bytes | pa.Buffer | None, path: str | None, place: tuple | None = None) -> Recording | None:
    """The recording of an audio column's `bytes` and `path`."""
    if content is not None:
        return Bytes(content, path, place)
    return File(path) if path else None


def songs_of_rows(rows: Iterable[Mapping[str, Any]], columns: Mapping, layout: str, split: str) -> Iterator[Song]:
    """The songs of rows whose audio columns hold recordings; a song's rows follow each other."""
    stem_columns, audio = _stem_columns(columns), audio_columns(columns)
    by_column = layout in (COLUMNS, SEGMENTS)
    refuse_if(
        by_column != (len(stem_columns) > 1) or (not by_column and len(audio) != 1),
        f"--layout {layout} ({HUB_LAYOUTS[layout]}) does not fit a data set with the columns {', '.join(columns)}.",
    )
    if by_column:
        found = ((_row_name(row, columns), {stem: row[name] for stem, name in stem_columns.items()}) for row in rows)
    else:
        named = ((_row_name(row, columns), _row_stem(row, columns), row[audio[0]]) for row in rows)
        found = _grouped(named, layout)
    for index, (name, stems) in enumerate(found):
        recorded = {stem: recording for stem, recording in stems.items() if recording}
        yield Song(name or f"{split} {index:04d}", "stems", split, recorded)


def _grouped(
    rows: Iterable[tuple[str | None, str | None, Recording | None]], layout: str
) -> Iterator[tuple[str | None, dict[str, Recording | None]]]:
    """The stems of each song, where a row is one stem and those of a song follow each other."""
    rows = iter(rows)
    first = list(islice(rows, 5))
    is_nameless = layout == FIVE_ROWS and first and first[0][1] is None
    order = _five_row_order([recording for *_, recording in first]) if is_nameless else ()
    song, stems = None, {}
    for index, (name, stem, recording) in enumerate(chain(first, rows)):
        if order:
            stem, is_new = order[index % len(order)], index % len(order) == 0
        else:
            is_new = stem in stems or name != song
        refuse_if(stem is None, f"--layout {layout}: nothing says which stem row {index} is.")
        if is_new and stems:
            yield song, stems
            stems = {}
        song = name
        stems[stem] = recording
    if stems:
        yield song, stems


def _five_row_order(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """Names five nameless rows: the mixture is the one that the others add up to."""
    decoded = [decode_recording(recording)[0] for recording in recordings]
    length = min(waveform.shape[1] for waveform in decoded)
    rows = np.stack([waveform[:, :length] for waveform in decoded])
    power = [np.square(2 * row - rows.sum(axis=0)).mean() / max(np.square(row).mean(), 1e-12) for row in rows]
    place = int(np.argmin(power))
    refuse_if(
        len(rows) != 5 or place not in FIVE_ROW_ORDERS or power[place] > MAX_MIXTURE_ERROR,
        f"--layout {FIVE_ROWS}: nothing names the stems, and of the first five rows none is the sum of the others "
        f"at a known place ({', '.join(str(place) for place in FIVE_ROW_ORDERS)}, counted from 0).",
    )
    return FIVE_ROW_ORDERS[place]


def _row_name(row: Mapping, columns: Mapping) -> str | None:
    """The name of a row's song, from a column, or from the name or the folder of its file."""
    for name in SONG_COLUMNS:
        feature, value = columns.get(name), row.get(name)
        if isinstance(feature, datasets.ClassLabel):
            return feature.int2str(value)
        if value is not None and not isinstance(value, (dict, File, Bytes)):
            return str(value)
    label = columns.get("label")
    if isinstance(label, datasets.ClassLabel) and not any(canonical_stem(name) for name in label.names):
        return label.int2str(row["label"])
    for path in _paths(row, columns):
        last = re.split(r"[_. -]", path.stem)[-1]  # `vocals` of `Song_vocals`
        song = path.stem.removesuffix(last).rstrip("_. -") if canonical_stem(last) else path.stem
        name = path.parent.name if canonical_stem(path.stem) else song
        if name:
            return name
    return None


def _row_stem(row: Mapping, columns: Mapping) -> str | None:
    """The stem that a row holds, from a column or from its file's name."""
    name = _label_column(columns)
    if name is not None and row[name] is not None:
        feature = columns[name]
        label = feature.int2str(row[name]) if isinstance(feature, datasets.ClassLabel) else row[name]
        if canonical_stem(label):
            return canonical_stem(label)
    for path in _paths(row, columns):
        found = canonical_stem(path.stem) or canonical_stem(re.split(r"[_. -]", path.stem)[-1])
        if found:
            return found
    return None


def _paths(row: Mapping, columns: Mapping) -> Iterator[PurePosixPath]:
    for name in ("path", "file", "file_name", *audio_columns(columns)):
        value = row.get(name)
        path = value.path if isinstance(value, (File, Bytes)) else value
        if isinstance(path, str):
            yield PurePosixPath(path.replace("\\", "/"))


def _joined(songs: Iterable[Song]) -> list[Song]:
    """Puts together songs whose rows lie apart."""
    pieces: dict[tuple[str, str], dict[str, Recording]] = {}
    for song in songs:
        stems = pieces.setdefault((song.name, song.split), {})
        for stem in song.recorded:
            refuse_if(stem in stems, f"--layout {STEM_ROWS}: two rows are the {stem} of {song.name!r}.")
            stems[stem] = song.stems[stem]
    return [Song(name, "stems", split, stems) for (name, split), stems in pieces.items()]
