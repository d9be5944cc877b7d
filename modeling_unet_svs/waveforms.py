"""Waveforms as people give them: checked, and turned into float32 `(num_channels, num_samples)`."""

from collections.abc import Callable
from pathlib import PurePath
from typing import Any

import numpy as np

# More channels than any usual layout has: with fewer samples than that, the axes are exchanged.
MANY_CHANNELS = 8
# Largest sample whose square, and the sum of a patch of such squares, is still finite.
MAX_SAMPLE = 1e15


def refuse_if(is_wrong: object, reason: str, error: Callable[[str], Exception] = ValueError) -> None:
    """Raises an error of one line for something that a person gave."""
    if is_wrong:
        raise error(reason)


def as_float32(waveform: Any, is_whole: bool = True) -> np.ndarray:
    """A copy of an array, tensor or list as finite float32 with full scale 1; `is_whole` unless of a stream."""
    is_file = isinstance(waveform, (str, bytes, PurePath))
    named = waveform if isinstance(waveform, str) else "..."
    read = f'use separate_file, or "waveform, sampling_rate = read_audio({named!r})" first.'
    refuse_if(is_file, f"the waveform is of type {type(waveform).__name__}: {read}")
    if hasattr(waveform, "detach"):  # a tensor, recognised without importing PyTorch
        waveform = waveform.detach().cpu()
        waveform = (waveform.float() if str(waveform.dtype) == "torch.bfloat16" else waveform).numpy()
    waveform = np.asarray(waveform)
    dtype = waveform.dtype
    if dtype.kind == "i":
        _refuse_silence(waveform, is_whole)
        return (waveform / -float(np.iinfo(dtype).min)).astype(np.float32)
    refuse_if(dtype.kind != "f", f"the waveform's type is {dtype}: use floating point or signed integers.")
    with np.errstate(over="ignore"):
        samples = np.array(waveform, dtype=np.float32, order="C")
    if not np.isfinite(samples).all():
        index = int(np.argmin(np.isfinite(samples).reshape(-1)))
        raise ValueError(f"the waveform is not finite: {waveform.reshape(-1)[index]} at its value number {index}.")
    is_no_audio = max(samples.max(initial=0), -samples.min(initial=0)) > MAX_SAMPLE
    refuse_if(is_no_audio, f"the waveform has samples beyond {MAX_SAMPLE:g}, where full scale is 1: it is no audio.")
    return samples


def _refuse_silence(waveform: np.ndarray, is_whole: bool) -> None:
    """Refuses PCM in a wider type than its own, such as Python's integers become: it would be taken for silence."""
    highest, bits = max(int(waveform.max(initial=0)), -1 - int(waveform.min(initial=0))), 8 * waveform.dtype.itemsize
    own = next(own for own in (16, 24, 32, 64) if highest < 1 << (own - 1))
    # In 32 bits, a whole song of 16; recorders' noise is lower or, if of 24 bits, a multiple of 256.
    is_16_in_32 = bits == 32 and own == 16 and is_whole and highest > 0xFF and np.any(waveform & 0xFF)
    cure = f"divide it by {1 << (own - 1)}" if own == 24 else f"convert it to int{own}"
    said = f"the waveform's type is {waveform.dtype}, but its values fit {own} bits, so that it would be silence"
    refuse_if(highest > 0 and (own < bits == 64 or is_16_in_32), f"{said}: {cure}.")


def refuse_exchanged_axes(shape: tuple[int, ...]) -> None:
    """Refuses `(num_samples, num_channels)` where their sizes tell."""
    num_channels, num_samples = shape[-2:] if len(shape) > 1 else (1, 1)
    cure = "(channels, samples): use waveform.swapaxes(-1, -2)."
    is_exchanged = num_channels > MANY_CHANNELS and num_channels > num_samples > 0
    refuse_if(is_exchanged, f"the waveform has shape {shape}, which seems to be (samples, channels), not {cure}")
