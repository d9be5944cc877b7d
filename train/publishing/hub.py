"""`python -m train.publishing FOLDER USER/NAME`: a trained model to the Hugging Face Hub, in one commit."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
from huggingface_hub import HfApi
from transformers.utils import logging

from modeling_unet_svs import UNetSVSFeatureExtractor, UNetSVSModel
from modeling_unet_svs.audio_reading import one_line
from modeling_unet_svs.command.checkpoint import load_checkpoint

from ..checkpoints import replace_folder
from ..exit_codes import run_command

CARD = Path(__file__).resolve().parents[2] / "model_card.md"
# What a folder says of code that it brings along; this one's code is the package around it.
REMOTE_CODE = ("auto_map", "custom_pipelines")


def package_checkpoint(source: str | Path, target: str | Path, card: str | Path = CARD) -> None:
    """Writes a checkpoint with its convolutions in half precision, for half the size, and the model card."""
    load_checkpoint(source)  # for its errors: below, nothing that is wrong with the weights is one
    model = UNetSVSModel.from_pretrained(source, dtype="float32", use_safetensors=True)
    target = Path(target)
    partial = target.with_name(f".partial-{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial, state_dict=half_precision(model))
    UNetSVSFeatureExtractor(model.config.num_channels, model.config.sampling_rate).save_pretrained(partial)
    for code in partial.glob("*.py"):
        code.unlink()
    for path in partial.glob("*.json"):
        values = {key: value for key, value in json.loads(path.read_text()).items() if key not in REMOTE_CODE}
        path.write_text(json.dumps(values, indent=2) + "\n")
    if Path(card).is_file():
        shutil.copy(card, partial / "README.md")
    replace_folder(partial, target)


def half_precision(model: UNetSVSModel) -> dict[str, torch.Tensor]:
    """A model's state with its convolutions' weights as float16."""
    state = {
        name: tensor.half() if name.endswith("conv.weight") or name.endswith("mask.weight") else tensor
        for name, tensor in model.state_dict().items()
    }
    overflown = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if overflown:
        raise ValueError(f"{overflown[0]} has values that half precision cannot hold.")
    return state


if __name__ == "__main__":
    logging.disable_progress_bar()
    sys.exit(run_command("package_checkpoint", package_checkpoint, "SOURCE", "TARGET", "[CARD]"))


# Of a run's folder: weights, configurations, the model's own code, its card and scores, and what `unet-svs export` has
# written there; no checkpoints, no logs.
FILES = ["*.safetensors", "*.json", "*.py", "README.md", "onnx/*.onnx"]
OTHER_FOLDERS = ["checkpoint-*", "best/*", "logs/*", "partial-*"]


def publish(folder: str | Path, hub_model_id: str) -> str:
    """Uploads a saved model."""
    if not (Path(folder) / "model.safetensors").is_file():
        raise ValueError(f"{folder} has no model.safetensors: give the folder of a trained model.")
    api = HfApi()
    try:
        api.create_repo(hub_model_id, exist_ok=True)
        commit = api.upload_folder(
            repo_id=hub_model_id,
            folder_path=folder,
            allow_patterns=FILES,
            ignore_patterns=OTHER_FOLDERS,
            commit_message="Upload a trained model",
        )
    # The Hub and the way to it can fail in many ways, none of which may cost the trained model.
    except Exception as error:
        raise ValueError(
            f"the upload to {hub_model_id} failed ({one_line(error)}); the model is in {folder}: try again with "
            f"python -m train.publishing {folder} {hub_model_id}"
        ) from None
    return commit.commit_url


if __name__ == "__main__":
    sys.exit(run_command("publishing", lambda *words: print(publish(*words)), "FOLDER", "USER/NAME"))
