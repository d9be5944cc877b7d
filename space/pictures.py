"""Draws what the network did: mixture, stems and mask, column by column on one time axis.

Their rows go from low to high frequencies in equal steps of pitch.
"""

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from modeling_unet_svs.audio_reading import AudioReader
from modeling_unet_svs.network import UNetSVSModule
from modeling_unet_svs.separation import SampleQueue

NUM_ROWS, NUM_COLUMNS = 160, 1000
LOWEST_HZ, HIGHEST_HZ = 50.0, 20_000.0
# Upper limit of the moments at which the mask is recorded, whatever the length of the song.
MAX_MOMENTS = 4000
# Frames that are averaged in a column at most: a long song costs no more than a short one.
MAX_FRAMES_PER_COLUMN = 3
RANGE_DB = 80.0
CHUNK_FRAMES = 64
# From silence to full level, dark to light, so that colour-blind people can read it, too.
COLOURS = ((8, 6, 28), (56, 20, 104), (140, 35, 125), (222, 75, 88), (252, 158, 62), (252, 244, 170))


@dataclass(frozen=True)
class Pictures:
    """PNGs of the mixture, each stem and the mask, and frequencies in Hz with their height from 0 (bottom) to 1."""

    files: dict[str, Path]
    ticks: dict[int, float]


@dataclass(frozen=True)
class RecordedMask:
    """Share of each tone that the network gave to its first source, at moments of equal distance."""

    moments: np.ndarray  # (NUM_ROWS, num_moments), lowest frequency first
    first_seconds: float
    step_seconds: float

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """The mask at some times, `(NUM_ROWS, num_times)`."""
        index = np.rint((seconds - self.first_seconds) / self.step_seconds).astype(int)
        return self.moments[:, np.clip(index, 0, self.moments.shape[1] - 1)]


class MaskRecorder:
    """Records the masks of one song in a small table while the song is separated with `model`."""

    def __init__(self, network: UNetSVSModule, sampling_rate: int, num_channels: int, num_samples: int):
        config = network.config
        self._config, self._network = config, network
        self._num_groups = math.ceil(num_channels / config.num_channels)
        num_frames = num_samples * config.sampling_rate / sampling_rate / config.hop_length
        self._per_moment = max(1, math.ceil(num_frames / MAX_MOMENTS))
        self._edges = row_edges(sampling_rate) * config.n_fft / config.sampling_rate
        self._moments: list[np.ndarray] = []
        self._num_calls = self._num_frames = 0
        # The same weights, which other songs may use at the same time; only the estimates pass through here.
        self.model = copy.copy(network)
        self.model.estimate_masks = self._estimate_masks

    def _estimate_masks(self, magnitude: torch.Tensor) -> torch.Tensor:
        masks = self._network.estimate_masks(magnitude)
        # A song with more channels than the network comes in groups; recording one of them is enough.
        if self._num_calls % self._num_groups == 0:
            context = self._config.context_frames
            kept = masks[:, 0, ..., context : masks.shape[-1] - context].mean(dim=1)
            frames = kept.movedim(-1, 1).flatten(0, 1).float().cpu().numpy()
            for frame in mean_between(frames, self._edges):
                self._add(frame)
        self._num_calls += 1
        return masks

    def _add(self, frame: np.ndarray) -> None:
        share = frame / self._per_moment
        if self._num_frames % self._per_moment == 0:
            self._moments.append(share)
        else:
            self._moments[-1] += share
        self._num_frames += 1

    def recorded(self) -> RecordedMask:
        config = self._config
        # The first frame begins before the song, so that it is one step long within it.
        first = config.hop_length - config.n_fft / 2 + (self._per_moment - 1) / 2 * config.hop_length
        moments = np.stack(self._moments, axis=1).astype(np.float16) if self._moments else np.zeros((NUM_ROWS, 1))
        step = self._per_moment * config.hop_length
        return RecordedMask(moments, first / config.sampling_rate, step / config.sampling_rate)


def row_edges(sampling_rate: int) -> np.ndarray:
    """Edges of the rows: `NUM_ROWS + 1` frequencies in Hz."""
    highest = min(HIGHEST_HZ, sampling_rate / 2)
    return np.geomspace(min(LOWEST_HZ, highest / 4), highest, NUM_ROWS + 1)


