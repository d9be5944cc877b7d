"""A model to a folder that is whole: weights, configurations and the code for those who lack this package."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from modeling_unet_svs import UNetSVSFeatureExtractor, UNetSVSModel, UNetSVSPipeline

EXPORTED = "onnx"


def save_model(model: UNetSVSModel, folder: str | Path) -> None:
    """Saves a model as it is pushed to the Hub.

    Args:
        model: to save; its weights as safetensors.
        folder: where to; files of the same names are replaced, and what was exported of them is removed.
    """
    shutil.rmtree(Path(folder) / EXPORTED, ignore_errors=True)
    extractor = UNetSVSFeatureExtractor(model.config.num_channels, model.config.sampling_rate)
    UNetSVSPipeline(model=model, feature_extractor=extractor).save_pretrained(folder)


def replace_folder(partial: Path, target: Path) -> None:
    """Gives a folder that was written under another name its own, in place of what is there.

    Args:
        partial: the folder that is whole now, on the same disk.
        target: its name.
    """
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)


__all__ = ["replace_folder", "save_model"]
