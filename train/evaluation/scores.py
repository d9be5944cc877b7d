"""The ways to score a separated song, each a function from references and estimates to numbers by stem."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import numpy as np

from modeling_unet_svs.separation import Resampler

STEMS = ("vocals", "accompaniment")
# Level in dB that stands for digital silence, so that means can include it.
INAUDIBLE = -120.0
# A protocol's scores by stem and metric, in dB; `frames` holds lists of them by metric.
StemScores = dict[str, dict[str, float | dict[str, list[float]]]]


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
    """SDR that ignores the estimate's level: the reference is scaled to fit the estimate best.

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


def frame_median(frames: np.ndarray) -> float:
    """A song's score from its frames.

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
    """Imports museval's scores alone, since the library as a whole cannot be imported without a system FFmpeg.

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
    # Both libraries call a stem silent whose channels add up to silence.
    return bool((waveforms.sum(axis=1) == 0).all(axis=1).any())


@dataclass(frozen=True)
class ScoredSong:
    """A song with its true stems and their estimates, for a protocol to score."""

    references: np.ndarray  # (num_stems, num_channels, num_samples), in the order of `STEMS`, as are the estimates
    estimates: np.ndarray
    sampling_rate: int
    bss_eval_rate: int
    separate: Callable[[np.ndarray, int], np.ndarray]


def _score_sdr(song: ScoredSong) -> StemScores:
    """`sdr` and `si_sdr` over the whole song."""
    return {
        stem: {"sdr": sdr(reference, estimate), "si_sdr": si_sdr(reference, estimate)}
        for stem, reference, estimate in zip(STEMS, song.references, song.estimates)
    }


def _score_museval(song: ScoredSong) -> StemScores:
    """BSSEval v4: frames of one second, one distortion filter for the whole song, and the median over frames.

    Frames are NaN where a reference or an estimate is digital silence, and all are where one is so throughout."""
    names, rate = ("sdr", "isr", "sir", "sar"), song.sampling_rate
    arrays = [np.swapaxes(array, 1, 2).astype(np.float64) for array in (song.references, song.estimates)]
    if _any_silent(song.references) or _any_silent(song.estimates):
        metrics = np.full((len(names), len(STEMS), max(arrays[0].shape[1] // rate, 1)), np.nan)
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            metrics = museval_metrics().bss_eval(*arrays, window=rate, hop=rate)
    return {
        stem: {
            **{name: frame_median(frames[index]) for name, frames in zip(names, metrics)},
            "frames": {name: frames[index].tolist() for name, frames in zip(names, metrics)},
        }
        for index, stem in enumerate(STEMS)
    }


def _score_bss_eval_v3(song: ScoredSong) -> StemScores:
    """The paper's `nsdr`, the SDR gained over the mixture, `sir`, `sar` and `sdr`; mono, at `bss_eval_rate`."""
    mixtures = np.broadcast_to(song.references.sum(axis=0), song.references.shape)
    references, estimates, mixtures = (
        _mono_at(array, song.sampling_rate, song.bss_eval_rate)
        for array in (song.references, song.estimates, mixtures)
    )
    scores = bss_eval_v3(references, estimates)
    # It takes seconds, and the floor's scores are those of the mixture already.
    floor = scores if np.array_equal(estimates, mixtures) else bss_eval_v3(references, mixtures)
    scores["nsdr"] = scores["sdr"] - floor["sdr"]
    return {
        stem: {metric: float(values[index]) for metric, values in scores.items()} for index, stem in enumerate(STEMS)
    }


def _score_levels(song: ScoredSong) -> StemScores:
    """`leakage`: how loud a stem comes out when only the other one plays, against that one; the lower the better."""
    scores = {}
    for index, stem in enumerate(STEMS):
        references = song.references.copy()
        references[index] = 0
        estimates = song.separate(references, song.sampling_rate)
        scores[stem] = {"leakage": relative_level(estimates[index], references.sum(axis=0))}
    return scores


def _mono_at(waveforms: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    mono = waveforms.mean(axis=1, dtype=np.float32)
    return Resampler(from_rate, to_rate, len(mono)).push(mono, last=True)


PROTOCOLS: Mapping[str, Callable[[ScoredSong], StemScores]] = {
    "sdr": _score_sdr,
    "museval": _score_museval,
    "bss_eval_v3": _score_bss_eval_v3,
    "levels": _score_levels,
}
