"""Data sets of the Hub to tables with one row per song."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import datasets
import pyarrow as pa
import pyarrow.compute as pc
from datasets.fingerprint import Hasher
from datasets.table import InMemoryTable

from .hub_layouts import COLUMNS, FIVE_ROWS, HUB_LAYOUTS, SEGMENTS, audio_columns, undecoded
from .hub_rows import five_row_order, grouped_rows, row_name, row_stem
from .stem_names import canonical_stem
from .stem_references import ALL_CHANNELS, DETAILS, REFERENCE, STEM_COLUMNS, derived_references, features

REFERENCE_TYPE = datasets.Features({"stem": REFERENCE}).arrow_schema.field("stem").type


def song_table(dataset: datasets.Dataset, layout: str, split: str, source: str) -> datasets.Dataset:
    """A data set as a table with one row per song; nothing is copied but references.

    Args:
        dataset: a split of a data set.
        layout: a key of `HUB_LAYOUTS`.
        split: for the rows.
        source: for the rows.

    Returns:
        Table of songs; of pre-cut segments, one row for each.

    Raises:
        ValueError: the data set is not of the layout.
    """
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


__all__ = ["song_table"]
