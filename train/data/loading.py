"""Makes the batches of a run from its arguments."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.data_loader import prepare_data_loader

from modeling_unet_svs import UNetSVSConfig
from modeling_unet_svs.separation import refuse_if

from ..arguments import DataArguments, TrainingArguments
from .cache import DecodedSong, decode_songs
from .folders import HELD_OUT_EVERY, load_instrumentals, load_mir1k, load_musdb18, load_song_collection, load_voices
from .mixing import Mixer, MixingArguments, RandomMixes
from .songs import Song
from .streaming import SongStream, StreamedMixes

logger = logging.getLogger(__name__)
MAX_STREAMED_VALIDATION = 14


def load_songs(
    training: TrainingArguments, config: UNetSVSConfig, accelerator: Accelerator
) -> tuple[list[DecodedSong], list[DecodedSong]]:
    """Songs for training and validation, decoded if they are not yet; a stream has none for training."""
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
            return [], _streamed_validation(training, decode)
        train_songs, validation_songs = map(decode, find_songs(training))
    refuse_if(not train_songs, "no songs to train on: all that the flags name are for validation or test, or broken.")
    return train_songs, validation_songs


def _streamed_validation(data: DataArguments, decode: Callable[[list[Song]], list[DecodedSong]]) -> list[DecodedSong]:
    try:
        stream = SongStream(data.dataset_name, "validation", data.layout, data.skip_broken_songs)
    except ValueError as error:
        logger.warning("nothing validates: %s", error)
        return []
    songs = islice(stream.songs(seed=0, consumer=0, num_consumers=1), MAX_STREAMED_VALIDATION)
    # One by one, which holds one song's files in memory.
    return [decoded for song in songs for decoded in decode([song])]


def find_songs(data: DataArguments) -> tuple[list[Song], list[Song]]:
    """Songs for training and validation that the arguments name."""
    train: list[Song] = []
    validation: list[Song] = []
    if data.musdb_dir:
        train += load_musdb18(data.musdb_dir, "train", data.skip_broken_songs)
        validation += load_musdb18(data.musdb_dir, "validation", data.skip_broken_songs)
    for origin in filter(None, (data.stems_dir, data.dataset_name)):
        songs = load_song_collection(origin, layout=data.layout, skip_broken_songs=data.skip_broken_songs)
        train += songs["train"]
        validation += songs["validation"]
    if data.mir1k_dir:
        train += load_mir1k(data.mir1k_dir, "train")
        validation += load_mir1k(data.mir1k_dir, "validation")
    music = load_instrumentals(data.instrumentals_dir) if data.instrumentals_dir else []
    voices, held_out_voices = (
        load_voices(data.voices_dir, split) if data.voices_dir else [] for split in ("train", "validation")
    )
    held_out: list[Song] = []
    if not validation:
        # Music validates only where no song does: below the voices that are held out, or alone if it is all there is.
        if held_out_voices or not (train or voices):
            held_out = music[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY] or music[1:2]
        if (train or music) and not held_out:
            held_out_voices = []  # alone, they would choose the model that takes everything for voice
    train += [song for song in music if song not in held_out]
    return [*train, *voices], [*validation, *held_out, *held_out_voices]


def what_is_learned(songs: Sequence[DecodedSong]) -> str:
    """A sentence for a run without any song that has both stems; empty for others."""
    has_voices, has_music = (any(song.source == kind for song in songs) for kind in ("voices", "instrumentals"))
    if any(song.source not in ("voices", "instrumentals") for song in songs) or not (has_voices or has_music):
        return ""
    if has_voices and has_music:
        return "no songs with both stems: the voices of --voices_dir are mixed over the music of --instrumentals_dir."
    stem, other, flag = "vocals", "voices", "--voices_dir"
    if has_voices:
        stem, other, flag = "accompaniment", "music", "--instrumentals_dir"
    return (
        f"{'voices' if has_voices else 'music'} alone: the model learns to leave the {stem} silent. It may lose "
        f"{other} by that, which no validation notices here: add {flag}, or songs with both stems."
    )


def training_batches(
    songs: list[DecodedSong],
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
        # The loader's own, because each start draws a number from it, and a resumed run has one start more.
        "generator": torch.Generator().manual_seed(training.seed),
    }
    if training.streaming:
        stream = SongStream(training.dataset_name, "train", training.layout, training.skip_broken_songs)
        first_batch = first_step * training.gradient_accumulation_steps
        process = (accelerator.process_index, accelerator.num_processes)
        examples = StreamedMixes(stream, config, mixing, training, first_batch, *process)
        loader = torch.utils.data.DataLoader(examples, **settings)
        return prepare_data_loader(loader, accelerator.device, num_processes=1, process_index=0, put_on_device=True)
    batch_size = training.train_batch_size * accelerator.num_processes * training.gradient_accumulation_steps
    examples = RandomMixes(Mixer(songs, config, mixing), training.max_train_steps * batch_size, training.seed)
    remaining = torch.utils.data.Subset(examples, range(first_step * batch_size, len(examples)))
    return accelerator.prepare(torch.utils.data.DataLoader(remaining, **settings))
