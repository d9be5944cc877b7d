"""All songs of a run, decoded: what is trained on, and what validates."""

from __future__ import annotations

from pathlib import Path

import datasets
from accelerate import Accelerator

from modeling_unet_svs import UNetSVSConfig

from .arguments import TrainingArguments
from .decoded_cache import decode_songs
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
        Songs to train on, and songs that validate: MUSDB18's 14, MIR-1K's where that is all there is.

    Raises:
        ValueError: a folder without songs.
    """
    train_songs, validation_songs = [], None
    if training.musdb_dir:
        train_songs.append(load_musdb18(training.musdb_dir, "train"))
        validation_songs = load_musdb18(training.musdb_dir, "validation")
    if training.mir1k_dir:
        train_songs.append(load_mir1k(training.mir1k_dir, "train"))
        if validation_songs is None:
            validation_songs = load_mir1k(training.mir1k_dir, "validation")
    if training.instrumentals_dir:
        train_songs.append(load_instrumentals(training.instrumentals_dir))
    cache_dir = training.cache_dir or Path(training.output_dir).parent / "cache"
    with accelerator.local_main_process_first():
        return tuple(
            decode_songs(songs, cache_dir, config.sampling_rate, config.num_channels)
            for songs in (datasets.concatenate_datasets(train_songs), validation_songs)
        )


__all__ = ["load_songs"]
