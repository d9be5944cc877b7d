"""`python -m train.publishing FOLDER USER/NAME`: a trained model to the Hugging Face Hub, in one commit."""

from __future__ import annotations

import sys
from pathlib import Path

from huggingface_hub import HfApi

from modeling_unet_svs.one_line import one_line

from .commands import run_command

# Of a run's folder: weights, configurations, the model's own code, its card and scores, and what `unet-svs export` has
# written there; no checkpoints, no logs.
FILES = ["*.safetensors", "*.json", "*.py", "README.md", "onnx/*.onnx"]
OTHER_FOLDERS = ["checkpoint-*", "best/*", "logs/*", "partial-*"]


def publish(folder: str | Path, hub_model_id: str) -> str:
    """Uploads a saved model.

    Args:
        folder: that the model was saved to.
        hub_model_id: `USER/NAME`; made where it is not there.

    Returns:
        Address of the commit.

    Raises:
        ValueError: nothing to upload, or an upload that failed; the folder stays as it is, and the message has the
            command to try again.
    """
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


__all__ = ["publish"]

if __name__ == "__main__":
    sys.exit(run_command("publishing", lambda *words: print(publish(*words)), "FOLDER", "USER/NAME"))
