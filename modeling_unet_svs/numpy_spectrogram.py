"""The transforms of `spectrogram.py` in numpy alone, for runtimes other than PyTorch."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def hann_window(n_fft: int) -> np.ndarray:
    """Periodic Hann window, the analysis and the synthesis window.

    Args:
        n_fft: length in samples.

    Returns:
        float32 array of shape `(n_fft,)`.
    """
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


def stft(waveform: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    """Short-time Fourier transform without any padding: frame `t` is samples `t * hop_length` and `n_fft - 1` more.

    Args:
        waveform: float32 `(..., num_samples)` with `num_samples >= n_fft`.
        n_fft: window length in samples.
        hop_length: step between frames in samples.

    Returns:
        complex64 `(..., n_fft // 2 + 1, 1 + (num_samples - n_fft) // hop_length)`.
    """
    frames = sliding_window_view(waveform, n_fft, axis=-1)[..., ::hop_length, :] * hann_window(n_fft)
    return np.fft.rfft(frames).astype(np.complex64, copy=False).swapaxes(-1, -2)


def overlap_add(spectrum: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    """Inverse of every frame, windowed again and added up, not yet divided by `synthesis_envelope`.

    Args:
        spectrum: complex64 `(..., n_fft // 2 + 1, num_frames)`.
        n_fft: window length in samples.
        hop_length: step between frames in samples.

    Returns:
        float32 `(..., (num_frames - 1) * hop_length + n_fft)`.
    """
    *shape, _, num_frames = spectrum.shape
    frames = np.fft.irfft(spectrum.swapaxes(-1, -2), n_fft).astype(np.float32, copy=False) * hann_window(n_fft)
    num_hops = -(-n_fft // hop_length)
    added = np.zeros((*shape, num_frames + num_hops - 1, hop_length), dtype=np.float32)
    for index in range(num_hops):
        hop = frames[..., index * hop_length : (index + 1) * hop_length]
        added[..., index : index + num_frames, : hop.shape[-1]] += hop
    return added.reshape(*shape, -1)[..., : (num_frames - 1) * hop_length + n_fft]


def synthesis_envelope(n_fft: int, hop_length: int) -> np.ndarray:
    """Sum of all squared windows over one hop, by which added-up frames are divided where every frame is there.

    Args:
        n_fft: window length in samples.
        hop_length: step between frames in samples.

    Returns:
        float32 `(hop_length,)`: entry `i` is for the samples at `i` modulo `hop_length` after a frame's start.
    """
    padded = np.pad(hann_window(n_fft) ** 2, (0, -n_fft % hop_length))
    return padded.reshape(-1, hop_length).sum(0)


__all__ = ["hann_window", "overlap_add", "stft", "synthesis_envelope"]
