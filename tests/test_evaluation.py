"""Scores: as they are defined, and as the field's library has them."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.audio_reading import read_audio
from train.evaluate import EvaluationArguments, evaluate
from train.scores import museval_metrics, museval_sdr, sdr
from train.songs import load_musdb18

from .conftest import noise, run
from .data_sets import make_mir1k, make_musdb18


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluation")
    make_musdb18(root / "musdb18")
    make_mir1k(root / "mir-1k")
    return root


def test_sdr_is_the_energy_of_the_reference_over_that_of_the_error():
    reference, error = noise(2, 10_000, seed=1), noise(2, 10_000, seed=2)
    expected = 10 * math.log10((reference.astype(float) ** 2).sum() / (error.astype(float) ** 2).sum())
    assert sdr(reference, reference + error) == pytest.approx(expected, abs=1e-4)
    assert sdr(reference, 0 * reference) == 0
    assert sdr(reference, 0.9 * reference) == pytest.approx(20, abs=1e-5)
    assert sdr(reference, reference) == math.inf
    assert math.isnan(sdr(0 * reference, reference))


def test_museval_is_the_librarys_own_median_over_frames():
    references = np.stack([noise(2, 30_000, seed) for seed in (1, 2)])
    estimates = references + 0.3 * np.stack([noise(2, 30_000, seed) for seed in (3, 4)])
    arrays = [references.swapaxes(1, 2), estimates.swapaxes(1, 2)]
    frames = museval_metrics().bss_eval(*arrays, window=8_000, hop=8_000, framewise_filters=False)[0]
    assert museval_sdr(references, estimates, 8_000) == pytest.approx(np.nanmedian(frames, axis=1).tolist())


def test_the_command_prints_a_table_and_writes_the_scores_of_every_song(root, checkpoint, tmp_path):
    output = tmp_path / "new" / "results.json"
    arguments = ["--model", checkpoint, "--musdb_dir", root / "musdb18", "--protocol", "sdr", "museval"]
    done = run(sys.executable, "-m", "train.evaluate", *arguments, "--output", output)
    assert done.returncode == 0, done.stderr
    results = json.loads(output.read_text())
    assert list(results["songs"]) == ["Nobody - Four"]
    scores = results["songs"]["Nobody - Four"]["sdr"]["vocals"]
    assert results["summary"]["sdr"]["vocals"] == {"mean": scores, "median": scores, "count": 1}
    assert f"{scores:.2f}" in done.stdout


def test_an_independent_computation_agrees(root, checkpoint, model):
    arguments = EvaluationArguments(model=str(checkpoint), mir1k_dir=str(root / "mir-1k"), split="validation")
    scores = evaluate(arguments)["songs"]["jmzen_1_01"]["sdr"]
    left_and_right, rate = read_audio(root / "mir-1k" / "jmzen_1_01.wav")
    stems = left_and_right[::-1, None]
    error = model.separate(stems.sum(0), rate)["vocals"] - stems[0]
    assert scores["vocals"] == pytest.approx(10 * np.log10((stems[0] ** 2).sum() / (error**2).sum()), abs=0.01)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"protocol": ["pesq"]}, "--protocol pesq is unknown"),
        ({"musdb_dir": None}, "--musdb_dir or --mir1k_dir"),
        ({"musdb_dir": "nowhere"}, "no songs of MUSDB18's test split in nowhere"),
        ({"model": "nowhere"}, "model nowhere"),
    ],
)
def test_what_cannot_be_scored_is_refused(root, change, said):
    with pytest.raises(ValueError, match=said):
        evaluate(EvaluationArguments(**{"model": "mixture", "musdb_dir": str(root / "musdb18"), **change}))


def test_the_mixture_as_estimate_is_the_floor(musdb_dir):
    """Of the 50 excerpts of 7 seconds; a voice is as loud against the mixture as it is."""
    if len(load_musdb18(musdb_dir, "test")) != 50:
        pytest.skip("the excerpts are not those that the number is for")
    summary = evaluate(EvaluationArguments(model="mixture", musdb_dir=str(musdb_dir)))["summary"]["sdr"]
    assert summary["vocals"]["mean"] == pytest.approx(-5.2, abs=0.1)


def test_the_checkpoint_that_comes_along_is_as_good_as_it_is_said_to_be(musdb_dir):
    summary = evaluate(EvaluationArguments(model=DEFAULT_CHECKPOINT, musdb_dir=str(musdb_dir)))["summary"]["sdr"]
    assert summary["vocals"]["mean"] >= 4.3
    assert summary["accompaniment"]["mean"] >= 9.5
