"""`python -m tests.benchmarks.runtimes [MINUTES]`: the checkpoint that comes along in every runtime.

The time of the network alone and of the whole separation on the CPU, of a stereo song of noise at 44.1 kHz in memory,
and how large what has to be installed is.
"""

import copy
import sys
import tempfile
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
import torch
from packaging.requirements import Requirement

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.network import UNetSVSModule
from modeling_unet_svs.onnx.export import export_onnx
from modeling_unet_svs.onnx.runner import OnnxSeparator
from modeling_unet_svs.separation import DEFAULT_BATCH_SIZE

from ..conftest import noise
from .measuring import given, model_in, print_table, seconds_in_turn

NUM_RUNS = 3
COMMAND = ("unet-svs",)
PYTORCH = ("unet-svs", "torch", "transformers", "onnx")


def runtimes(folder: str):
    """Names and separators, the one that the others are measured by first."""
    model = model_in(torch.float32)
    yield "PyTorch, float32", model
    yield "PyTorch, bfloat16", model_in(torch.bfloat16)
    yield "torch.compile, float32", with_network(model, torch.compile(model.estimate_masks, fullgraph=True))
    yield "ONNX Runtime, float32", OnnxSeparator(DEFAULT_CHECKPOINT)
    graphs = export_onnx(DEFAULT_CHECKPOINT, model.config, folder)
    yield "ONNX Runtime, float16", OnnxSeparator(graphs / "model_fp16.onnx")


def with_network(model: UNetSVSModule, network) -> UNetSVSModule:
    """A copy of a model whose masks come from elsewhere."""
    changed = copy.deepcopy(model)
    changed.estimate_masks = lambda magnitude: network(magnitude)
    return changed


def run_network(separator: UNetSVSModule | OnnxSeparator, num_samples: int) -> None:
    """The masks of as many patches as a song has, in the batches that a separation takes."""
    config = separator.config
    kept_samples = (config.num_frames - 2 * config.context_frames) * config.hop_length
    shape = (DEFAULT_BATCH_SIZE, config.num_channels, config.n_fft // 2 + 1, config.num_frames)
    magnitude = np.ones(shape, dtype=np.float32)
    patches = magnitude if isinstance(separator, OnnxSeparator) else torch.from_numpy(magnitude)
    with torch.inference_mode():
        for _ in range(-(-num_samples // (kept_samples * DEFAULT_BATCH_SIZE))):
            separator.estimate_masks(patches)


def megabytes(names: tuple[str, ...]) -> float:
    """Size of installed distributions and all that they need, on disk."""
    found = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            print(f"{name} is not installed, and not counted", file=sys.stderr)
            continue
        needed = [Requirement(text) for text in found[name].requires or []]
        needed = [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
        waiting += [name for name in needed if name not in found and name not in waiting]
    paths = {file.locate() for each in found.values() for file in each.files or []}
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def main() -> None:
    minutes = given(__doc__, prefix="", minutes=4.0).minutes
    song = noise(2, int(60 * minutes * 44_100))
    rows, first = [], None
    with tempfile.TemporaryDirectory() as folder:
        for name, separator in runtimes(folder):
            ways = {"network": partial(run_network, separator, song.shape[1])}
            ways["whole"] = partial(separator.separate, song, 44_100)
            seconds = seconds_in_turn(ways, NUM_RUNS)
            first = first or seconds
            times = (figure for way in ways for figure in (seconds[way], seconds[way] / first[way]))
            rows.append((name, *(f"{figure:.2f}" for figure in times), f"{60 * minutes / seconds['whole']:.0f}"))
    heads = ("runtime", "network s", "ratio", "whole s", "ratio", "x real time")
    print_table(f"{minutes:g} minutes of stereo", heads, rows)
    for names in (COMMAND, PYTORCH):
        print(f"{' + '.join(names)}, with what they need: {megabytes(names):.0f} MB")


if __name__ == "__main__":
    main()
