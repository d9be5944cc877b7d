"""Runs on ZeroGPU where there is one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TypeVar

Function = TypeVar("Function", bound=Callable)
# Of GPU time for a song, which the visitor's quota has to have.
MAX_GPU_SECONDS = 120


def on_gpu(function: Function) -> Function:
    """Has a function, or a generator, ask for a GPU at each call where the package `spaces` is installed.

    Args:
        function: that uses the model.

    Returns:
        The same function elsewhere.
    """
    if importlib.util.find_spec("spaces") is None:
        return function
    import spaces

    return spaces.GPU(duration=MAX_GPU_SECONDS)(function)


__all__ = ["on_gpu"]
