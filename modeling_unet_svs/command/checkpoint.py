"""Loads and describes checkpoints, chooses device and precision, and copes with too little memory."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub import ModelCard, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
from rich.console import Console
from rich.table import Table
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..architecture import MODEL_TYPE, Architecture, drop_masks
from ..audio_reading import one_line
from ..network import UNetSVSModule
from ..separation import refuse_if

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(device: str) -> tuple[torch.device, str]:
    """Chooses the named device, or the fastest that works."""
    if device != "auto":
        if reason := _why_not(device):
            raise ValueError(f"--device {device} cannot be used: {reason}")
        return torch.device(device), "as asked for"
    if torch.cuda.is_available():
        if reason := _why_not("cuda"):
            return torch.device("cpu"), f"the GPU cannot be used: {reason}"
        return torch.device("cuda"), f"found {torch.cuda.get_device_name()}"
    if torch.backends.mps.is_available():
        return torch.device("mps"), "found Apple's GPU"
    return torch.device("cpu"), "found no GPU"


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Chooses the named precision, or the device's fastest."""
    if dtype != "auto":
        return DTYPES[dtype]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if device.type == "cpu" and _cpu_multiplies_bfloat16() else torch.float32


def _why_not(device: str) -> str | None:
    """Why a device cannot be used; `None` where it can."""
    try:
        torch.zeros(1, device=device).add(1).cpu()
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for the device
        return str(error).splitlines()[0]
    return None


def _cpu_multiplies_bfloat16() -> bool:
    # Other processors emulate it, slowly. torch has no public name for this check.
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, question, lambda: False)() for question in questions)


T = TypeVar("T")


def with_less_memory(
    work: Callable[[int], T], model: UNetSVSModule, batch_size: int, say: Callable[[str], None]
) -> tuple[T, int]:
    """Halves the batch size as long as the GPU runs out of memory; the last resort is the CPU."""
    while True:
        try:
            return work(batch_size), batch_size
        except torch.OutOfMemoryError:
            if model.device.type == "cpu":
                raise
        # Outside of `except`, which keeps the frames that hold the memory.
        if batch_size > 1:
            batch_size //= 2
            say(f"the GPU's memory is full: continuing with --batch-size {batch_size}.")
        else:
            say("the GPU's memory is full: continuing with the CPU.")
            cpu = torch.device("cpu")
            model.to(cpu, torch.float32 if model.dtype == torch.float32 else choose_dtype("auto", cpu))
        torch.cuda.empty_cache()


def load_checkpoint(model: str | Path, dtype: torch.dtype = torch.float32) -> UNetSVSModule:
    """Loads a network for separation from `config.json` and `model.safetensors`; opens nothing else."""
    name, folder = str(model), Path(model)
    try:
        lacks_config = folder.is_dir() and not (folder / "config.json").is_file()
        refuse_if(lacks_config, "the folder has no config.json, so it is not a checkpoint.")
        if not folder.is_dir():
            folder = Path(snapshot_download(name, allow_patterns=["config.json", "model.safetensors"]))
        values = json.loads((folder / "config.json").read_text("utf-8"))
        kind = values.get("model_type")
        refuse_if(kind != MODEL_TYPE, f"its config.json is for a model of type {kind!r}, not {MODEL_TYPE!r}.")
        drop_masks(values)
        known = {field.name: values[field.name] for field in fields(Architecture) if field.name in values}
        return _load_network(Architecture(**known), folder / "model.safetensors", dtype)
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        if folder.is_dir():
            reason = f"cannot be read: {error}"
        elif folder.exists():
            reason = "is a file: give the folder that it is in."
        else:
            reason = "is neither a local folder nor a model that can be reached on the Hugging Face Hub."
    except SafetensorError as error:
        reason = f"its safetensors file is damaged: {error}"
    except Exception as error:  # a strange file can fail anywhere in the libraries, with any exception
        reason = f"cannot be used: {error}"
    raise ValueError(f"model {name}: {one_line(reason)}")


def _load_network(config: Architecture, path: Path, dtype: torch.dtype) -> UNetSVSModule:
    # An index of several files could name others than safetensors.
    refuse_if(not path.is_file(), "it has no model.safetensors, and nothing else is loaded.")
    with torch.device("meta"):
        network = UNetSVSModule(config)
    # Checked before memory is allocated for what a file of a few bytes claims.
    num_parameters, num_bytes = network.num_parameters(), path.stat().st_size
    claims = f"its config.json has {num_parameters:,} parameters, its safetensors {num_bytes:,} bytes."
    refuse_if(num_parameters > num_bytes, claims)
    weights = load_file(path)
    for key, expected in network.state_dict().items():
        is_other = key not in weights or weights[key].shape != expected.shape
        refuse_if(is_other, f"its weights do not fit its config.json: see {key}.")
        if expected.is_floating_point():
            weights[key] = weights[key].to(dtype)  # shares the mapped file's memory if the type is the same
    network.load_state_dict(weights, strict=False, assign=True)
    return network


def load_card(model: str | Path) -> ModelCard | None:
    """The model card of a checkpoint."""
    try:
        return ModelCard.load(Path(model) / "README.md" if Path(model).is_dir() else str(model))
    except (EntryNotFoundError, HfHubHTTPError, OSError, ValueError, json.JSONDecodeError):
        return None


def describe_checkpoint(name: str, model: UNetSVSModule) -> list[tuple[str, str]]:
    """A checkpoint's shape, and its training data, licence and scores as its model card has them."""
    config = model.config
    highest = config.num_bins * config.sampling_rate / config.n_fft
    rows = [
        ("stems", ", ".join(config.stems) + (f" ({config.residual}: what remains)" if config.residual else "")),
        ("sampling rate", f"{config.sampling_rate} Hz, up to {highest:.0f} Hz"),
        ("channels", str(config.num_channels)),
        ("spectrogram", f"{config.n_fft} samples every {config.hop_length}"),
        ("bands", f"{config.num_bands} of {config.num_bins // config.num_bands} bins"),
        ("patch", f"{config.num_frames} frames, {config.patch_samples / config.sampling_rate:.1f} s"),
        ("parameters", f"{model.num_parameters():,}"),
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


def print_info(name: str, model: UNetSVSModule) -> None:
    """Prints what `describe_checkpoint` says."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for label, value in [("checkpoint", name), *describe_checkpoint(name, model)]:
        table.add_row(label, value)
    Console(soft_wrap=True, highlight=False).print(table, markup=False)
