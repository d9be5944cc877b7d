"""Changes of recordings that a separator should not mind."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
import torchaudio

# Makes another float32 waveform `(num_channels, num_samples)` of one that it does not write to; all choices are drawn
# from the generator.
Augmentation = Callable[[torch.Tensor, np.random.Generator], torch.Tensor]


@dataclass(frozen=True)
class Sometimes:
    """Applies another augmentation to a share of all waveforms; with a share of 0 nothing is drawn."""

    share: float
    augmentation: Augmentation

    def __call__(self, waveform: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        if self.share > 0 and rng.random() < self.share:
            return self.augmentation(waveform, rng)
        return waveform


@dataclass(frozen=True)
class Gain:
    """Changes the level by a factor between two, of even density."""

    min_gain: float
    max_gain: float

    def __call__(self, waveform: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        return waveform * rng.uniform(self.min_gain, self.max_gain)


@dataclass(frozen=True)
class Panning:
    """Changes the balance of left and right; the power of equal channels stays."""

    max_decibels: float

    def __call__(self, waveform: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        if len(waveform) != 2:
            return waveform
        ratio = 10 ** (rng.uniform(-self.max_decibels, self.max_decibels) / 20)
        left = math.sqrt(2 / (1 + ratio**2))
        return waveform * torch.tensor([[left], [left * ratio]], dtype=waveform.dtype)


def swap_channels(waveform: torch.Tensor) -> torch.Tensor:
    """Exchanges left and right; mono stays as it is."""
    return waveform.flip(0)


def draw_percent(rng: np.random.Generator, max_percent: int) -> int:
    """Whole percents to be played faster by, slower where they are negative."""
    return int(rng.integers(-max_percent, max_percent + 1))


def source_samples(num_samples: int, percent: int) -> int:
    """Samples that become `num_samples` when they are played faster by `percent`."""
    return -(-num_samples * (100 + percent) // 100)


def change_speed(waveform: torch.Tensor, percent: int, num_samples: int) -> torch.Tensor:
    """Changes speed and pitch together, as a record player does, and cuts what is longer than `num_samples`."""
    if percent:
        ratio = Fraction(100 + percent, 100)
        waveform = torchaudio.functional.resample(waveform, ratio.numerator, ratio.denominator)
    return waveform[:, :num_samples]
