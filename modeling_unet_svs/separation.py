"""Separation of waveforms of any rate, number of channels and length, block by block, in numpy."""

import math
import numbers
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, overload

import numpy as np

from .waveforms import as_float32, refuse_exchanged_axes
from .waveforms import refuse_if as refuse_if

try:
    import soxr
except ImportError:  # a model loaded as remote code runs at its own rate without it
    soxr = None

MIN_SAMPLING_RATE, MAX_SAMPLING_RATE = 4_000, 384_000
MAX_CHANNELS = 64
# Upper limit of the samples, at the lower of two rates, that soxr holds back; at most 1,400 were measured.
MAX_HELD_SAMPLES = 2048
DEFAULT_BATCH_SIZE = 4
MAX_BATCH_SIZE = 1 << 16
BLOCK_SECONDS = 10


class AnyTensor(Protocol):
    """A PyTorch tensor, named without importing PyTorch."""

    @property
    def device(self) -> Any: ...
    def detach(self) -> Any: ...


Tensor = TypeVar("Tensor", bound=AnyTensor)
Progress = Callable[[int, int], None] | None
Array = np.ndarray | Sequence[float] | Sequence[Sequence[float]] | Sequence[np.ndarray]


@dataclass
class SeparationConfig:
    """The part of a model's configuration that its graph in another runtime does not contain."""

    sampling_rate: int = 8192
    num_channels: int = 1
    n_fft: int = 1024
    hop_length: int = 768
    num_frames: int = 128
    context_frames: int | None = None
    num_bands: int = 1
    sources: list[str] | tuple[str, ...] = ("vocals",)
    residual: str | None = "accompaniment"

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of all stems that a separation returns: `sources`, then `residual` where there is one."""
        return (*self.sources, self.residual) if self.residual else tuple(self.sources)

    @property
    def kept_frames(self) -> slice:
        """Frames of a patch whose masks are kept; those at either side are context, and a neighbour's."""
        context = self.context_frames or 0
        return slice(context, self.num_frames - context)


