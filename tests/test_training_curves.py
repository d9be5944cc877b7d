"""The picture of a training: what the logs of a run, and of its resumed parts, say."""

from __future__ import annotations

import sys

import pytest
from train.draw_training import main, read_scalars


def write_log(folder, losses, **more):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for step, loss in losses.items():
            writer.add_scalar("loss", loss, step)
        for name, values in more.items():
            for step, value in values.items():
                writer.add_scalar(name, value, step)


def test_a_resumed_run_is_one_curve_and_its_newest_part_counts(tmp_path, monkeypatch):
    write_log(tmp_path / "logs" / "train", {1: 4.0, 2: 3.0, 3: 9.0}, learning_rate={1: 0.5})
    write_log(tmp_path / "logs" / "train", {3: 2.0, 4: 1.0}, validation_sdr_vocals={4: 6.0})
    scalars = read_scalars(tmp_path)
    assert scalars["loss"] == {1: 4.0, 2: 3.0, 3: 2.0, 4: 1.0}
    assert scalars["validation_sdr_vocals"] == {4: 6.0}
    picture = tmp_path / "curves.png"
    monkeypatch.setattr(sys, "argv", ["draw_training", str(tmp_path), str(picture)])
    assert main() == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_a_log_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["draw_training", str(tmp_path), str(tmp_path / "curves.png")])
    assert main() == 2
    assert capsys.readouterr().err == f"draw_training: {tmp_path} has no TensorBoard log of a training in logs/.\n"
    with pytest.raises(ValueError):
        read_scalars(tmp_path / "nowhere")
