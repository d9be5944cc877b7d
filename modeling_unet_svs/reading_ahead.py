"""Blocks of an audio file, decoded ahead by a thread that may hang without taking the program along."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

import numpy as np

from .audio_reading import AudioFileError, AudioInfo, AudioReader
from .background import HangError, Item, in_background

# Seconds, about as many as the network takes at once.
BLOCKS_AHEAD = 10
# Seconds without a block after which a file is given up: a disk that has to spin up, or a network, needs less.
TIME_LIMIT = 120


@contextmanager
def read_ahead(path: str | Path, audio_stream: int = 0) -> Iterator[tuple[AudioInfo, Iterator[np.ndarray]]]:
    """Context of an audio file whose blocks are decoded before they are asked for.

    A decoder can hang, and so can a disk; nothing but the end of the process stops them then. The file is therefore
    opened, read and closed by a thread of its own, which is left behind if it gives nothing for `TIME_LIMIT` s.

    Args:
        path: of the file.
        audio_stream: which of its audio streams.

    Yields:
        What the file says of its audio, and its blocks, float32 `(num_channels, num_samples)` of about a second.

    Raises:
        AudioFileError: see `AudioReader`; or there was nothing for too long.
    """
    with _time_limited(path, _contents(path, audio_stream), BLOCKS_AHEAD) as ahead:
        # The first is what the file says, all others are blocks.
        info = cast(AudioInfo, next(ahead))
        yield info, cast(Iterator[np.ndarray], ahead)


def read_info(path: str | Path, audio_stream: int = 0) -> AudioInfo:
    """What an audio file says of its audio, without decoding, in the same time.

    Args:
        path: of the file.
        audio_stream: which of its audio streams.

    Returns:
        The information.

    Raises:
        AudioFileError: as `read_ahead`.
    """
    with _time_limited(path, _info(path, audio_stream), 1) as ahead:
        return next(ahead)


@contextmanager
def _time_limited(
    path: str | Path, contents: Generator[Item, None, None], max_items: int
) -> Iterator[Generator[Item, None, None]]:
    with closing(in_background(contents, max_items, TIME_LIMIT)) as ahead:
        try:
            yield ahead
        except HangError:
            raise AudioFileError(path, f"cannot be read: nothing came of it for {TIME_LIMIT} s.") from None


def _info(path: str | Path, audio_stream: int) -> Generator[AudioInfo, None, None]:
    with AudioReader(path, audio_stream) as reader:
        yield reader.info


def _contents(path: str | Path, audio_stream: int) -> Generator[AudioInfo | np.ndarray, None, None]:
    with AudioReader(path, audio_stream) as reader:
        yield reader.info
        yield from reader.blocks()


__all__ = ["read_ahead", "read_info"]