def hann_window(n_fft: int) -> np.ndarray:
    """Periodic Hann window, the analysis and the synthesis window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


def synthesis_envelope(n_fft: int, hop_length: int) -> np.ndarray:
    """Sum of the squared windows over one hop, by which complete overlap-added frames are divided."""
    padded = np.pad(hann_window(n_fft) ** 2, (0, -n_fft % hop_length))
    return padded.reshape(-1, hop_length).sum(0)


class SampleQueue:
    """Queue of samples, first in, first out; holds only the samples that are waiting."""

    def __init__(self, num_channels: int):
        self._blocks: deque[np.ndarray] = deque()
        self._num_channels = num_channels
        self._num_samples = 0

    def __len__(self) -> int:
        return self._num_samples

    def put(self, block: np.ndarray) -> None:
        """Appends samples."""
        if block.shape[1]:
            self._blocks.append(block)
            self._num_samples += block.shape[1]

    def get(self, num_samples: int) -> np.ndarray:
        """Removes the first samples."""
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


class Resampler:
    """Converts the sampling rate of a stream; the result does not depend on how it is cut into blocks."""

    def __init__(self, input_rate: int, output_rate: int, num_channels: int):
        self._stream = None
        if input_rate != output_rate:
            if soxr is None:
                raise ImportError(f"resampling {input_rate} Hz to {output_rate} Hz needs soxr: pip install soxr")
            self._stream = soxr.ResampleStream(input_rate, output_rate, num_channels, dtype="float32", quality="HQ")

    def push(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        """Takes a block and returns the samples that are ready."""
        if self._stream is None:
            return block
        return self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last).T


class PatchSeparator:
    """Estimates the sources of a stream whose rate and channels are the model's."""

    def __init__(self, model: "Separator", num_groups: int, batch_size: int):
        self.model, self.num_groups, self.batch_size = model, num_groups, batch_size
        config, kept = model.config, model.config.kept_frames
        self._overlap = config.n_fft - config.hop_length
        self._kept_samples = (kept.stop - kept.start) * config.hop_length
        self._context_samples = kept.start * config.hop_length
        num_rows = num_groups * config.num_channels
        self._queue = SampleQueue(num_rows)
        self._history = np.zeros((num_rows, self._context_samples + self._overlap), dtype=np.float32)
        self._tail = np.zeros((num_groups, len(config.sources), config.num_channels, self._overlap), dtype=np.float32)
        self._envelope = synthesis_envelope(config.n_fft, config.hop_length)
        # The first frame begins before the first sample, so that every sample has all the frames that can hold it.
        self._before_first = self._overlap
        self._num_pushed = self._num_estimated = 0

    @property
    def latency(self) -> int:
        """Upper limit of the samples that must follow a sample before its stems are returned."""
        return self.batch_size * self._kept_samples + self._context_samples + self._overlap

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes samples and returns the sources of those that are complete."""
        self._queue.put(block)
        self._num_pushed += block.shape[1]
        estimates = []
        while len(self._queue) >= self._missing_samples(self.batch_size):
            estimates.append(self._separate(self.batch_size))
        return self._join(estimates)

    def flush(self) -> np.ndarray:
        """Returns the sources of all remaining samples."""
        waiting = self._queue.get(len(self._queue))
        num_before = min(self._num_pushed - waiting.shape[1], self._history.shape[1])
        end = np.concatenate([self._history[:, self._history.shape[1] - num_before :], waiting], axis=1)
        self._queue.put(waiting)
        estimates = []
        while self._num_estimated < self._num_pushed:
            rest = self._num_pushed - self._num_estimated + self._before_first
            num_patches = min(self.batch_size, -(-rest // self._kept_samples))
            missing = max(self._missing_samples(num_patches) - len(self._queue), 0)
            if missing:
                end = np.pad(end, ((0, 0), (0, missing)), mode="symmetric")
                self._queue.put(end[:, end.shape[1] - missing :])
            estimates.append(self._separate(num_patches))
        surplus = self._num_estimated - self._num_pushed
        joined = self._join(estimates)
        return joined[..., : joined.shape[-1] - surplus] if surplus > 0 else joined

    def _missing_samples(self, num_patches: int) -> int:
        """Number of samples still needed for the next patches and their context."""
        needed = num_patches * self._kept_samples + 2 * self._context_samples + self._overlap
        return needed - self._history.shape[1]

    def _separate(self, num_patches: int) -> np.ndarray:
        """Sources of the next patches, `(num_groups, num_sources, num_channels, complete samples)`."""
        config = self.model.config
        num_samples = num_patches * self._kept_samples
        samples = np.concatenate([self._history, self._queue.get(self._missing_samples(num_patches))], axis=1)
        self._history = samples[:, num_samples:]
        waveform = samples.reshape(self.num_groups, config.num_channels, -1)
        estimated = np.stack([self.model.overlap_added_frames(group, num_patches) for group in waveform])
        estimated[..., : self._overlap] += self._tail
        self._tail = estimated[..., num_samples:].copy()
        by_hop = estimated[..., :num_samples].reshape(*estimated.shape[:-1], -1, config.hop_length) / self._envelope
        skipped = min(self._before_first, num_samples)
        self._before_first -= skipped
        self._num_estimated += num_samples - skipped
        return by_hop.reshape(*estimated.shape[:-1], num_samples)[..., skipped:]

    def _join(self, estimates: list[np.ndarray]) -> np.ndarray:
        empty = np.zeros((*self._tail.shape[:3], 0), dtype=np.float32)
        return estimates[0] if len(estimates) == 1 else np.concatenate([empty, *estimates], axis=-1)


class SeparationStream:
    """Takes blocks of a mixture and returns blocks of its stems; made by [`UNetSVSModel.stream`].

    The stems that come out, one after the other, are those of [`UNetSVSModel.separate`] at the same `batch_size`,
    however the mixture is cut into blocks. Memory does not grow with the length of the stream.

    Args:
        model: [`UNetSVSModel`], whose training mode is neither used nor changed, or [`OnnxSeparator`].
        sampling_rate: of mixture and stems in Hz, 4000 to 384000.
        num_channels: of mixture and stems. A model of fewer channels takes them in turn; where its channels are not
            filled, the last is repeated.
        batch_size: patches that the network takes at once: more is faster on long streams and needs more memory.

    Raises:
        ValueError: a rate, a number of channels or a batch size out of range.
    """

    def __init__(
        self, model: "Separator", sampling_rate: int, num_channels: int, batch_size: int = DEFAULT_BATCH_SIZE
    ):
        for said, value, lowest, highest in (
            (f"sampling_rate is {sampling_rate} in Hz", sampling_rate, MIN_SAMPLING_RATE, MAX_SAMPLING_RATE),
            (f"the waveform has {num_channels} channels, in shape (channels, samples)", num_channels, 1, MAX_CHANNELS),
            (f"batch_size is {batch_size}", batch_size, 1, MAX_BATCH_SIZE),
        ):
            is_whole = isinstance(value, numbers.Real) and lowest <= value <= highest and value == int(value)
            kind = "" if isinstance(value, numbers.Real) else f", of type {type(value).__name__}"
            refuse_if(not is_whole, f"{said}{kind}: use a whole number from {lowest} to {highest}.")
        num_channels, batch_size, config = int(num_channels), int(batch_size), model.config
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
        """Upper limit of the samples that must follow a sample before its stems are returned."""
        model_rate = self.model.config.sampling_rate
        if self.sampling_rate == model_rate:
            return self._separator.latency
        held_seconds = 2 * MAX_HELD_SAMPLES / min(self.sampling_rate, model_rate)
        return math.ceil((self._separator.latency / model_rate + held_seconds) * self.sampling_rate)

    def push(self, block: Any) -> dict[str, np.ndarray] | None:
        """Takes the next samples of the mixture.

        Args:
            block: numpy array or PyTorch tensor `(num_channels, num_samples)` or, for one channel, `(num_samples,)`;
                floating point with full scale 1, or integer PCM. Any number of samples.

        Returns:
            The next samples of each stem, float32 `(num_channels, any number)`; `None` where none are complete.

        Raises:
            ValueError: another number of channels, or samples that are NaN or infinite.
            RuntimeError: after `flush`.
        """
        refuse_if(self._flushed, "this stream was flushed: make another one for the next song.", RuntimeError)
        block = as_float32(block, is_whole=False)
        block = block[None] if block.ndim == 1 and self.num_channels == 1 else block
        is_other = block.ndim != 2 or len(block) != self.num_channels
        refuse_if(is_other, f"the block has shape {block.shape}: use ({self.num_channels}, samples) in this stream.")
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
        missing = max(0, len(self._mixture) - estimated.shape[2])  # a resampler may end a few samples early
        return self._stems(np.pad(estimated, ((0, 0), (0, 0), (0, missing))))

    def _estimate(self, block: np.ndarray, last: bool) -> np.ndarray:
        """Sources at the stream's rate, `(num_sources, num_channels, any number of samples)`."""
        resampled = self._to_model_rate.push(block, last)
        if self._num_repeated:
            resampled = np.pad(resampled, ((0, self._num_repeated), (0, 0)), mode="edge")
        estimated = self._separator.push(resampled)
        if last:
            estimated = np.concatenate([estimated, self._separator.flush()], axis=-1)
        num_groups, num_sources, num_channels, num_samples = estimated.shape
        rows = estimated.transpose(1, 0, 2, 3).reshape(num_sources, num_groups * num_channels, num_samples)
        kept = rows[:, : self.num_channels].reshape(num_sources * self.num_channels, num_samples)
        resampled = self._from_model_rate.push(kept, last)
        return resampled.reshape(num_sources, self.num_channels, resampled.shape[1])

    def _stems(self, estimated: np.ndarray) -> dict[str, np.ndarray]:
        config, num_samples = self.model.config, min(estimated.shape[2], len(self._mixture))
        mixture = self._mixture.get(num_samples)
        stems = dict(zip(config.sources, np.ascontiguousarray(estimated[..., :num_samples])))
        if config.residual:
            stems[config.residual] = mixture - sum(stems.values())
        return stems


