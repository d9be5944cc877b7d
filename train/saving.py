"""A model to a folder that is whole: weights, configurations and the code for those who lack this package."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modeling_unet_svs import UNetSVSFeatureExtractor, UNetSVSModel, UNetSVSPipeline
from modeling_unet_svs.one_line import one_line

EXPORTED = "onnx"


def save_model(model: UNetSVSModel, folder: str | Path) -> None:
    """Saves a model as it is pushed to the Hub.

    Args:
        model: to save; its weights as safetensors.
        folder: where to; files of the same names are replaced, each by one that is whole; what was
            exported of them is removed.

    Raises:
        ValueError: the folder cannot be written to; nothing is left of what was begun.
    """
    shutil.rmtree(Path(folder) / EXPORTED, ignore_errors=True)
    extractor = UNetSVSFeatureExtractor(model.config.num_channels, model.config.sampling_rate)
    pipeline, partial = UNetSVSPipeline(model=model, feature_extractor=extractor), Path(folder) / "partial-model"
    shutil.rmtree(partial, ignore_errors=True)
    with said_in_one_line(partial):
        pipeline.save_pretrained(partial)
        for path in sorted(partial.iterdir()):
            os.replace(path, Path(folder) / path.name)
        partial.rmdir()


@contextmanager
def said_in_one_line(partial: Path) -> Iterator[None]:
    """Context in which a folder is written, under another name until it is whole.

    Args:
        partial: the folder.

    Raises:
        ValueError: it cannot be written; nothing is left of it.
    """
    try:
        yield
    except Exception as error:  # a full disk is another error in each of the libraries that write
        shutil.rmtree(partial, ignore_errors=True)
        raise ValueError(f"{partial.parent} cannot be written to: {one_line(error)}") from None


def replace_folder(partial: Path, target: Path) -> None:
    """Gives a folder that was written under another name its own, in place of what is there.

    Args:
        partial: the folder that is whole now, on the same disk.
        target: its name.
    """
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)


__all__ = ["replace_folder", "said_in_one_line", "save_model"]
