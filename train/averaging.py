"""The moving average of the weights, which is what is validated and saved."""

from __future__ import annotations

from collections.abc import Callable

import torch


def warmed_up_average(decay: float) -> Callable[[list[torch.Tensor], list[torch.Tensor], torch.Tensor | int], None]:
    """Exponential moving average whose memory grows from nothing to `decay`, so that first weights are forgotten.

    Args:
        decay: weight of what was averaged before, from 0 to below 1.

    Returns:
        Function for `torch.optim.swa_utils.AveragedModel`: averages, values and how many were averaged before.
    """

    @torch.no_grad()
    def update(averages: list[torch.Tensor], values: list[torch.Tensor], num_averaged: torch.Tensor | int) -> None:
        warmed_up = min(decay, (1 + float(num_averaged)) / (10 + float(num_averaged)))
        for average, value in zip(averages, values):
            if average.is_floating_point():
                average.lerp_(value, 1 - warmed_up)
            else:
                average.copy_(value)

    return update


__all__ = ["warmed_up_average"]
