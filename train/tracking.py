"""What a run shows beside numbers: a song of the validation, drawn and to be heard."""

from __future__ import annotations

from accelerate import Accelerator
from accelerate.tracking import get_available_trackers

from modeling_unet_svs import UNetSVSModel

from .data.cache import DecodedSong
from .draw_separation import draw_separation
from .exit_codes import refuse_if
from .validation import song_stems

TRACKERS = ("tensorboard", "wandb", "trackio")
MAX_SECONDS = 10


def available_trackers(report_to: str) -> list[str]:
    """Names of the trackers that `--report_to` means, all of which are installed."""
    installed = [name for name in TRACKERS if name in map(str, get_available_trackers())]
    if report_to in ("all", "none"):
        return installed if report_to == "all" else []
    refuse_if(report_to not in installed, f"--report_to {report_to} needs it installed: pip install {report_to}.")
    return [report_to]


def log_example(accelerator: Accelerator, model: UNetSVSModel, song: DecodedSong, step: int) -> None:
    """Separates the beginning of a song and hands its picture and sound to the trackers that can show them."""
    if not accelerator.trackers:
        return
    rate = model.config.sampling_rate
    mixture = song_stems(song)["mixture"][:, : MAX_SECONDS * rate]
    stems = model.separate(mixture, rate)
    figure = draw_separation(mixture, stems, rate)
    for tracker in accelerator.trackers:
        if tracker.name == "tensorboard":
            tracker.writer.add_figure("separation", figure, step)
            for name, stem in stems.items():
                tracker.writer.add_audio(name, stem.mean(axis=0).clip(-1, 1), step, sample_rate=rate)
        elif tracker.name == "wandb":
            import wandb

            sounds = {name: wandb.Audio(stem.T, sample_rate=rate) for name, stem in stems.items()}
            tracker.run.log({"separation": wandb.Image(figure), **sounds}, step=step)
