"""`python -m train.draw_separation SONG PICTURE.png`: what a model hears, what it lets through, what comes out."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure

from modeling_unet_svs import DEFAULT_CHECKPOINT, UNetSVSModel
from modeling_unet_svs.audio_reading import read_audio
from modeling_unet_svs.network import magnitude_of, stft
from train.exit_codes import run_command

N_FFT, HOP_LENGTH = 4096, 1024
DYNAMIC_RANGE = 80  # dB that the colours span
MAX_SECONDS = 30


def draw_separation(mixture: np.ndarray, stems: Mapping[str, np.ndarray], sampling_rate: int) -> Figure:
    """Spectrograms of mixture and stems, and the share of the first stem in the mixture, on one time axis."""
    first = next(iter(stems))
    magnitudes = {name: _magnitude(waveform) for name, waveform in {"mixture": mixture, **stems}.items()}
    loudest = magnitudes["mixture"].max()
    mask = np.clip(magnitudes[first] / np.maximum(magnitudes["mixture"], 1e-4 * loudest), 0, 1)
    panels = {
        "mixture": _decibels(magnitudes["mixture"], loudest),
        f"mask: the share that is {first}": mask,
        **{name: _decibels(magnitudes[name], loudest) for name in stems},
    }
    figure = Figure(figsize=(10, 9), layout="constrained")
    axes = figure.subplots(len(panels), sharex=True, sharey=True)
    for axis, (title, panel) in zip(axes, panels.items()):
        is_mask = panel is mask
        image = axis.imshow(
            panel,
            origin="lower",
            aspect="auto",
            cmap="gray" if is_mask else "magma",
            vmin=0 if is_mask else -DYNAMIC_RANGE,
            vmax=1 if is_mask else 0,
            extent=(0, mixture.shape[1] / sampling_rate, 0, sampling_rate / 2000),
        )
        axis.set_title(title, loc="left")
        axis.set_ylabel("kHz")
        figure.colorbar(image, ax=axis, pad=0.01, label=None if is_mask else "dB")
    axes[-1].set_xlabel("seconds")
    return figure


def _magnitude(waveform: np.ndarray) -> np.ndarray:
    """Mean over channels, `(bins, frames)`."""
    mono = torch.from_numpy(waveform)
    if mono.shape[-1] < N_FFT:
        mono = torch.nn.functional.pad(mono, (0, N_FFT - mono.shape[-1]))
    return magnitude_of(stft(mono, N_FFT, HOP_LENGTH)).mean(0).numpy()


def _decibels(magnitude: np.ndarray, loudest: float) -> np.ndarray:
    floor = 10 ** (-DYNAMIC_RANGE / 20)
    return 20 * np.log10(np.maximum(magnitude / max(loudest, 1e-12), floor))


def _draw(song: str, picture: str, checkpoint: str = DEFAULT_CHECKPOINT) -> None:
    """Draws the first half minute of a song."""
    mixture, rate = read_audio(song)
    model = UNetSVSModel.from_pretrained(checkpoint)
    mixture = mixture[:, : MAX_SECONDS * rate]
    draw_separation(mixture, model.separate(mixture, rate), rate).savefig(picture, dpi=80)


if __name__ == "__main__":
    sys.exit(run_command("draw_separation", _draw, "SONG", "PICTURE.png", "[MODEL]"))
