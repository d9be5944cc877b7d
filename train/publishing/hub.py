"""Uploads a trained model to the Hugging Face Hub in one commit."""

from pathlib import Path

from huggingface_hub import HfApi

from modeling_unet_svs.audio_reading import one_line
from modeling_unet_svs.separation import refuse_if

# A run's weights, configurations, the model's own code, its card and scores, and what `unet-svs export` has written
# there; no checkpoints, no logs, and not the record of the run, which has paths of the machine.
FILES = ["*.safetensors", "*.onnx", "*.json", "*.py", "README.md"]
LEFT_OUT = ["checkpoint-*", "best/*", "logs/*", "run.json", ".*"]


def publish(folder: str | Path, hub_model_id: str) -> str:
    """Uploads a saved model and returns the commit's address."""
    has_model = (Path(folder) / "model.safetensors").is_file()
    refuse_if(not has_model, f"{folder} has no model.safetensors: give the folder of a trained model.")
    api = HfApi()
    try:
        api.create_repo(hub_model_id, exist_ok=True)
        commit = api.upload_folder(
            repo_id=hub_model_id,
            folder_path=folder,
            allow_patterns=FILES,
            ignore_patterns=LEFT_OUT,
            commit_message="Upload a trained model",
        )
    # An upload can fail in many ways, none of which may lose the trained model.
    except Exception as error:
        raise ValueError(
            f"the upload to {hub_model_id} failed ({one_line(error)}); the model is in {folder}: try again with "
            f"python -m train.publishing {folder} {hub_model_id}"
        ) from None
    return commit.commit_url