class Separator:
    """Adds `separate` and `stream` to a model of any runtime with `config` and `overlap_added_frames`."""

    config: SeparationConfig
    checkpoint: str = ""  # id or folder that the weights come from

    @abstractmethod
    def overlap_added_frames(self, waveform: np.ndarray, num_patches: int) -> np.ndarray:
        """Sources of the frames that patches keep, added up and not yet divided by `synthesis_envelope`."""
        # (num_channels, samples of patches and context) -> (num_sources, num_channels, samples of kept frames)

    @overload
    def separate(
        self, waveform: Tensor, sampling_rate: int, *, batch_size: int = ..., progress_callback: Progress = ...
    ) -> dict[str, Tensor]: ...
    @overload
    def separate(
        self, waveform: Array, sampling_rate: int, *, batch_size: int = ..., progress_callback: Progress = ...
    ) -> dict[str, np.ndarray]: ...
    def separate(
        self,
        waveform: Array | Tensor,
        sampling_rate: int,
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        progress_callback: Progress = None,
    ) -> dict[str, np.ndarray] | dict[str, Tensor]:
        """Separates a mixture into `config.stems`.

        Whatever the model's own rate and channels are, the stems have the mixture's length, rate, channels and kind;
        where `config.residual` is named they add up to it. Training mode is neither used nor changed.

        Args:
            waveform: numpy array or PyTorch tensor of shape `(num_samples,)`, `(num_channels, num_samples)` or
                `(batch, num_channels, num_samples)`; floating point with full scale 1, or signed integer PCM.
            sampling_rate: of the waveform in Hz, 4000 to 384000.
            batch_size: patches that the network takes at once: more is faster on long songs and needs more memory.
            progress_callback: called now and then with the number of samples done and of all samples.

        Returns:
            Float32 waveform of the same shape and kind for each name in `config.stems`, the sources first.

        Raises:
            ValueError: NaN or infinite samples, no samples, or a shape, rate or batch size out of range.
        """
        mixture = as_float32(waveform)
        shapes = "(samples,), (channels, samples) or (batch, channels, samples) with at least one sample"
        is_none = mixture.ndim not in (1, 2, 3) or mixture.size == 0
        refuse_if(is_none, f"the waveform has shape {mixture.shape}: use {shapes}.")
        refuse_exchanged_axes(mixture.shape)
        items = mixture.reshape(-1, *mixture.shape[-2:]) if mixture.ndim > 1 else mixture[None, None]
        stems = {name: np.empty_like(items) for name in self.config.stems}
        num_samples = items.shape[-1]
        for index, item in enumerate(items):
            stream = self.stream(sampling_rate, len(item), batch_size=batch_size)
            size, done = BLOCK_SECONDS * stream.sampling_rate, 0
            for start in range(0, num_samples + size, size):
                blocks = stream.push(item[:, start : start + size]) if start < num_samples else stream.flush()
                for name, block in (blocks or {}).items():
                    stems[name][index, :, done : done + block.shape[1]] = block
                done += next(iter(blocks.values())).shape[1] if blocks else 0
                if progress_callback:
                    progress_callback(index * num_samples + done, len(items) * num_samples)
        shaped: dict[str, Any] = {name: stem.reshape(mixture.shape) for name, stem in stems.items()}
        if not isinstance(waveform, np.ndarray) and hasattr(waveform, "device"):
            import torch

            shaped = {name: torch.from_numpy(stem).to(waveform.device) for name, stem in shaped.items()}
        return shaped

    def stream(
        self, sampling_rate: int, num_channels: int, *, batch_size: int = DEFAULT_BATCH_SIZE
    ) -> SeparationStream:
        """Starts the separation of a mixture that comes in blocks.

        Args:
            sampling_rate: of the mixture in Hz, 4000 to 384000.
            num_channels: of the mixture.
            batch_size: patches that the network takes at once; fewer mean a shorter latency.

        Returns:
            [`SeparationStream`], which takes blocks by `push(block)` and ends with `flush()`.

        Raises:
            ValueError: a rate, number of channels or batch size out of range.
        """
        return SeparationStream(self, sampling_rate, num_channels, batch_size)
