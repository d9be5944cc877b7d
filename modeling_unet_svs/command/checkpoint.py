"""What a checkpoint is, as labels and values and printed as a table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from huggingface_hub import ModelCard, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
from rich.console import Console
from rich.table import Table
from safetensors import SafetensorError

from ..audio_reading import one_line
from ..configuration_unet_svs import UNetSVSConfig
from ..modeling_unet_svs import UNetSVSModel

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(device: str) -> tuple[torch.device, str]:
    """Takes a device by name, or the fastest that works."""
    if device != "auto":
        reason = _why_not(device)
        if reason:
            raise ValueError(f"--device {device} cannot be used: {reason}")
        return torch.device(device), "as asked for"
    if torch.cuda.is_available():
        reason = _why_not("cuda")
        if not reason:
            return torch.device("cuda"), f"found {torch.cuda.get_device_name()}"
        return torch.device("cpu"), f"the GPU cannot be used: {reason}"
    if torch.backends.mps.is_available():
        return torch.device("mps"), "found Apple's GPU"
    return torch.device("cpu"), "found no GPU"


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Takes a precision by name, or the fastest on a device."""
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
    # Others imitate it, slowly. torch has no public name for the question.
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, question, lambda: False)() for question in questions)


T = TypeVar("T")


def with_less_memory(
    work: Callable[[int], T], model: UNetSVSModel, batch_size: int, say: Callable[[str], None]
) -> tuple[T, int]:
    """Does something on a GPU with batches that its memory holds, and on the CPU where it holds none."""
    while True:
        try:
            return work(batch_size), batch_size
        except torch.OutOfMemoryError:
            if model.device.type == "cpu":
                raise
        # Outside of `except`, which keeps the frames that hold the memory.
        if batch_size > 1:
            batch_size //= 2
            say(f"the GPU's memory is full: going on with --batch-size {batch_size}.")
        else:
            say("the GPU's memory is full: going on with the CPU.")
            cpu = torch.device("cpu")
            moved: Any = model
            moved.to(cpu, torch.float32 if model.dtype == torch.float32 else choose_dtype("auto", cpu))
        torch.cuda.empty_cache()


LOADED_FILES = ("config.json", "model.safetensors")
PICKLES = {
    *(".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz"),
    *(".h5", ".keras", ".msgpack"),
}
# What Accelerate writes beside the weights, so that training can go on.
TRAINING_STATE = {
    *("optimizer*.bin", "scheduler*.bin", "sampler*.bin", "dl_state_dict*.bin", "scaler.pt"),
    *("random_states_*.pkl", "custom_checkpoint_*.pkl"),
}


def load_checkpoint(model: str | Path, dtype: torch.dtype = torch.float32) -> UNetSVSModel:
    """Loads a model to separate with, from safetensors alone; no code of the folder is run."""
    name = str(model)
    folder = Path(name)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ValueError(f"model {name}: the folder has no config.json, so it is no checkpoint.")
    try:
        if not folder.is_dir():
            folder = Path(snapshot_download(name, allow_patterns=list(LOADED_FILES)))
        _refuse_pickles(folder)
        values = json.loads((folder / "config.json").read_text("utf-8"))
        kind = values.get("model_type")
        if kind != UNetSVSConfig.model_type:
            raise ValueError(f"its config.json is for a model of type {kind!r}, not {UNetSVSConfig.model_type!r}.")
        # The network's own fields and no other: some of the library's would have it import code.
        config = UNetSVSConfig(**{key: values[key] for key in UNetSVSConfig.__annotations__ if key in values})
        _refuse_a_network_beyond_its_weights(config, folder)
        found: Any = UNetSVSModel.from_pretrained(
            folder, config=config, dtype=dtype, use_safetensors=True, output_loading_info=True
        )
        loaded, report = found
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        if folder.is_dir():
            reason = f"cannot be read: {error}"
        elif folder.exists():
            reason = "is a file: give the folder that it is in."
        else:
            reason = "is no folder here, and no model on the Hugging Face Hub that can be reached."
        raise _error(name, reason) from None
    except SafetensorError as error:
        raise _error(name, f"its safetensors file is damaged: {error}") from None
    except Exception as error:  # a strange file can fail anywhere in the library, with any exception
        raise _error(name, f"cannot be used: {error}") from None
    incomplete = [*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])]
    if incomplete:
        raise _error(name, f"its weights do not fit its config.json: see {sorted(incomplete)[0]}.")
    return loaded.eval()


def _refuse_pickles(folder: Path) -> None:
    """A pickle runs code when it is opened; nothing here opens one, and a folder that brings one is not trusted."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICKLES and not any(path.match(pattern) for pattern in TRAINING_STATE):
            raise ValueError(
                f"{path.relative_to(folder)} can hold a pickle, which runs code: safetensors alone is used."
            )


def _refuse_a_network_beyond_its_weights(config: UNetSVSConfig, folder: Path) -> None:
    """Before memory is taken for what a file of a few bytes claims."""
    weights = folder / "model.safetensors"
    if not weights.is_file():  # an index of several files could name others than safetensors
        raise ValueError("it has no model.safetensors, and nothing else is loaded.")
    with torch.device("meta"):
        num_parameters = UNetSVSModel(config).num_parameters()
    num_bytes = weights.stat().st_size
    if num_parameters > num_bytes:
        raise ValueError(f"its config.json has {num_parameters:,} parameters, its safetensors {num_bytes:,} bytes.")


def load_card(model: str | Path) -> ModelCard | None:
    """The model card of a checkpoint."""
    path = Path(model) / "README.md"
    try:
        if Path(model).is_dir():
            return ModelCard.load(path) if path.is_file() else None
        return ModelCard.load(str(model))
    except (EntryNotFoundError, HfHubHTTPError, OSError, ValueError, json.JSONDecodeError):
        return None


def _error(name: str, reason: str) -> ValueError:
    return ValueError(f"model {name}: {one_line(reason)}")


def describe_checkpoint(name: str, model: UNetSVSModel) -> list[tuple[str, str]]:
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


def print_info(name: str, model: UNetSVSModel) -> None:
    """Prints what `describe_checkpoint` says."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for label, value in [("checkpoint", name), *describe_checkpoint(name, model)]:
        table.add_row(label, value)
    Console(soft_wrap=True, highlight=False).print(table, markup=False)
