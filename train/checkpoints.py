"""Checkpoints of a training run: written whole or not at all, found again, and removed when old."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from accelerate import Accelerator

from modeling_unet_svs import UNetSVSConfig, UNetSVSFeatureExtractor, UNetSVSModel, UNetSVSPipeline
from modeling_unet_svs.architecture import Architecture
from modeling_unet_svs.audio_reading import one_line

EXPORTED = "onnx"


def save_model(model: UNetSVSModel, folder: str | Path) -> None:
    """Saves a model as it is pushed to the Hub."""
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
    """Context in which a folder is written, under another name until it is whole."""
    try:
        yield
    except Exception as error:  # a full disk is another error in each of the libraries that write
        shutil.rmtree(partial, ignore_errors=True)
        raise ValueError(f"{partial.parent} cannot be written to: {one_line(error)}") from None


def replace_folder(partial: Path, target: Path) -> None:
    """Gives a folder that was written under another name its own, in place of what is there."""
    shutil.rmtree(target, ignore_errors=True)
    os.replace(partial, target)


PATTERN = re.compile(r"checkpoint-(\d+)")


def list_checkpoints(output_dir: Path) -> list[Path]:
    """A run's checkpoints."""
    found = [path for path in Path(output_dir).glob("checkpoint-*") if PATTERN.fullmatch(path.name)]
    return sorted(found, key=_step_of)


def find_checkpoint(output_dir: Path, resume_from_checkpoint: str | None) -> Path | None:
    """The checkpoint to go on from."""
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


def load_checkpoint_state(accelerator: Accelerator, checkpoint: Path, config: UNetSVSConfig) -> Path | None:
    """Takes all state from a checkpoint or, where that is damaged, from the newest older one that is not."""
    older = [path for path in list_checkpoints(checkpoint.parent) if _step_of(path) < _step_of(checkpoint)]
    for candidate in [checkpoint, *reversed(older)]:
        try:
            differences = _differences(UNetSVSConfig.from_pretrained(candidate), config)
            if not differences:
                accelerator.load_state(str(candidate))
                return candidate
        # A damaged file fails in the library that reads it, with whatever that library raises.
        except Exception as error:
            accelerator.print(f"{candidate} is damaged and left out: {one_line(error)}")
            continue
        raise ValueError(
            f"{candidate} is of a model of another configuration ({differences}): resume it with the recipe that it "
            "was trained with, or choose another --output_dir."
        )
    return None


def _step_of(checkpoint: Path) -> int:
    found = PATTERN.fullmatch(checkpoint.name)
    return int(found[1]) if found else 0


def _differences(saved: UNetSVSConfig, config: UNetSVSConfig) -> str:
    names = [field.name for field in fields(Architecture)]
    pairs = {name: [_as_list(getattr(one, name)) for one in (saved, config)] for name in names}
    return ", ".join(f"{name} {before}, not {now}" for name, (before, now) in pairs.items() if before != now)


def _as_list(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def save_checkpoint(
    accelerator: Accelerator, output_dir: Path, step: int, total_limit: int, config: UNetSVSConfig
) -> None:
    """Writes `output_dir/checkpoint-STEP` under another name, renames it when whole, and removes the oldest."""
    target = Path(output_dir) / f"checkpoint-{step}"
    partial = Path(output_dir) / f"partial-{target.name}"
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
    accelerator.wait_for_everyone()
    with said_in_one_line(partial):
        accelerator.save_state(str(partial))
        if accelerator.is_main_process:
            config.save_pretrained(partial)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        replace_folder(partial, target)
        for old in list_checkpoints(output_dir)[:-total_limit]:
            shutil.rmtree(old)
