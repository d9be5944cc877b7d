"""Work ahead in another thread: FFmpeg, files and the network each leave Python's lock free for the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
END = object()


def in_background(items: Iterable[Item], max_items: int) -> Generator[Item, None, None]:
    """Gives what an iterable gives, in order, and works it out ahead in a thread of its own.

    Close it (`contextlib.closing`) where it may be left before its end: that ends the thread, after the item that is
    being worked on. An exception of the iterable comes in the place of the item that it kept from coming.

    Args:
        items: worked out one after the other, never at the same time.
        max_items: that wait to be taken, at most.

    Yields:
        The items.
    """
    iterator, pending = iter(items), deque[Future[Any]]()
    pool = ThreadPoolExecutor(1)
    try:
        while True:
            pending.extend(pool.submit(next, iterator, END) for _ in range(max_items - len(pending)))
            item = pending.popleft().result()
            if item is END:
                return
            yield item
    finally:
        pool.shutdown(cancel_futures=True)


__all__ = ["in_background"]
