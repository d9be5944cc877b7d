"""A model's validation while it trains: scores on whole songs, and one song to see and hear in the trackers."""

from collections.abc import Sequence

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers

from modeling_unet_svs import UNetSVSModel
from modeling_unet_svs.separation import refuse_if

from .data.cache import DecodedSong
from .draw_separation import draw_separation
from .evaluation.scores import sdr

TRACKERS = ("tensorboard", "wandb", "trackio")
MAX_SECONDS = 10


def song_stems(song: DecodedSong) -> dict[str, np.ndarray]:
    """A song's stems, its `accompaniment` and its `mixture`, each float32 `(num_channels, num_samples)`."""
    stems = {name: np.asarray(song.stem(name)[:, : song.num_samples], dtype=np.float32) for name in song.stems}
    stems["accompaniment"] = sum(stem for name, stem in stems.items() if name != "vocals")
    stems["mixture"] = stems["accompaniment"] + stems["vocals"]
    return stems


def validate(model: UNetSVSModel, songs: Sequence[DecodedSong], accelerator: Accelerator) -> dict[str, float]:
    """Mean SDR over songs in dB: `validation_sdr_<stem>`, and `validation_sdr`, their mean, alike in all processes."""
    sums = np.zeros((2, len(model.config.stems)))
    for song in songs[accelerator.process_index :: accelerator.num_processes]:
        references = song_stems(song)
        estimates = model.separate(references["mixture"], model.config.sampling_rate)
        for index, (name, estimate) in enumerate(estimates.items()):
            score = sdr(references[name], estimate) if name in references else float("nan")
            if np.isfinite(score):
                sums[:, index] += score, 1
    sums = torch.tensor(sums, dtype=torch.float32, device=accelerator.device)
    totals = accelerator.reduce(sums, "sum").tolist()
    scores = {
        f"validation_sdr_{name}": total / count for name, total, count in zip(model.config.stems, *totals) if count
    }
    return {**scores, "validation_sdr": float(np.mean(list(scores.values())))} if scores else {}


def available_trackers(report_to: str) -> list[str]:
    """Names of the installed trackers that `--report_to` asks for."""
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
