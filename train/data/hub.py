"""Data sets of the Hub to tables with one row per song."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import TypeVar

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets.fingerprint import Hasher
from datasets.table import InMemoryTable

from .songs import (
    ALL_CHANNELS,
    DETAILS,
    REFERENCE,
    STEM_COLUMNS,
    canonical_stem,
    decode_reference,
    derived_references,
    features,
)

COLUMNS, SEGMENTS, FIVE_ROWS, STEM_ROWS = "columns", "segments", "five-rows", "stem-rows"
HUB_LAYOUTS = {
    COLUMNS: "one row per song with a column per stem",
    SEGMENTS: "pre-cut segments with a column per stem",
    FIVE_ROWS: "five consecutive rows per song",
    STEM_ROWS: "one row per stem",
}
SEGMENT_COLUMNS = ("segment", "segment_id", "segment_index", "chunk", "chunk_id", "chunk_index", "start", "offset")
SEGMENT_COLUMNS += ("start_time", "clip", "part")


def undecoded(songs):
    """Audio columns as paths and bytes: decoding them as `datasets` does needs an FFmpeg on the system."""
    for name, feature in (songs.features or {}).items():
        if isinstance(feature, datasets.Audio) and feature.decode:
            songs = songs.cast_column(name, datasets.Audio(decode=False))
    return songs


def audio_columns(columns: Mapping) -> list[str]:
    """The columns that hold audio: of the type Audio, or with fields `bytes` and `path`."""
    return [
        name
        for name, feature in columns.items()
        if isinstance(feature, datasets.Audio) or (isinstance(feature, dict) and {"bytes", "path"} <= set(feature))
    ]


def recognise(columns: Mapping) -> str | None:
    """The layout of a data set, by its columns."""
    audio = audio_columns(columns)
    stems = {canonical_stem(name) for name in audio} - {None}
    if len(stems) > 1:
        return SEGMENTS if set(SEGMENT_COLUMNS) & set(columns) else COLUMNS
    if len(audio) != 1:
        return None
    return STEM_ROWS if label_column(columns) else FIVE_ROWS


def label_column(columns: Mapping) -> str | None:
    """The column that says which stem a row is."""
    for name in ("stem", "stem_name", "stem_type", "instrument", "source", "label", "type", "target", "part"):
        feature = columns.get(name)
        if isinstance(feature, datasets.ClassLabel):
            if any(canonical_stem(label) for label in feature.names):
                return name
        elif isinstance(feature, datasets.Value) and feature.dtype in ("string", "large_string"):
            return name
    return None


T = TypeVar("T")
SONG_COLUMNS = ("name", "song", "title", "track", "song_name", "track_name", "song_id", "track_id", "folder")
# The orders that five rows come in where nothing names them, by the place of the mixture: that of the streams of a
# MUSDB18 file, and that of the names of MUSDB18-HQ's files.
FIVE_ROW_ORDERS = {
    0: ("mixture", "drums", "bass", "other", "vocals"),
    2: ("bass", "drums", "mixture", "other", "vocals"),
}
# The rest that is left of a mixture without its stems, relative in power: MUSDB18's own is at 0.0016.
MAX_MIXTURE_ERROR = 0.02


def row_name(row: Mapping, columns: Mapping) -> str | None:
    """The song that a row is of, from a column, or from the name or the folder of its file."""
    for name in SONG_COLUMNS:
        feature = columns.get(name)
        if isinstance(feature, datasets.ClassLabel):
            return feature.int2str(row[name])
        if feature is not None and row[name] is not None and not isinstance(row[name], dict):
            return str(row[name])
    label = columns.get("label")
    if isinstance(label, datasets.ClassLabel) and not any(canonical_stem(name) for name in label.names):
        return label.int2str(row["label"])
    for path in _paths(row, columns):
        path = PurePosixPath(path.replace("\\", "/"))
        name = path.parent.name if canonical_stem(path.stem) else _without_stem(path.stem)
        if name:
            return name
    return None


def _without_stem(name: str) -> str:
    """`Song` of `Song_vocals`."""
    last = re.split(r"[_. -]", name)[-1]
    return name[: -len(last)].rstrip("_. -") if canonical_stem(last) else name


def row_stem(row: Mapping, columns: Mapping) -> str | None:
    """The stem that a row is, from a column or from its file's name."""
    name = label_column(columns)
    if name is not None:
        label = columns[name].int2str(row[name]) if isinstance(columns[name], datasets.ClassLabel) else row[name]
        if label is not None and canonical_stem(label):
            return canonical_stem(label)
    for path in _paths(row, columns):
        stem = PurePosixPath(path.replace("\\", "/")).stem
        found = canonical_stem(stem) or canonical_stem(re.split(r"[_. -]", stem)[-1])
        if found:
            return found
    return None


