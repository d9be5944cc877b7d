"""A run that was interrupted, however hard, ends as one that was not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from modeling_unet_svs import UNetSVSConfig
from train.checkpoints import find_checkpoint, list_checkpoints

from .conftest import ROOT
from .small_training import arguments, assert_same_weights, train_here, write_recipe

RESUME = ("--resume_from_checkpoint", "latest")


def names_of(folder) -> list[str]:
    return [path.name for path in list_checkpoints(folder)]


def test_a_resumed_run_ends_with_the_weights_of_one_never_interrupted(training_root, monkeypatch):
    assert train_here(monkeypatch, *arguments(training_root, "whole")) == 0
    assert names_of(training_root / "whole") == ["checkpoint-2", "checkpoint-4"]
    shutil.copytree(training_root / "whole", training_root / "resumed")
    shutil.rmtree(training_root / "resumed" / "checkpoint-4")
    (training_root / "resumed" / "model.safetensors").unlink()
    assert train_here(monkeypatch, *arguments(training_root, "resumed", *RESUME)) == 0
    assert_same_weights(training_root / "whole", training_root / "resumed")


@pytest.mark.faults
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_weights(training_root, monkeypatch):
    """SIGKILL, wherever it hits, after the first and after the fourth of eight steps; two processes make examples."""
    steps = ("--max_train_steps", 8, "--checkpointing_steps", 1, "--num_workers", 2, "--validation_steps", 3)
    assert train_here(monkeypatch, *arguments(training_root, "never killed", *steps)) == 0
    killed = training_root / "killed"
    for step in (1, 4):
        command = [sys.executable, "-m", "train", *arguments(training_root, killed, *steps, *RESUME)]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 120
        while not any(int(name.split("-")[1]) >= step for name in names_of(killed)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (killed / "model.safetensors").exists()
    assert train_here(monkeypatch, *arguments(training_root, killed, *steps, *RESUME)) == 0
    assert_same_weights(training_root / "never killed", killed)


@pytest.mark.parametrize("damaged", ["model.safetensors", "optimizer.bin", "config.json", "custom_checkpoint_1.pkl"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(training_root, monkeypatch, capsys, damaged):
    folder = training_root / f"damaged {damaged}"
    assert train_here(monkeypatch, *arguments(training_root, folder)) == 0
    shutil.copytree(folder, training_root / f"sound {damaged}")
    (folder / "model.safetensors").unlink()
    content = (folder / "checkpoint-4" / damaged).read_bytes()
    (folder / "checkpoint-4" / damaged).write_bytes(content[: len(content) // 2])
    assert train_here(monkeypatch, *arguments(training_root, folder, *RESUME)) == 0
    said = capsys.readouterr().out
    assert "checkpoint-4 is damaged and left out" in said
    assert f"resuming after step 2 from {folder / 'checkpoint-2'}" in said
    assert_same_weights(training_root / f"sound {damaged}", folder)


def test_old_checkpoints_are_removed_and_none_is_half_written(training_root, monkeypatch):
    given = arguments(training_root, "limited", "--checkpointing_steps", "1", "--checkpoints_total_limit", "2")
    assert train_here(monkeypatch, *given) == 0
    assert names_of(training_root / "limited") == ["checkpoint-3", "checkpoint-4"]
    assert not list((training_root / "limited").glob("partial-*"))


def test_another_configuration_is_refused_and_says_what_differs(training_root, monkeypatch, capsys):
    folder = training_root / "of another shape"
    assert train_here(monkeypatch, *arguments(training_root, folder)) == 0
    recipe = write_recipe(training_root / "wider.json", hidden_sizes=[8, 8, 8], sampling_rate=8000)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert train_here(monkeypatch, *arguments(training_root, folder, "--recipe", recipe, *RESUME)) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "checkpoint-4 is of a model of another configuration" in said
    assert "sampling_rate 16000, not 8000" in said
    assert "hidden_sizes [4, 8, 8], not [8, 8, 8]" in said
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert UNetSVSConfig.from_pretrained(folder).sampling_rate == 16_000


def test_a_run_does_not_write_over_another_one(training_root, monkeypatch, capsys):
    (training_root / "taken" / "checkpoint-7").mkdir(parents=True)
    assert train_here(monkeypatch, *arguments(training_root, "taken")) == 2
    assert "--resume_from_checkpoint latest, or choose another --output_dir" in capsys.readouterr().err
    assert find_checkpoint(training_root / "taken", "latest") == training_root / "taken" / "checkpoint-7"
    assert find_checkpoint(training_root / "new", "latest") is None
