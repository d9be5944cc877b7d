"""Changes of recordings that a separator should not mind.

Each function returns another float32 waveform `(num_channels, num_samples)` and does not write to the one it is given;
all choices are drawn from the generator.
"""

import math
from fractions import Fraction

import numpy as np
import torch
import torchaudio


def change_gain(waveform: torch.Tensor, rng: np.random.Generator, min_gain: float, max_gain: float) -> torch.Tensor:
    """Multiplies by a factor between two, of even density."""
    return waveform * rng.uniform(min_gain, max_gain)


def pan(waveform: torch.Tensor, rng: np.random.Generator, max_decibels: float) -> torch.Tensor:
    """Changes the balance of left and right; the power of equal channels stays."""
    if len(waveform) != 2:
        return waveform
    ratio = 10 ** (rng.uniform(-max_decibels, max_decibels) / 20)
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
