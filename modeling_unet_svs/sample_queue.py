"""A queue of samples: blocks of any size in, blocks of any size out."""

from collections import deque

import numpy as np


class SampleQueue:
    """First samples in, first samples out; costs no more than the samples that are waiting.

    Args:
        num_channels: of every block.
    """

    def __init__(self, num_channels: int):
        self._blocks: deque[np.ndarray] = deque()
        self._num_channels = num_channels
        self._num_samples = 0

    def __len__(self) -> int:
        return self._num_samples

    def put(self, block: np.ndarray) -> None:
        """Appends samples.

        Args:
            block: float32 `(num_channels, num_samples)`, which must not be changed afterwards.
        """
        if block.shape[1]:
            self._blocks.append(block)
            self._num_samples += block.shape[1]

    def get(self, num_samples: int) -> np.ndarray:
        """Removes the first samples.

        Args:
            num_samples: how many, at most `len(self)`.

        Returns:
            float32 `(num_channels, num_samples)`.
        """
        parts = [np.zeros((self._num_channels, 0), dtype=np.float32)]
        self._num_samples -= num_samples
        while num_samples > 0:
            block = self._blocks.popleft()
            if block.shape[1] > num_samples:
                self._blocks.appendleft(block[:, num_samples:])
                block = block[:, :num_samples]
            parts.append(block)
            num_samples -= block.shape[1]
        return parts[1] if len(parts) == 2 else np.concatenate(parts, axis=1)


__all__ = ["SampleQueue"]
