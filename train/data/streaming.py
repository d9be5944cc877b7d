"""Training examples from a data set larger than the disk, mixed from a buffer of crops of passing songs."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import datasets
import numpy as np
import torch

from modeling_unet_svs import UNetSVSConfig
from modeling_unet_svs.separation import refuse_if

from ..arguments import TrainingArguments
from .augmentations import source_samples
from .cache import DecodedSong, decode_song
from .folders import REQUIRED_STEMS, is_held_out, whole_songs
from .hub import COLUMNS, HUB_LAYOUTS, SEGMENTS, audio_columns, opened, recognise, recording_of, songs_of_rows
from .mixing import Mixer, MixingArguments
from .songs import Song, skip_broken

logger = logging.getLogger(__name__)


class SongStream:
    """Songs of a data set of the Hub, one after the other, whatever its layout."""

    def __init__(self, origin: str, split: str, layout: str | None = None, skip_broken_songs: bool = False):
        with opened(f"--dataset_name {origin} has no split {split!r} to stream"):
            if (Path(origin) / "dataset_dict.json").is_file():
                rows = datasets.load_from_disk(origin)[split].to_iterable_dataset()
            else:
                rows = datasets.load_dataset(origin, split=split, streaming=True)
            # Without declared columns, the first rows show what they are.
            self.columns = rows.features or datasets.Dataset.from_list(list(rows.take(5))).features
        for name, feature in self.columns.items():
            # Paths and bytes are enough: `datasets` would need an FFmpeg on the system to decode.
            if isinstance(feature, datasets.Audio):
                rows = rows.cast_column(name, datasets.Audio(decode=False))
        self.rows, self.layout = rows, layout or recognise(self.columns)
        refuse_if(
            self.layout not in HUB_LAYOUTS or not audio_columns(self.columns),
            f"--dataset_name {origin}: --layout {self.layout} cannot be streamed; its columns are "
            f"{', '.join(self.columns)}, and layouts are {', '.join(HUB_LAYOUTS)}.",
        )
        self.origin, self.split, self.skip_broken_songs = origin, split, skip_broken_songs
        logger.warning("streaming %s, %s: %s (%s)", origin, split, HUB_LAYOUTS[self.layout], self.layout)

    def songs(self, seed: int, consumer: int, num_consumers: int) -> Iterator[Song]:
        """Reads one consumer's share of the data set once."""
        num_files = self.rows.num_shards
        files = list(range(num_files))
        if self.layout in (COLUMNS, SEGMENTS):
            # Not `shuffle`, which holds several files' rows in memory.
            files = np.random.default_rng(seed).permutation(num_files).tolist()
            if num_files >= num_consumers:
                files, consumer, num_consumers = files[consumer::num_consumers], 0, 1
        rows = (row for file in files for row in self._rows(num_files, file))
        songs = islice(songs_of_rows(rows, self.columns, self.layout, self.split), consumer, None, num_consumers)
        wanted = (song for song in songs if self.split != "train" or not is_held_out(song.name))
        yield from whole_songs(wanted, REQUIRED_STEMS, self.origin, self.skip_broken_songs)

    def _rows(self, num_files: int, file: int) -> Iterator[dict]:
        audio = audio_columns(self.columns)
        # Batches, because iterating over rows would share them out between workers again.
        for batch in self.rows.shard(num_files, file).iter(batch_size=1):
            row = {name: values[0] for name, values in batch.items()}
            recordings = {name: row[name] and recording_of(row[name]["bytes"], row[name]["path"]) for name in audio}
            yield {**row, **recordings}


@dataclass(eq=False)
class StreamedMixes(torch.utils.data.IterableDataset):
    """Training examples from a stream of songs, deterministic under a seed and for a number of consumers."""

    stream: SongStream
    config: UNetSVSConfig
    mixing: MixingArguments
    training: TrainingArguments
    first_batch: int = 0
    process_index: int = 0
    num_processes: int = 1

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        worker = torch.utils.data.get_worker_info()
        num_workers = worker.num_workers if worker else 1
        # The loader asks its workers in turn, from the first: after a resumption that is the one whose turn it was.
        number = ((worker.id if worker else 0) + self.first_batch) % num_workers
        consumer, num_consumers = self.process_index * num_workers + number, self.num_processes * num_workers
        num_batches = self.training.max_train_steps * self.training.gradient_accumulation_steps
        taken, wanted = (len(range(number, total, num_workers)) for total in (self.first_batch, num_batches))
        batch_size = self.training.train_batch_size
        return islice(self._examples(consumer, num_consumers), taken * batch_size, wanted * batch_size)

    def _examples(self, consumer: int, num_consumers: int) -> Iterator[dict[str, torch.Tensor]]:
        rng = np.random.default_rng([self.training.seed, consumer])
        buffer: list[DecodedSong] = []
        for crop in self._crops(rng, consumer, num_consumers):
            if len(buffer) < self.training.shuffle_buffer_size:
                buffer.append(crop)
            else:
                buffer[int(rng.integers(len(buffer)))] = crop
            if len(buffer) == self.training.shuffle_buffer_size:
                yield Mixer(buffer, self.config, self.mixing).example(rng)

    def _crops(self, rng: np.random.Generator, consumer: int, num_consumers: int) -> Iterator[DecodedSong]:
        """Stretches of songs, twice as long as the fastest examples, in endless passes over the data set."""
        num_samples = 2 * source_samples(self.config.patch_samples, self.mixing.max_speed_percent)
        for number in range(1 << 31):
            found = False
            for song in self._decoded(self.stream.songs(self.training.seed + number, consumer, num_consumers)):
                found = True
                for _ in range(self.training.crops_per_song):
                    start = int(rng.integers(0, max(song.num_samples - num_samples, 0) + 1))
                    # Copies, which do not keep the whole song in memory.
                    crops = {name: song.stem(name)[:, start : start + num_samples].copy() for name in song.stems}
                    yield replace(song, stems=crops, num_samples=min(song.num_samples - start, num_samples))
            refuse_if(
                not found,
                f"--dataset_name {self.stream.origin} has no songs for worker {consumer} of {num_consumers}: use "
                "fewer of --num_workers.",
            )

    def _decoded(self, songs: Iterator[Song]) -> Iterator[DecodedSong]:
        for song in songs:
            with skip_broken(self.stream.skip_broken_songs):
                yield decode_song(song, self.config.sampling_rate, self.config.num_channels)
