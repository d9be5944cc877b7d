"""Separation of whole waveforms of any rate, channels and length."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .patches import SourceEstimator
from .stream import DEFAULT_BATCH_SIZE, SeparationStream, as_float32

if TYPE_CHECKING:
    import torch

Waveform: TypeAlias = "np.ndarray | torch.Tensor"
BLOCK_SECONDS = 10


def separate(
    model: SourceEstimator,
    waveform: Waveform,
    sampling_rate: int,
    batch_size: int = DEFAULT_BATCH_SIZE,
    progress_callback: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:
    """Takes a mixture apart; see [`UNetSVSModel.separate`].

    Args:
        model: that separates.
        waveform: `(num_samples,)`, `(num_channels, num_samples)` or `(batch, num_channels, num_samples)`.
        sampling_rate: in Hz.
        batch_size: patches that the network takes at once.
        progress_callback: called with the samples done and all samples.

    Returns:
        A stem of the waveform's shape, float32, for each name in `config.stems`.

    Raises:
        ValueError: a waveform, rate or batch size that cannot be used; the message says which.
    """
    mixture = as_float32(waveform)
    if mixture.ndim not in (1, 2, 3) or mixture.size == 0:
        raise ValueError(
            f"the waveform has shape {mixture.shape}: use (samples,), (channels, samples) or "
            "(batch, channels, samples) with at least one sample."
        )
    items = mixture.reshape(-1, *mixture.shape[-2:]) if mixture.ndim > 1 else mixture[None, None]
    stems = {name: np.empty_like(items) for name in model.config.stems}
    num_samples = items.shape[-1]
    total = len(items) * num_samples
    for index, item in enumerate(items):
        stream = SeparationStream(model, sampling_rate, len(item), batch_size)
        done = 0
        for start in range(0, num_samples, BLOCK_SECONDS * stream.sampling_rate):
            block = item[:, start : start + BLOCK_SECONDS * stream.sampling_rate]
            done = _store(stems, index, done, stream.push(block))
            if progress_callback:
                progress_callback(index * num_samples + done, total)
        done = _store(stems, index, done, stream.flush())
        if progress_callback:
            progress_callback(index * num_samples + done, total)
    return {name: stem.reshape(mixture.shape) for name, stem in stems.items()}


def _store(stems: dict[str, np.ndarray], index: int, start: int, blocks: dict[str, np.ndarray] | None) -> int:
    """Puts blocks in their place and says where the next ones go."""
    if blocks is None:
        return start
    for name, block in blocks.items():
        stems[name][index, :, start : start + block.shape[1]] = block
    return start + block.shape[1]


__all__ = ["Waveform", "separate"]
