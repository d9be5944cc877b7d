"""All songs of a run, decoded: what is trained on, and what validates."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

import datasets
import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader

from modeling_unet_svs import UNetSVSConfig

from ..arguments import DataArguments, TrainingArguments
from .cache import decode_songs
from .folders import load_instrumentals, load_mir1k, load_musdb18, load_song_collection, song_rows_table
from .mixing import MixingArguments, RandomMixes
from .streaming import SongStream, StreamedMixes

logger = logging.getLogger(__name__)

MAX_STREAMED_VALIDATION = 14


def load_songs(
    training: TrainingArguments, config: UNetSVSConfig, accelerator: Accelerator
) -> tuple[datasets.Dataset | None, datasets.Dataset | None]:
    """Finds the songs that the arguments name and decodes those that are not decoded yet."""
    if not accelerator.is_local_main_process:
        logging.getLogger("train").setLevel(logging.ERROR)
    decode = partial(
        decode_songs,
        cache_dir=training.cache_dir or Path(training.output_dir).parent / "cache",
        sampling_rate=config.sampling_rate,
        num_channels=config.num_channels,
        num_workers=training.decoding_workers or None,
        skip_broken_songs=training.skip_broken_songs,
    )
    with accelerator.local_main_process_first():
        if training.streaming:
            return None, _streamed_validation(training, decode)
        return tuple(None if songs is None else decode(songs) for songs in find_songs(training))


def training_batches(
    songs: datasets.Dataset | None,
    training: TrainingArguments,
    config: UNetSVSConfig,
    mixing: MixingArguments,
    accelerator: Accelerator,
    first_step: int = 0,
) -> torch.utils.data.DataLoader:
    """All batches of this process from a step on; they are the same whether or not a run was interrupted before."""
    settings = {
        "batch_size": training.train_batch_size,
        "num_workers": training.num_workers,
        "drop_last": True,
        "prefetch_factor": 4 if training.num_workers else None,
        # Of its own: a loader draws a number when it starts, and a resumed run starts one more than another.
        "generator": torch.Generator().manual_seed(training.seed),
    }
    if training.streaming:
        examples = _streamed_mixes(training, config, mixing, accelerator, first_step)
        loader = torch.utils.data.DataLoader(examples, **settings)
        return prepare_data_loader(loader, accelerator.device, num_processes=1, process_index=0, put_on_device=True)
    batch_size = training.train_batch_size * accelerator.num_processes * training.gradient_accumulation_steps
    examples = RandomMixes(songs, config, mixing, training.max_train_steps * batch_size, training.seed)
    remaining = torch.utils.data.Subset(examples, range(first_step * batch_size, len(examples)))
    return accelerator.prepare(torch.utils.data.DataLoader(remaining, **settings))


def _streamed_mixes(
    training: TrainingArguments,
    config: UNetSVSConfig,
    mixing: MixingArguments,
    accelerator: Accelerator,
    first_step: int,
) -> StreamedMixes:
    """This process's share of the examples of `--dataset_name`."""
    return StreamedMixes(
        SongStream(training.dataset_name, "train", training.layout),
        config,
        mixing,
        batch_size=training.train_batch_size,
        num_batches=training.max_train_steps * training.gradient_accumulation_steps,
        first_batch=first_step * training.gradient_accumulation_steps,
        seed=training.seed,
        buffer_size=training.shuffle_buffer_size,
        crops_per_song=training.crops_per_song,
        process_index=accelerator.process_index,
        num_processes=accelerator.num_processes,
        skip_broken_songs=training.skip_broken_songs,
    )


def _streamed_validation(
    data: DataArguments, decode: Callable[[datasets.Dataset], datasets.Dataset]
) -> datasets.Dataset | None:
    """Songs of a stream's validation split, decoded one by one."""
    try:
        stream = SongStream(data.dataset_name, "validation", data.layout)
    except ValueError as error:
        logger.warning("nothing validates: %s", error)
        return None
    songs = islice(stream.songs(seed=0, consumer=0, num_consumers=1), MAX_STREAMED_VALIDATION)
    return _together([decode(song_rows_table([song])) for song in songs])


def find_songs(data: DataArguments) -> tuple[datasets.Dataset, datasets.Dataset | None]:
    """The songs that the arguments name, not decoded."""
    train_songs, validation_songs = [], []
    if data.musdb_dir:
        train_songs.append(load_musdb18(data.musdb_dir, "train", data.skip_broken_songs))
        validation_songs.append(load_musdb18(data.musdb_dir, "validation", data.skip_broken_songs))
    for origin in filter(None, (data.stems_dir, data.dataset_name)):
        songs = load_song_collection(origin, layout=data.layout, skip_broken_songs=data.skip_broken_songs)
        train_songs.append(songs["train"])
        validation_songs.append(songs["validation"])
    if data.mir1k_dir:
        train_songs.append(load_mir1k(data.mir1k_dir, "train"))
        if not any(len(songs) for songs in validation_songs):
            validation_songs.append(load_mir1k(data.mir1k_dir, "validation"))
    if data.instrumentals_dir:
        train_songs.append(load_instrumentals(data.instrumentals_dir))
    train, validation = _together(train_songs), _together(validation_songs)
    if train is None:
        raise ValueError("no songs to train on: what the flags name has none but for validation and test.")
    return train, validation


def _together(tables: list[datasets.Dataset]) -> datasets.Dataset | None:
    filled = [table for table in tables if len(table)]
    if not filled:
        return None
    return datasets.concatenate_datasets(filled) if len(filled) > 1 else filled[0]
