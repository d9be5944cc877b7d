"""Resampling block by block, without clicks between blocks and without drift."""

import numpy as np

try:
    import soxr
except ImportError:  # a model loaded as remote code runs at its own rate without it
    soxr = None

MIN_SAMPLING_RATE = 4_000
MAX_SAMPLING_RATE = 192_000
# Samples of the lower of two rates that soxr keeps to itself at most; 1,400 were measured over all kinds of ratios.
MAX_HELD_SAMPLES = 2048


class Resampler:
    """Converts the sampling rate of a stream; any blocks give the same samples as the whole at once.

    Args:
        input_rate: in Hz.
        output_rate: in Hz; where it equals `input_rate`, blocks pass unchanged.
        num_channels: of every block.

    Raises:
        ImportError: the rates differ and the `soxr` package is missing.
    """

    def __init__(self, input_rate: int, output_rate: int, num_channels: int):
        self._stream = None
        if input_rate != output_rate:
            if soxr is None:
                raise ImportError(f"resampling {input_rate} Hz to {output_rate} Hz needs soxr: pip install soxr")
            self._stream = soxr.ResampleStream(input_rate, output_rate, num_channels, dtype="float32", quality="HQ")

    def push(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        """Takes a block and gives what is ready.

        Args:
            block: float32 `(num_channels, num_samples)`; it may be empty.
            last: whether nothing will follow; what is left comes out then.

        Returns:
            float32 `(num_channels, any number of samples)`.
        """
        if self._stream is None:
            return block
        return self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last).T


__all__ = ["MAX_HELD_SAMPLES", "MAX_SAMPLING_RATE", "MIN_SAMPLING_RATE", "Resampler"]
