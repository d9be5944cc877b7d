"""`python -m train.package_checkpoint SOURCE TARGET [CARD] [NUM_FRAMES]`: a small checkpoint to distribute.

`runs/voices modeling_unet_svs/checkpoint model_card.md 256` makes the package's own, which separates patches twice as
long as it was trained with; `checkpoints/paper` has another card."""

import os
import shutil
import sys
from pathlib import Path

import torch
from transformers.utils import logging

from modeling_unet_svs import UNetSVSConfig, UNetSVSModel
from modeling_unet_svs.audio.whole_files import whole_folder
from modeling_unet_svs.command.torch_runtime import load_checkpoint
from modeling_unet_svs.separation import refuse_if
from train.exit_codes import run_command

ROOT = Path(__file__).resolve().parents[2]
CARD = ROOT / "model_card.md"


def package_checkpoint(
    source: str | Path, target: str | Path, card: str | Path = CARD, num_frames: int | str | None = None
) -> None:
    """Writes a checkpoint with its convolutions in half precision, for half the size, and the model card."""
    load_checkpoint(source)  # for its errors: below, faulty weights would raise none
    model = UNetSVSModel.from_pretrained(source, dtype="float32", use_safetensors=True)
    if num_frames is not None:
        model.config = UNetSVSConfig.from_dict(model.config.to_dict() | {"num_frames": int(num_frames)})
    with whole_folder(target) as folder:
        model.save_pretrained(folder, state_dict=half_precision(model))
        if ROOT in Path(target).resolve().parents:
            link_code(folder, Path(target).resolve())
        if Path(card).is_file():
            shutil.copy(card, folder / "README.md")
        if Path(target, "LICENSE").is_file():  # of the weights that these replace
            shutil.copy(Path(target, "LICENSE"), folder)


def link_code(folder: Path, target: Path) -> None:
    """Makes the code in a folder that will be `target` links to the package's, which the repository has once."""
    for code in folder.glob("*.py"):
        code.unlink()
        code.symlink_to(os.path.relpath(ROOT / "modeling_unet_svs" / code.name, target))


def half_precision(model: UNetSVSModel) -> dict[str, torch.Tensor]:
    """A model's state with its convolutions' weights as float16; batch normalisation keeps its 32 bits."""
    state = {
        name: tensor.half() if name.endswith(("conv.weight", "mask.weight")) else tensor
        for name, tensor in model.state_dict().items()
    }
    overflown = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    refuse_if(overflown, f"{', '.join(overflown[:1])} has values that half precision cannot hold.")
    return state


if __name__ == "__main__":
    logging.disable_progress_bar()
    sys.exit(run_command("package_checkpoint", package_checkpoint, "SOURCE", "TARGET", "[CARD]", "[NUM_FRAMES]"))
