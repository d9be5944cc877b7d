"""Training examples from a data set larger than the disk: songs pass by, and a buffer of their crops is mixed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import datasets
import fsspec
import numpy as np
import torch

from modeling_unet_svs import UNetSVSConfig
from modeling_unet_svs.audio_reading import one_line

from .augmentations import Speed
from .cache import decode_stem
from .folders import is_held_out
from .hub import (
    COLUMNS,
    HUB_LAYOUTS,
    SEGMENTS,
    audio_columns,
    five_row_order,
    grouped_rows,
    recognise,
    row_name,
    row_stem,
    undecoded,
)
from .mixing import Mixer, MixingArguments
from .songs import TOLERATED_SAMPLES, BrokenSongError, canonical_stem, derived_references, file_reference, stem_names

logger = logging.getLogger(__name__)


class SongStream:
    """Songs of a data set of the Hub, one after the other, whatever its layout."""

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
        """Reads the data set once."""
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


logger = logging.getLogger(__name__)


class StreamedMixes(torch.utils.data.IterableDataset):
    """Training examples from a stream of songs, deterministic under a seed and for a number of consumers."""

    def __init__(
        self,
        stream: SongStream,
        config: UNetSVSConfig,
        mixing: MixingArguments,
        *,
        batch_size: int,
        num_batches: int,
        seed: int,
        buffer_size: int = 64,
        crops_per_song: int = 8,
        process_index: int = 0,
        num_processes: int = 1,
        first_batch: int = 0,
        skip_broken_songs: bool = False,
    ):
        self.stream, self.config, self.mixing, self.seed = stream, config, mixing, seed
        self.batch_size, self.num_batches, self.first_batch = batch_size, num_batches, first_batch
        self.buffer_size, self.crops_per_song, self.skip_broken_songs = buffer_size, crops_per_song, skip_broken_songs
        self.process_index, self.num_processes = process_index, num_processes

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = torch.utils.data.get_worker_info()
        num_workers = worker.num_workers if worker else 1
        # The loader asks its workers in turn, from the first: after a resumption that is the one whose turn it was.
        number = ((worker.id if worker else 0) + self.first_batch) % num_workers
        taken, wanted = (len(range(number, total, num_workers)) for total in (self.first_batch, self.num_batches))
        consumer, num_consumers = self.process_index * num_workers + number, self.num_processes * num_workers
        examples = self._examples(consumer, num_consumers)
        return islice(examples, taken * self.batch_size, wanted * self.batch_size)

    def _examples(self, consumer: int, num_consumers: int) -> Iterator[dict[str, torch.Tensor]]:
        rng = np.random.default_rng([self.seed, consumer])
        buffer: list[dict] = []
        for crop in self._crops(rng, consumer, num_consumers):
            if len(buffer) < self.buffer_size:
                buffer.append(crop)
            else:
                buffer[int(rng.integers(len(buffer)))] = crop
            if len(buffer) == self.buffer_size:
                yield Mixer(buffer, self.config, self.mixing).example(rng)

    def _crops(self, rng: np.random.Generator, consumer: int, num_consumers: int) -> Iterator[dict]:
        """Stretches of songs, twice as long as examples at their fastest, in passes over the data set without end."""
        fastest = Speed.source_samples(self.config.patch_samples, self.mixing.max_speed_percent)
        for number in range(1 << 31):
            found = False
            for song in self.stream.songs(self.seed + number, consumer, num_consumers):
                decoded = self._decode(song)
                if decoded is None:
                    continue
                found = True
                stems, length = decoded
                for _ in range(self.crops_per_song):
                    start = int(rng.integers(0, max(length - 2 * fastest, 0) + 1))
                    crops = {name: stem[:, start : start + 2 * fastest].copy() for name, stem in stems.items()}
                    details = {"name": song["name"], "source": "stems", "bandwidth": song["bandwidth"]}
                    yield {**details, "num_samples": min(length - start, 2 * fastest), "files": crops}
            if not found:
                raise ValueError(
                    f"--dataset_name {self.stream.origin} has no songs for worker {consumer} of {num_consumers}: use "
                    "fewer of --num_workers."
                )

    def _decode(self, song: Mapping) -> tuple[dict[str, np.ndarray], int] | None:
        try:
            names = stem_names(song)
            if "vocals" not in names or len(names) < 2:
                raise BrokenSongError(f"{song['name']!r} lacks vocals or accompaniment.")
            rate, channels = self.config.sampling_rate, self.config.num_channels
            stems = {name: decode_stem(song, name, rate, channels) for name in names}
            lengths = [stem.shape[1] for stem in stems.values()]
            if max(lengths) - min(lengths) > TOLERATED_SAMPLES:
                raise BrokenSongError(f"the stems of {song['name']!r} differ in length.")
            return stems, min(lengths)
        except ValueError as error:
            if not self.skip_broken_songs:
                raise
            logger.warning("left out: %s", error)
            return None
