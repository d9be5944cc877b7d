"""Scores: as they are defined, and as the field's libraries have them."""

import math

import numpy as np
import pytest

from train.evaluation.scores import (
    PROTOCOLS,
    ScoredSong,
    bss_eval_v3,
    frame_median,
    museval_metrics,
    relative_level,
    sdr,
    si_sdr,
)

RATE = 3_000


def test_sdr_is_the_energy_of_the_reference_over_that_of_the_error():
    reference, error = noise_pair()
    expected = 10 * math.log10((reference.astype(float) ** 2).sum() / (error.astype(float) ** 2).sum())
    assert sdr(reference, reference + error) == pytest.approx(expected, abs=1e-4)
    assert sdr(reference, 0 * reference) == 0
    assert sdr(reference, 0.9 * reference) == pytest.approx(20, abs=1e-5)
    assert sdr(reference, reference) == math.inf
    assert math.isnan(sdr(0 * reference, reference))


def test_si_sdr_does_not_depend_on_the_estimates_level():
    reference, error = noise_pair()
    error -= (error * reference).sum() / (reference**2).sum() * reference
    expected = 10 * math.log10((reference.astype(float) ** 2).sum() / (error.astype(float) ** 2).sum())
    for gain in (1, 0.1, -3):
        assert si_sdr(reference, gain * (reference + error)) == pytest.approx(expected, abs=1e-3)
    assert math.isnan(si_sdr(0 * reference, reference))
    assert math.isnan(si_sdr(reference, 0 * reference))


def test_museval_is_the_librarys_own():
    references, estimates = stems(2, 10_000)
    arrays = [references.swapaxes(1, 2), estimates.swapaxes(1, 2)]
    expected = museval_metrics().bss_eval(*arrays, window=RATE, hop=RATE, framewise_filters=False)[:4]
    found = museval_frames(references, estimates)
    for name, values in zip(("sdr", "isr", "sir", "sar"), expected):
        assert found[name] == pytest.approx(values, abs=1e-6), name
    assert found["sdr"].shape == (2, 3)


def test_silent_frames_are_left_out():
    references, estimates = stems(1, 3 * RATE)
    references[0, :, RATE : 2 * RATE] = 0
    frames = museval_frames(references, estimates)["sdr"]
    assert np.isnan(frames).tolist() == [[False, True, False]] * 2
    assert frame_median(frames[0]) == pytest.approx(np.median(frames[0, [0, 2]]))
    references[0] = 0
    frames = museval_frames(references, estimates)["sdr"]
    assert frames.shape == (2, 3)
    assert np.isnan(frames).all()
    assert math.isnan(frame_median(frames[0]))


def test_bss_eval_v3_is_a_projection_on_delayed_references():
    references, estimates = (array[:, 0] for array in stems(1, 1500))
    taps = 512
    padded = np.pad(estimates, ((0, 0), (0, taps - 1)))
    delayed = [np.stack([np.pad(row, (tap, taps - 1 - tap)) for tap in range(taps)], 1) for row in references]
    found = bss_eval_v3(references, estimates)
    for index in range(2):
        targets, everything = (
            basis @ np.linalg.solve(basis.T @ basis, basis.T @ padded[index])
            for basis in (delayed[index], np.concatenate(delayed, axis=1))
        )
        ratios = {
            "sdr": (targets, padded[index] - targets),
            "sir": (targets, everything - targets),
            "sar": (everything, padded[index] - everything),
        }
        for name, (signal, error) in ratios.items():
            expected = 10 * np.log10((signal**2).sum() / (error**2).sum())
            assert found[name][index] == pytest.approx(expected, abs=0.01), name
    assert all(np.isnan(values).all() for values in bss_eval_v3(0 * references, estimates).values())


def test_relative_level_is_in_decibels_under_the_mixture():
    reference, _ = noise_pair()
    assert relative_level(0.1 * reference, reference) == pytest.approx(-20, abs=1e-5)
    assert relative_level(0 * reference, reference) == -120
    assert math.isnan(relative_level(reference, 0 * reference))


def museval_frames(references: np.ndarray, estimates: np.ndarray) -> dict[str, np.ndarray]:
    """Scores by metric, `(num_stems, num_frames)`."""
    scores = PROTOCOLS["museval"](ScoredSong(references, estimates, RATE, RATE, None)).values()
    return {name: np.array([stem["frames"][name] for stem in scores]) for name in ("sdr", "isr", "sir", "sar")}


def noise_pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return tuple(rng.standard_normal((2, 2, 10_000)).astype(np.float32) / 10)


def stems(num_channels: int, num_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """References and estimates of two stems."""
    rng = np.random.default_rng(0)
    references, errors = rng.standard_normal((2, 2, num_channels, num_samples)) / 10
    return references, references + 0.3 * errors
