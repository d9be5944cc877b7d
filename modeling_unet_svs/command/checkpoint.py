"""Opens checkpoints and describes them, and loads them for PyTorch or ONNX Runtime."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..architecture import MODEL_TYPE, Architecture, drop_masks
from ..audio_reading import one_line
from ..onnx_graph import GRAPH, WEIGHTS, num_parameters, read_header
from ..separation import Separator, refuse_if

FILES = ["config.json", WEIGHTS, GRAPH]
INSTALL_TORCH = 'pip install "unet-svs[torch]"'


@contextmanager
def opened_checkpoint(model: str | Path) -> Iterator[tuple[Path, Architecture]]:
    """Context manager of a checkpoint's folder and configuration; whatever is wrong with it becomes one line."""
    name, folder = str(model), Path(model)
    try:
        lacks_config = folder.is_dir() and not (folder / "config.json").is_file()
        refuse_if(lacks_config, "the folder has no config.json, so it is not a checkpoint.")
        if not folder.is_dir():
            folder = _download(name)
        values = json.loads((folder / "config.json").read_text("utf-8"))
        kind = values.get("model_type")
        refuse_if(kind != MODEL_TYPE, f"its config.json is for a model of type {kind!r}, not {MODEL_TYPE!r}.")
        drop_masks(values)
        known = {field.name: values[field.name] for field in fields(Architecture) if field.name in values}
        config = Architecture(**known)
        # An index of several files could name others than safetensors.
        lacks_weights = not (folder / WEIGHTS).is_file()
        refuse_if(lacks_weights, f"it has no {WEIGHTS}, and nothing else is loaded.")
        yield folder, config
    except Exception as error:  # a strange file can fail anywhere in the libraries, with any exception
        raise ValueError(f"model {name}: {one_line(_reason(folder, error))}") from None


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
    return Path(snapshot_download(name, allow_patterns=FILES))


def _reason(folder: Path, error: Exception) -> str:
    """What is wrong with a checkpoint, in words."""
    if type(error).__name__ == "SafetensorError":
        return f"its safetensors file is damaged: {error}"
    if not isinstance(error, OSError) and type(error).__name__ != "HFValidationError":
        return f"cannot be used: {error}"
    if folder.is_dir():
        return f"cannot be read: {error}"
    if folder.exists():
        return "is a file: give the folder that it is in."
    return "is neither a local folder nor a model that can be reached on the Hugging Face Hub."


def load_separator(model: str, runtime: str, device: str, dtype: str) -> tuple[Separator, str]:
    """A checkpoint ready to separate, and in words where it computes; `auto` takes PyTorch where it is installed."""
    has_torch = find_spec("torch") is not None
    refuse_if(runtime == "torch" and not has_torch, f"--runtime torch: PyTorch is not installed: {INSTALL_TORCH}")
    if runtime == "torch" or (runtime == "auto" and has_torch):
        from .torch_runtime import load_for_separation

        return load_for_separation(model, device, dtype)
    for flag, value, known in (("--device", device, "cpu"), ("--dtype", dtype, "float32")):
        remedy = "leave --runtime out" if has_torch else INSTALL_TORCH
        refuse_if(value not in ("auto", known), f"{flag} {value}: ONNX Runtime takes {known}; for others, {remedy}.")
    return load_onnx(model), f"ONNX Runtime on cpu in float32: {'as asked for' if has_torch else 'found no PyTorch'}"


def load_onnx(model: str) -> Separator:
    """A checkpoint in ONNX Runtime."""
    from ..onnx.runner import OnnxSeparator

    with opened_checkpoint(model) as (folder, _):
        refuse_if(not (folder / GRAPH).is_file(), f"it has no {GRAPH}: save it anew, or use --runtime torch.")
        # One process alone leaves the choice to the runtime.
        return OnnxSeparator(folder, num_threads=share_of_cpus(1) if "LOCAL_WORLD_SIZE" in os.environ else None)


def share_of_cpus(num_processes: int) -> int:
    """Number of the machine's CPUs for each of the processes on it, as far as a launcher has not said how many."""
    num_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, num_cpus // int(os.environ.get("LOCAL_WORLD_SIZE", num_processes)))


def load_card(model: str | Path) -> Any:
    """The model card of a checkpoint; `None` where it has none that can be read."""
    from huggingface_hub import ModelCard
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    try:
        return ModelCard.load(Path(model) / "README.md" if Path(model).is_dir() else str(model))
    except (EntryNotFoundError, HfHubHTTPError, OSError, ValueError, json.JSONDecodeError):
        return None


def describe_checkpoint(name: str) -> list[tuple[str, str]]:
    """A checkpoint's shape, and its training data, licence and scores as its model card has them."""
    with opened_checkpoint(name) as (folder, config):
        num_trained = num_parameters(read_header(folder / WEIGHTS)[0])
    highest = config.num_bins * config.sampling_rate / config.n_fft
    rows = [
        ("stems", ", ".join(config.stems) + (f" ({config.residual}: what remains)" if config.residual else "")),
        ("sampling rate", f"{config.sampling_rate} Hz, up to {highest:.0f} Hz"),
        ("channels", str(config.num_channels)),
        ("spectrogram", f"{config.n_fft} samples every {config.hop_length}"),
        ("bands", f"{config.num_bands} of {config.num_bins // config.num_bands} bins"),
        ("patch", f"{config.num_frames} frames, {config.patch_samples / config.sampling_rate:.1f} s"),
        ("parameters", f"{num_trained:,}"),
    ]
    card = load_card(name)
    data: Any = card.data if card is not None else None
    if data is not None:
        datasets = data.datasets or []
        trained_on = ", ".join([datasets] if isinstance(datasets, str) else datasets)
        rows.append(("training data", trained_on or "not said"))
        rows.append(("licence", str(data.license_name or data.license or "not said")))
        for result in data.eval_results or []:
            where = f"{result.dataset_name}, {result.dataset_split}" if result.dataset_split else result.dataset_name
            rows.append((result.metric_name or result.metric_type, f"{result.metric_value} ({where})"))
    return rows


def print_info(name: str) -> None:
    """Prints what `describe_checkpoint` says."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for label, value in [("checkpoint", name), *describe_checkpoint(name)]:
        table.add_row(label, value)
    # Where there is no terminal, lines are as long as they are.
    console = Console(highlight=False)
    console.width = console.width if console.is_terminal else 1000
    console.print(table, markup=False)