def _paths(row: Mapping, columns: Mapping) -> Iterable[str]:
    for name in ("path", "file", "file_name", *audio_columns(columns)):
        value = row.get(name)
        value = value.get("path") if isinstance(value, dict) else value
        if isinstance(value, str):
            yield value


def five_row_order(references: Sequence[Mapping]) -> tuple[str, ...]:
    """Which stems five rows are that nothing names: the mixture is the one that the others add up to."""
    decoded = [decode_reference(reference)[0] for reference in references]
    length = min(waveform.shape[1] for waveform in decoded)
    rows = np.stack([waveform[:, :length] for waveform in decoded]) if len(decoded) == 5 else np.zeros((0, 1, 1))
    power = [np.square(2 * row - rows.sum(axis=0)).mean() / max(np.square(row).mean(), 1e-12) for row in rows]
    place = int(np.argmin(power)) if power else -1
    if place not in FIVE_ROW_ORDERS or power[place] > MAX_MIXTURE_ERROR:
        raise ValueError(
            f"--layout {FIVE_ROWS}: nothing names the stems, and of the first five rows none is the sum of the others "
            f"at a known place ({', '.join(str(place) for place in FIVE_ROW_ORDERS)}, counted from 0)."
        )
    return FIVE_ROW_ORDERS[place]


def grouped_rows(
    rows: Iterable[tuple[str | None, str | None, T]], layout: str, order_of: Callable[[list[T]], Sequence[str]]
) -> Iterator[tuple[str | None, dict[str, T]]]:
    """The stems of each song, where a row is one stem and those of a song follow each other."""
    rows = iter(rows)
    first = list(islice(rows, 5))
    order = order_of([held for _, _, held in first]) if layout == FIVE_ROWS and first and first[0][1] is None else ()
    song, stems = None, {}
    for index, (name, stem, held) in enumerate(chain(first, rows)):
        if order:
            stem, is_new = order[index % len(order)], index % len(order) == 0
        else:
            is_new = stem in stems or name != song
        if stem is None:
            raise ValueError(f"--layout {layout}: nothing says which stem row {index} is.")
        if is_new and stems:
            yield song, stems
            stems = {}
        if not stems:
            song = name
        stems[stem] = held
    if stems:
        yield song, stems


REFERENCE_TYPE = datasets.Features({"stem": REFERENCE}).arrow_schema.field("stem").type


def song_table(dataset: datasets.Dataset, layout: str, split: str, source: str) -> datasets.Dataset:
    """A data set as a table with one row per song; nothing is copied but references."""
    dataset = undecoded(dataset)
    if dataset._indices is not None:
        dataset = dataset.flatten_indices()
    columns, audio = dataset.features, audio_columns(dataset.features)
    by_stem = {canonical_stem(name): name for name in audio if canonical_stem(name)}
    by_column = layout in (COLUMNS, SEGMENTS)
    if by_column != (len(by_stem) > 1) or (not by_column and len(audio) != 1):
        raise ValueError(
            f"--layout {layout} ({HUB_LAYOUTS[layout]}) does not fit a data set with the columns {', '.join(columns)}."
        )
    rows = list(_without_bytes(dataset, audio))
    if by_column:
        songs = [(row_name(row, columns), dict.fromkeys(by_stem, i)) for i, row in enumerate(rows)]
        arrays = {stem: _references(dataset.data.column(name)) for stem, name in by_stem.items()}
    else:
        references = _references(dataset.data.column(audio[0]))
        songs = _songs_of_rows(rows, columns, layout, references)
        names = sorted({stem for _, stems in songs for stem in stems})
        arrays = {stem: _pick(references, [stems.get(stem) for _, stems in songs]) for stem in names}
    present = {stem: array.is_valid().to_pylist() for stem, array in arrays.items()}
    derived = [derived_references([stem for stem in arrays if present[stem][index]]) for index in range(len(songs))]
    for stem in ("accompaniment", "mixture"):
        sums = pa.chunked_array([pa.array([row.get(stem) for row in derived], REFERENCE_TYPE)])
        arrays[stem] = _either(arrays[stem], present[stem], sums) if stem in arrays else sums
    for stem in STEM_COLUMNS:
        arrays.setdefault(stem, pa.chunked_array([pa.nulls(len(songs), REFERENCE_TYPE)]))
    names = [name or f"{split} {index:04d}" for index, (name, _) in enumerate(songs)]
    if layout == SEGMENTS:
        names = _numbered(names)
    details = {"name": names, "source": [source] * len(songs), "split": [split] * len(songs)}
    details["bandwidth"] = [float("inf")] * len(songs)
    schema = datasets.Features(DETAILS).arrow_schema
    table = pa.table({**{k: pa.array(v, schema.field(k).type) for k, v in details.items()}, **arrays})
    order = [*STEM_COLUMNS, *sorted(set(arrays) - set(STEM_COLUMNS))]
    table = table.select([*DETAILS, *order])
    fingerprint = Hasher.hash([dataset._fingerprint, layout, split, source])
    info = datasets.DatasetInfo(features=features(order))
    return datasets.Dataset(InMemoryTable(table), info=info, fingerprint=fingerprint)


