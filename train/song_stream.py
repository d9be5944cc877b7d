"""Songs of a data set of the Hub read one after the other, so that it may be larger than the disk."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import datasets
import fsspec
import numpy as np

from modeling_unet_svs.one_line import one_line

from .hub_layouts import COLUMNS, HUB_LAYOUTS, SEGMENTS, audio_columns, recognise, undecoded
from .hub_rows import five_row_order, grouped_rows, row_name, row_stem
from .song_collections import is_held_out
from .stem_names import canonical_stem
from .stem_references import derived_references, file_reference

logger = logging.getLogger(__name__)


class SongStream:
    """Songs of a data set of the Hub, one after the other, whatever its layout.

    Args:
        origin: id, a folder with its files, or one that `save_to_disk` wrote.
        split: to read.
        layout: a key of `HUB_LAYOUTS`, instead of the one that is recognised.

    Raises:
        ValueError: no such data set or split, or no stems in it.
    """

    def __init__(self, origin: str, split: str, layout: str | None = None):
        try:
            self.rows = undecoded(_open(origin, split))
        except (FileNotFoundError, ConnectionError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
            raise ValueError(f"--dataset_name {origin} has no split {split!r} to stream: {one_line(error)}") from None
        self.columns = self.rows.features
        self.layout = layout or recognise(self.columns)
        if self.layout not in HUB_LAYOUTS or not audio_columns(self.columns):
            raise ValueError(
                f"--dataset_name {origin}: --layout {self.layout} cannot be streamed; its columns are "
                f"{', '.join(self.columns)}, and layouts are {', '.join(HUB_LAYOUTS)}."
            )
        self.origin, self.split = origin, split
        logger.warning("streaming %s, %s: %s (%s)", origin, split, HUB_LAYOUTS[self.layout], self.layout)

    def songs(self, seed: int, consumer: int, num_consumers: int) -> Iterator[dict]:
        """Reads the data set once.

        Args:
            seed: of the order of its files. Rows of a file stay in order: the stems of a song follow each other.
            consumer: number of this process's worker, of all that share the songs.
            num_consumers: of them. Files are shared out where a song is a row and there are enough; else each reads
                all, and leaves out what others take.

        Yields:
            Rows of a table of songs; of the train split, without those of `MUSDB18_VALIDATION`.
        """
        files, share = range(self.rows.num_shards), num_consumers
        if self.layout in (COLUMNS, SEGMENTS):
            # Not `shuffle`, which holds several files' rows in memory.
            files = np.random.default_rng(seed).permutation(len(files)).tolist()
            if len(files) >= num_consumers:
                files, share = files[consumer::num_consumers], 1
        # Batches, because iterating over rows would share them out between workers again.
        batches = (batch for file in files for batch in self.rows.shard(self.rows.num_shards, file).iter(batch_size=1))
        singles = ({name: values[0] for name, values in batch.items()} for batch in batches)
        for index, (name, stems) in enumerate(self._group(singles)):
            name = name or f"{self.split} {index:04d}"
            if self.split == "train" and is_held_out(name):
                continue
            if share == 1 or index % share == consumer:
                details = {"name": name, "source": "stems", "split": self.split, "bandwidth": float("inf")}
                references = {stem: _reference(audio) for stem, audio in stems.items() if audio}
                yield {**details, **references, **derived_references(list(references))}

    def _group(self, rows: Iterator[dict]) -> Iterator[tuple[str | None, dict[str, dict]]]:
        """Names and audio of the stems of each song."""
        audio = audio_columns(self.columns)
        if self.layout in (COLUMNS, SEGMENTS):
            by_stem = {canonical_stem(column): column for column in audio if canonical_stem(column)}
            for row in rows:
                yield row_name(row, self.columns), {stem: row[column] for stem, column in by_stem.items()}
            return
        named = ((row_name(row, self.columns), row_stem(row, self.columns), row[audio[0]]) for row in rows)
        yield from grouped_rows(named, self.layout, lambda first: five_row_order([_reference(its) for its in first]))


def _open(origin: str, split: str) -> datasets.IterableDataset:
    if (Path(origin) / "dataset_dict.json").is_file():
        return datasets.load_from_disk(origin)[split].to_iterable_dataset()
    rows = datasets.load_dataset(origin, split=split, streaming=True)
    return rows if rows.features else rows._resolve_features()


def _reference(audio: Mapping) -> dict:
    content = audio.get("bytes")
    if content is None and "://" in audio["path"]:
        with fsspec.open(audio["path"], "rb") as file:
            content = file.read()
    return {**file_reference(audio["path"] or ""), "bytes": content}


__all__ = ["SongStream"]
