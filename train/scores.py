"""Signal-to-distortion ratios in decibels, as plainly as they can be computed."""

from __future__ import annotations

from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import numpy as np


def sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Ratio of a reference's energy to that of the estimate's error, over the whole excerpt and all channels.

    Args:
        reference: `(num_channels, num_samples)`.
        estimate: of the same shape.

    Returns:
        10 log10(|s|² / |s - ŝ|²) in dB; NaN where the reference is digital silence, infinite for a perfect estimate.
    """
    signal = np.square(reference, dtype=np.float64).sum()
    error = np.square(np.subtract(reference, estimate, dtype=np.float64)).sum()
    if signal == 0:
        return float("nan")
    return float("inf") if error == 0 else float(10 * np.log10(signal / error))


def museval_sdr(references: np.ndarray, estimates: np.ndarray, sampling_rate: int) -> list[float]:
    """BSSEval v4's SDR by the museval library: frames of one second, the median of those that are not silent.

    Args:
        references: `(num_stems, num_channels, num_samples)`.
        estimates: of the same shape.
        sampling_rate: in Hz.

    Returns:
        SDR in dB for each stem; NaN where no frame has both a reference and an estimate that are not silent.
    """
    # museval takes (stems, samples, channels).
    arrays = [np.swapaxes(array, 1, 2) for array in (references, estimates)]
    frames = museval_metrics().bss_eval(*arrays, window=sampling_rate, hop=sampling_rate)[0]
    finite = [values[np.isfinite(values)] for values in frames]
    return [float(np.median(values)) if values.size else float("nan") for values in finite]


def museval_metrics() -> ModuleType:
    """The museval library's scores alone: the library as a whole refuses to be imported without a system FFmpeg.

    Returns:
        The module `museval.metrics`.

    Raises:
        ImportError: museval is not installed.
    """
    package = PathFinder.find_spec("museval")
    if package is None:
        raise ImportError("scores need museval: pip install museval")
    spec = spec_from_file_location("museval_metrics", f"{package.submodule_search_locations[0]}/metrics.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


__all__ = ["museval_metrics", "museval_sdr", "sdr"]
