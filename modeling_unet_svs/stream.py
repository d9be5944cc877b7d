"""Separation of a stream of any rate and channels: blocks of the mixture in, blocks of the stems out."""

from __future__ import annotations

import math
import numbers
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from .patches import PatchSeparator, SourceEstimator
from .resampling import MAX_HELD_SAMPLES, MAX_SAMPLING_RATE, MIN_SAMPLING_RATE, Resampler
from .sample_queue import SampleQueue

if TYPE_CHECKING:
    import torch

MAX_CHANNELS = 64
DEFAULT_BATCH_SIZE = 4
# Beyond it, sums of squares and of whole patches are no longer finite.
MAX_SAMPLE = 1e15


class SeparationStream:
    """Takes blocks of a mixture and gives blocks of its stems; made by [`UNetSVSModel.stream`].

    The stems that come out, one after the other, are those of [`UNetSVSModel.separate`] at the same `batch_size`,
    however the mixture is cut into blocks. Memory does not grow with the length of the stream.

    Args:
        model: [`UNetSVSModel`], in whose evaluation mode all is done, or an [`OnnxSeparator`].
        sampling_rate: of mixture and stems in Hz, 4000 to 192000.
        num_channels: of mixture and stems. A model of fewer channels takes them in turn; where its channels are not
            filled, the last is repeated.
        batch_size: patches that the network takes at once: more is faster on long streams and needs more memory.

    Raises:
        ValueError: a rate, a number of channels or a batch size out of range.
    """

    def __init__(
        self, model: SourceEstimator, sampling_rate: int, num_channels: int, batch_size: int = DEFAULT_BATCH_SIZE
    ):
        if not _is_whole(sampling_rate, MIN_SAMPLING_RATE, MAX_SAMPLING_RATE):
            raise ValueError(
                f"sampling_rate is {sampling_rate}: use a whole number of Hz from {MIN_SAMPLING_RATE} to "
                f"{MAX_SAMPLING_RATE}."
            )
        if not _is_whole(num_channels, 1, MAX_CHANNELS):
            raise ValueError(
                f"the waveform has {num_channels} channels: use 1 to {MAX_CHANNELS}, in shape (channels, samples)."
            )
        if not _is_whole(batch_size, 1, sys.maxsize):
            raise ValueError(f"batch_size is {batch_size}: use a whole number, 1 or more.")
        num_channels, batch_size = int(num_channels), int(batch_size)
        config = model.config
        self.model, self.sampling_rate, self.num_channels = model, int(sampling_rate), num_channels
        num_groups = math.ceil(num_channels / config.num_channels)
        self._num_repeated = num_groups * config.num_channels - num_channels
        self._to_model_rate = Resampler(self.sampling_rate, config.sampling_rate, num_channels)
        self._separator = PatchSeparator(model, num_groups, batch_size)
        self._from_model_rate = Resampler(config.sampling_rate, self.sampling_rate, len(config.sources) * num_channels)
        self._mixture = SampleQueue(num_channels)
        self._flushed = False

    @property
    def latency(self) -> int:
        """Samples that have to follow a sample, at most, before its stems are given."""
        model_rate = self.model.config.sampling_rate
        if self.sampling_rate == model_rate:
            return self._separator.latency
        held_seconds = 2 * MAX_HELD_SAMPLES / min(self.sampling_rate, model_rate)
        return math.ceil((self._separator.latency / model_rate + held_seconds) * self.sampling_rate)

    def push(self, block: np.ndarray | torch.Tensor) -> dict[str, np.ndarray] | None:
        """Takes the next samples of the mixture.

        Args:
            block: `(num_channels, num_samples)` or, for one channel, `(num_samples,)`; floating point with full scale
                1, or integer PCM. Any number of samples.

        Returns:
            The next samples of each stem, float32 `(num_channels, any number)`; `None` where none are complete.

        Raises:
            ValueError: another number of channels, or samples that are NaN or infinite.
            RuntimeError: after `flush`.
        """
        if self._flushed:
            raise RuntimeError("this stream was flushed: make another one for the next song.")
        block = as_float32(block)
        if block.ndim == 1 and self.num_channels == 1:
            block = block[None]
        if block.ndim != 2 or len(block) != self.num_channels:
            raise ValueError(
                f"the block has shape {block.shape}: use ({self.num_channels}, num_samples) in this stream."
            )
        self._mixture.put(block)
        stems = self._stems(self._estimate(block, last=False))
        return stems if next(iter(stems.values())).shape[1] else None

    def flush(self) -> dict[str, np.ndarray]:
        """Ends the stream.

        Returns:
            The samples of each stem that `push` has not given, float32 `(num_channels, any number)`.
        """
        self._flushed = True
        estimated = self._estimate(np.zeros((self.num_channels, 0), dtype=np.float32), last=True)
        # A resampler's output can be a few samples shorter than its input was.
        missing = len(self._mixture) - estimated.shape[2]
        return self._stems(np.pad(estimated, ((0, 0), (0, 0), (0, max(missing, 0)))))

    def _estimate(self, block: np.ndarray, last: bool) -> np.ndarray:
        """Sources at the stream's rate, `(num_sources, num_channels, any number of samples)`."""
        resampled = self._to_model_rate.push(block, last)
        repeated = (
            np.pad(resampled, ((0, self._num_repeated), (0, 0)), mode="edge") if self._num_repeated else resampled
        )
        estimated = self._separator.push(repeated)
        if last:
            estimated = np.concatenate([estimated, self._separator.flush()], axis=-1)
        num_groups, num_sources, num_channels, num_samples = estimated.shape
        rows = estimated.transpose(1, 0, 2, 3).reshape(num_sources, num_groups * num_channels, num_samples)
        kept = rows[:, : self.num_channels].reshape(num_sources * self.num_channels, num_samples)
        resampled = self._from_model_rate.push(kept, last)
        return resampled.reshape(num_sources, self.num_channels, resampled.shape[1])

    def _stems(self, estimated: np.ndarray) -> dict[str, np.ndarray]:
        config = self.model.config
        num_samples = min(estimated.shape[2], len(self._mixture))
        mixture = self._mixture.get(num_samples)
        stems = dict(zip(config.sources, np.ascontiguousarray(estimated[..., :num_samples])))
        if config.residual:
            stems[config.residual] = mixture - sum(stems.values())
        return stems


