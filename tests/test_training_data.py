"""From data sets on disk to training examples."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
import torch

from train.data.cache import decode_songs, open_stem
from train.data.folders import MUSDB18_VALIDATION, load_instrumentals, load_mir1k, load_musdb18, load_song_collection
from train.data.mixing import MixingArguments, RandomMixes

from .conftest import small_config, write_song
from .data_sets import (
    RATE,
    TRAIN_SONGS,
    make_instrumentals,
    make_mir1k,
    make_musdb18,
    make_musdb18_hq,
    make_song_folders,
    stems_of,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    make_musdb18(root / "musdb18")
    make_musdb18_hq(root / "musdb18-hq")
    make_mir1k(root / "mir-1k")
    make_instrumentals(root / "instrumentals")
    return root


@pytest.mark.parametrize("layout", ["musdb18", "musdb18-hq"])
def test_musdb18_has_one_row_for_each_song_and_the_standard_songs_validate(root, layout):
    train, validation, test = (load_musdb18(root / layout, split) for split in ("train", "validation", "test"))
    assert isinstance(train, datasets.Dataset)
    assert sorted(train["name"]) == sorted(TRAIN_SONGS)
    assert list(validation["name"]) == [MUSDB18_VALIDATION[0]]
    assert list(test["name"]) == ["Nobody - Four"]


def test_there_are_14_validation_songs_and_none_of_them_is_trained_on(musdb_dir):
    names = {split: set(load_musdb18(musdb_dir, split)["name"]) for split in ("train", "validation", "test")}
    assert {split: len(songs) for split, songs in names.items()} == {"train": 80, "validation": 14, "test": 50}
    assert names["validation"] == set(MUSDB18_VALIDATION)
    assert not names["train"] & (names["validation"] | names["test"])


@pytest.mark.parametrize("layout", ["musdb18", "musdb18-hq"])
def test_stems_are_decoded_to_what_they_are(root, layout, tmp_path):
    songs = decode_songs(load_musdb18(root / layout, "train"), tmp_path, RATE, 2)
    for song in songs:
        expected = stems_of(song["name"])
        assert abs(song["num_samples"] - RATE) <= 1024
        for file in song["stem_files"]:
            stem = open_stem(file["file"])[:, :RATE].astype(np.float32)
            wanted = expected[file["stem"]][:, : stem.shape[1]]
            error = np.square(stem - wanted).mean() / np.square(wanted).mean()
            # AAC does not keep noise as it was; a wav file does.
            assert error < (1e-4 if layout == "musdb18-hq" or file["stem"] == "vocals" else 0.5)


def test_mir1k_has_the_voice_on_the_right_and_ends_at_8_khz(root, tmp_path):
    songs = load_mir1k(root / "mir-1k", "train")
    assert sorted(songs["name"]) == ["amy_1_01", "amy_1_02"]
    assert list(load_mir1k(root / "mir-1k", "validation")["name"]) == ["jmzen_1_01"]
    assert all(bandwidth < 8000 for bandwidth in songs["bandwidth"])
    for song in decode_songs(songs, tmp_path, 16_000, 2):
        expected = stems_of(song["name"], 32_000)
        for file in song["stem_files"]:
            stem = open_stem(file["file"]).astype(np.float32)
            wanted = expected["vocals" if file["stem"] == "vocals" else "other"][0]
            assert stem.shape == (2, 32_000)
            assert np.abs(stem - wanted).max() < 1e-3


def test_instrumentals_are_found_in_all_subfolders(root):
    songs = load_instrumentals(root / "instrumentals")
    assert sorted(songs["name"]) == ["game/theme.ogg", "march.mp3"]


def test_songs_are_decoded_once_and_again_when_they_change(root, tmp_path):
    songs = load_mir1k(root / "mir-1k", "train")
    decode_songs(songs, tmp_path, 16_000, 1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    assert len(before) == 4
    decode_songs(songs, tmp_path, 16_000, 1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")} == before
    decode_songs(songs, tmp_path, 8_000, 1)
    assert len(list(tmp_path.glob("*.npy"))) == 8


def test_a_song_that_cannot_be_decoded_is_named(tmp_path):
    make_mir1k(tmp_path / "mir-1k")
    (tmp_path / "mir-1k" / "amy_1_02.wav").write_text("no song")
    with pytest.raises(ValueError, match="amy_1_02.wav: is no audio file"):
        decode_songs(load_mir1k(tmp_path / "mir-1k", "train"), tmp_path / "cache", 16_000, 1)


def test_stems_of_different_lengths_are_refused(tmp_path):
    make_musdb18_hq(tmp_path)
    write_song(tmp_path / "train" / TRAIN_SONGS[0] / "bass.wav", stems_of("short", 20_000)["bass"], RATE)
    with pytest.raises(ValueError, match=f"{TRAIN_SONGS[0]}.*differ in length.*bass 0.45 s"):
        decode_songs(load_musdb18(tmp_path, "train"), tmp_path / "cache", RATE, 2)


def test_folders_that_are_no_data_set_say_what_is_needed(tmp_path):
    for load in (load_musdb18, load_mir1k):
        with pytest.raises(ValueError, match=str(tmp_path)):
            load(tmp_path, "train")
    with pytest.raises(ValueError, match="no audio files"):
        load_instrumentals(tmp_path)
    make_musdb18_hq(tmp_path)
    (tmp_path / "train" / TRAIN_SONGS[1] / "other.wav").unlink()
    with pytest.raises(ValueError, match=r"Two.other.wav is missing"):
        load_musdb18(tmp_path, "train")


@pytest.fixture(scope="module")
def songs(root, tmp_path_factory) -> datasets.Dataset:
    tables = [
        load_musdb18(root / "musdb18", "train"),
        load_mir1k(root / "mir-1k", "train"),
        load_instrumentals(root / "instrumentals"),
    ]
    return decode_songs(datasets.concatenate_datasets(tables), tmp_path_factory.mktemp("cache"), 16_000, 2)


def mixes(songs, seed: int = 0, sources: tuple[str, ...] = ("vocals",), **mixing) -> RandomMixes:
    config = small_config(sources=sources, residual=None)
    return RandomMixes(songs, config, MixingArguments(**mixing), num_examples=100, seed=seed)


def test_an_example_depends_on_seed_and_index_alone(songs):
    first, again, other = mixes(songs), mixes(songs), mixes(songs, seed=1)
    for index in (99, 0, 7):
        for key, value in first[index].items():
            assert torch.equal(value, again[index][key])
        assert not torch.equal(first[index]["input_values"], other[index]["input_values"])


def test_an_example_is_a_patch_long_and_the_labels_add_up_to_the_mixture(songs):
    examples = mixes(songs, sources=("vocals", "accompaniment"))
    for index in range(40):
        example = examples[index]
        assert example["labels"].shape == (2, 2, examples.config.patch_samples)
        assert torch.allclose(example["labels"].sum(0), example["input_values"], atol=1e-6)
        assert all(value.isfinite().all() for value in example.values())


def test_labels_count_up_to_the_band_that_the_voice_was_recorded_in(songs):
    musdb, mir1k = mixes(songs, mir1k_share=0.0), mixes(songs, mir1k_share=1.0, no_vocals_share=0.0)
    assert {float(musdb[index]["label_bandwidth"]) for index in range(10)} == {8000.0}
    assert {float(mir1k[index]["label_bandwidth"]) for index in range(10)} == {7600.0}


def test_voices_over_other_music_are_at_the_levels_asked_for(songs):
    levels = {"min_vocals_level": 2.0, "max_vocals_level": 3.0, "no_vocals_share": 0.0, "coherent_share": 0.0}
    examples = mixes(songs, sources=("vocals", "accompaniment"), mir1k_share=1.0, **levels)
    for index in range(20):
        vocals, accompaniment = examples[index]["labels"].square().mean(dim=(1, 2))
        assert 1.9 < 10 * torch.log10(vocals / accompaniment) < 3.1


def test_a_share_of_the_examples_has_no_voice(songs):
    silent = [not mixes(songs, no_vocals_share=share)[0]["labels"].any() for share in (0.0, 1.0)]
    assert silent == [False, True]


def test_coherent_examples_are_of_one_song(songs):
    """MIR-1K alone, nothing changed: the mixture is a stretch of a clip, voice and backing at one time."""
    mir1k = songs.filter(lambda song: song["name"] == "amy_1_01", load_from_cache_file=False)
    levels = {"coherent_share": 1.0, "speed_share": 0.0, "no_vocals_share": 0.0}
    example = mixes(mir1k, sources=("vocals", "accompaniment"), **levels)[3]
    vocals, accompaniment = (stem[0].numpy() for stem in example["labels"])
    clip = {file["stem"]: open_stem(file["file"])[0].astype(np.float32) for file in mir1k[0]["stem_files"]}
    energy = np.convolve(np.square(clip["accompaniment"]), np.ones(len(accompaniment)), "valid")
    start = int(np.argmin(energy - 2 * np.correlate(clip["accompaniment"], accompaniment, "valid")))
    assert np.allclose(clip["accompaniment"][start : start + len(accompaniment)], accompaniment, atol=1e-3)
    stretch = clip["vocals"][start : start + len(vocals)]
    assert np.dot(stretch, vocals) / (np.linalg.norm(stretch) * np.linalg.norm(vocals)) > 0.999


def test_songs_without_a_voice_cannot_be_trained_on(songs):
    with pytest.raises(ValueError, match="no song with a vocals stem"):
        mixes(songs.filter(lambda song: song["source"] == "instrumentals", load_from_cache_file=False))
    with pytest.raises(ValueError, match="'drums' needs songs with that stem"):
        mixes(songs, sources=("drums",))


def test_augmentations_are_off_unless_asked_for(songs):
    """And those of the stems leave the labels adding up to the mixture."""
    plain = mixes(songs, sources=("vocals", "accompaniment"))
    shares = {"polarity_share": 1.0, "panning_share": 1.0, "low_pass_share": 1.0, "codec_share": 1.0}
    for name in shares:
        changed = mixes(songs, sources=("vocals", "accompaniment"), **{name: 1.0}, max_low_pass=4000.0)
        off = mixes(songs, sources=("vocals", "accompaniment"), **{name: 0.0})
        different = 0
        for index in range(6):
            example = changed[index]
            assert example["labels"].shape == plain[index]["labels"].shape
            assert torch.allclose(example["labels"].sum(0), example["input_values"], atol=1e-5)
            assert torch.equal(off[index]["input_values"], plain[index]["input_values"])
            different += not torch.equal(example["input_values"], plain[index]["input_values"])
        # At 16 kHz no encoder cuts.
        assert bool(different) == (name != "codec_share")


def test_songs_with_different_stems_are_mixed(root, tmp_path):
    collection = load_song_collection(make_song_folders(tmp_path / "folders"))
    tables = [part for part in collection.values() if len(part)] + [load_musdb18(root / "musdb18", "train")]
    decoded = decode_songs(datasets.concatenate_datasets(tables), tmp_path / "cache", 16_000, 2)
    examples = mixes(decoded, sources=("vocals", "accompaniment"), coherent_share=0.0)
    for index in range(20):
        example = examples[index]
        assert example["labels"][1].any()
        assert torch.allclose(example["labels"].sum(0), example["input_values"], atol=1e-6)
    with pytest.raises(ValueError, match="'drums' needs songs with that stem, which 'Somebody - "):
        mixes(decoded, sources=("drums",))
