"""One audio file to files of its stems, block by block."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np

from .audio_reading import AudioFileError, AudioReader
from .audio_writing import AudioWriter, check_format
from .modeling_unet_svs import UNetSVSModel
from .stream import DEFAULT_BATCH_SIZE, SeparationStream

COPY_SAMPLES = 1 << 18
# What an integer of 16 bits, of 24 bits and a lossy format that players decode to 16 bits hold at most.
HIGHEST = {"16": 1 - 2.0**-15, "24": 1 - 2.0**-23, "float": 1 - 2.0**-23}


def separate_file(
    model: UNetSVSModel,
    path: str | Path,
    outputs: Mapping[str, Path],
    *,
    subtype: str | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    progress_callback: Callable[[int, int | None], None] | None = None,
) -> float:
    """Takes a song apart and writes stems of its length, rate and channels, with its tags.

    Memory does not grow with the length of the song. Where an integer or lossy format would clip, all stems are
    scaled by the same factor, so that they still add up to the song, scaled.

    Args:
        model: that separates.
        path: of the song.
        outputs: path of each stem to be written; the endings are the formats. Files that are there are replaced.
        subtype: "16", "24" or "float"; `None` for the song's own.
        batch_size: patches that the network takes at once.
        progress_callback: called with the samples done and all samples, as far as the song's header says.

    Returns:
        The factor that the stems were scaled by, 1.0 where nothing would clip.

    Raises:
        ValueError: a song that cannot be read or separated, or a format that cannot hold it.
        AudioFileError: outputs that cannot be written.
    """
    with AudioReader(path) as reader, ExitStack() as stack:
        info = reader.info
        subtype = subtype or info.subtype
        for output in outputs.values():
            check_format(output.suffix.lower().removeprefix("."), info.sampling_rate, info.num_channels)
        stream = model.stream(info.sampling_rate, info.num_channels, batch_size=batch_size)
        spools = {name: stack.enter_context(_spool(output)) for name, output in outputs.items()}
        highest, lowest = 0.0, 0.0
        for stems, num_read in _separated(reader, stream):
            for name, stem in stems.items():
                if stem.size:
                    highest, lowest = max(highest, float(stem.max())), min(lowest, float(stem.min()))
                if name in spools:
                    _append(spools[name], stem, outputs[name])
            if progress_callback:
                progress_callback(num_read, info.num_samples)
        holds_any_level = subtype == "float" and all(output.suffix.lower() == ".wav" for output in outputs.values())
        scale = 1.0 if holds_any_level else _scale(highest, lowest, HIGHEST[subtype])
        for output in outputs.values():
            output.parent.mkdir(parents=True, exist_ok=True)
        writers = {
            name: stack.enter_context(
                AudioWriter(output, info.sampling_rate, info.num_channels, subtype=subtype, tags=info.tags)
            )
            for name, output in outputs.items()
        }
        for name, writer in writers.items():
            for block in _blocks(spools[name], info.num_channels):
                writer.write(block * np.float32(scale) if scale != 1 else block)
    return scale


def _separated(reader: AudioReader, stream: SeparationStream) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    num_read = 0
    for block in reader.blocks():
        num_read += block.shape[1]
        stems = stream.push(block)
        if stems is not None:
            yield stems, num_read
    yield stream.flush(), num_read


def _scale(highest: float, lowest: float, limit: float) -> float:
    """Factor that brings the samples between -1 and the largest number that the format holds."""
    return min(1.0, limit / highest if highest > limit else 1.0, 1 / -lowest if lowest < -1 else 1.0)


def _spool(output: Path) -> IO[bytes]:
    """A file without a name on the disk of the outputs: nothing of it stays, whatever happens."""
    folder = next(parent for parent in output.absolute().parents if parent.is_dir())
    try:
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise AudioFileError(output, f"cannot be written: {error.strerror}.") from None


def _append(spool: IO[bytes], stem: np.ndarray, output: Path) -> None:
    try:
        spool.write(np.ascontiguousarray(stem.T).data)
    except OSError as error:
        raise AudioFileError(output, f"cannot be written: {error.strerror}.") from None


def _blocks(spool: IO[bytes], num_channels: int) -> Iterator[np.ndarray]:
    spool.seek(0)
    while data := spool.read(COPY_SAMPLES * num_channels * 4):
        yield np.frombuffer(data, dtype=np.float32).reshape(-1, num_channels).T


__all__ = ["separate_file"]
