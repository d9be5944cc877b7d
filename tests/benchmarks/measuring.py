"""What the benchmarks share: the machine in words, runs in turn, tables."""

import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table


def machine() -> str:
    """The processor, its cores and threads, and torch's version."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {len(names) or '?'} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"


def seconds_in_turn(measures: Mapping[str, Callable[[], object]], num_runs: int, warm_up: bool = True) -> dict:
    """Median seconds by name; everything runs in turn, so that what else the machine does hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(num_runs + warm_up):
        for name, measure in measures.items():
            begun = time.perf_counter()
            measure()
            times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(seconds[warm_up:]) for name, seconds in times.items()}


def print_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Prints a table, numbers to the right, with the machine below it."""
    table = Table(title=title, caption=machine())
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)
