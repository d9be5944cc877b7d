"""Checkpoints of a training run: written whole or not at all, found again, and removed when old."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from modeling_unet_svs import UNetSVSConfig, UNetSVSFeatureExtractor, UNetSVSModel, UNetSVSPipeline
from modeling_unet_svs.architecture import Architecture
from modeling_unet_svs.audio.whole_files import whole_files, whole_folder
from modeling_unet_svs.audio_reading import one_line
from modeling_unet_svs.separation import refuse_if


@contextmanager
def said_in_one_line(folder: Path) -> Iterator[None]:
    """Context manager for writing a folder; an error takes one line."""
    try:
        yield
    except Exception as error:  # each library raises its own error for a full disk
        raise ValueError(f"{folder} cannot be written to: {one_line(error)}") from None


def save_model(model: UNetSVSModel, folder: str | Path) -> None:
    """Saves a model as it is pushed to the Hub; removes graphs exported from an older one."""
    shutil.rmtree(Path(folder) / "onnx", ignore_errors=True)
    extractor = UNetSVSFeatureExtractor(model.config.num_channels, model.config.sampling_rate)
    with said_in_one_line(Path(folder)), whole_files(folder) as partial:
        UNetSVSPipeline(model=model, feature_extractor=extractor).save_pretrained(partial)


def save_checkpoint(
    accelerator: Accelerator, output_dir: Path, step: int, total_limit: int, config: UNetSVSConfig
) -> None:
    """Writes `output_dir/checkpoint-STEP` and removes the oldest checkpoints.

    Accelerate's own naming counts saves rather than steps, and removes the oldest before the newest is whole."""
    with said_in_one_line(output_dir), ExitStack() as stack:
        partial = [None]
        if accelerator.is_main_process:
            partial = [str(stack.enter_context(whole_folder(output_dir / f"checkpoint-{step}")))]
            config.save_pretrained(partial[0])
        broadcast_object_list(partial)
        accelerator.save_state(partial[0])
        accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        for old in list_checkpoints(output_dir)[:-total_limit]:
            shutil.rmtree(old)


def list_checkpoints(output_dir: Path) -> list[Path]:
    """A run's checkpoints, oldest first."""
    steps = {path: path.name.removeprefix("checkpoint-") for path in output_dir.glob("checkpoint-*")}
    return sorted((path for path, step in steps.items() if step.isdecimal()), key=lambda path: int(steps[path]))


def find_checkpoint(output_dir: Path, resume_from_checkpoint: str | None) -> Path | None:
    """The checkpoint to resume from; `None` for a new run, also with `latest` if there is none yet."""
    existing = list_checkpoints(output_dir)
    if resume_from_checkpoint == "latest":
        return existing[-1] if existing else None
    remedy = "continue with --resume_from_checkpoint latest, or choose another --output_dir"
    is_taken = existing and resume_from_checkpoint is None
    refuse_if(is_taken, f"{output_dir} has the checkpoints of another run: {remedy}.")
    if resume_from_checkpoint is None:
        return None
    is_missing = not Path(resume_from_checkpoint).is_dir()
    refuse_if(is_missing, f"--resume_from_checkpoint {resume_from_checkpoint} is no folder.")
    return Path(resume_from_checkpoint)


def load_checkpoint_state(accelerator: Accelerator, checkpoint: Path, config: UNetSVSConfig) -> Path | None:
    """Loads all state from a checkpoint or, if that is damaged, from the newest older one that is not."""
    existing = list_checkpoints(checkpoint.parent)
    older = existing[: existing.index(checkpoint)] if checkpoint in existing else []
    for candidate in [checkpoint, *reversed(older)]:
        try:
            differences = differing_fields(UNetSVSConfig.from_pretrained(candidate), config)
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


def differing_fields(saved: UNetSVSConfig, config: UNetSVSConfig) -> str:
    """Describes the architecture's fields that differ between two configurations."""
    # Compared as JSON, since a tuple is read back as a list.
    before, now = (json.loads(one.to_json_string(use_diff=False)) for one in (saved, config))
    names = [field.name for field in fields(Architecture)]
    return ", ".join(f"{name} {before[name]}, not {now[name]}" for name in names if before[name] != now[name])
