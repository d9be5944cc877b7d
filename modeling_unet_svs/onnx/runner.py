"""Separation with ONNX Runtime and numpy: neither PyTorch nor transformers is needed."""

import ctypes
import json
import os
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..audio_reading import one_line
from ..onnx_graph import GRAPH, LAYOUT, WEIGHTS, layout_of
from ..separation import SeparationConfig, Separator, hann_window, refuse_if

DESCRIPTION = "separation.json"
FORMAT = {"format_version": 1, "window": "periodic_hann"}
SEPARATORS: "WeakSet[OnnxSeparator]" = WeakSet()


def _leave_sessions() -> None:
    """After a fork, sessions wait for threads that are not there: the child starts its own, and frees none of them."""
    for separator in SEPARATORS:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(separator._session))
        separator._session = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_sessions)


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


def write_description(config: SeparationConfig, path: Path) -> None:
    """Writes what a runner needs in addition to the graph."""
    values = {field.name: getattr(config, field.name) for field in fields(SeparationConfig)}
    path.write_text(json.dumps({**FORMAT, **values, "stems": config.stems}, indent=2) + "\n")


def read_description(folder: Path) -> SeparationConfig:
    """What a runner needs: from what `write_description` has written, or from a checkpoint's configuration."""
    path = folder / DESCRIPTION
    try:
        if path.is_file():
            values = json.loads(path.read_text())
            given = {name: values[name] for name in FORMAT}
            refuse_if(given != FORMAT, f"it is for {given} where this version reads {FORMAT}")
        else:
            path = folder / "config.json"
            values = json.loads(path.read_text())
        return SeparationConfig(**{field.name: values[field.name] for field in fields(SeparationConfig)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} cannot be used: {error}") from None


class OnnxSeparator(Separator):
    """Separates a mixture in ONNX Runtime, as [`UNetSVSModel`] does.

    It can be pickled, serves many threads, and goes on after a fork.

    Args:
        path: of a checkpoint's folder with its `model.onnx`, or of a graph that `unet-svs export` has written.
        providers: of ONNX Runtime, the first that can run a node does; `None` for the CPU.
        num_threads: that compute; `None` for one per core.

    Raises:
        ValueError: files that are missing, damaged or of different models; one line.
    """

    def __init__(self, path: str | Path, providers: Sequence[str] | None = None, *, num_threads: int | None = None):
        self._given = (path, providers, num_threads)
        self._path = Path(path) / GRAPH if Path(path).is_dir() else Path(path)
        refuse_if(not self._path.is_file(), f"{self._path} is no file: give a folder with a {GRAPH}, or such a file.")
        self.config = read_description(self._path.parent)
        self._session = self._start()
        SEPARATORS.add(self)
        self._check()

    def _start(self) -> Any:
        import onnxruntime

        _, providers, num_threads = self._given
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads or 0
        try:
            return onnxruntime.InferenceSession(self._path, options, providers=providers or ["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no common class
            raise ValueError(one_line(f"{self._path} cannot be used: {error}")) from None

    def _check(self) -> None:
        """Refuses a graph that was made for other weights, which would be read from wrong places, or another model."""
        layout = self._session.get_modelmeta().custom_metadata_map.get(LAYOUT)
        is_other = layout and layout != layout_of(self._path.with_name(WEIGHTS))
        refuse_if(is_other, f"{self._path} was made for another {WEIGHTS}: save the model anew.")
        config, given = self.config, [*self._session.get_inputs(), *self._session.get_outputs()]
        patch = [config.num_channels, config.n_fft // 2 + 1, config.num_frames]
        is_other = [value.shape[1:] for value in given] != [patch, [len(config.sources), *patch]]
        refuse_if(is_other, f"{self._path} does not fit the configuration beside it: save the model anew.")

    def __reduce__(self) -> tuple[Any, ...]:
        path, providers, num_threads = self._given
        return partial(OnnxSeparator, num_threads=num_threads), (path, providers)

    def estimate_masks(self, magnitude: np.ndarray) -> np.ndarray:
        """Magnitudes `(batch, num_channels, n_fft // 2 + 1, num_frames)` to masks with an axis of sources second."""
        if self._session is None:  # the process was forked
            self._session = self._start()
        return self._session.run(["masks"], {"magnitude": magnitude})[0]

    def overlap_added_frames(self, waveform: np.ndarray, num_patches: int) -> np.ndarray:
        config, kept = self.config, self.config.kept_frames
        num_kept = kept.stop - kept.start
        spectrum = stft(waveform, config.n_fft, config.hop_length)
        patches = sliding_window_view(np.abs(spectrum), config.num_frames, axis=-1)[..., ::num_kept, :]
        masks = self.estimate_masks(np.ascontiguousarray(patches.transpose(2, 0, 1, 3)))[..., kept]
        mixture = spectrum[..., kept.start : kept.start + num_patches * num_kept]
        masks = masks.transpose(1, 2, 3, 0, 4).reshape(len(config.sources), *mixture.shape)
        return overlap_add(masks * mixture, config.n_fft, config.hop_length)
