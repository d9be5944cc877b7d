"""A run that was interrupted, however hard, ends as one that was not."""

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
from .small_training import arguments, assert_same_weights, refused, trained, write_recipe

RESUME = ("--resume_from_checkpoint", "latest")


def names_of(folder) -> list[str]:
    return [path.name for path in list_checkpoints(folder)]


def test_a_resumed_run_ends_with_the_weights_of_one_never_interrupted(training_root, finished_run):
    assert names_of(finished_run) == ["checkpoint-2", "checkpoint-4"]
    resumed = shutil.copytree(finished_run, training_root / "resumed")
    shutil.rmtree(resumed / "checkpoint-4")
    (resumed / "model.safetensors").unlink()
    assert_same_weights(finished_run, trained(training_root, "resumed", *RESUME))


@pytest.mark.faults
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_weights(training_root):
    """SIGKILL, wherever it hits, after the first and after the fourth of eight steps; two processes make examples."""
    steps = ("--max_train_steps", 8, "--checkpointing_steps", 1, "--num_workers", 2, "--validation_steps", 3)
    never_killed = trained(training_root, "never killed", *steps)
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
    assert_same_weights(never_killed, trained(training_root, "killed", *steps, *RESUME))


@pytest.mark.parametrize("damaged", ["model.safetensors", "optimizer.bin", "config.json", "custom_checkpoint_1.pkl"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(training_root, finished_run, capsys, damaged):
    folder = shutil.copytree(finished_run, training_root / f"damaged {damaged}")
    (folder / "model.safetensors").unlink()
    content = (folder / "checkpoint-4" / damaged).read_bytes()
    (folder / "checkpoint-4" / damaged).write_bytes(content[: len(content) // 2])
    trained(training_root, folder, *RESUME)
    said = capsys.readouterr().out
    assert "checkpoint-4 is damaged and left out" in said
    assert f"resuming after step 2 from {folder / 'checkpoint-2'}" in said
    assert_same_weights(finished_run, folder)


def test_old_checkpoints_are_removed_and_none_is_half_written(training_root):
    folder = trained(training_root, "limited", "--checkpointing_steps", "1", "--checkpoints_total_limit", "2")
    assert names_of(folder) == ["checkpoint-3", "checkpoint-4"]
    assert not list(folder.glob("*.partial"))


def test_another_configuration_is_refused_and_says_what_differs(training_root, finished_run):
    recipe = write_recipe(training_root / "wider.json", hidden_sizes=[8, 8, 8], sampling_rate=8000)
    before = {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")}
    said = refused(training_root, finished_run, "--recipe", recipe, *RESUME)
    assert "checkpoint-4 is of a model of another configuration" in said
    assert "sampling_rate 16000, not 8000" in said
    assert "hidden_sizes [4, 8, 8], not [8, 8, 8]" in said
    assert {path: path.stat().st_mtime_ns for path in finished_run.rglob("*")} == before
    assert UNetSVSConfig.from_pretrained(finished_run).sampling_rate == 16_000


def test_a_run_does_not_write_over_another_one(training_root):
    checkpoint = training_root / "taken" / "checkpoint-7"
    checkpoint.mkdir(parents=True)
    assert "--resume_from_checkpoint latest, or choose another --output_dir" in refused(training_root, "taken")
    assert [find_checkpoint(training_root / name, "latest") for name in ("taken", "new")] == [checkpoint, None]
