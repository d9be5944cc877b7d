"""Several processes, other machines, compiled models."""

from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file

from train.arguments import read_recipe

from .conftest import ROOT, run
from .small_training import arguments, trained, weights_of, write_recipe

PROCESSES = {"one_gpu.yaml": 1, "one_node_8_gpus.yaml": 8, "several_nodes.yaml": 16, "fsdp.yaml": 8}
CONFIGURATIONS = ROOT / "train" / "accelerate"


def test_two_processes_follow_one_with_the_same_global_batch(training_root):
    """Statistics of batch normalisation are each process's own, so they do not agree to the bit."""
    recipe = write_recipe(training_root / "no dropout.json", dropout=0.0)
    steps = ("--recipe", recipe, "--max_train_steps", 6, "--ema_decay", 0, "--learning_rate", 1e-4)
    one = trained(training_root, "one", *steps, "--train_batch_size", 8)
    two = arguments(training_root, "two", *steps, "--train_batch_size", 4)
    done = run("torchrun", "--standalone", "--nproc_per_node", "2", "train", *two)
    assert done.stdout.count("new weights") == 1
    start = trained(training_root, "start", *steps, "--learning_rate", 0, "--train_batch_size", 8)
    moved_by_one, moved_by_two = (difference(start, end) for end in (one, training_root / "two"))
    cosine = torch.nn.functional.cosine_similarity(moved_by_one, moved_by_two, dim=0)
    assert cosine > 0.8
    assert moved_by_two.norm() == pytest.approx(moved_by_one.norm().item(), rel=0.1)


def difference(before: Path, after: Path) -> torch.Tensor:
    first, second = weights_of(before), weights_of(after)
    return torch.cat([(second[name] - first[name]).flatten() for name in first if name.endswith("conv.weight")])


def test_a_compiled_model_is_trained_and_saved_under_its_own_names(training_root):
    compiled = weights_of(trained(training_root, "compiled", "--torch_compile", "true", "--max_train_steps", 2))
    eager = weights_of(trained(training_root, "eager", "--max_train_steps", 2))
    assert compiled.keys() == eager.keys()
    for name in ("unets.vocals.mask.weight", "unets.vocals.encoder.0.conv.weight"):
        assert torch.allclose(compiled[name], eager[name], atol=5e-3)


def test_accelerate_reads_the_configuration_of_each_kind_of_machine():
    configs = {path.name: load_config_from_file(str(path)) for path in CONFIGURATIONS.glob("*.yaml")}
    assert {name: config.num_processes for name, config in configs.items()} == PROCESSES
    assert {config.mixed_precision for config in configs.values()} == {"no"}
    assert read_recipe("full_band")["training"]["mixed_precision"] == "auto"
    assert configs["fsdp.yaml"].fsdp_config["fsdp_transformer_layer_cls_to_wrap"] == "UNetSVSNetwork"
