"""A folder or Hub id to a model that is whole, or one line that says what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
from safetensors import SafetensorError

from .configuration_unet_svs import UNetSVSConfig
from .modeling_unet_svs import UNetSVSModel
from .one_line import one_line

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
    """Loads a model to separate with, from safetensors alone; no code of the folder is run.

    Weights that are stored in the type that is asked for stay where they are, in the mapped file, which processes
    share; others are converted one by one.

    Args:
        model: folder of a checkpoint, or a model id on the Hugging Face Hub.
        dtype: of the weights.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        ValueError: no such folder or id, a model of another kind, a pickle, or weights that are damaged or not all
            there; one line.
    """
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
    """The model card of a checkpoint.

    Args:
        model: folder of a checkpoint, or a model id on the Hugging Face Hub.

    Returns:
        The card; `None` where there is none.
    """
    path = Path(model) / "README.md"
    try:
        if Path(model).is_dir():
            return ModelCard.load(path) if path.is_file() else None
        return ModelCard.load(str(model))
    except (EntryNotFoundError, HfHubHTTPError, OSError, ValueError, json.JSONDecodeError):
        return None


def _error(name: str, reason: str) -> ValueError:
    return ValueError(f"model {name}: {one_line(reason)}")


__all__ = ["load_card", "load_checkpoint"]
