"""`accelerate launch train`: real runs of a few steps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from modeling_unet_svs import UNetSVSConfig, UNetSVSModel
from modeling_unet_svs.checkpoint_loading import load_checkpoint
from train.__main__ import main
from train.arguments import parse_arguments, read_recipe
from train.checkpoints import find_checkpoint, list_checkpoints
from train.mixing import MixingArguments
from train.package_checkpoint import package_checkpoint

from .conftest import make_model, run, small_config
from .data_sets import make_instrumentals, make_mir1k, make_musdb18

MIN_LOSS_DECREASE = 0.1


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Data sets and a recipe for the small model."""
    root = tmp_path_factory.mktemp("training")
    make_musdb18(root / "musdb18")
    make_mir1k(root / "mir-1k")
    make_instrumentals(root / "instrumentals")
    config = small_config()
    model = {
        name: getattr(config, name)
        for name in ("num_channels", "sampling_rate", "n_fft", "hop_length", "num_frames", "context_frames")
    }
    training = {"train_batch_size": 4, "warmup_steps": 1, "validation_steps": 4, "checkpointing_steps": 2}
    recipe = {"model": {**model, "hidden_sizes": [4, 8, 8], "num_dropout_layers": 1}, "training": training}
    (root / "small.json").write_text(json.dumps(recipe))
    return root


def arguments(root: Path, output_dir: Path | str, *more: str) -> list[str]:
    data = ["--musdb_dir", root / "musdb18", "--mir1k_dir", root / "mir-1k"]
    data += ["--instrumentals_dir", root / "instrumentals", "--cache_dir", root / "cache"]
    given = [
        "--recipe",
        root / "small.json",
        *data,
        "--output_dir",
        root / output_dir,
        "--max_train_steps",
        "4",
        *more,
    ]
    return [str(argument) for argument in given]


def train_here(monkeypatch, *given: str) -> int:
    monkeypatch.setattr("sys.argv", ["train", *given])
    return main()


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("launch", [["train"], ["-m", "train"]], ids=["folder", "module"])
def test_it_is_launched_by_accelerate(root, launch):
    output_dir = root / f"launched {len(launch)}"
    done = run("accelerate", "launch", "--cpu", *launch, *arguments(root, output_dir))
    assert done.returncode == 0, done.stderr
    assert "validation_sdr_vocals" in done.stderr + done.stdout
    model = load_checkpoint(output_dir)
    assert model.config.sampling_rate == 16_000
    assert {"model.safetensors", "preprocessor_config.json", "modeling_unet_svs.py", "logs", "best"} <= {
        path.name for path in output_dir.iterdir()
    }
    assert list((output_dir / "logs").rglob("events.out.tfevents*"))


def test_a_resumed_run_ends_with_the_weights_of_one_never_interrupted(root, monkeypatch):
    assert train_here(monkeypatch, *arguments(root, "whole")) == 0
    assert [path.name for path in list_checkpoints(root / "whole")] == ["checkpoint-2", "checkpoint-4"]
    shutil.copytree(root / "whole", root / "resumed")
    shutil.rmtree(root / "resumed" / "checkpoint-4")
    (root / "resumed" / "model.safetensors").unlink()
    assert train_here(monkeypatch, *arguments(root, "resumed", "--resume_from_checkpoint", "latest")) == 0
    resumed = weights_of(root / "resumed")
    for name, weight in weights_of(root / "whole").items():
        assert torch.equal(weight, resumed[name]), name


def test_the_averaged_weights_are_those_that_are_saved(root, monkeypatch):
    assert train_here(monkeypatch, *arguments(root, "averaged", "--ema_decay", "0.0")) == 0
    last = weights_of(root / "averaged" / "checkpoint-4")
    for name, weight in weights_of(root / "averaged").items():
        assert torch.allclose(weight.float(), last[name].float(), atol=1e-6), name


