"""How close estimates are to their references, in decibels: plain ratios, BSSEval v4 and v3, and levels."""

from __future__ import annotations

import warnings
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import numpy as np

# dB under a mixture that stand for digital silence, so that it has a place in means.
INAUDIBLE = -120.0


def sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Ratio of a reference's energy to that of the estimate's error, over the whole excerpt and all channels.

    Args:
        reference: `(num_channels, num_samples)`.
        estimate: of the same shape.

    Returns:
        10 log10(|s|² / |s - ŝ|²) in dB; NaN where the reference is digital silence, infinite for a perfect estimate.
    """
    return _decibels(_energy(reference), _energy(np.subtract(reference, estimate, dtype=np.float64)))


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """SDR that no change of the estimate's level moves: the reference is scaled to fit the estimate best.

    Args:
        reference: `(num_channels, num_samples)`.
        estimate: of the same shape.

    Returns:
        10 log10(|αs|² / |αs - ŝ|²) in dB with α = <ŝ, s> / |s|², one α for all channels; NaN where the reference or
        the estimate is digital silence.
    """
    reference, estimate = reference.astype(np.float64), estimate.astype(np.float64)
    energy = _energy(reference)
    if energy == 0 or not estimate.any():
        return float("nan")
    scaled = (reference * estimate).sum() / energy * reference
    return _decibels(_energy(scaled), _energy(scaled - estimate)) if scaled.any() else float("-inf")


def museval_frames(references: np.ndarray, estimates: np.ndarray, sampling_rate: int) -> dict[str, np.ndarray]:
    """BSSEval v4 by the museval library: frames of one second, one distortion filter for the whole song.

    Args:
        references: `(num_stems, num_channels, num_samples)`.
        estimates: of the same shape.
        sampling_rate: in Hz.

    Returns:
        `sdr`, `isr`, `sir` and `sar` in dB, each `(num_stems, num_frames)`; NaN in frames where a reference or an
        estimate is digital silence, and in all frames where one is so for the whole song.
    """
    names = ("sdr", "isr", "sir", "sar")
    if _any_silent(references) or _any_silent(estimates):
        num_frames = max(references.shape[2] // sampling_rate, 1)
        return {name: np.full((len(references), num_frames), np.nan) for name in names}
    # museval takes (stems, samples, channels).
    arrays = [np.swapaxes(array, 1, 2).astype(np.float64) for array in (references, estimates)]
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = museval_metrics().bss_eval(*arrays, window=sampling_rate, hop=sampling_rate)
    return dict(zip(names, scores))


def frame_median(frames: np.ndarray) -> float:
    """The number that a song has by its frames.

    Args:
        frames: `(num_frames,)`, in dB.

    Returns:
        The median of those that are finite; NaN where none is.
    """
    finite = frames[np.isfinite(frames)]
    return float(np.median(finite)) if finite.size else float("nan")


def bss_eval_v3(references: np.ndarray, estimates: np.ndarray) -> dict[str, np.ndarray]:
    """BSSEval v3 by the mir_eval library, as the paper has it: mono, the whole excerpt, each estimate for its stem.

    Args:
        references: `(num_stems, num_samples)`.
        estimates: of the same shape.

    Returns:
        `sdr`, `sir` and `sar` in dB, each `(num_stems,)`; NaN where a reference or an estimate is digital silence.
    """
    names = ("sdr", "sir", "sar")
    if _any_silent(references[:, None]) or _any_silent(estimates[:, None]):
        return {name: np.full(len(references), np.nan) for name in names}
    from mir_eval.separation import bss_eval_sources

    arrays = [array.astype(np.float64) for array in (references, estimates)]
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        # mir_eval announces that its next version leaves source separation to other libraries.
        warnings.simplefilter("ignore", FutureWarning)
        *scores, _ = bss_eval_sources(*arrays, compute_permutation=False)
    return dict(zip(names, scores))


def relative_level(estimate: np.ndarray, mixture: np.ndarray) -> float:
    """How loud an estimate is against its mixture.

    Args:
        estimate: `(num_channels, num_samples)`.
        mixture: of the same shape.

    Returns:
        10 log10(|ŝ|² / |x|²) in dB, at least -120; NaN where the mixture is digital silence.
    """
    return max(-_decibels(_energy(mixture), _energy(estimate)), INAUDIBLE) if mixture.any() else float("nan")


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


def _energy(waveform: np.ndarray) -> float:
    return float(np.square(waveform, dtype=np.float64).sum())


def _decibels(signal: float, error: float) -> float:
    if signal == 0:
        return float("nan")
    return float("inf") if error == 0 else float(10 * np.log10(signal / error))


def _any_silent(waveforms: np.ndarray) -> bool:
    # As both libraries have it: the sum over the channels is silent.
    return bool((waveforms.sum(axis=1) == 0).all(axis=1).any())


__all__ = ["bss_eval_v3", "frame_median", "museval_frames", "museval_metrics", "relative_level", "sdr", "si_sdr"]
