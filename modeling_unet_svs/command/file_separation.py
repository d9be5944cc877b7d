"""One audio file to files of its stems, block by block."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

import numpy as np

from ..audio.reading_ahead import read_ahead
from ..audio.writing import AudioWriter, check_format
from ..audio_reading import AudioFileError, AudioInfo
from ..separation import DEFAULT_BATCH_SIZE, SeparationStream, Separator


class StemFile:
    """File of a stem, and the same samples in a nameless one, from which it is written again where it would clip."""

    def __init__(self, writer: AudioWriter, spool: IO[bytes] | None):
        self._writer, self._spool = writer, spool
        self._lengths: list[int] = []

    def write(self, stem: np.ndarray, encode: bool) -> None:
        """Appends samples."""
        if self._spool:
            try:
                self._spool.write(np.ascontiguousarray(stem).data)
            except OSError as error:
                raise AudioFileError(self._writer.path, f"cannot be written: {error.strerror}.") from None
            self._lengths.append(stem.shape[1])
        if encode:
            self._writer.write(stem)

    def write_again(self, scale: float) -> None:
        """Writes the file anew."""
        self._writer.restart()
        assert self._spool is not None  # nothing else is ever scaled
        self._spool.seek(0)
        num_channels = self._writer.num_channels
        for length in self._lengths:
            samples = np.frombuffer(self._spool.read(4 * num_channels * length), dtype=np.float32)
            self._writer.write(samples.reshape(num_channels, -1) * np.float32(scale))


@contextmanager
def stem_file(output: Path, info: AudioInfo, subtype: str, may_be_scaled: bool) -> Iterator[StemFile]:
    """Context of a stem's file, which appears under its name when it ends; after an exception nothing is left."""
    with (
        _folder(output.parent, output),
        AudioWriter(output, info.sampling_rate, info.num_channels, subtype=subtype, tags=info.tags) as writer,
        _spool(output) if may_be_scaled else nullcontext() as spool,
    ):
        yield StemFile(writer, spool)


@contextmanager
def _folder(folder: Path, output: Path) -> Iterator[None]:
    made = [missing for missing in (folder, *folder.parents) if not missing.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AudioFileError(output, f"cannot be written: {error.strerror}.") from None
    try:
        yield
    except BaseException:
        with suppress(OSError):  # another has put something there
            for empty in made:
                empty.rmdir()
        raise


def _spool(output: Path) -> IO[bytes]:
    """A file without a name on the disk of the outputs: nothing of it stays, whatever happens."""
    try:
        return tempfile.TemporaryFile(dir=output.parent)
    except OSError as error:
        raise AudioFileError(output, f"cannot be written: {error.strerror}.") from None


# What an integer of 16 bits, of 24 bits and a lossy format that players decode to 16 bits hold at most.
HIGHEST = {"16": 1 - 2.0**-15, "24": 1 - 2.0**-23, "float": 1 - 2.0**-23}


def separate_file(
    model: Separator,
    path: str | Path,
    outputs: Mapping[str, Path],
    *,
    subtype: str | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    progress_callback: Callable[[int, int | None], None] | None = None,
) -> float:
    """Takes a song apart and writes stems of its length, rate and channels, with its tags.

    Decoding, network and encoding run side by side, and memory does not grow with the length of the song. Where an
    integer or lossy format would clip, all stems are scaled by the same factor, so that they still add up to the song,
    scaled.

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
    with read_ahead(path) as (info, blocks), ExitStack() as stack:
        subtype = subtype or info.subtype
        for output in outputs.values():
            check_format(output.suffix.lower().removeprefix("."), info.sampling_rate, info.num_channels)
        stream = model.stream(info.sampling_rate, info.num_channels, batch_size=batch_size)
        holds_any_level = subtype == "float" and all(output.suffix.lower() == ".wav" for output in outputs.values())
        files = {
            name: stack.enter_context(stem_file(output, info, subtype, may_be_scaled=not holds_any_level))
            for name, output in outputs.items()
        }
        # A thread for each file, which encodes while the network is at what follows.
        pool = stack.enter_context(ThreadPoolExecutor(len(files)))
        scale, highest, lowest = 1.0, 0.0, 0.0
        writing: list[Future[None]] = []
        for stems, num_read in _separated(blocks, stream):
            for stem in stems.values():
                if stem.size:
                    highest, lowest = max(highest, float(stem.max())), min(lowest, float(stem.min()))
            scale = 1.0 if holds_any_level else _scale(highest, lowest, HIGHEST[subtype])
            _wait_for(writing)
            writing = [pool.submit(file.write, stems[name], scale == 1) for name, file in files.items()]
            if progress_callback:
                progress_callback(num_read, info.num_samples)
        _wait_for(writing)
        if scale != 1:
            _wait_for([pool.submit(file.write_again, scale) for file in files.values()])
    return scale


def _separated(blocks: Iterable[np.ndarray], stream: SeparationStream) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    """Stems as they become complete, each time with the number of samples read."""
    num_read = 0
    for block in blocks:
        num_read += block.shape[1]
        stems = stream.push(block)
        if stems is not None:
            yield stems, num_read
    yield stream.flush(), num_read


def _wait_for(writing: Iterable[Future[None]]) -> None:
    for written in writing:
        written.result()


def _scale(highest: float, lowest: float, limit: float) -> float:
    """Factor that brings the samples between -1 and the largest number that the format holds."""
    return min(1.0, limit / highest if highest > limit else 1.0, 1 / -lowest if lowest < -1 else 1.0)
