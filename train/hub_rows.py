"""Rows of a data set of the Hub to songs: of which song a row is, which stem, and which belong together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import PurePosixPath
from typing import TypeVar

import datasets
import numpy as np

from .hub_layouts import FIVE_ROWS, audio_columns, label_column
from .stem_names import canonical_stem
from .stem_references import decode_reference

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
    """The song that a row is of, from a column, or from the name or the folder of its file.

    Args:
        row: its audio's bytes are not looked at.
        columns: features of the data set.

    Returns:
        Its name, or `None` where nothing says it.
    """
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
    """Which stems five rows are that nothing names: the mixture is the one that the others add up to.

    Args:
        references: of the first five rows.

    Returns:
        Names of stems.

    Raises:
        ValueError: none of the rows is the sum of the others, or it is at a place that no known order has it at.
    """
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
    """The stems of each song, where a row is one stem and those of a song follow each other.

    Args:
        rows: song, stem (`None` where nothing says them) and anything, of each row.
        layout: `FIVE_ROWS` or `STEM_ROWS`.
        order_of: the stems of the first five rows, for rows of which nothing says it; see `five_row_order`.

    Yields:
        Name, or `None`, and what the rows hold, by stem, of each song.

    Raises:
        ValueError: a row whose stem nothing says.
    """
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


__all__ = ["five_row_order", "grouped_rows", "row_name", "row_stem"]
