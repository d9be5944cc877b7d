"""The four layouts that songs are published in on the Hub, recognised by a data set's columns."""

from __future__ import annotations

from collections.abc import Mapping

import datasets

from .stem_names import canonical_stem

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
    """Audio columns as paths and bytes: decoding them as `datasets` does needs an FFmpeg on the system.

    Args:
        songs: `datasets.Dataset` or `IterableDataset`.

    Returns:
        The same data set with no audio column that decodes.
    """
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
    """The layout of a data set, by its columns.

    Args:
        columns: its features.

    Returns:
        A key of `HUB_LAYOUTS`, or `None` where there are no stems.
    """
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


__all__ = [
    "COLUMNS",
    "FIVE_ROWS",
    "HUB_LAYOUTS",
    "SEGMENTS",
    "STEM_ROWS",
    "audio_columns",
    "label_column",
    "recognise",
    "undecoded",
]
