"""Decodes audio files ahead in a thread, which may hang without hanging the program."""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, TypeVar

import numpy as np

from ..audio_reading import AudioFileError, AudioInfo, AudioReader

Item = TypeVar("Item")
# Seconds that the current item gets to finish when no more are wanted.
GRACE = 10
# Blocks of a second, about as many as the network takes at once.
BLOCKS_AHEAD = 10
# Seconds without a block after which a file is given up: a disk that has to spin up, or a network, needs less.
TIME_LIMIT = 120


class HangError(Exception):
    """Work in the background has produced nothing in time."""


def in_background(
    items: Generator[Item, None, None], max_items: int, time_limit: int | None = None
) -> Generator[Item, None, None]:
    """Yields a generator's items in order, computed ahead in a thread of its own, which also closes it."""
    ahead, closed, grace = Queue[Any](max_items), Event(), GRACE

    def work() -> None:
        end = None
        try:
            with closing(items):
                for item in items:
                    ahead.put((False, item))
                    if closed.is_set():
                        return
        except BaseException as error:
            end = error
        ahead.put((True, end))

    # A daemon does not keep the program from ending.
    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            has_ended, item = _wait_for(ahead, time_limit)
            if not has_ended:
                yield item
            elif item is not None:
                raise item
            else:
                return
    except HangError:
        grace = 0
        raise
    finally:
        closed.set()
        with suppress(Empty):
            while True:
                ahead.get_nowait()
        thread.join(grace)


def _wait_for(ahead: Queue[Any], time_limit: int | None) -> Any:
    # Counted by the second: a program that was stopped and continues later has not waited in between.
    waited = 0
    while time_limit is None or waited < time_limit:
        with suppress(Empty):
            return ahead.get(timeout=1)
        waited += 1
    raise HangError(f"nothing came for {time_limit} s")


@contextmanager
def read_ahead(
    path: str | Path, audio_stream: int | None = None, strict: bool = False, info_alone: bool = False
) -> Iterator[tuple[AudioInfo, Iterator[np.ndarray]]]:
    """Context manager of an audio file: what its header says, and its blocks, decoded ahead of use."""

    def contents() -> Generator[Any, None, None]:
        with AudioReader(path, audio_stream, strict) as reader:
            yield reader.info
            if not info_alone:
                yield from reader.blocks()

    with closing(in_background(contents(), BLOCKS_AHEAD, TIME_LIMIT)) as ahead:
        try:
            yield next(ahead), ahead
        except HangError:
            raise AudioFileError(path, f"cannot be read: nothing came from it for {TIME_LIMIT} s.") from None


def read_info(path: str | Path, audio_stream: int | None = None) -> AudioInfo:
    """Reads what a file's header says, without decoding, within the same time limit."""
    with read_ahead(path, audio_stream, info_alone=True) as (info, _):
        return info
