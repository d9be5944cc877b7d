"""Training examples from a data set larger than the disk: songs pass by, and a buffer of their crops is mixed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np
import torch

from modeling_unet_svs import UNetSVSConfig

from .augmentations import Speed
from .decoded_cache import decode_stem
from .mixing import Mixer, MixingArguments
from .song_stream import SongStream
from .stem_references import TOLERATED_SAMPLES, BrokenSongError, stem_names

logger = logging.getLogger(__name__)


class StreamedMixes(torch.utils.data.IterableDataset):
    """Training examples from a stream of songs, deterministic under a seed and for a number of consumers.

    A few crops of each song that passes are held in a buffer, and each example is mixed from those that are there:
    memory holds one whole song and the buffer.

    Args:
        stream: of songs.
        config: the model's configuration.
        mixing: shares and levels.
        batch_size: examples that the loader takes from one worker at a time.
        num_batches: that this process takes, of all of the run.
        seed: of all random choices.
        buffer_size: crops that each worker holds.
        crops_per_song: crops, and examples, for each song that passes.
        process_index: of this process.
        num_processes: that share the songs.
        first_batch: those before are made and thrown away, for a run that is resumed.
        skip_broken_songs: whether songs that cannot be decoded are left out, and named in the log, instead of refused.
    """

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


__all__ = ["StreamedMixes"]
