"""`python -m train.package_checkpoint SOURCE TARGET [CARD]`: a checkpoint to give away, small and with its card.

`runs/full_band modeling_unet_svs/checkpoint` makes what comes with the package; `checkpoints/paper` has another card.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
from transformers.utils import logging

from modeling_unet_svs import UNetSVSFeatureExtractor, UNetSVSModel
from modeling_unet_svs.checkpoint_loading import load_checkpoint

from .commands import run_command
from .saving import replace_folder

CARD = Path(__file__).resolve().parent.parent / "model_card.md"
# What a folder says of code that it brings along; this one's code is the package around it.
REMOTE_CODE = ("auto_map", "custom_pipelines")


def package_checkpoint(source: str | Path, target: str | Path, card: str | Path = CARD) -> None:
    """Writes a checkpoint with its convolutions in half precision, for half the size, and the model card.

    Loaded again, it is in full precision: `config.json` says float32. Batch normalisation keeps its 32 bits.

    Args:
        source: folder of a trained model.
        target: folder to write, in place of what is there.
        card: to lay beside the weights.

    Raises:
        ValueError: a source that is no model, or weights that half precision cannot hold.
    """
    model, target = load_checkpoint(source), Path(target)
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
    """A model's state with its convolutions' weights as float16.

    Args:
        model: in full precision.

    Returns:
        State by name.

    Raises:
        ValueError: a weight that is beyond what float16 holds.
    """
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
