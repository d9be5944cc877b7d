"""Voices without accompaniment: found, split, measured, mixed, produced, and remixed to validate."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from train import validation
from train.data import production
from train.data.cache import DecodedSong, decode_songs, measure_bandwidth
from train.data.folders import load_instrumentals, load_voices
from train.data.mixing import Mixer, MixingArguments, RandomMixes, voice_shares

from .conftest import make_model, small_config, write_song
from .data_sets import names_of

RATE = 44_100
KNOWN = ("csd/a", "vocadito/b", "ravdess/actor_20", "ravdess/actor_21", "ravdess/actor_24", "gtsinger/x")


def voice(seed: int, seconds: float = 3.0) -> np.ndarray:
    """Partials of a gliding tone and bursts of noise, at half scale."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * 200 * k * (time + 0.02 * time**2)) / k for k in range(1, 30))
    bursts = rng.standard_normal(len(time)) * (np.sin(2 * np.pi * 3 * time) > 0.6)
    waveform = tone + bursts
    return (waveform / np.abs(waveform).max() / 2).astype(np.float32)


def write(folder: Path, names: Sequence[str], seconds: float = 3.0) -> Path:
    for seed, name in enumerate(names):
        write_song(folder / f"{name}.wav", voice(seed, seconds)[None], RATE)
    return folder


def cut(waveform: np.ndarray, frequency: float) -> np.ndarray:
    spectrum = np.fft.rfft(waveform)
    spectrum[np.fft.rfftfreq(len(waveform), 1 / RATE) > frequency] = 0
    return np.fft.irfft(spectrum, len(waveform)).astype(np.float32)


@pytest.mark.parametrize("frequency", [8000, 11_000, 12_000])
def test_a_cut_is_found_to_within_500_hz(frequency, tmp_path):
    write_song(tmp_path / "voices" / "group" / "cut.wav", cut(voice(0, 6), frequency)[None], RATE)
    write_song(tmp_path / "voices" / "group" / "whole.wav", voice(1, 6)[None], RATE)
    for _ in range(2):  # measured, then read back
        narrow, wide = decode_songs(load_voices(tmp_path / "voices", "train"), tmp_path / "cache", RATE, 2)
        assert abs(narrow.bandwidth - frequency) < 500
        assert wide.bandwidth == np.inf


def test_silence_and_clicks_have_no_bandwidth():
    assert measure_bandwidth(np.zeros((1, RATE), np.float16), RATE) == np.inf
    assert measure_bandwidth(np.ones((1, 100), np.float16), RATE) == np.inf


def test_known_groups_and_singers_validate_and_are_not_trained_on(tmp_path):
    write(tmp_path, KNOWN, 0.1)
    assert names_of(load_voices(tmp_path, "train")) == ["gtsinger/x.wav", "ravdess/actor_20.wav"]
    assert len(load_voices(tmp_path, "validation")) == 4


def test_of_unknown_groups_whole_ones_validate(tmp_path):
    write(tmp_path, [f"group{index:02}/{clip}" for index in range(20) for clip in "ab"], 0.1)
    train, held_out = (
        {name.split("/")[0] for name in names_of(load_voices(tmp_path, split))} for split in ("train", "validation")
    )
    assert held_out == {"group09", "group19"}
    assert not held_out & train
    write(tmp_path / "one", ["group/a", "group/b"], 0.1)
    assert load_voices(tmp_path / "one", "validation") == []
    write(tmp_path / "flat", "abc", 0.1)
    assert names_of(load_voices(tmp_path / "flat", "validation")) == ["c.wav"]


@pytest.fixture(scope="module")
def decoded(tmp_path_factory) -> tuple[list[DecodedSong], list[DecodedSong]]:
    """Voices of two groups, and instrumentals."""
    root = tmp_path_factory.mktemp("voices")
    voices = load_voices(write(root / "voices", ["a/1", "a/2", "b/1", "vocadito/1"]), "train")
    instrumentals = load_instrumentals(write(root / "music", ["x", "y"]))
    return tuple(decode_songs(songs, root / "cache", RATE, 2) for songs in (voices, instrumentals))


def test_voices_are_mixed_with_the_accompaniments_of_other_data(decoded):
    (voice, *_), (music, *_) = voices, instrumentals = decoded
    song = replace(voice, name="song", source="stems", stems={**voice.stems, **music.stems})
    mixing = MixingArguments(voices_share=1.0, no_vocals_share=0.0, production_share=1.0, harmony_share=0.5)
    mixes = RandomMixes(Mixer([*voices, *instrumentals, song], small_config(sampling_rate=RATE), mixing), 20, seed=0)
    for index in range(20):
        example = mixes[index]
        assert example["input_values"].shape == example["labels"][0].shape
        assert example["input_values"].isfinite().all()
        assert example["labels"].square().mean() > 1e-6
        assert (example["input_values"] - example["labels"][0]).square().mean() > 1e-6
        assert all(torch.equal(example[name], mixes[index][name]) for name in example)


def test_a_harmony_narrows_the_band_that_counts_and_is_off_unless_asked_for(decoded):
    (first, second, *_), instrumentals = decoded
    song = replace(first, name="song", source="stems", stems={**first.stems, **instrumentals[0].stems})
    songs = [first, replace(second, bandwidth=5000.0), song]
    # Half of the second voices are of the same recording, and half of the others are the narrow one.
    for share, expected in ((0.0, 0.5), (1.0, 0.625)):
        mixing = MixingArguments(voices_share=1.0, no_vocals_share=0.0, harmony_share=share)
        mixes = RandomMixes(Mixer(songs, small_config(sampling_rate=RATE), mixing), 200, seed=0)
        narrow = np.mean([float(mixes[index]["label_bandwidth"]) == 5000.0 for index in range(200)])
        assert narrow == pytest.approx(expected, abs=0.06)