def test_old_checkpoints_are_removed_and_none_is_half_written(root, monkeypatch):
    given = arguments(root, "limited", "--checkpointing_steps", "1", "--checkpoints_total_limit", "2")
    assert train_here(monkeypatch, *given) == 0
    assert [path.name for path in list_checkpoints(root / "limited")] == ["checkpoint-3", "checkpoint-4"]
    assert not list((root / "limited").glob("partial-*"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--musdb_dir", "nowhere"], "no songs of MUSDB18's train split in nowhere"),
        (["--recipe", "nonsense"], "--recipe 'nonsense' is neither a file nor one of full_band, paper"),
        (["--resume_from_checkpoint", "nowhere"], "--resume_from_checkpoint nowhere is no folder"),
    ],
)
def test_what_cannot_be_trained_is_one_line(root, monkeypatch, capsys, change, said):
    assert train_here(monkeypatch, *arguments(root, "refused", *change)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train: ")]
    assert len(lines) == 1
    assert said in lines[0]


def test_a_run_does_not_write_over_another_one(root, monkeypatch, capsys):
    (root / "taken" / "checkpoint-7").mkdir(parents=True)
    assert train_here(monkeypatch, *arguments(root, "taken")) == 2
    assert "--resume_from_checkpoint latest, or choose another --output_dir" in capsys.readouterr().err
    assert find_checkpoint(root / "taken", "latest") == root / "taken" / "checkpoint-7"
    assert find_checkpoint(root / "new", "latest") is None


def test_nothing_to_train_on():
    with pytest.raises(ValueError, match="--musdb_dir, --mir1k_dir, or both"):
        parse_arguments(["--output_dir", "runs/x"])


def test_flags_win_over_the_recipe_and_the_recipe_over_defaults():
    given = ["--recipe", "paper", "--musdb_dir", "x", "--output_dir", "y", "--train_batch_size", "7"]
    config, training, mixing = parse_arguments(given)
    assert config.sampling_rate == 8192
    assert (training.train_batch_size, training.weight_decay) == (7, 0.0)
    assert mixing == MixingArguments()


@pytest.mark.parametrize(
    ("recipe", "said"),
    [("{", "no JSON"), ('{"models": {}}', "section 'models'"), ('{"training": {"lr": 1}}', "unknown lr")],
)
def test_a_recipe_with_a_mistake_says_which(tmp_path, recipe, said):
    (tmp_path / "recipe.json").write_text(recipe)
    with pytest.raises(ValueError, match=said):
        read_recipe(str(tmp_path / "recipe.json"))


def test_the_paper_recipe_is_the_papers_configuration_and_batch():
    recipe = read_recipe("paper")
    assert UNetSVSConfig(**recipe["model"]).to_diff_dict() == UNetSVSConfig().to_diff_dict()
    assert recipe["training"]["train_batch_size"] == 128


def test_the_full_band_recipe_reaches_20_khz_in_stereo_at_the_cost_of_the_papers_patch():
    config = UNetSVSConfig(**read_recipe("full_band")["model"])
    assert (config.sampling_rate, config.num_channels) == (44_100, 2)
    assert config.num_bins * config.sampling_rate / config.n_fft >= 20_000
    assert (config.num_bins // config.num_bands, config.num_frames) == (512, 128)
    assert config.hop_length == config.n_fft // 4


def test_the_papers_configuration_learns():
    """Tones out of noise: in a few steps the loss falls."""
    torch.manual_seed(0)
    model = make_model(UNetSVSConfig()).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    time = torch.arange(model.config.patch_samples) / model.config.sampling_rate
    pitches = torch.tensor([[220.0], [330.0], [440.0], [550.0]])
    vocals = torch.sin(2 * torch.pi * pitches * time)
    mixture = vocals + 0.3 * torch.randn(vocals.shape)
    losses = []
    for _ in range(12):
        loss = model(mixture, labels=vocals).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < (1 - MIN_LOSS_DECREASE) * losses[0]
    assert losses == sorted(losses, reverse=True)


def test_a_packaged_checkpoint_is_half_as_large_and_loads_in_full_precision(checkpoint, model, tmp_path):
    package_checkpoint(checkpoint, tmp_path / "packaged")
    weights = weights_of(tmp_path / "packaged")
    assert {weight.dtype for name, weight in weights.items() if weight.ndim == 4} == {torch.float16}
    assert {weight.dtype for name, weight in weights.items() if "norm.running" in name} == {torch.float32}
    loaded = UNetSVSModel.from_pretrained(tmp_path / "packaged")
    assert loaded.dtype == torch.float32
    for (name, before), after in zip(model.state_dict().items(), loaded.state_dict().values()):
        assert torch.allclose(before.float(), after.float(), rtol=1e-3, atol=1e-5), name
    assert not list((tmp_path / "packaged").glob("*.py"))
    assert "auto_map" not in (tmp_path / "packaged" / "config.json").read_text()
