"""A program that uses the package, for `mypy` to check: what type checkers and editors say of a separation."""

import numpy as np
import torch
from typing_extensions import assert_type

from modeling_unet_svs import DEFAULT_CHECKPOINT, OnnxSeparator, UNetSVSConfig, UNetSVSModel


def separate(array: np.ndarray, tensor: torch.Tensor) -> None:
    """Arrays give arrays, tensors give tensors, and lists give arrays."""
    model = UNetSVSModel(UNetSVSConfig())
    assert_type(model.separate(array, 44_100), dict[str, np.ndarray])
    assert_type(model.separate(tensor, 44_100, batch_size=2), dict[str, torch.Tensor])
    assert_type(OnnxSeparator(DEFAULT_CHECKPOINT).separate([0.0, 0.1], 44_100), dict[str, np.ndarray])
    model.separate("song.mp3", 44_100)  # type: ignore[arg-type]
    model.separate(array, "44100")  # type: ignore[call-overload]