def test_a_long_group_gets_the_square_root_of_its_length():
    names = [*(f"a/{index}" for index in range(16)), "b/0"]
    shares = voice_shares([DecodedSong(name, "voices", np.inf, 100, {}) for name in names])
    assert shares[:16].sum() == pytest.approx(4 / 5)


@pytest.mark.parametrize("name", ["produce", "ride_level", "equalise", "compress", "double", "reverberate"])
def test_production_keeps_shape_and_is_seeded(name):
    stereo = torch.from_numpy(np.stack([voice(0), voice(0)]))
    before, change = stereo.clone(), partial(getattr(production, name), rate=RATE)
    first, again, other = (change(stereo, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(stereo, before) and first.shape == stereo.shape and first.dtype == torch.float32
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert change(torch.zeros_like(stereo), np.random.default_rng(0)).isfinite().all()


def test_the_compressor_brings_levels_together_and_the_equaliser_stays_within_its_decibels():
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.standard_normal((1, 4 * RATE)).astype(np.float32))
    steps = noise * torch.tensor([0.1, 1.0]).repeat_interleave(2 * RATE)
    waveforms = (steps, production.compress(steps, rng, RATE))
    levels = [its.unflatten(1, (2, -1))[..., RATE // 2 :].square().mean(-1)[0] for its in waveforms]
    assert levels[1][1] / levels[1][0] < 0.5 * levels[0][1] / levels[0][0]
    changed = torch.fft.rfft(production.equalise(noise, rng, RATE)).abs() / torch.fft.rfft(noise).abs()
    frequency = torch.linspace(0, RATE / 2, changed.shape[1])
    decibels = 20 * changed[0, (frequency > 500) & (frequency < 20_000)].log10()
    assert decibels.abs().max() < 6.1 and decibels.std() > 0.5
    assert changed[0, frequency < 5].max() < 0.3


def test_reverb_rings_on_and_doubling_is_late():
    click = torch.zeros(2, RATE)
    click[:, RATE // 4] = 1.0
    rung = production.reverberate(click, np.random.default_rng(0), RATE, seconds=(0.5, 1.5))
    assert rung[:, : RATE // 4 - 100].abs().max() <= 1e-4
    assert rung[:, RATE // 3 :].square().sum() > 1e-4 and not torch.equal(rung[0], rung[1])
    doubled = production.double(click, np.random.default_rng(0), RATE, max_cents=0) - click
    late = doubled.abs().argmax(1) - RATE // 4
    assert ((late >= 0.01 * RATE - 1) & (late <= 0.03 * RATE + 1)).all()


def test_remixes_are_the_same_in_every_run_and_their_mean_and_error_are_said(decoded, monkeypatch):
    monkeypatch.setattr(validation, "NUM_REMIXES", 4)
    songs = [*decoded[0], *decoded[1]]
    remixes = [[read() for _, read in validation._remixes(songs, RATE)] for _ in range(2)]
    assert len(remixes[0]) == 4
    for one, two in zip(*remixes):
        assert all(np.array_equal(one[name], two[name]) for name in one)
        np.testing.assert_allclose(one["mixture"], one["vocals"] + one["accompaniment"])
    ratio = np.square(remixes[0][0]["vocals"]).sum() / np.square(remixes[0][0]["accompaniment"]).sum()
    assert 10 * np.log10(ratio) == pytest.approx(validation.REMIX_LEVELS[0], abs=0.1)
    scores = validation.validate(make_model(small_config(sampling_rate=RATE)), songs, Accelerator(cpu=True))
    stems = [scores[f"validation_sdr_{stem}_remixes"] for stem in ("vocals", "accompaniment")]
    assert scores["validation_sdr"] == pytest.approx(np.mean(stems))
    assert scores["validation_sdr_error"] > 0


def test_the_mean_is_that_of_the_parts_and_its_error_shrinks_with_their_sizes():
    parts, names = np.array(["songs"] * 2 + ["remixes"] * 8), ("vocals", "accompaniment")
    scores = np.array([[1.0, 5.0], [3.0, 7.0], *[[2.0, np.nan], [4.0, np.nan]] * 4])
    values = validation._summary(scores, parts, names)
    assert values["validation_sdr_vocals_songs"] == 2
    assert values["validation_sdr_vocals"] == 2.5
    assert values["validation_sdr_accompaniment"] == 6
    assert values["validation_sdr"] == 4.25
    assert values["validation_sdr_error"] == pytest.approx(np.sqrt(1 / 2 + 1 / 8) / 2)


def test_long_songs_are_scored_in_windows(decoded):
    long = replace(decoded[0][0], num_samples=70 * RATE, stems={"vocals": np.zeros((2, 0)), "other": np.zeros((2, 0))})
    windows = [read.args[1:] for _, read in validation._whole_songs([long], RATE)]
    assert windows[0] == (0, 10 * RATE)
    assert windows[-1] == (60 * RATE, 10 * RATE)
    assert len(windows) == validation.MAX_WINDOWS
