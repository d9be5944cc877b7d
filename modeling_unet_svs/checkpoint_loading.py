"""A folder or Hub id to a model that is whole, or one line that says what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError
from safetensors import SafetensorError
from transformers import PreTrainedConfig

from .configuration_unet_svs import UNetSVSConfig
from .modeling_unet_svs import UNetSVSModel


def load_checkpoint(model: str | Path) -> UNetSVSModel:
    """Loads a model to separate with.

    Args:
        model: folder of a checkpoint, or a model id on the Hugging Face Hub.

    Returns:
        The model in evaluation mode, float32, on the CPU.

    Raises:
        ValueError: no such folder or id, a model of another kind, or weights that are damaged or not all there; one
            line.
    """
    name = str(model)
    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        raise ValueError(f"model {name}: the folder has no config.json, so it is no checkpoint.")
    try:
        kind = PreTrainedConfig.get_config_dict(name)[0].get("model_type")
        if kind != UNetSVSConfig.model_type:
            raise ValueError(f"its config.json is for a model of type {kind!r}, not {UNetSVSConfig.model_type!r}.")
        found: Any = UNetSVSModel.from_pretrained(
            name, dtype="float32", use_safetensors=True, output_loading_info=True
        )
        loaded, report = found
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        if Path(name).is_dir():
            reason = f"cannot be read: {error}"
        elif Path(name).exists():
            reason = "is a file: give the folder that it is in."
        else:
            reason = "is no folder here, and no model on the Hugging Face Hub that can be reached."
        raise ValueError(_one_line(f"model {name}: {reason}")) from None
    except SafetensorError as error:
        raise ValueError(_one_line(f"model {name}: its safetensors file is damaged: {error}")) from None
    except Exception as error:  # a strange file can fail anywhere in the library, with any exception
        raise ValueError(_one_line(f"model {name}: cannot be used: {error}")) from None
    incomplete = [*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])]
    if incomplete:
        raise ValueError(f"model {name}: its weights do not fit its config.json: see {sorted(incomplete)[0]}.")
    return loaded.eval()


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


def _one_line(text: str) -> str:
    return " ".join(text.split())


__all__ = ["load_card", "load_checkpoint"]
