"""The processes that a launcher such as `accelerate launch` has started, or this one alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch

T = TypeVar("T")
# As long as one process may wait for the songs of the others.
PATIENCE = timedelta(days=30)


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this is.

    Attributes:
        index: of this process; 0 is the main one.
        count: of all processes, on all machines.
    """

    index: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process speaks for all."""
        return self.index == 0

    def broadcast(self, value: T) -> T:
        """The main process's value, in all of them.

        Args:
            value: that can be pickled; only the main process's counts.

        Returns:
            It.
        """
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def gather(self, values: list[T]) -> list[T]:
        """All processes' values, in all of them; waits for the last.

        Args:
            values: of this process, which can be pickled.

        Returns:
            The values of all, in the processes' order.
        """
        if self.count == 1:
            return values
        from accelerate.utils import gather_object

        return gather_object(values)


def share_cpus(num_processes: int) -> None:
    """Takes this process's share of the machine's CPUs: `accelerate launch` leaves each process a single thread.

    Args:
        num_processes: of the launcher, on this machine where it does not say how many those are.
    """
    num_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(max(1, num_cpus // int(os.environ.get("LOCAL_WORLD_SIZE", num_processes))))


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Joins the other processes, where this one was launched with others; "cuda" is a GPU of its own from then on.

    Args:
        device: "auto", "cpu", "cuda" or "mps".

    Yields:
        Which of how many processes this is.

    Raises:
        ValueError: several processes without Accelerate.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield Processes()
        return
    try:
        from accelerate import PartialState
    except ImportError:
        raise ValueError("several processes need Accelerate: pip install accelerate.") from None
    # Several processes without CUDA are several only where Accelerate is told that the CPU is meant.
    cpu = device == "cpu" or not torch.cuda.is_available()
    state = PartialState(cpu=cpu, backend="gloo", timeout=PATIENCE)
    if cpu:
        share_cpus(state.num_processes)
    try:
        yield Processes(state.process_index, state.num_processes)
    finally:
        state.destroy_process_group()


__all__ = ["Processes", "joined_processes", "share_cpus"]
