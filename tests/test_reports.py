"""What is known of a run before it trains: `--dry_run`, and the record `run.json`."""

import json
import re
import shutil
import subprocess
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from modeling_unet_svs.audio_reading import read_audio
from train import reports
from train.data.cache import decode_songs
from train.data.folders import load_musdb18

from .conftest import ROOT, small_config
from .small_training import arguments, assert_same_weights, refused, train_here, trained


def test_a_dry_run_leaves_examples_to_listen_to_and_nothing_else(training_root, finished_run, capsys):
    folder = training_root / "tried out"
    assert train_here(*arguments(training_root, folder, "--dry_run")) == 0
    said = capsys.readouterr().out
    assert re.search(r"train songs: 3 of musdb18, 0\.\d min; 2 of mir1k, .*; 2 of instrumentals, ", said)
    assert f"examples of the first batch: {folder / 'dry_run'}\n" in said
    assert re.search(r"\nmemory at its peak: \d+\.\d GB\n", said)
    assert [path.name for path in folder.iterdir()] == ["dry_run"]
    stems = ("mixture", "vocals", "accompaniment")
    names = {f"{number:02d} {stem}.wav" for number in range(1, 5) for stem in stems}
    assert {path.name for path in (folder / "dry_run").iterdir()} == names
    mixture, vocals, accompaniment = (read_audio(folder / "dry_run" / f"03 {stem}.wav")[0] for stem in stems)
    assert mixture.shape == (2, small_config().patch_samples)
    assert np.abs(mixture).max() > 0.01
    np.testing.assert_allclose(vocals + accompaniment, mixture, atol=1e-6)
    assert_same_weights(finished_run, trained(training_root, folder))


def test_a_dry_run_says_how_long_the_run_would_take(training_root, checkpoint, monkeypatch, capsys):
    """With a clock that goes on by a second whenever it is read."""
    monkeypatch.setattr(reports, "time", SimpleNamespace(perf_counter=count().__next__))
    steps = ("--max_train_steps", "90", "--validation_steps", "20", "--early_stopping_patience", "2")
    given = arguments(training_root, "timed", "--dry_run", *steps, "--gradient_accumulation_steps", "2")
    assert train_here(*given) == 0
    said = capsys.readouterr().out
    assert "a step: 1.00 s; a validation: 1 s\n" in said
    assert "the run: 0:01:35 for 90 steps and 5 validations at most\n" in said
    assert train_here(*given, "--model_name_or_path", checkpoint) == 0
    said = capsys.readouterr().out
    assert re.search(r"a validation: 1 s, SDR -?\d+\.\d\d dB\n", said)
    assert "the run: 0:01:36 for 90 steps and 6 validations at most\n" in said


def test_a_dry_run_stops_where_the_run_would(training_root, finished_run):
    said = refused(training_root, finished_run, "--dry_run")
    assert f"train: {finished_run} has the checkpoints of another run" in said


def test_a_run_records_how_it_was_started_and_each_resumption(training_root, finished_run):
    resumed = shutil.copytree(finished_run, training_root / "resumed and recorded")
    shutil.rmtree(resumed / "checkpoint-4")
    trained(training_root, resumed, "--resume_from_checkpoint", "latest")
    first, second = json.loads((resumed / "run.json").read_text())
    assert (first["first_step"], second["first_step"]) == (0, 2)
    assert second["command"].startswith("python -m train --recipe ")
    assert second["command"].endswith("--resume_from_checkpoint latest")
    assert (first["seed"], first["arguments"]["warmup_steps"]) == (0, 1)
    assert first["versions"].keys() >= {"python", "torch", "transformers", "accelerate", "numpy"}
    assert first["data"] == second["data"]
    assert {name: about["num_songs"] for name, about in first["data"]["train"].items()} == {
        "musdb18": 3,
        "mir1k": 2,
        "instrumentals": 2,
    }
    assert first["git"] == reports.git_state()
    assert len(json.loads((finished_run / "run.json").read_text())) == 1


def test_a_record_has_the_commit_if_there_is_one(monkeypatch, tmp_path):
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    changes = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=ROOT, capture_output=True, check=True)
    assert reports.git_state() == {"commit": head.stdout.strip(), "dirty": bool(changes.stdout)}
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert reports.git_state() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert reports.git_state() is None


def test_the_fingerprint_of_songs_is_that_of_their_names_and_lengths(training_root, tmp_path):
    def described(folder) -> dict:
        songs = decode_songs(load_musdb18(folder, "train"), tmp_path / "cache", 16_000, 2)
        return reports.describe_songs(songs, 16_000)["musdb18"]

    copied = shutil.copytree(training_root / "musdb18", tmp_path / "copied")
    about = described(copied)
    assert about == described(training_root / "musdb18")
    assert about["minutes"] == pytest.approx(0.05, abs=0.01)
    song = next((copied / "train").iterdir())
    song.rename(song.with_name(f"Renamed{song.name}"))
    renamed = described(copied)
    assert renamed["num_songs"] == about["num_songs"]
    assert renamed["fingerprint"] != about["fingerprint"]
