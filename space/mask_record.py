"""The masks of a song as the network gives them, kept small while they pass by."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from picture_rows import NUM_ROWS, mean_between, row_edges

from modeling_unet_svs import UNetSVSModel

# Of a record, whatever the length of the song.
MAX_MOMENTS = 4000


@dataclass(frozen=True)
class RecordedMask:
    """What share of each tone the network gave to its first source.

    Attributes:
        moments: `(NUM_ROWS, num_moments)`, lowest frequency first.
        first_seconds: where in the song the first moment is.
        step_seconds: from one moment to the next.
    """

    moments: np.ndarray
    first_seconds: float
    step_seconds: float

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """The mask at some times, `(NUM_ROWS, num_times)`."""
        index = np.rint((seconds - self.first_seconds) / self.step_seconds).astype(int)
        return self.moments[:, np.clip(index, 0, self.moments.shape[1] - 1)]


class MaskRecorder:
    """Records what `model` estimates for one song: separate it with `model` in the place of the network itself.

    Args:
        network: the loaded checkpoint, which other songs may use at the same time.
        sampling_rate: of the song in Hz.
        num_channels: of the song.
        num_samples: of the song, for each channel, as far as is known.
    """

    def __init__(self, network: UNetSVSModel, sampling_rate: int, num_channels: int, num_samples: int):
        config = network.config
        self._config, self._network = config, network
        self._num_groups = math.ceil(num_channels / config.num_channels)
        num_frames = num_samples * config.sampling_rate / sampling_rate / config.hop_length
        self._per_moment = max(1, math.ceil(num_frames / MAX_MOMENTS))
        self._edges = row_edges(sampling_rate) * config.n_fft / config.sampling_rate
        self._moments: list[np.ndarray] = []
        self._num_calls = self._num_frames = 0
        # The same weights; only what they estimate passes by here.
        self.model = copy.copy(network)
        self.model.estimate_masks = self._estimate_masks

    def _estimate_masks(self, magnitude: torch.Tensor) -> torch.Tensor:
        masks = self._network.estimate_masks(magnitude)
        # A song of more channels than the network has comes in groups, of which one is enough to see.
        if self._num_calls % self._num_groups == 0:
            context = self._config.context_frames
            kept = masks[:, 0, ..., context : masks.shape[-1] - context].mean(dim=1)
            frames = kept.movedim(-1, 1).flatten(0, 1).float().cpu().numpy()
            for frame in mean_between(frames, self._edges):
                self._add(frame)
        self._num_calls += 1
        return masks

    def _add(self, frame: np.ndarray) -> None:
        share = frame / self._per_moment
        if self._num_frames % self._per_moment == 0:
            self._moments.append(share)
        else:
            self._moments[-1] += share
        self._num_frames += 1

    def recorded(self) -> RecordedMask:
        """All that has passed by."""
        config = self._config
        # The first frame begins before the song, so that it is one step long within it.
        first = config.hop_length - config.n_fft / 2 + (self._per_moment - 1) / 2 * config.hop_length
        moments = np.stack(self._moments, axis=1).astype(np.float16) if self._moments else np.zeros((NUM_ROWS, 1))
        step = self._per_moment * config.hop_length
        return RecordedMask(moments, first / config.sampling_rate, step / config.sampling_rate)


__all__ = ["MaskRecorder", "RecordedMask"]