def _is_whole(value: object, lowest: int, highest: int) -> bool:
    return isinstance(value, numbers.Real) and lowest <= float(value) <= highest and float(value).is_integer()


def as_float32(waveform: np.ndarray | torch.Tensor | list[Any]) -> np.ndarray:
    """A copy of a waveform as finite float32, full scale 1.

    Args:
        waveform: of any shape; floating point is taken as it is, signed integer PCM is divided by its full scale.

    Returns:
        float32 array of the same shape.

    Raises:
        ValueError: another type, or samples that are NaN or infinite.
    """
    if hasattr(waveform, "detach"):  # a tensor: PyTorch is not imported for the question
        waveform = waveform.detach().cpu()
        waveform = (waveform.float() if str(waveform.dtype) == "torch.bfloat16" else waveform).numpy()
    waveform = np.asarray(waveform)
    if waveform.dtype.kind == "i":
        return (waveform / -float(np.iinfo(waveform.dtype).min)).astype(np.float32)
    if waveform.dtype.kind != "f":
        raise ValueError(f"the waveform's type is {waveform.dtype}: use floating point or signed integers.")
    with np.errstate(over="ignore"):
        samples = np.array(waveform, dtype=np.float32, order="C")
    if not np.isfinite(samples).all():
        index = int(np.argmin(np.isfinite(samples).reshape(-1)))
        raise ValueError(f"the waveform is not finite: {waveform.reshape(-1)[index]} at its value number {index}.")
    if samples.size and max(samples.max(), -samples.min()) > MAX_SAMPLE:
        raise ValueError(f"the waveform has samples beyond {MAX_SAMPLE:g}, where full scale is 1: it is no sound.")
    return samples


__all__ = ["DEFAULT_BATCH_SIZE", "MAX_CHANNELS", "SeparationStream", "as_float32"]