def _songs_of_rows(
    rows: list[dict], columns: Mapping, layout: str, references: pa.ChunkedArray
) -> list[tuple[str | None, dict[str, int]]]:
    """Name and number of the row of each stem, for each song; a song's rows may lie apart where they name it."""
    named = [(row_name(row, columns), row_stem(row, columns), index) for index, row in enumerate(rows)]
    if layout == FIVE_ROWS and named and named[0][1] is None and len(named) % 5:
        raise ValueError(f"--layout {layout}: {len(named)} rows are no multiple of 5.")
    songs: list[tuple[str | None, dict[str, int]]] = []
    places: dict[str, dict[str, int]] = {}
    for name, stems in grouped_rows(named, layout, lambda _: five_row_order(references.slice(0, 5).to_pylist())):
        if layout == FIVE_ROWS or name is None:
            songs.append((name, stems))
            continue
        if name not in places:
            places[name] = {}
            songs.append((name, places[name]))
        for stem, index in stems.items():
            if stem in places[name]:
                raise ValueError(
                    f"--layout {layout}: rows {places[name][stem]} and {index} are both the {stem} of {name!r}."
                )
            places[name][stem] = index
    return songs


def _without_bytes(dataset: datasets.Dataset, audio: list[str]) -> Iterable[dict]:
    """The rows with the paths of their audio alone."""
    paths = {}
    for name in audio:
        chunks = dataset.data.column(name).chunks
        paths[name] = [path for chunk in chunks for path in chunk.field("path").to_pylist()]
    others = dataset.remove_columns(audio) if len(audio) < len(dataset.features) else None
    for index in range(len(dataset)):
        yield {**(others[index] if others else {}), **{name: {"path": paths[name][index]} for name in audio}}


def _references(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Structs of bytes and path as references; the bytes stay where they are."""
    chunks = []
    for chunk in column.chunks:
        missing = pc.and_(chunk.field("path").is_null(), chunk.field("bytes").is_null())
        fields = {
            "path": chunk.field("path").cast(pa.string()),
            "bytes": chunk.field("bytes").cast(pa.binary()),
            "audio_stream": pa.array([0] * len(chunk), pa.int32()),
            "channel": pa.array([ALL_CHANNELS] * len(chunk), pa.int32()),
            "sum_of": pa.nulls(len(chunk), pa.list_(pa.string())),
        }
        arrays, missing = [fields[field.name] for field in REFERENCE_TYPE], pc.or_(chunk.is_null(), missing)
        chunks.append(pa.StructArray.from_arrays(arrays, fields=list(REFERENCE_TYPE), mask=missing))
    return pa.chunked_array(chunks, REFERENCE_TYPE)


def _numbered(names: list[str]) -> list[str]:
    """Names of segments: that of the song and a number in brackets."""
    counts: dict[str, int] = {}
    numbered = []
    for name in names:
        counts[name] = counts.get(name, -1) + 1
        numbered.append(f"{name} [{counts[name]:04d}]")
    return numbered


def _pick(references: pa.ChunkedArray, rows: list[int | None]) -> pa.ChunkedArray:
    """The references of some rows, as slices, which copy nothing."""
    chunks = []
    for row in rows:
        chunks += [pa.nulls(1, REFERENCE_TYPE)] if row is None else references.slice(row, 1).chunks
    return pa.chunked_array(chunks, REFERENCE_TYPE)


def _either(references: pa.ChunkedArray, present: list[bool], sums: pa.ChunkedArray) -> pa.ChunkedArray:
    """The recorded stem where there is one, else the sum."""
    if all(present):
        return references
    chunks = []
    for index, recorded in enumerate(present):
        chunks += (references if recorded else sums).slice(index, 1).chunks
    return pa.chunked_array(chunks, REFERENCE_TYPE)
