"""`python -m train.draw_separation SONG PICTURE.png`: draws a mixture, its mask and its stems."""

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
    magnitudes = {name: magnitude(waveform) for name, waveform in {"mixture": mixture, **stems}.items()}
    loudest = max(magnitudes["mixture"].max(), 1e-12)
    floor = loudest * 10 ** (-DYNAMIC_RANGE / 20)
    panels = {name: 20 * np.log10(np.maximum(values, floor) / loudest) for name, values in magnitudes.items()}
    mask = np.clip(magnitudes[first] / np.maximum(magnitudes["mixture"], floor), 0, 1)
    panels = {"mixture": panels.pop("mixture"), f"mask: the share that is {first}": mask, **panels}
    figure = Figure(figsize=(10, 9), layout="constrained")
    axes = figure.subplots(len(panels), sharex=True, sharey=True)
    for axis, (title, panel) in zip(axes, panels.items()):
        colours = {"cmap": "gray", "vmin": 0, "vmax": 1}
        if panel is not mask:
            colours = {"cmap": "magma", "vmin": -DYNAMIC_RANGE, "vmax": 0}
        extent = (0, mixture.shape[1] / sampling_rate, 0, sampling_rate / 2000)
        image = axis.imshow(panel, origin="lower", aspect="auto", extent=extent, **colours)
        axis.set_title(title, loc="left")
        axis.set_ylabel("kHz")
        figure.colorbar(image, ax=axis, pad=0.01, label=None if panel is mask else "dB")
    axes[-1].set_xlabel("seconds")
    return figure


def magnitude(waveform: np.ndarray) -> np.ndarray:
    """Mean over channels, `(bins, frames)`."""
    padded = torch.nn.functional.pad(torch.from_numpy(waveform), (0, max(N_FFT - waveform.shape[-1], 0)))
    return magnitude_of(stft(padded, N_FFT, HOP_LENGTH)).mean(0).numpy()


def draw(song: str, picture: str, checkpoint: str = DEFAULT_CHECKPOINT) -> None:
    """Draws the first half minute of a song."""
    mixture, rate = read_audio(song)
    mixture = mixture[:, : MAX_SECONDS * rate]
    stems = UNetSVSModel.from_pretrained(checkpoint).separate(mixture, rate)
    draw_separation(mixture, stems, rate).savefig(picture, dpi=75)


if __name__ == "__main__":
    sys.exit(run_command("draw_separation", draw, "SONG", "PICTURE.png", "[MODEL]"))
