"""Checkpoints of a training run: written whole or not at all, found again, and removed when old."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from accelerate import Accelerator

from .saving import replace_folder

PATTERN = re.compile(r"checkpoint-(\d+)")


def list_checkpoints(output_dir: Path) -> list[Path]:
    """A run's checkpoints.

    Args:
        output_dir: the run's folder.

    Returns:
        Folders named `checkpoint-STEP`, oldest first.
    """
    found = [path for path in Path(output_dir).glob("checkpoint-*") if PATTERN.fullmatch(path.name)]
    return sorted(found, key=lambda path: int(PATTERN.fullmatch(path.name)[1]))


def find_checkpoint(output_dir: Path, resume_from_checkpoint: str | None) -> Path | None:
    """The checkpoint to go on from.

    Args:
        output_dir: the run's folder.
        resume_from_checkpoint: a checkpoint's folder, `latest`, or `None`.

    Returns:
        Its folder; `None` to start anew, which `latest` also means where there is none yet.

    Raises:
        ValueError: no such folder, or an output folder with checkpoints and no word on whether to resume.
    """
    existing = list_checkpoints(output_dir)
    if resume_from_checkpoint is None:
        if existing:
            raise ValueError(
                f"{output_dir} has the checkpoints of another run: go on with --resume_from_checkpoint latest, "
                "or choose another --output_dir."
            )
        return None
    if resume_from_checkpoint == "latest":
        return existing[-1] if existing else None
    if not Path(resume_from_checkpoint).is_dir():
        raise ValueError(f"--resume_from_checkpoint {resume_from_checkpoint} is no folder.")
    return Path(resume_from_checkpoint)


def save_checkpoint(accelerator: Accelerator, output_dir: Path, step: int, total_limit: int) -> None:
    """Writes `output_dir/checkpoint-STEP` under another name, renames it when whole, and removes the oldest.

    Args:
        accelerator: that holds all state.
        output_dir: the run's folder.
        step: optimizer steps done.
        total_limit: how many checkpoints stay.
    """
    target = Path(output_dir) / f"checkpoint-{step}"
    partial = Path(output_dir) / f"partial-{target.name}"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        replace_folder(partial, target)
        for old in list_checkpoints(output_dir)[:-total_limit]:
            shutil.rmtree(old)


__all__ = ["find_checkpoint", "list_checkpoints", "save_checkpoint"]
