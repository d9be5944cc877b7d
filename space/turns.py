"""Whose turn it is, first come first served, and how many come before."""

from __future__ import annotations

import threading


class Turns:
    """A queue that those who wait in it can see.

    Args:
        places: how many have their turn at the same time.
        size: how many may wait beside them.
    """

    def __init__(self, places: int, size: int):
        self.places, self.size = places, size
        self._tickets: list[object] = []
        self._moved = threading.Condition()

    def enter(self) -> object | None:
        """Takes a place at the end.

        Returns:
            A ticket; `None` where the queue is full.
        """
        with self._moved:
            if len(self._tickets) >= self.places + self.size:
                return None
            ticket = object()
            self._tickets.append(ticket)
            return ticket

    def ahead(self, ticket: object, timeout: float = 0) -> int:
        """How many have to leave before it is a ticket's turn.

        Args:
            ticket: from `enter`.
            timeout: seconds to wait for the turn.

        Returns:
            0 when it is its turn.
        """
        with self._moved:
            self._moved.wait_for(lambda: self._ahead(ticket) == 0, timeout)
            return self._ahead(ticket)

    def leave(self, ticket: object) -> None:
        """Gives the place to the next.

        Args:
            ticket: from `enter`.
        """
        with self._moved:
            self._tickets.remove(ticket)
            self._moved.notify_all()

    def _ahead(self, ticket: object) -> int:
        return max(0, self._tickets.index(ticket) + 1 - self.places)


__all__ = ["Turns"]
