"""Separation with ONNX Runtime and numpy: neither PyTorch nor transformers is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.lib.stride_tricks import sliding_window_view

from .graph_description import FILE_NAME, GraphDescription
from .numpy_spectrogram import overlap_add, stft
from .one_line import one_line
from .separation import separate
from .stream import DEFAULT_BATCH_SIZE, SeparationStream


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


__all__ = ["OnnxSeparator"]
