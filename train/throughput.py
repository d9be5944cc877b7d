"""Where a training step's time goes."""

from __future__ import annotations

import time
from collections import Counter

import torch

PARTS = ("data", "network", "optimizer")


class Stopwatch:
    """Adds up the time of a step's parts, which follow each other.

    Args:
        device: that computes; a GPU is waited for at each lap.
        seconds_per_step: of audio, in all examples of a step.
    """

    def __init__(self, device: torch.device, seconds_per_step: float):
        self._device, self._seconds_per_step = device, seconds_per_step
        self._times: Counter[str] = Counter()
        self._num_steps = 0
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Ends a part of a step.

        Args:
            part: one of `PARTS`, in whose name the time since the lap before is counted.
        """
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        self._times[part] += now - self._last
        self._last = now

    def end_step(self) -> None:
        """Counts a step."""
        self._num_steps += 1

    def skip(self) -> None:
        """Leaves out the time since the last lap: a validation, or a checkpoint."""
        self._last = time.perf_counter()

    def report(self) -> dict[str, float]:
        """What was measured since the last report.

        Returns:
            `audio_seconds_per_second`, and `share_<part>` of the time for each of `PARTS`.
        """
        total = max(sum(self._times.values()), 1e-9)
        shares = {f"share_{part}": self._times[part] / total for part in PARTS}
        speed = self._num_steps * self._seconds_per_step / total
        self._times.clear()
        self._num_steps = 0
        return {"audio_seconds_per_second": speed, **shares}


__all__ = ["PARTS", "Stopwatch"]
