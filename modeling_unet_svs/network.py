"""Waveform to complex spectrogram and back, frame by frame, and frequency bins folded into channels."""

import torch
from torch import nn


def hann_window(n_fft: int, device: torch.device | str | None = None) -> torch.Tensor:
    """Periodic Hann window, the analysis and the synthesis window."""
    return torch.hann_window(n_fft, dtype=torch.float32, device=device)


def stft(waveform: torch.Tensor, n_fft: int, hop_length: int) -> torch.Tensor:
    """Short-time Fourier transform without any padding: frame `t` is samples `t * hop_length` and `n_fft - 1` more."""
    flat = waveform.float().reshape(-1, waveform.shape[-1])
    window = hann_window(n_fft, flat.device)
    spectrum = torch.stft(flat, n_fft, hop_length, window=window, center=False, return_complex=True)
    return spectrum.reshape(*waveform.shape[:-1], *spectrum.shape[-2:])


def magnitude_of(spectrum: torch.Tensor) -> torch.Tensor:
    """Magnitude of a complex spectrum, several times as fast on CPUs as `abs()` of a strided complex tensor."""
    return torch.hypot(spectrum.real, spectrum.imag).contiguous()


def overlap_add(spectrum: torch.Tensor, n_fft: int, hop_length: int) -> torch.Tensor:
    """Inverse of every frame, windowed again and added up, not yet divided by `synthesis_envelope`."""
    num_frames = spectrum.shape[-1]
    # In place, and padded only where it must be: memory that is new costs as much time as the transform.
    frames = torch.fft.irfft(spectrum.transpose(-1, -2), n=n_fft).mul_(hann_window(n_fft, spectrum.device))
    if n_fft % hop_length:
        frames = nn.functional.pad(frames, (0, -n_fft % hop_length))
    # A frame is a row of hops: the first hops of all frames lie one after the other, and so do the second, ...
    hops = frames.unflatten(-1, (-1, hop_length))
    num_hops = hops.shape[-2]
    added = hops.new_zeros(*spectrum.shape[:-2], num_frames + num_hops - 1, hop_length)
    for index in range(num_hops):
        added[..., index : index + num_frames, :] += hops[..., index, :]
    return added.flatten(-2)[..., : (num_frames - 1) * hop_length + n_fft]


def fold_bands(magnitude: torch.Tensor, num_bands: int) -> torch.Tensor:
    """Bins into channels: bin `k` goes to row `k // num_bands`, of the channel that has `k % num_bands` as band."""
    batch, channels, num_bins, num_frames = magnitude.shape
    rows = magnitude.reshape(batch, channels, num_bins // num_bands, num_bands, num_frames)
    return rows.transpose(2, 3).reshape(batch, channels * num_bands, num_bins // num_bands, num_frames)


def unfold_bands(folded: torch.Tensor, num_bands: int) -> torch.Tensor:
    """Inverse of `fold_bands`."""
    batch, channels, num_rows, num_frames = folded.shape
    rows = folded.reshape(batch, channels // num_bands, num_bands, num_rows, num_frames)
    return rows.transpose(2, 3).reshape(batch, channels // num_bands, num_rows * num_bands, num_frames)
