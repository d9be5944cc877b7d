"""All songs of a run, decoded: what is trained on, and what validates."""

from __future__ import annotations

import logging
from pathlib import Path

import datasets
from accelerate import Accelerator

from modeling_unet_svs import UNetSVSConfig

from .arguments import TrainingArguments
from .data_arguments import DataArguments
from .decoded_cache import decode_songs
from .song_collections import load_song_collection
from .songs import load_instrumentals, load_mir1k, load_musdb18


def load_songs(
    training: TrainingArguments, config: UNetSVSConfig, accelerator: Accelerator
) -> tuple[datasets.Dataset, datasets.Dataset | None]:
    """Finds the songs that the arguments name and decodes those that are not decoded yet.

    Args:
        training: names the folders.
        config: rate and channels to decode to.
        accelerator: one process of a machine decodes, the others wait for it.

    Returns:
        Songs to train on, and songs that validate: MUSDB18's 14 and those of other data sets, MIR-1K's where that is
        all there is; `None` where there are none.

    Raises:
        ValueError: a folder without songs, a broken song, or a full disk.
    """
    if not accelerator.is_local_main_process:
        logging.getLogger(__package__).setLevel(logging.ERROR)
    train_songs, validation_songs = find_songs(training)
    cache_dir = training.cache_dir or Path(training.output_dir).parent / "cache"
    with accelerator.local_main_process_first():
        return tuple(
            None
            if songs is None
            else decode_songs(
                songs,
                cache_dir,
                config.sampling_rate,
                config.num_channels,
                num_workers=training.decoding_workers or None,
                skip_broken_songs=training.skip_broken_songs,
            )
            for songs in (train_songs, validation_songs)
        )


def find_songs(data: DataArguments) -> tuple[datasets.Dataset, datasets.Dataset | None]:
    """The songs that the arguments name, not decoded.

    Args:
        data: names folders and data sets.

    Returns:
        Songs to train on, and songs that validate.

    Raises:
        ValueError: a folder without songs, or a broken song.
    """
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


__all__ = ["find_songs", "load_songs"]
