"""Changes of recordings that a separator should not mind: small modules that draw from a given generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
import torchaudio

# Zeros of the sinc on each side of a low-pass filter's middle: a transition of about a fifth of the cutoff.
LOW_PASS_ZEROS = 16
# Hz where encoders cut: MP3 and AAC of 64, 96, 128, 160 and 192 kbit/s, as encoders commonly set it.
CODEC_CUTOFFS = (11_000.0, 15_000.0, 16_000.0, 17_500.0, 19_000.0)
# Width in Hz of an encoder's cut.
CODEC_TRANSITION = 500.0


#: Anything that makes, of a float32 waveform `(num_channels, num_samples)`, which it does not write to, another of the
#: same shape; all choices are drawn from the generator.
Augmentation = Callable[[torch.Tensor, np.random.Generator], torch.Tensor]


@dataclass(frozen=True)
class Sometimes:
    """Another augmentation, applied to a share of all waveforms; with a share of 0 nothing is drawn."""

    share: float
    augmentation: Augmentation

    def __call__(self, waveform: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        if self.share > 0 and rng.random() < self.share:
            return self.augmentation(waveform, rng)
        return waveform


@dataclass(frozen=True)
class Gain:
    """Another level: a factor between two, of even density."""

    min_gain: float
    max_gain: float

    def __call__(self, waveform: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        return waveform * rng.uniform(self.min_gain, self.max_gain)


@dataclass(frozen=True)
class ChannelSwap:
    """Left and right exchanged; mono stays as it is."""

    def __call__(self, waveform: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        return waveform.flip(0)


@dataclass(frozen=True)
class Polarity:
    """The opposite sign, which nobody hears."""

    def __call__(self, waveform: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        return -waveform


@dataclass(frozen=True)
class Panning:
    """Another place between the loudspeakers: the balance of left and right, at the same power for equal channels."""

    max_decibels: float

    def __call__(self, waveform: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        if len(waveform) != 2:
            return waveform
        ratio = 10 ** (rng.uniform(-self.max_decibels, self.max_decibels) / 20)
        left = math.sqrt(2 / (1 + ratio**2))
        return waveform * torch.tensor([[left], [left * ratio]], dtype=waveform.dtype)


@dataclass(frozen=True)
class Speed:
    """Speed and pitch together, as a record that is played too fast: by resampling."""

    max_percent: int

    def draw(self, rng: np.random.Generator) -> int:
        """Percents to get faster by (slower where negative)."""
        return int(rng.integers(-self.max_percent, self.max_percent + 1))

    @staticmethod
    def source_samples(num_samples: int, percent: int) -> int:
        """Samples that are needed for `num_samples` to be left."""
        return -(-num_samples * (100 + percent) // 100)

    @staticmethod
    def apply(waveform: torch.Tensor, percent: int, num_samples: int) -> torch.Tensor:
        """Plays a waveform at another speed."""
        if not percent:
            return waveform[:, :num_samples]
        ratio = Fraction(100 + percent, 100)
        return torchaudio.functional.resample(waveform, ratio.numerator, ratio.denominator)[:, :num_samples]


@dataclass(frozen=True)
class LowPass:
    """A muffled recording: a smooth low-pass without phase shift, the cutoff of even density in octaves."""

    min_cutoff: float
    max_cutoff: float
    sampling_rate: int

    def __call__(self, waveform: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        cutoff = float(np.exp(rng.uniform(math.log(self.min_cutoff), math.log(self.max_cutoff))))
        if cutoff >= self.sampling_rate / 2:
            return waveform
        half = math.ceil(LOW_PASS_ZEROS * self.sampling_rate / (2 * cutoff))
        time = torch.arange(-half, half + 1, dtype=torch.float64)
        kernel = (
            torch.sinc(2 * cutoff / self.sampling_rate * time)
            * torch.hann_window(2 * half + 3, periodic=False, dtype=torch.float64)[1:-1]
        )
        kernel = (kernel / kernel.sum()).to(waveform.dtype).expand(len(waveform), -1)
        filtered = torchaudio.functional.fftconvolve(waveform, kernel, mode="full")
        return filtered[:, half : half + waveform.shape[1]]


@dataclass(frozen=True)
class CodecBand:
    """The band that a lossy encoder leaves: everything up to one of some frequencies, and nothing above."""

    sampling_rate: int
    cutoffs: Sequence[float] = CODEC_CUTOFFS

    def __call__(self, waveform: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        cutoff = self.cutoffs[int(rng.integers(len(self.cutoffs)))]
        if cutoff >= self.sampling_rate / 2:
            return waveform
        spectrum = torch.fft.rfft(waveform)
        frequencies = torch.linspace(0, self.sampling_rate / 2, spectrum.shape[1])
        above = ((frequencies - cutoff) / CODEC_TRANSITION).clamp(0, 1)
        return torch.fft.irfft(spectrum * (1 + torch.cos(math.pi * above)) / 2, n=waveform.shape[1])
