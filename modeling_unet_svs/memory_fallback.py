"""What to do when a GPU runs out of memory: smaller batches, and in the end the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from .devices import choose_dtype
from .modeling_unet_svs import UNetSVSModel

T = TypeVar("T")


def with_less_memory(
    work: Callable[[int], T], model: UNetSVSModel, batch_size: int, say: Callable[[str], None]
) -> tuple[T, int]:
    """Does something on a GPU with batches that its memory holds, and on the CPU where it holds none.

    Args:
        work: what is done, from its beginning each time, given the batch size.
        model: that it is done with; moved to the CPU at last.
        batch_size: to begin with.
        say: told what has changed.

    Returns:
        What `work` returns, and the batch size that it went well with.
    """
    while True:
        try:
            return work(batch_size), batch_size
        except torch.OutOfMemoryError:
            if model.device.type == "cpu":
                raise
        # Outside of `except`, which keeps the frames that hold the memory.
        if batch_size > 1:
            batch_size //= 2
            say(f"the GPU's memory is full: going on with --batch-size {batch_size}.")
        else:
            say("the GPU's memory is full: going on with the CPU.")
            cpu = torch.device("cpu")
            moved: Any = model
            moved.to(cpu, torch.float32 if model.dtype == torch.float32 else choose_dtype("auto", cpu))
        torch.cuda.empty_cache()


__all__ = ["with_less_memory"]
