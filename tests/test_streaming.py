"""Training from a data set that is read song by song."""

import logging

import datasets
import numpy as np
import pytest
import torch

from train.arguments import TrainingArguments
from train.data.mixing import MixingArguments
from train.data.streaming import SongStream, StreamedMixes

from . import data_sets
from .conftest import raises_one_line, small_config
from .data_sets import RATE, SONGS, TRAIN_SONGS, names_of
from .small_training import train_here, write_recipe

BATCH_SIZE, NUM_BATCHES = 2, 5
# As in a loader's worker.
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("streaming")
    more = tuple(f"Somebody - {number}" for number in range(4, 8))
    data_sets.make_columns(root / "columns", {"train": (*SONGS["train"], *more)}, num_files=4)
    data_sets.make_columns(root / "with validation", {"train": TRAIN_SONGS, "validation": SONGS["test"]})
    data_sets.make_five_rows(root / "five-rows", named=True)
    data_sets.make_five_rows(root / "nameless")
    data_sets.make_segments(root / "segments")
    return root


def mixes(folder, seed: int = 0, crops_per_song: int = 2, **position) -> StreamedMixes:
    """Batches of stretches, which are made to differ: each song is a tone of its own."""
    how = {"seed": seed, "shuffle_buffer_size": 3, "crops_per_song": crops_per_song}
    training = TrainingArguments(train_batch_size=BATCH_SIZE, max_train_steps=NUM_BATCHES, **how)
    # At the songs' own rate and speed: resampling takes most of the time.
    mixing = MixingArguments(no_vocals_share=0.0, speed_share=0.0)
    stream = SongStream(str(folder), "train")
    return StreamedMixes(stream, small_config(sampling_rate=RATE), mixing, training, **position)


def batches(examples: StreamedMixes, num_workers: int = 0) -> list[torch.Tensor]:
    loader = torch.utils.data.DataLoader(examples, batch_size=BATCH_SIZE, num_workers=num_workers)
    return [batch["input_values"] for batch in loader]


@pytest.mark.parametrize("layout", ["columns", "five-rows", "nameless", "segments"])
def test_each_layout_is_streamed_and_no_song_that_validates_is_trained_on(root, layout, caplog):
    with caplog.at_level(logging.WARNING):
        stream = SongStream(str(root / layout), "train")
    assert f"({'five-rows' if layout == 'nameless' else layout})" in caplog.text
    assert isinstance(stream.rows, datasets.IterableDataset)
    songs = list(stream.songs(seed=0, consumer=0, num_consumers=1))
    names = [song.name for song in songs]
    if layout == "nameless":
        assert names == [f"train {number:04d}" for number in range(4)]
    else:
        assert set(TRAIN_SONGS) <= set(names)
        assert SONGS["train"][-1] not in names
    assert all({"vocals", "accompaniment"} <= set(song.stems) for song in songs)


@pytest.mark.parametrize("layout", ["columns", "five-rows"])
def test_consumers_share_the_songs_out(root, layout):
    stream = SongStream(str(root / layout), "train")
    whole = names_of(stream.songs(1, 0, 1))
    for number in (2, 3):
        shares = [names_of(stream.songs(1, consumer, number)) for consumer in range(number)]
        assert sorted(sum(shares, [])) == whole
        assert all(shares)


def test_examples_are_those_of_the_seed_and_the_process(root):
    ways = ({}, {}, {"seed": 1}, *({"process_index": index, "num_processes": 2} for index in range(2)))
    first, again, other, *shares = (torch.cat(batches(mixes(root / "columns", **way))) for way in ways)
    assert first.shape == (NUM_BATCHES * BATCH_SIZE, 2, small_config().patch_samples)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(*shares)
    assert len({tuple(example.flatten()[:50].tolist()) for example in first}) == BATCH_SIZE * NUM_BATCHES


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_resumed_stream_goes_on_where_it_was(root, num_workers):
    whole = batches(mixes(root / "columns"), num_workers)
    rest = batches(mixes(root / "columns", first_batch=3), num_workers)
    assert len(whole) == NUM_BATCHES
    assert len(rest) == NUM_BATCHES - 3
    assert torch.equal(torch.cat(whole[3:]), torch.cat(rest))


def test_memory_holds_the_buffer_and_one_song(root):
    """The buffer's crops are copies of a stretch: they do not hold on to the song that they are of."""
    examples = mixes(root / "columns", crops_per_song=50)
    crops = examples._crops(np.random.default_rng(0), 0, 1)
    for _ in range(5):
        for array in next(crops).stems.values():
            assert array.base is None and array.shape[1] <= 2.2 * small_config().patch_samples


def test_too_many_workers_for_the_songs_are_told_so(root):
    with pytest.raises(ValueError, match="has no songs for worker 9 of 10: use fewer of --num_workers"):
        batches(mixes(root / "columns", process_index=9, num_processes=10))


@pytest.mark.parametrize(
    ("origin", "split", "layout", "said"),
    [
        ("no/such-data-set", "train", None, "--dataset_name no/such-data-set has no split 'train'"),
        ("columns", "test", None, "has no split 'test' to stream"),
        ("columns", "train", "musdb18", "--layout musdb18 cannot be streamed"),
    ],
)
def test_what_cannot_be_streamed_is_one_line(root, origin, split, layout, said):
    name = str(root / origin) if (root / origin).is_dir() else origin
    with raises_one_line(said):
        SongStream(name, split, layout)


def test_the_trainer_streams(root, tmp_path, capsys):
    recipe = write_recipe(tmp_path / "small.json")
    given = ["--recipe", str(recipe), "--dataset_name", str(root / "with validation"), "--streaming"]
    given += ["--shuffle_buffer_size", "3", "--max_train_steps", "2", "--train_batch_size", "2", "--num_workers", "0"]
    assert train_here(*given, "--output_dir", str(tmp_path / "run")) == 0, capsys.readouterr().err
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert "validation_sdr_vocals" in capsys.readouterr().out
    # Only what validates is kept decoded.
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 4
