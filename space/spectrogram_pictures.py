"""Pictures of what the network did: mixture, stems and mask, column by column on one time axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mask_record import RecordedMask
from picture_rows import NUM_ROWS, mean_between, row_edges
from PIL import Image

from modeling_unet_svs.audio_reading import AudioReader
from modeling_unet_svs.separation import SampleQueue

NUM_COLUMNS = 1000
# Frames that are averaged in a column at most: a long song costs no more than a short one.
MAX_FRAMES_PER_COLUMN = 3
RANGE_DB = 80.0
CHUNK_FRAMES = 64
# From silence to full level, dark to light, told apart without seeing colours too.
COLOURS = ((8, 6, 28), (56, 20, 104), (140, 35, 125), (222, 75, 88), (252, 158, 62), (252, 244, 170))


@dataclass(frozen=True)
class Pictures:
    """Images as wide as the song.

    Attributes:
        files: PNGs by name: "mixture", each stem, "mask".
        ticks: frequencies in Hz with their height in the pictures, 0 at the bottom to 1 at the top.
    """

    files: dict[str, Path]
    ticks: dict[int, float]


def draw_pictures(
    stems: Mapping[str, Path], mask: RecordedMask, num_samples: int, n_fft: int, folder: Path
) -> Pictures:
    """Draws the spectrograms of the stems and of their sum, and the mask.

    Time and memory do not grow with the song, but for its being read once.

    Args:
        stems: files of equal length.
        mask: that the network gave.
        num_samples: of each stem.
        n_fft: window length in samples.
        folder: for the pictures.

    Returns:
        The pictures.

    Raises:
        AudioFileError: a stem cannot be read.
    """
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


__all__ = ["Pictures", "draw_pictures"]
