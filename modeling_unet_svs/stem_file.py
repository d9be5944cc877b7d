"""A stem's file, written as the stem comes, though only its end tells how loud it gets."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

import numpy as np

from .audio_reading import AudioFileError, AudioInfo
from .audio_writing import AudioWriter


class StemFile:
    """File of a stem, and the same samples in a nameless one, from which it is written again where it would clip.

    Args:
        writer: of the file.
        spool: the nameless file; `None` where the format holds any level.
    """

    def __init__(self, writer: AudioWriter, spool: IO[bytes] | None):
        self._writer, self._spool = writer, spool
        self._lengths: list[int] = []

    def write(self, stem: np.ndarray, encode: bool) -> None:
        """Appends samples.

        Args:
            stem: float32 `(num_channels, num_samples)`.
            encode: `False` where it is known that the file will be written again.

        Raises:
            AudioFileError: the file cannot be written, for example because the disk is full.
        """
        if self._spool:
            try:
                self._spool.write(np.ascontiguousarray(stem).data)
            except OSError as error:
                raise AudioFileError(self._writer.path, f"cannot be written: {error.strerror}.") from None
            self._lengths.append(stem.shape[1])
        if encode:
            self._writer.write(stem)

    def write_again(self, scale: float) -> None:
        """Writes the file anew.

        Args:
            scale: that all samples are multiplied by.

        Raises:
            AudioFileError: as `write`.
        """
        self._writer.restart()
        assert self._spool is not None  # nothing else is ever scaled
        self._spool.seek(0)
        num_channels = self._writer.num_channels
        for length in self._lengths:
            samples = np.frombuffer(self._spool.read(4 * num_channels * length), dtype=np.float32)
            self._writer.write(samples.reshape(num_channels, -1) * np.float32(scale))


@contextmanager
def stem_file(output: Path, info: AudioInfo, subtype: str, may_be_scaled: bool) -> Iterator[StemFile]:
    """Context of a stem's file, which appears under its name when it ends; after an exception nothing is left.

    Args:
        output: path of the file; folders that are missing are made.
        info: of the song.
        subtype: "16", "24" or "float".
        may_be_scaled: whether it may have to be written again.

    Yields:
        The file.

    Raises:
        AudioFileError: a file that cannot be made there.
    """
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


__all__ = ["StemFile", "stem_file"]
