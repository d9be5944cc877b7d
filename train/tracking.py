"""What a run shows beside numbers: a song of the validation, drawn and to be heard."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from accelerate.utils import is_tensorboard_available, is_trackio_available, is_wandb_available
from matplotlib.figure import Figure

from modeling_unet_svs import UNetSVSModel

from .data.cache import DecodedSong
from .scripts.draw_separation import draw_separation
from .validation import song_stems

AVAILABLE: Mapping[str, Callable[[], bool]] = {
    "tensorboard": is_tensorboard_available,
    "wandb": is_wandb_available,
    "trackio": is_trackio_available,
}
MAX_SECONDS = 10


def check_trackers(report_to: str) -> list[str]:
    """Says before a run whether it can be tracked.

    Args:
        report_to: name of a tracker, "all" for all that are installed, or "none".

    Returns:
        Names of trackers.

    Raises:
        ValueError: an unknown tracker, or one that is not installed.
    """
    if report_to == "none":
        return []
    if report_to == "all":
        return [name for name, is_available in AVAILABLE.items() if is_available()]
    if report_to not in AVAILABLE:
        raise ValueError(f"--report_to {report_to} is unknown: use {', '.join(AVAILABLE)}, all or none.")
    if not AVAILABLE[report_to]():
        raise ValueError(f"--report_to {report_to} needs it installed: pip install {report_to}.")
    return [report_to]


def log_example(accelerator: Accelerator, model: UNetSVSModel, song: DecodedSong, step: int) -> None:
    """Separates the beginning of a song and hands its picture and sound to the trackers.

    Args:
        accelerator: whose trackers they are.
        model: that separates.
        song: that is separated.
        step: that the model has reached.
    """
    if not accelerator.trackers:
        return
    rate = model.config.sampling_rate
    mixture = song_stems(song)["mixture"][:, : MAX_SECONDS * rate]
    stems = model.separate(mixture, rate)
    figure = draw_separation(mixture, stems, rate)
    for tracker in accelerator.trackers:
        if tracker.name in SHOW:
            SHOW[tracker.name](tracker, figure, stems, rate, step)


def _show_in_tensorboard(
    tracker: GeneralTracker, figure: Figure, stems: Mapping[str, np.ndarray], rate: int, step: int
) -> None:
    tracker.writer.add_figure("separation", figure, step)
    for name, stem in stems.items():
        tracker.writer.add_audio(name, stem.mean(axis=0).clip(-1, 1), step, sample_rate=rate)


def _show_in_wandb(
    tracker: GeneralTracker, figure: Figure, stems: Mapping[str, np.ndarray], rate: int, step: int
) -> None:
    import wandb

    sounds = {name: wandb.Audio(stem.T, sample_rate=rate) for name, stem in stems.items()}
    tracker.run.log({"separation": wandb.Image(figure), **sounds}, step=step)


SHOW = {"tensorboard": _show_in_tensorboard, "wandb": _show_in_wandb}

__all__ = ["check_trackers", "log_example"]
