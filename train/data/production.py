"""What a studio does to a dry voice, as changes of waveforms like those of `augmentations.py`."""

import numpy as np
import torch

# Lowest frequency in Hz of an equaliser's curve, which has a point in each octave from there.
LOWEST_POINT = 62.5
# Seconds over which a compressor measures levels.
COMPRESSOR_BLOCK = 0.02


def produce(waveform: torch.Tensor, rng: np.random.Generator, rate: int) -> torch.Tensor:
    """All of the following, in the studio's order, each with a probability."""
    steps = ((0.3, ride_level), (0.7, equalise), (0.5, compress), (0.3, double), (0.6, reverberate))
    for share, step in steps:
        if rng.random() < share:
            waveform = step(waveform, rng, rate)
    return waveform


def ride_level(waveform: torch.Tensor, rng: np.random.Generator, rate: int, max_decibels: float = 4.0) -> torch.Tensor:
    """Moves a fader slowly up and down."""
    times = np.arange(0, waveform.shape[1] + rate, rate)
    return waveform * _curve(rng.uniform(-max_decibels, max_decibels, len(times)), times, waveform)


def equalise(
    waveform: torch.Tensor,
    rng: np.random.Generator,
    rate: int,
    max_decibels: float = 6.0,
    max_high_pass: float = 150.0,
) -> torch.Tensor:
    """Applies a smooth curve over frequency and a high-pass; no phase is shifted."""
    spectrum = torch.fft.rfft(waveform)
    frequency = np.linspace(1e-3, rate / 2, spectrum.shape[1])
    points = np.arange(int(np.log2(rate / 2 / LOWEST_POINT)) + 2)
    curve = rng.uniform(-max_decibels, max_decibels, len(points))
    decibels = np.interp(np.log2(frequency / LOWEST_POINT), points, curve)
    high_pass = 1 / (1 + (rng.uniform(20, max_high_pass) / frequency) ** 4)
    return torch.fft.irfft(spectrum * _tensor(10 ** (decibels / 20) * high_pass), n=waveform.shape[1])


def compress(
    waveform: torch.Tensor, rng: np.random.Generator, rate: int, min_ratio: float = 1.5, max_ratio: float = 5.0
) -> torch.Tensor:
    """Makes loud moments softer, and the whole as loud again as before."""
    block = int(COMPRESSOR_BLOCK * rate)
    energy = waveform.square().mean(0).numpy()
    levels = 10 * np.log10(np.add.reduceat(energy, np.arange(0, len(energy), block)) / block + 1e-10)
    threshold = np.percentile(levels, 95) - rng.uniform(6, 20)
    decibels = np.minimum(threshold - levels, 0) * (1 - 1 / rng.uniform(min_ratio, max_ratio))
    # The release is slower than the attack: each block keeps a part of the reduction of the one before.
    release = rng.uniform(0.3, 0.9)
    for index in range(1, len(decibels)):
        decibels[index] = min(decibels[index], release * decibels[index - 1])
    return _as_loud(waveform * _curve(decibels, (np.arange(len(levels)) + 0.5) * block, waveform), waveform)


def double(
    waveform: torch.Tensor,
    rng: np.random.Generator,
    rate: int,
    max_cents: float = 20.0,
    delays: tuple[float, float] = (0.01, 0.03),
    levels: tuple[float, float] = (-14.0, -3.0),
) -> torch.Tensor:
    """Adds a second take: some cents off, some milliseconds late, softer, to one side."""
    time, middle = np.arange(waveform.shape[1]), waveform.shape[1] / 2
    speed = 2 ** (rng.uniform(-max_cents, max_cents) / 1200)
    times = middle + (time - middle) * speed - rng.uniform(*delays) * rate
    second = _tensor(np.stack([np.interp(times, time, channel, 0, 0) for channel in waveform.numpy()]))
    sides = rng.uniform(0, 1, (len(waveform), 1)) * 10 ** (rng.uniform(*levels) / 20)
    return waveform + second * _tensor(sides)


def reverberate(
    waveform: torch.Tensor,
    rng: np.random.Generator,
    rate: int,
    seconds: tuple[float, float] = (0.1, 1.5),
    max_delay: float = 0.06,
    levels: tuple[float, float] = (-24.0, -8.0),
) -> torch.Tensor:
    """Adds a room: decaying noise, another on each channel, after a pre-delay."""
    length = int(np.exp(rng.uniform(*np.log(seconds))) * rate)
    delay = int(rng.uniform(0, max_delay) * rate)
    decay = 10 ** (-3 * np.linspace(0, 1, length))
    noise = rng.standard_normal((len(waveform), length), dtype=np.float32) * decay.astype(np.float32)
    size = 1 << (waveform.shape[1] + length - 1).bit_length()
    # Air and walls take the high frequencies first.
    damping = 1 / (1 + (torch.linspace(0, rate / 2, size // 2 + 1) / rng.uniform(2e3, 8e3)) ** 2)
    room = torch.fft.rfft(_tensor(noise), size) * damping
    wet = torch.fft.irfft(torch.fft.rfft(waveform, size) * room, size)[:, : waveform.shape[1]]
    wet = torch.nn.functional.pad(wet, (delay, 0))[:, : waveform.shape[1]]
    return waveform + _as_loud(wet, waveform) * 10 ** (rng.uniform(*levels) / 20)


def _curve(decibels: np.ndarray, times: np.ndarray, waveform: torch.Tensor) -> torch.Tensor:
    """A factor for each sample of a waveform, between decibels at some samples."""
    return _tensor(10 ** (np.interp(np.arange(waveform.shape[1]), times, decibels) / 20))


def _as_loud(waveform: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return waveform * (other.square().mean() / waveform.square().mean().clamp(min=1e-12)).sqrt()


def _tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
