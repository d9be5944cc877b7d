"""The ways to score a separated song, each a function from references and estimates to numbers by stem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from modeling_unet_svs.resampling import Resampler

from .scores import bss_eval_v3, frame_median, museval_frames, relative_level, sdr, si_sdr

STEMS = ("vocals", "accompaniment")
# Scores by stem and metric, in dB; `frames` holds lists of them by metric.
StemScores = dict[str, dict[str, float | dict[str, list[float]]]]


@dataclass(frozen=True)
class SeparatedSong:
    """What a protocol scores.

    Attributes:
        references: the true stems in the order of `STEMS`, `(num_stems, num_channels, num_samples)`.
        estimates: of the same shape.
        sampling_rate: in Hz.
        bss_eval_rate: in Hz; the rate of the `bss_eval_v3` protocol.
        separate: from references and their rate to estimates, of the separator that made `estimates`.
    """

    references: np.ndarray
    estimates: np.ndarray
    sampling_rate: int
    bss_eval_rate: int
    separate: Callable[[np.ndarray, int], np.ndarray]

    @property
    def mixture(self) -> np.ndarray:
        """Sum of the references, `(num_channels, num_samples)`."""
        return self.references.sum(axis=0)


def score_sdr(song: SeparatedSong) -> StemScores:
    """`sdr` and `si_sdr` over the whole song.

    Args:
        song: to score.

    Returns:
        Both, in dB, for each stem.
    """
    return {
        stem: {"sdr": sdr(reference, estimate), "si_sdr": si_sdr(reference, estimate)}
        for stem, reference, estimate in zip(STEMS, song.references, song.estimates)
    }


def score_museval(song: SeparatedSong) -> StemScores:
    """BSSEval v4: `sdr`, `isr`, `sir`, `sar`, each the median over frames of one second, and the `frames`.

    Args:
        song: to score.

    Returns:
        All of it, in dB, for each stem.
    """
    metrics = museval_frames(song.references, song.estimates, song.sampling_rate)
    return {
        stem: {
            **{metric: frame_median(frames[index]) for metric, frames in metrics.items()},
            "frames": {metric: frames[index].tolist() for metric, frames in metrics.items()},
        }
        for index, stem in enumerate(STEMS)
    }


def score_bss_eval_v3(song: SeparatedSong) -> StemScores:
    """The paper's `nsdr`, `sir` and `sar`, and `sdr`, of the mean over channels at `bss_eval_rate`.

    Args:
        song: to score.

    Returns:
        All of it, in dB, for each stem; the NSDR is the SDR of the estimate minus that of the mixture.
    """
    mixtures = np.broadcast_to(song.mixture, song.references.shape)
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


def score_levels(song: SeparatedSong) -> StemScores:
    """What comes out as a stem when it does not play: vocals of the accompaniment alone, and the other way round.

    Args:
        song: to score; it is separated again, without each stem.

    Returns:
        `leakage`, the level of what comes out against what goes in, in dB, the lower the better, for each stem.
    """
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


PROTOCOLS: Mapping[str, Callable[[SeparatedSong], StemScores]] = {
    "sdr": score_sdr,
    "museval": score_museval,
    "bss_eval_v3": score_bss_eval_v3,
    "levels": score_levels,
}

__all__ = ["PROTOCOLS", "STEMS", "SeparatedSong", "StemScores"]
