"""From data sets on disk to training examples."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from train.data.cache import DecodedSong, decode_songs
from train.data.folders import MUSDB18_VALIDATION, load_instrumentals, load_mir1k, load_musdb18, load_song_collection
from train.data.mixing import Mixer, MixingArguments, RandomMixes

from .conftest import small_config
from .data_sets import RATE, TRAIN_SONGS, error_of, make_musdb18_hq, make_song_folders, names_of, stems_of


@pytest.fixture(scope="module")
def root(training_root):
    make_musdb18_hq(training_root / "musdb18-hq")
    return training_root


def test_there_are_14_validation_songs_and_none_of_them_is_trained_on(musdb_dir):
    names = {split: set(names_of(load_musdb18(musdb_dir, split))) for split in ("train", "validation", "test")}
    assert {split: len(songs) for split, songs in names.items()} == {"train": 80, "validation": 14, "test": 50}
    assert names["validation"] == set(MUSDB18_VALIDATION)
    assert not names["train"] & (names["validation"] | names["test"])


@pytest.mark.parametrize("layout", ["musdb18", "musdb18-hq"])
def test_musdb18_has_its_songs_in_their_splits_and_stems_are_decoded_to_what_they_are(root, layout, tmp_path):
    names = [names_of(load_musdb18(root / layout, split)) for split in ("train", "validation", "test")]
    assert names == [sorted(TRAIN_SONGS), [MUSDB18_VALIDATION[0]], ["Nobody - Four"]]
    for song in decode_songs(load_musdb18(root / layout, "train"), tmp_path, RATE, 2):
        assert abs(song.num_samples - RATE) <= 1024
        for name in song.stems:
            is_exact = layout == "musdb18-hq" or name == "vocals"
            # AAC does not keep noise as it was; a wav file does.
            error = error_of(song.stem(name).astype(np.float32), stems_of(song.name)[name])
            assert error < (1e-4 if is_exact else 0.5)


def test_mir1k_has_the_voice_on_the_right(root, tmp_path):
    songs = load_mir1k(root / "mir-1k", "train")
    assert names_of(songs) == ["amy_1_01", "amy_1_02"]
    assert names_of(load_mir1k(root / "mir-1k", "validation")) == ["jmzen_1_01"]
    for song in decode_songs(songs, tmp_path, 16_000, 2):
        expected = stems_of(song.name, 32_000)
        for name in song.stems:
            stem = song.stem(name).astype(np.float32)
            assert stem.shape == (2, 32_000)
            assert np.abs(stem - expected["vocals" if name == "vocals" else "other"][0]).max() < 1e-3


def test_instrumentals_are_found_in_all_subfolders(root):
    assert names_of(load_instrumentals(root / "instrumentals")) == ["game/theme.ogg", "march.mp3"]


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
def songs(root, tmp_path_factory) -> list[DecodedSong]:
    found = load_musdb18(root / "musdb18", "train") + load_mir1k(root / "mir-1k", "train")
    found += load_instrumentals(root / "instrumentals")
    return decode_songs(found, tmp_path_factory.mktemp("cache"), 16_000, 2)


BOTH = ("vocals", "accompaniment")


def mixes(songs, seed=0, sources=BOTH, **mixing) -> RandomMixes:
    mixer = Mixer(songs, small_config(sources=sources, residual=None), MixingArguments(**mixing))
    return RandomMixes(mixer, num_examples=100, seed=seed)


def examples_of(mixed: RandomMixes, number: int) -> list[dict[str, torch.Tensor]]:
    return [mixed[index] for index in range(number)]


def test_an_example_depends_on_seed_and_index_alone(songs):
    first, again, other = mixes(songs), mixes(songs), mixes(songs, seed=1)
    for index in (99, 0, 7):
        for key, value in first[index].items():
            assert torch.equal(value, again[index][key])
        assert not torch.equal(first[index]["input_values"], other[index]["input_values"])


def test_an_example_is_a_patch_long_and_the_labels_add_up_to_the_mixture(songs):
    for example in examples_of(mixes(songs), 40):
        assert example["labels"].shape == (2, 2, small_config().patch_samples)
        assert torch.allclose(example["labels"].sum(0), example["input_values"], atol=1e-6)
        assert all(value.isfinite().all() for value in example.values())


def test_labels_count_up_to_the_band_that_the_voice_was_recorded_in(songs):
    bandwidths = {"mir1k": 5000.0}
    songs = [replace(song, bandwidth=bandwidths.get(song.source, math.inf)) for song in songs]
    musdb, mir1k = mixes(songs, mir1k_share=0.0), mixes(songs, mir1k_share=1.0, no_vocals_share=0.0)
    assert {float(musdb[index]["label_bandwidth"]) for index in range(10)} == {8000.0}
    assert {float(mir1k[index]["label_bandwidth"]) for index in range(10)} == {5000.0}


def test_voices_over_other_music_are_at_the_levels_asked_for(songs):
    levels = {"min_vocals_level": 2.0, "max_vocals_level": 3.0, "no_vocals_share": 0.0, "coherent_share": 0.0}
    for example in examples_of(mixes(songs, mir1k_share=1.0, **levels), 20):
        vocals, accompaniment = example["labels"].square().mean(dim=(1, 2))
        assert 1.9 < 10 * torch.log10(vocals / accompaniment) < 3.1


def test_a_share_of_the_examples_has_no_voice(songs):
    silent = [not mixes(songs, sources=("vocals",), no_vocals_share=share)[0]["labels"].any() for share in (0.0, 1.0)]
    assert silent == [False, True]


def test_a_share_of_the_examples_is_a_voice_alone(songs):
    for share in (0.0, 1.0):
        found = mixes(songs, sources=BOTH, no_vocals_share=0.0, no_accompaniment_share=share)
        for example in examples_of(found, 8):
            assert [bool(stem.any()) for stem in example["labels"]] == [True, share == 0.0]
            torch.testing.assert_close(example["labels"].sum(dim=0), example["input_values"])


def test_coherent_examples_are_of_one_song(songs):
    """MIR-1K alone, nothing changed: the mixture is a stretch of a clip, voice and backing at one time."""
    mir1k = [song for song in songs if song.name == "amy_1_01"]
    levels = {"coherent_share": 1.0, "speed_share": 0.0, "no_vocals_share": 0.0}
    example = mixes(mir1k, **levels)[3]
    vocals, accompaniment = (stem[0].numpy() for stem in example["labels"])
    clip = {name: mir1k[0].stem(name)[0].astype(np.float32) for name in ("vocals", "accompaniment")}
    energy = np.convolve(np.square(clip["accompaniment"]), np.ones(len(accompaniment)), "valid")
    start = int(np.argmin(energy - 2 * np.correlate(clip["accompaniment"], accompaniment, "valid")))
    assert np.allclose(clip["accompaniment"][start : start + len(accompaniment)], accompaniment, atol=1e-3)
    stretch = clip["vocals"][start : start + len(vocals)]
    assert np.dot(stretch, vocals) / (np.linalg.norm(stretch) * np.linalg.norm(vocals)) > 0.999


def test_music_alone_and_voices_alone_are_examples_with_one_silent_stem(songs):
    music = [song for song in songs if song.source == "instrumentals"]
    voices = [replace(song, source="voices", stems={"vocals": song.stems["vocals"]}) for song in songs[:2]]
    for found, heard in ((music, [False, True]), (voices, [True, False]), ([*music, *voices], [True, True])):
        examples = examples_of(mixes(found, sources=BOTH, no_vocals_share=0.0), 8)
        for example in examples:
            assert [bool(stem.any()) for stem in example["labels"]] == heard
            torch.testing.assert_close(example["labels"].sum(dim=0), example["input_values"])
            assert found is not music or example["label_bandwidth"] == 8000


def test_a_stem_that_songs_lack_cannot_be_trained_on(songs):
    voices = [replace(song, source="voices", stems={"vocals": song.stems["vocals"]}) for song in songs[:2]]
    with pytest.raises(ValueError, match="'drums' needs songs with that stem"):
        mixes(voices, sources=("drums",))
    with pytest.raises(ValueError, match="'drums' needs songs with that stem"):
        mixes(songs, sources=("drums",))


def test_augmentations_are_for_a_share_of_the_stems(songs):
    plain, changed = (examples_of(mixes(songs, sources=("vocals",), panning_share=share), 60) for share in (0.0, 0.3))
    assert 5 < sum(not torch.equal(one["labels"], other["labels"]) for one, other in zip(plain, changed)) < 35


def test_augmentations_are_off_unless_asked_for(songs):
    """And they leave the labels adding up to the mixture."""
    shares = ({}, {"panning_share": 1.0}, {"panning_share": 0.0})
    for plain, changed, off in zip(*(examples_of(mixes(songs, **share), 6) for share in shares)):
        assert changed["labels"].shape == plain["labels"].shape
        assert torch.allclose(changed["labels"].sum(0), changed["input_values"], atol=1e-5)
        assert torch.equal(off["input_values"], plain["input_values"])
        assert not torch.equal(changed["input_values"], plain["input_values"])


def test_songs_with_different_stems_are_mixed(root, tmp_path):
    found = sum(load_song_collection(make_song_folders(tmp_path / "folders")).values(), [])
    decoded = decode_songs(found + load_musdb18(root / "musdb18", "train"), tmp_path / "cache", 16_000, 2)
    for example in examples_of(mixes(decoded, coherent_share=0.0), 20):
        assert example["labels"][1].any()
        assert torch.allclose(example["labels"].sum(0), example["input_values"], atol=1e-6)
    with pytest.raises(ValueError, match="'drums' needs songs with that stem, which 'Somebody - "):
        mixes(decoded, sources=("drums",))
