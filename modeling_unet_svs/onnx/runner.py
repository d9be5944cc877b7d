"""Separation with ONNX Runtime and numpy: neither PyTorch nor transformers is needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..audio_reading import one_line
from ..separation import DEFAULT_BATCH_SIZE, SeparationStream, hann_window, separate

if TYPE_CHECKING:
    from ..configuration_unet_svs import UNetSVSConfig


def stft(waveform: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    """Short-time Fourier transform without any padding: frame `t` is samples `t * hop_length` and `n_fft - 1` more."""
    frames = sliding_window_view(waveform, n_fft, axis=-1)[..., ::hop_length, :] * hann_window(n_fft)
    return np.fft.rfft(frames).astype(np.complex64, copy=False).swapaxes(-1, -2)


def overlap_add(spectrum: np.ndarray, n_fft: int, hop_length: int) -> np.ndarray:
    """Inverse of every frame, windowed again and added up, not yet divided by `synthesis_envelope`."""
    *shape, _, num_frames = spectrum.shape
    frames = np.fft.irfft(spectrum.swapaxes(-1, -2), n_fft).astype(np.float32, copy=False) * hann_window(n_fft)
    num_hops = -(-n_fft // hop_length)
    added = np.zeros((*shape, num_frames + num_hops - 1, hop_length), dtype=np.float32)
    for index in range(num_hops):
        hop = frames[..., index * hop_length : (index + 1) * hop_length]
        added[..., index : index + num_frames, : hop.shape[-1]] += hop
    return added.reshape(*shape, -1)[..., : (num_frames - 1) * hop_length + n_fft]


FILE_NAME = "separation.json"
FORMAT = {"format_version": 1, "window": "periodic_hann"}


@dataclass(frozen=True)
class GraphDescription:
    """The part of a [`UNetSVSConfig`] that is not within the graph; the names mean the same."""

    sampling_rate: int
    num_channels: int
    n_fft: int
    hop_length: int
    num_frames: int
    context_frames: int
    num_bands: int
    sources: tuple[str, ...]
    residual: str | None
    stems: tuple[str, ...]

    @classmethod
    def of(cls, config: UNetSVSConfig) -> GraphDescription:
        """The description of a model's graph."""
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls)})

    def write(self, path: Path) -> None:
        """Writes the description."""
        path.write_text(json.dumps({**FORMAT, **asdict(self)}, indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> GraphDescription:
        """Reads what `write` has written."""
        try:
            values = json.loads(path.read_text())
            given = {name: values.pop(name) for name in FORMAT}
            if given != FORMAT:
                raise ValueError(f"it is for {given} where this version reads {FORMAT}")
            return cls(**values)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} cannot be used: {error}") from None


class OnnxSeparator:
    """Separates a mixture with a graph that `unet-svs export` has written, as [`UNetSVSModel`] does.

    Args:
        path: `onnx/model.onnx` or `onnx/model_fp16.onnx`, with `separation.json` beside it.
        providers: of ONNX Runtime, the first that can run a node does; `None` for the CPU.

    Raises:
        ValueError: files that are missing or damaged; one line.
    """

    def __init__(self, path: str | Path, providers: Sequence[str] | None = None):
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"{path} is no file: give a model.onnx that unet-svs export has written.")
        self.config = GraphDescription.read(path.with_name(FILE_NAME))
        import onnxruntime

        try:
            self._session = onnxruntime.InferenceSession(path, providers=providers or ["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a class of its own for each fault, and no common one
            raise ValueError(one_line(f"{path} cannot be used: {error}")) from None

    def estimate_masks(self, magnitude: np.ndarray) -> np.ndarray:
        """The masks for patches of the mixture's magnitudes.

        Args:
            magnitude: float32 `(batch, num_channels, n_fft // 2 + 1, num_frames)`.

        Returns:
            float32 `(batch, num_sources, num_channels, n_fft // 2 + 1, num_frames)`.
        """
        return self._session.run(["masks"], {"magnitude": magnitude})[0]

    def separate(
        self,
        waveform: np.ndarray,
        sampling_rate: int,
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        progress_callback: Callable[[int, int], None] | None = None,
    ) -> dict[str, np.ndarray]:
        """Takes a mixture apart into `config.stems`, as [`UNetSVSModel.separate`].

        Args:
            waveform: `(num_samples,)`, `(num_channels, num_samples)` or `(batch, num_channels, num_samples)`.
            sampling_rate: of the waveform in Hz.
            batch_size: patches that the network takes at once.
            progress_callback: called with the samples done and all samples.

        Returns:
            float32 waveform of the same shape for each stem.

        Raises:
            ValueError: a waveform, rate or batch size that cannot be used.
        """
        return separate(self, waveform, sampling_rate, batch_size, progress_callback)

    def stream(
        self, sampling_rate: int, num_channels: int, *, batch_size: int = DEFAULT_BATCH_SIZE
    ) -> SeparationStream:
        """Starts the separation of a mixture that comes in blocks, as [`UNetSVSModel.stream`].

        Args:
            sampling_rate: of the mixture in Hz.
            num_channels: of the mixture.
            batch_size: patches that the network takes at once.

        Returns:
            [`SeparationStream`].
        """
        return SeparationStream(self, sampling_rate, num_channels, batch_size)

    def estimate_sources(self, waveform: np.ndarray, num_patches: int) -> np.ndarray:
        """The sources of the frames that neighbouring patches keep, as [`UNetSVSModel.estimate_sources`].

        Args:
            waveform: float32 `(num_groups, num_channels, num_samples)`, with the patches' context.
            num_patches: that follow one another.

        Returns:
            float32 `(num_groups, num_sources, num_channels, num_samples)` of added-up frames.
        """
        return np.stack([self._added_up_frames(group, num_patches) for group in waveform])

    def _added_up_frames(self, waveform: np.ndarray, num_patches: int) -> np.ndarray:
        """`(num_channels, samples)` with context to `(num_sources, num_channels, samples)` of the kept frames."""
        config = self.config
        num_kept = config.num_frames - 2 * config.context_frames
        kept = slice(config.context_frames, config.context_frames + num_kept)
        spectrum = stft(waveform, config.n_fft, config.hop_length)
        patches = sliding_window_view(np.abs(spectrum), config.num_frames, axis=-1)[..., ::num_kept, :]
        masks = self.estimate_masks(np.ascontiguousarray(patches.transpose(2, 0, 1, 3)))[..., kept]
        mixture = spectrum[..., config.context_frames : config.context_frames + num_patches * num_kept]
        masks = masks.transpose(1, 2, 3, 0, 4).reshape(len(config.sources), *mixture.shape)
        return overlap_add(masks * mixture, config.n_fft, config.hop_length)
