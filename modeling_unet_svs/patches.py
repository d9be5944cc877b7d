"""Separation at the model's own rate: overlapping patches, in batches, with the context at their edges thrown away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from .numpy_spectrogram import synthesis_envelope
from .sample_queue import SampleQueue

if TYPE_CHECKING:
    from .configuration_unet_svs import UNetSVSConfig
    from .graph_description import GraphDescription


class SourceEstimator(Protocol):
    """What separates patches, in whatever runtime."""

    @property
    def config(self) -> UNetSVSConfig | GraphDescription:
        """Says the rate, the spectrogram and the stems."""

    def estimate_sources(self, waveform: np.ndarray, num_patches: int) -> np.ndarray:
        """The sources of the frames that neighbouring patches keep.

        Args:
            waveform: float32 `(num_groups, config.num_channels, num_samples)`, all the frames of the patches.
            num_patches: how many patches those are.

        Returns:
            float32 `(num_groups, num_sources, config.num_channels, any number)`: the kept frames added up, windowed
            and not divided by `synthesis_envelope`.
        """


class PatchSeparator:
    """Estimates the sources of a stream whose rate and channels are the model's.

    The grid of frames and patches is fixed by the first sample, so neither the blocks that come in nor the length of
    the song changes what comes out. A patch keeps `num_frames - 2 * context_frames` frames, which follow those of the
    patch before; masks therefore change between frames only, and the inverse transform blends neighbouring frames.

    Args:
        model: that estimates the sources.
        num_groups: streams of `config.num_channels` channels each, which run side by side.
        batch_size: patches that the network takes at once.
    """

    def __init__(self, model: SourceEstimator, num_groups: int, batch_size: int):
        self.model, self.num_groups, self.batch_size = model, num_groups, batch_size
        config = model.config
        self._overlap = config.n_fft - config.hop_length
        self._patch_samples = (config.num_frames - 2 * config.context_frames) * config.hop_length
        self._context_samples = config.context_frames * config.hop_length
        num_rows = num_groups * config.num_channels
        self._queue = SampleQueue(num_rows)
        self._history = np.zeros((num_rows, self._context_samples + self._overlap), dtype=np.float32)
        self._tail = np.zeros((num_groups, len(config.sources), config.num_channels, self._overlap), dtype=np.float32)
        self._envelope = synthesis_envelope(config.n_fft, config.hop_length)
        # The first frame begins before the first sample, so that every sample has all the frames that can hold it.
        self._before_first = self._overlap
        self._num_pushed = self._num_estimated = 0

    @property
    def latency(self) -> int:
        """Samples that have to follow a sample, at most, before its stems are given."""
        return self.batch_size * self._patch_samples + self._context_samples + self._overlap

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes samples and gives the sources of those that are complete.

        Args:
            block: float32 `(num_groups * num_channels, num_samples)`.

        Returns:
            float32 `(num_groups, num_sources, num_channels, num_complete)`.
        """
        self._queue.put(block)
        self._num_pushed += block.shape[1]
        estimates = []
        while len(self._queue) >= self._missing_samples(self.batch_size):
            estimates.append(self._separate(self.batch_size))
        return self._join(estimates)

    def flush(self) -> np.ndarray:
        """Gives the sources of all samples not given yet.

        The network is shown the end mirrored, where silence after the song would be like nothing it has learned from.

        Returns:
            float32 `(num_groups, num_sources, num_channels, num_samples)`.
        """
        waiting = self._queue.get(len(self._queue))
        num_before = min(self._num_pushed - waiting.shape[1], self._history.shape[1])
        end = np.concatenate([self._history[:, self._history.shape[1] - num_before :], waiting], axis=1)
        self._queue.put(waiting)
        estimates = []
        while self._num_estimated < self._num_pushed:
            rest = self._num_pushed - self._num_estimated + self._before_first
            num_patches = min(self.batch_size, -(-rest // self._patch_samples))
            missing = max(self._missing_samples(num_patches) - len(self._queue), 0)
            if missing:
                end = np.pad(end, ((0, 0), (0, missing)), mode="symmetric")
                self._queue.put(end[:, end.shape[1] - missing :])
            estimates.append(self._separate(num_patches))
        surplus = self._num_estimated - self._num_pushed
        joined = self._join(estimates)
        return joined[..., : joined.shape[-1] - surplus] if surplus > 0 else joined

    def _missing_samples(self, num_patches: int) -> int:
        """Samples beyond those already seen that the next patches, with their context, need."""
        needed = num_patches * self._patch_samples + 2 * self._context_samples + self._overlap
        return needed - self._history.shape[1]

    def _separate(self, num_patches: int) -> np.ndarray:
        """Sources of the next patches, `(num_groups, num_sources, num_channels, complete samples)`."""
        config = self.model.config
        num_samples = num_patches * self._patch_samples
        samples = np.concatenate([self._history, self._queue.get(self._missing_samples(num_patches))], axis=1)
        self._history = samples[:, num_samples:]
        waveform = samples.reshape(self.num_groups, config.num_channels, -1)
        estimated = self.model.estimate_sources(waveform, num_patches)
        estimated[..., : self._overlap] += self._tail
        self._tail = estimated[..., num_samples:].copy()
        by_hop = estimated[..., :num_samples].reshape(*estimated.shape[:-1], -1, config.hop_length) / self._envelope
        skipped = min(self._before_first, num_samples)
        self._before_first -= skipped
        self._num_estimated += num_samples - skipped
        return by_hop.reshape(*estimated.shape[:-1], num_samples)[..., skipped:]

    def _join(self, estimates: list[np.ndarray]) -> np.ndarray:
        empty = np.zeros((*self._tail.shape[:3], 0), dtype=np.float32)
        return estimates[0] if len(estimates) == 1 else np.concatenate([empty, *estimates], axis=-1)


__all__ = ["PatchSeparator", "SourceEstimator"]
