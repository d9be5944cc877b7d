"""Weights are mapped from their file and not copied, so that two processes have them once."""

import re
import sys
from pathlib import Path

import pytest
import torch

from modeling_unet_svs.command.torch_runtime import load_checkpoint

from .conftest import make_model, run, small_config

SMAPS = Path("/proc/self/smaps")
# Reads all weights, and prints how many KiB of their file are in memory: its own, and shared with others.
TOUCHING = f"""
import re, sys, torch
from modeling_unet_svs.command.torch_runtime import load_checkpoint
model = load_checkpoint(sys.argv[1])
sum(weight.sum() for weight in model.state_dict().values())
(mapped,) = re.findall(r"model.safetensors\\n((?:[A-Z].*\\n)*)", open("{SMAPS}").read())
sizes = dict(re.findall(r"(\\w+): +(\\d+) kB", mapped))
print(*(sum(int(sizes[f"{{whose}}_{{state}}"]) for state in ("Clean", "Dirty")) for whose in ("Private", "Shared")))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    make_model(small_config(hidden_sizes=(16, 32, 64))).save_pretrained(folder)
    return folder


def is_mapped(tensor: torch.Tensor) -> bool:
    ranges = re.findall(r"([0-9a-f]+)-([0-9a-f]+) .*model.safetensors", Path("/proc/self/maps").read_text())
    return any(int(start, 16) <= tensor.data_ptr() < int(end, 16) for start, end in ranges)


@pytest.mark.skipif(not SMAPS.exists(), reason="tells what processes share on Linux alone")
def test_two_processes_share_the_weights(folder):
    model = load_checkpoint(folder)
    assert all(is_mapped(weight) for weight in model.parameters())
    assert sum(weight.sum() for weight in model.parameters()) != 0  # is in memory now
    done = run(sys.executable, "-c", TOUCHING, folder)
    private, shared = map(int, done.stdout.split())
    assert private == 0
    assert shared * 1024 >= sum(weight.nbytes for weight in model.parameters())


def test_another_type_is_that_of_a_conversion(folder):
    expected, found = load_checkpoint(folder).to(torch.bfloat16), load_checkpoint(folder, torch.bfloat16)
    torch.testing.assert_close(found.state_dict(), expected.state_dict(), rtol=0, atol=0)
