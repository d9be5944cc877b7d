"""A training of a few steps, on tiny data sets, with the small model."""

import json
import re
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from train.__main__ import main

from .conftest import call_main, small_config
from .data_sets import make_instrumentals, make_mir1k, make_musdb18


def make_training_root(root: Path) -> Path:
    """Data sets, and the recipe `small.json`."""
    make_musdb18(root / "musdb18")
    make_mir1k(root / "mir-1k")
    make_instrumentals(root / "instrumentals")
    write_recipe(root / "small.json")
    return root


def write_recipe(path: Path, **model) -> Path:
    """The small model's shape, changed."""
    names = ("num_channels", "sampling_rate", "n_fft", "hop_length", "num_frames", "context_frames", "hidden_sizes")
    shape = {name: getattr(small_config(), name) for name in (*names, "num_dropout_layers")}
    training = {"train_batch_size": 4, "warmup_steps": 1, "validation_steps": 4, "checkpointing_steps": 2}
    path.write_text(json.dumps({"model": {**shape, **model}, "training": training}))
    return path


def arguments(root: Path, output_dir: Path | str, *more: object) -> list[str]:
    """Flags of a training of 4 steps; later ones win."""
    data = ["--musdb_dir", root / "musdb18", "--mir1k_dir", root / "mir-1k"]
    data += ["--instrumentals_dir", root / "instrumentals", "--cache_dir", root / "cache"]
    given = ["--recipe", root / "small.json", "--output_dir", root / output_dir, "--max_train_steps", "4"]
    given += ["--report_to", "none"]
    return [str(argument) for argument in (*given, *data, *more)]


def train_here(*given: object) -> int:
    """Trains in this process; returns the exit code."""
    AcceleratorState._reset_state(reset_partial_state=True)
    return call_main(main, *given)


def trained(root: Path, output_dir: Path | str, *more: object) -> Path:
    """The folder of a training that has succeeded."""
    assert train_here(*arguments(root, output_dir, *more)) == 0
    return root / output_dir


def refused(root: Path, output_dir: Path | str, *more: object, begins: str = "^") -> str:
    """The one line that says why there is no training."""
    with redirect_stderr(StringIO()) as said:
        assert train_here(*arguments(root, output_dir, *more)) == 2
    (line,) = re.findall(f"{begins}train: .*", said.getvalue(), flags=re.MULTILINE)
    return line


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_weights(one: Path, other: Path) -> None:
    torch.testing.assert_close(weights_of(one), weights_of(other), rtol=0, atol=0)
