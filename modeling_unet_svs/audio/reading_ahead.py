"""Blocks of an audio file, decoded ahead by a thread that may hang without taking the program along."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, TypeVar, cast

import numpy as np

from ..audio_reading import AudioFileError, AudioInfo, AudioReader

Item = TypeVar("Item")
END = object()
# Seconds that the item being worked on gets when nothing more is wanted.
GRACE = 10


class HangError(Exception):
    """Nothing came of what is worked on in the background."""


def in_background(
    items: Generator[Item, None, None], max_items: int, time_limit: int | None = None
) -> Generator[Item, None, None]:
    """Gives what a generator gives, in order, and works it out ahead in a thread of its own."""
    ahead, closed, grace = Queue[tuple[Any, BaseException | None]](max_items), Event(), GRACE

    def work() -> None:
        try:
            with closing(items):
                for item in items:
                    ahead.put((item, None))
                    if closed.is_set():
                        return
            ahead.put((END, None))
        except BaseException as error:
            ahead.put((END, error))

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = _wait_for(ahead, time_limit)
            if error is not None:
                raise error
            if item is END:
                return
            yield item
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
    # By the second: a program that was stopped, and goes on much later, has not waited all that time.
    waited = 0
    while True:
        try:
            return ahead.get(timeout=1)
        except Empty:
            waited += 1
            if time_limit is not None and waited >= time_limit:
                raise HangError(f"nothing came for {time_limit} s") from None


# Seconds, about as many as the network takes at once.
BLOCKS_AHEAD = 10
# Seconds without a block after which a file is given up: a disk that has to spin up, or a network, needs less.
TIME_LIMIT = 120


@contextmanager
def read_ahead(path: str | Path, audio_stream: int = 0) -> Iterator[tuple[AudioInfo, Iterator[np.ndarray]]]:
    """Context of an audio file whose blocks are decoded before they are asked for."""
    with _time_limited(path, _contents(path, audio_stream), BLOCKS_AHEAD) as ahead:
        # The first is what the file says, all others are blocks.
        info = cast(AudioInfo, next(ahead))
        yield info, cast(Iterator[np.ndarray], ahead)


def read_info(path: str | Path, audio_stream: int = 0) -> AudioInfo:
    """What an audio file says of its audio, without decoding, in the same time."""
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
