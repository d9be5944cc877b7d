"""`python -m tests.benchmarks.runtimes [MINUTES]`: the checkpoint that comes along in every runtime.

The time of the network alone and of the whole separation on the CPU, of a stereo song of noise at 44.1 kHz in memory,
and how large what has to be installed is.
"""

import copy
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import Distribution, PackageNotFoundError, distribution

import numpy as np
import torch
from packaging.requirements import Requirement

from modeling_unet_svs import DEFAULT_CHECKPOINT, UNetSVSModel
from modeling_unet_svs.command.checkpoint import load_checkpoint
from modeling_unet_svs.onnx.export import MaskNetwork, export_onnx
from modeling_unet_svs.onnx.runner import OnnxSeparator
from modeling_unet_svs.separation import DEFAULT_BATCH_SIZE

from ..conftest import noise
from .measuring import print_table, seconds_in_turn

NUM_RUNS = 3
RUNNER = ("onnxruntime", "numpy", "soxr")
PYTORCH = ("torch", "transformers", "numpy", "soxr")


def runtimes(folder: str) -> Iterator[tuple[str, UNetSVSModel | OnnxSeparator]]:
    """Names and separators, the one that the others are measured by first."""
    model = load_checkpoint(DEFAULT_CHECKPOINT).to(memory_format=torch.channels_last)
    yield "PyTorch, float32", model
    yield "PyTorch, bfloat16", copy.deepcopy(model).to(torch.bfloat16, memory_format=torch.channels_last)
    yield "torch.compile, float32", with_network(model, torch.compile(model.estimate_masks, fullgraph=True))
    yield "torch.export, float32", with_network(model, MaskNetwork(model).export().module())
    graphs = export_onnx(model, folder)
    yield "ONNX Runtime, float32", OnnxSeparator(graphs / "model.onnx")
    yield "ONNX Runtime, float16", OnnxSeparator(graphs / "model_fp16.onnx")


def with_network(model: UNetSVSModel, network: Callable[[torch.Tensor], torch.Tensor]) -> UNetSVSModel:
    """A copy of a model whose masks come from elsewhere."""
    changed = copy.deepcopy(model)
    changed.estimate_masks = lambda magnitude: network(magnitude)
    return changed


def run_network(separator: UNetSVSModel | OnnxSeparator, num_samples: int) -> None:
    """The masks of as many patches as a song has, in the batches that a separation takes."""
    config = separator.config
    kept_samples = (config.num_frames - 2 * config.context_frames) * config.hop_length
    shape = (DEFAULT_BATCH_SIZE, config.num_channels, config.n_fft // 2 + 1, config.num_frames)
    magnitude = np.ones(shape, dtype=np.float32)
    given = magnitude if isinstance(separator, OnnxSeparator) else torch.from_numpy(magnitude)
    with torch.inference_mode():
        for _ in range(-(-num_samples // (kept_samples * DEFAULT_BATCH_SIZE))):
            separator.estimate_masks(given)


def megabytes(names: Iterable[str]) -> float:
    """Size of installed distributions and all that they need, on disk."""
    found: dict[str, Distribution] = {}
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
    """Prints the figures, and the machine."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 4
    song = noise(2, int(60 * minutes * 44_100))
    heads = ("runtime", "network s", "ratio", "whole s", "ratio", "x real time")
    rows = []
    first: tuple[float, float] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for name, separator in runtimes(folder):
            measures = {"network": partial(run_network, separator, song.shape[1])}
            measures["whole"] = partial(separator.separate, song, 44_100)
            network, whole = seconds_in_turn(measures, NUM_RUNS).values()
            first = first or (network, whole)
            times = (f"{network:.2f}", f"{network / first[0]:.2f}", f"{whole:.2f}", f"{whole / first[1]:.2f}")
            rows.append((name, *times, f"{60 * minutes / whole:.0f}"))
    print_table(f"{minutes:g} minutes of stereo", heads, rows)
    for names in (PYTORCH, RUNNER):
        print(f"{' + '.join(names)}, with what they need: {megabytes(names):.0f} MB")


if __name__ == "__main__":
    main()
