"""Work ahead in another thread: FFmpeg, files and the network each leave Python's lock free for the others."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, suppress
from queue import Empty, Queue
from threading import Event, Thread
from typing import Any, TypeVar

Item = TypeVar("Item")
END = object()
# Seconds that the item being worked on gets when nothing more is wanted.
GRACE = 10


class HangError(Exception):
    """Nothing came of what is worked on in the background."""


def in_background(
    items: Generator[Item, None, None], max_items: int, time_limit: int | None = None
) -> Generator[Item, None, None]:
    """Gives what a generator gives, in order, and works it out ahead in a thread of its own.

    Close it (`contextlib.closing`) where it may be left before its end: that ends the thread and closes the generator,
    after the item that is being worked on. An exception of the generator comes in the place of the item that it kept
    from coming. A thread that never comes back from its item is left behind; it does not keep the program from ending.

    Args:
        items: worked out one after the other, and closed, in that thread.
        max_items: that wait to be taken, at most.
        time_limit: in seconds, of the wait for an item; `None` waits for ever.

    Yields:
        The items.

    Raises:
        HangError: an item took longer.
    """
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


__all__ = ["HangError", "Item", "in_background"]
