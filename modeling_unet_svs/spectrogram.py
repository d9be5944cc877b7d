"""Waveform to complex spectrogram and back, frame by frame, and frequency bins folded into channels."""

import torch
from torch import nn


def hann_window(n_fft: int, device: torch.device | str | None = None) -> torch.Tensor:
    """Periodic Hann window, the analysis and the synthesis window.

    Made anew at each use: as a buffer it would come back empty from a model built on the meta device, and be cast with
    the weights.

    Args:
        n_fft: length in samples.
        device: where to make it.

    Returns:
        float32 tensor of shape `(n_fft,)`.
    """
    return torch.hann_window(n_fft, dtype=torch.float32, device=device)


def stft(waveform: torch.Tensor, n_fft: int, hop_length: int) -> torch.Tensor:
    """Short-time Fourier transform without any padding: frame `t` is samples `t * hop_length` and `n_fft - 1` more.

    Args:
        waveform: float tensor `(..., num_samples)` with `num_samples >= n_fft`.
        n_fft: window length in samples.
        hop_length: step between frames in samples.

    Returns:
        complex64 tensor `(..., n_fft // 2 + 1, 1 + (num_samples - n_fft) // hop_length)`.
    """
    flat = waveform.float().reshape(-1, waveform.shape[-1])
    window = hann_window(n_fft, flat.device)
    spectrum = torch.stft(flat, n_fft, hop_length, window=window, center=False, return_complex=True)
    return spectrum.reshape(*waveform.shape[:-1], *spectrum.shape[-2:])


def magnitude_of(spectrum: torch.Tensor) -> torch.Tensor:
    """Magnitude of a complex spectrum, several times as fast on CPUs as `abs()` of a strided complex tensor.

    Args:
        spectrum: complex tensor of any shape.

    Returns:
        contiguous float tensor of the same shape.
    """
    return torch.hypot(spectrum.real, spectrum.imag).contiguous()


def overlap_add(spectrum: torch.Tensor, n_fft: int, hop_length: int) -> torch.Tensor:
    """Inverse of every frame, windowed again and added up, not yet divided by `synthesis_envelope`.

    Args:
        spectrum: complex tensor `(..., n_fft // 2 + 1, num_frames)`.
        n_fft: window length in samples.
        hop_length: step between frames in samples.

    Returns:
        float32 tensor `(..., (num_frames - 1) * hop_length + n_fft)`.
    """
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
    """Bins into channels: bin `k` goes to row `k // num_bands`, of the channel that has `k % num_bands` as band.

    Neighbouring bins, which belong to the same partial, thus meet in one place of the network.

    Args:
        magnitude: tensor `(batch, channels, num_bins, num_frames)`, `num_bins` a multiple of `num_bands`.
        num_bands: how many bins make one row.

    Returns:
        tensor `(batch, channels * num_bands, num_bins // num_bands, num_frames)`.
    """
    batch, channels, num_bins, num_frames = magnitude.shape
    rows = magnitude.reshape(batch, channels, num_bins // num_bands, num_bands, num_frames)
    return rows.transpose(2, 3).reshape(batch, channels * num_bands, num_bins // num_bands, num_frames)


def unfold_bands(folded: torch.Tensor, num_bands: int) -> torch.Tensor:
    """Inverse of `fold_bands`.

    Args:
        folded: tensor `(batch, channels * num_bands, num_rows, num_frames)`.
        num_bands: how many bins make one row.

    Returns:
        tensor `(batch, channels, num_rows * num_bands, num_frames)`.
    """
    batch, channels, num_rows, num_frames = folded.shape
    rows = folded.reshape(batch, channels // num_bands, num_bands, num_rows, num_frames)
    return rows.transpose(2, 3).reshape(batch, channels // num_bands, num_rows * num_bands, num_frames)


__all__ = ["fold_bands", "hann_window", "magnitude_of", "overlap_add", "stft", "unfold_bands"]
