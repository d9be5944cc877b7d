"""Each augmentation keeps its promise: levels, length, and the same result from the same generator."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from train.data.augmentations import change_gain, change_speed, draw_percent, pan, source_samples, swap_channels

from .conftest import noise

RATE = 44_100
ALL = {
    "gain": partial(change_gain, min_gain=0.25, max_gain=1.25),
    "channel swap": lambda waveform, rng: swap_channels(waveform),
    "panning": partial(pan, max_decibels=6.0),
}


def music(num_channels: int = 2, num_samples: int = 20_000) -> torch.Tensor:
    return torch.from_numpy(noise(num_channels, num_samples))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def level(waveform: torch.Tensor) -> float:
    """RMS in dB, away from the edges."""
    middle = waveform[:, 4000:-4000]
    return 10 * math.log10(float(middle.double().square().mean()) + 1e-20)


@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("name", ALL)
def test_the_shape_stays_and_the_generator_decides(name, num_channels):
    augmentation, waveform = ALL[name], music(num_channels)
    before = waveform.clone()
    first = augmentation(waveform, rng(1))
    assert (first.shape, first.dtype) == (waveform.shape, torch.float32)
    assert first.isfinite().all()
    assert torch.equal(first, augmentation(waveform, rng(1)))
    assert torch.equal(waveform, before), "the input was written to"


@pytest.mark.parametrize("name", ["gain", "panning"])
def test_other_seeds_give_other_results(name):
    first, *others = (ALL[name](music(), rng(seed)) for seed in range(8))
    assert any(not torch.equal(first, other) for other in others)


def test_gain_multiplies_by_a_factor_in_its_range():
    ones = torch.ones(1, 4)
    factors = [float(ALL["gain"](ones, rng(seed))[0, 2]) for seed in range(200)]
    assert 0.25 <= min(factors) < 0.3
    assert 1.2 < max(factors) <= 1.25
    assert np.mean(factors) == pytest.approx(0.75, abs=0.05)


def test_channels_are_swapped_and_twice_is_not_at_all():
    waveform = music()
    assert torch.equal(swap_channels(waveform)[0], waveform[1])
    assert not torch.equal(swap_channels(waveform), waveform)
    assert torch.equal(swap_channels(swap_channels(waveform)), waveform)


def test_panning_keeps_the_power_stays_within_its_range_and_leaves_mono_as_it_is():
    assert torch.equal(ALL["panning"](music(1), rng()), music(1))
    waveform = music(1, 500).expand(2, -1)
    differences = []
    for seed in range(100):
        left, right = ALL["panning"](waveform, rng(seed))
        power = float(left.square().mean() + right.square().mean())
        assert power == pytest.approx(float(waveform.square().mean(1).sum()), rel=1e-4)
        differences.append(10 * math.log10(float(right.square().mean() / left.square().mean())))
    assert -6 <= min(differences) < -5
    assert 5 < max(differences) <= 6


@pytest.mark.parametrize("percent", [-6, -1, 0, 3, 6])
def test_speed_moves_the_pitch_and_gives_the_length_asked_for(percent):
    wanted = 30_000
    times = torch.arange(source_samples(wanted, percent), dtype=torch.float64) / RATE
    source = torch.sin(2 * torch.pi * 1000 * times)[None].float()
    faster = change_speed(source, percent, wanted)
    assert faster.shape == (1, wanted)
    spectrum = torch.fft.rfft(faster[0] * torch.hann_window(wanted)).abs()
    assert float(spectrum.argmax()) * RATE / wanted == pytest.approx(1000 * (1 + percent / 100), abs=RATE / wanted)
    assert level(faster) == pytest.approx(level(source), abs=0.05)


def test_speeds_are_whole_percents_of_both_signs():
    assert {draw_percent(rng(seed), 3) for seed in range(100)} == {-3, -2, -1, 0, 1, 2, 3}
