"""What the benchmarks share: the command line's values, the machine in words, runs in turn, tables."""

import argparse
import os
import platform
import statistics
import sys
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.command.torch_runtime import load_checkpoint


def given(description: str, *, prefix: str = "--", **defaults) -> argparse.Namespace:
    """The command line's values: by flags or, without a prefix, by place; of a tuple, its first is the default."""
    module = sys.modules["__main__"].__spec__.name.removesuffix(".__main__")
    parser = argparse.ArgumentParser(f"python -m {module}", description=description)
    for name, default in defaults.items():
        how = {"nargs": None if prefix else "?", "default": default, "type": type(default)}
        if isinstance(default, tuple):
            how |= {"choices": default, "default": default[0], "type": str}
        parser.add_argument(f"{prefix}{name}", **({"action": "store_true"} if default is False else how))
    return parser.parse_args()


def model_in(dtype: torch.dtype):
    """The checkpoint that comes along, as the command puts it on a CPU."""
    return load_checkpoint(DEFAULT_CHECKPOINT).to(dtype, memory_format=torch.channels_last)


def machine() -> str:
    """The processor, its cores and threads, and torch's version."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {len(names) or '?'} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"


def processor_seconds() -> float:
    """Processor time of the processes that this one has run: unlike seconds, it holds on busy machines."""
    return os.times().children_user + os.times().children_system


def times_in_turn(measures: dict, num_runs: int, warm_up: bool, *clocks) -> dict:
    """Median time of each clock, by name; all run in turn, so that what else the machine does hits all alike."""
    times = {name: [] for name in measures}
    for _ in range(num_runs + warm_up):
        for name, measure in measures.items():
            begun = [clock() for clock in clocks]
            measure()
            times[name].append([clock() - before for clock, before in zip(clocks, begun)])
    return {name: [*map(statistics.median, zip(*runs[warm_up:]))] for name, runs in times.items()}


def seconds_in_turn(measures: dict, num_runs: int, warm_up: bool = True) -> dict:
    """Median seconds by name."""
    return {name: taken for name, (taken,) in times_in_turn(measures, num_runs, warm_up, time.perf_counter).items()}


def print_table(title: str, columns, rows) -> None:
    """Prints a table, numbers to the right, with the machine below it."""
    table = Table(title=title, caption=machine())
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*map(str, row))
    Console(width=max(120, Console().width)).print(table)