def mean_between(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Means of bins, `(..., num_bins)`, between ascending edges in bins: `(..., num_rows)`, 0 above all bins."""
    num_bins = values.shape[-1]
    places = np.clip(edges + 0.5, 0, num_bins)
    whole = np.minimum(places.astype(int), num_bins - 1)
    below = np.cumsum(values, axis=-1, dtype=np.float64) - values
    sums = np.diff(below[..., whole] + (places - whole) * values[..., whole])
    widths = np.broadcast_to(np.diff(places), sums.shape)
    return np.divide(sums, widths, out=np.zeros_like(sums), where=widths > 0)


def draw_pictures(
    stems: Mapping[str, Path], mask: RecordedMask, num_samples: int, n_fft: int, folder: Path
) -> Pictures:
    """Draws spectrograms of the stems and of their sum, and the mask, in memory that does not grow with the song."""
    with ExitStack() as stack:
        readers = [stack.enter_context(AudioReader(path)) for path in stems.values()]
        sampling_rate = readers[0].info.sampling_rate
        edges = row_edges(sampling_rate)
        powers = np.zeros((len(readers) + 1, NUM_ROWS, NUM_COLUMNS))
        counts = np.zeros(NUM_COLUMNS)
        for columns, frames in _frames(readers, num_samples, n_fft):
            everything = np.concatenate([frames.sum(0, keepdims=True), frames])
            spectra = np.fft.rfft(everything * np.hanning(n_fft).astype(np.float32), axis=-1)
            power = np.square(np.abs(spectra)).sum(axis=2)
            pooled = mean_between(power, edges * n_fft / sampling_rate)
            for index, column in enumerate(columns):
                powers[:, :, column] += pooled[:, index]
                counts[column] += 1
    powers /= np.maximum(counts, 1)
    loudest = max(float(powers[0].max()), 1e-12)
    files = {}
    for name, power in zip(("mixture", *stems), powers):
        level = 1 + 10 * np.log10(np.maximum(power / loudest, 1e-12)) / RANGE_DB
        files[name] = _save(level, folder / f"{name}.png")
    times = (np.arange(NUM_COLUMNS) + 0.5) * num_samples / NUM_COLUMNS / sampling_rate
    files["mask"] = _save(mask.at(times), folder / "mask.png")
    return Pictures(files, _ticks(edges))


def _frames(readers: list[AudioReader], num_samples: int, n_fft: int) -> Iterator[tuple[list[int], np.ndarray]]:
    """Columns, and the frames that go to them: `(num_stems, num_frames, num_channels, n_fft)`."""
    num_channels = readers[0].info.num_channels
    starts, columns = _grid(num_samples, n_fft)
    queues = [SampleQueue(num_channels) for _ in readers]
    blocks = [reader.blocks() for reader in readers]
    held = np.zeros((len(readers), num_channels, 0), dtype=np.float32)
    held_from = next_frame = 0
    while next_frame < len(starts):
        ended = True
        for samples, queue in zip(blocks, queues):
            block = next(samples, None)
            if block is not None:
                queue.put(block)
                ended = False
        count = min(map(len, queues))
        held = np.concatenate([held, np.stack([queue.get(count) for queue in queues])], axis=2)
        if ended:
            held = np.pad(held, ((0, 0), (0, 0), (0, n_fft)))
        while next_frame < len(starts):
            last = next_frame
            while last < min(next_frame + CHUNK_FRAMES, len(starts)) and (
                starts[last] + n_fft <= held_from + held.shape[2]
            ):
                last += 1
            if last == next_frame:
                break
            chosen = range(next_frame, last)
            frames = [held[:, :, starts[i] - held_from : starts[i] - held_from + n_fft] for i in chosen]
            yield [columns[i] for i in chosen], np.stack(frames, axis=1)
            next_frame = last
        if ended:
            return
        surplus = min(starts[next_frame] - held_from, held.shape[2]) if next_frame < len(starts) else 0
        held, held_from = held[:, :, surplus:], held_from + surplus


def _grid(num_samples: int, n_fft: int) -> tuple[list[int], list[int]]:
    """First samples of all frames, in order, and the column of each."""
    width = num_samples / NUM_COLUMNS
    per_column = int(np.clip(np.ceil(width / n_fft), 1, MAX_FRAMES_PER_COLUMN))
    middles = (np.arange(NUM_COLUMNS * per_column) + 0.5) * width / per_column
    starts = np.clip(np.rint(middles - n_fft / 2), 0, max(num_samples - n_fft, 0)).astype(int)
    return starts.tolist(), np.repeat(np.arange(NUM_COLUMNS), per_column).tolist()


def _ticks(edges: np.ndarray) -> dict[int, float]:
    span = np.log(edges[-1] / edges[0])
    candidates = (100, 1000, 10_000)
    return {hertz: float(np.log(hertz / edges[0]) / span) for hertz in candidates if edges[0] < hertz < edges[-1]}


def _save(values: np.ndarray, path: Path) -> Path:
    """Writes values from 0 to 1, lowest frequency first, as a picture with the lowest at the bottom."""
    steps = (np.clip(values[::-1], 0, 1) * 255).astype(np.uint8)
    image = Image.frombytes("P", (steps.shape[1], steps.shape[0]), np.ascontiguousarray(steps).tobytes())
    anchors = np.array(COLOURS, dtype=float)
    positions = np.linspace(0, len(anchors) - 1, 256)
    palette = [np.interp(positions, np.arange(len(anchors)), channel) for channel in anchors.T]
    image.putpalette(np.rint(np.stack(palette, axis=1)).astype(np.uint8).reshape(-1).tolist())
    image.save(path, optimize=True)
    return path
