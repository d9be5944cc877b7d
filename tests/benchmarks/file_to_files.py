"""`python -m tests.benchmarks.file_to_files [MINUTES [RUNS [FORMAT]]]`: from a song's file to those of its stems.

A stereo song of noise at 44.1 kHz, by default four minutes of wav, to the same format: the whole command, in PyTorch
and in ONNX Runtime, and its parts; the same in a process that has started, side by side as it is and with everything
in turn; and where the time goes.
"""

import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch

from modeling_unet_svs import network
from modeling_unet_svs.audio import reading_ahead
from modeling_unet_svs.audio.writing import AudioWriter
from modeling_unet_svs.audio_reading import AudioReader
from modeling_unet_svs.command import file_separation
from modeling_unet_svs.command.file_separation import StemFile
from modeling_unet_svs.command.torch_runtime import DTYPES, choose_dtype
from modeling_unet_svs.network import UNetSVSModule, UNetSVSSeparator
from modeling_unet_svs.separation import SeparationStream

from ..conftest import noise, run, write_song
from .measuring import given, model_in, print_table, seconds_in_turn

RATE = 44_100
# What is timed, by the part that it belongs to; what one calls of another is the other's time.
PARTS = {
    "decode": [(AudioReader, "__init__"), (AudioReader, "blocks")],
    "spectrogram": [(network, "stft"), (network, "magnitude_of")],
    "network": [(UNetSVSSeparator, "estimate_masks")],
    "mask, inverse": [(UNetSVSSeparator, "overlap_added_frames"), (network, "overlap_add")],
    "resample, join, residual": [(SeparationStream, "push"), (SeparationStream, "flush")],
    "encode": [(StemFile, "write"), (StemFile, "write_again"), (AudioWriter, "__init__"), (AudioWriter, "__exit__")],
}
REST = "rest"
# What the command does, one after the other, and how long each step took.
STEPS = """
import sys, time
from importlib import import_module
from pathlib import Path
times = [time.perf_counter()]
song, runtime, dtype, *modules = sys.argv[1:]
for module in ("checkpoint", "batch", *modules):
    import_module(module if module == "onnxruntime" else f"modeling_unet_svs.command.{module}")
times.append(time.perf_counter())
from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.command import checkpoint, file_separation
separator, _ = checkpoint.load_separator(DEFAULT_CHECKPOINT, runtime, "cpu", dtype)
times.append(time.perf_counter())
outputs = {stem: Path(song).with_name(f"{stem}{Path(song).suffix}") for stem in separator.config.stems}
file_separation.separate_file(separator, song, outputs)
times.append(time.perf_counter())
print(*(after - before for before, after in zip(times, times[1:])))
"""
# Ways of the command: runtime, precision, and the module that takes most of its start.
COMMANDS = {"float32": ("torch", "float32", "torch_runtime"), "bfloat16": ("torch", "bfloat16", "torch_runtime")}
COMMANDS["ONNX Runtime"] = ("onnx", "float32", "onnxruntime")


class Clock:
    """Which part each moment of a thread belongs to."""

    def __init__(self) -> None:
        self.seconds, self._parts, self._begun = Counter(), [REST], time.perf_counter()

    def _stop(self) -> None:
        now = time.perf_counter()
        self.seconds[self._parts[-1]] += now - self._begun
        self._begun = now

    @contextmanager
    def entered(self, part: str):
        self._stop()
        self._parts.append(part)
        try:
            yield
        finally:
            self._stop()
            self._parts.pop()

    def timed(self, part: str, function):
        """A function that enters a part while it runs, or while its iterator gives what is next."""

        def call(*arguments, **keywords):
            with self.entered(part):
                result = function(*arguments, **keywords)
            return self._steps(part, result) if isinstance(result, Iterator) else result

        return call

    def _steps(self, part: str, items: Iterator) -> Iterator:
        while (item := self.timed(part, next)(items, self)) is not self:
            yield item


class InTurn(Executor):
    """In the place of a pool of threads: does what it is given at once."""

    def __init__(self, max_workers: int):
        pass

    def submit(self, function, /, *arguments, **keywords) -> Future:
        (done := Future()).set_result(function(*arguments, **keywords))
        return done


def separate(model: UNetSVSModule, song: Path, clock: Clock | None = None, in_turn: bool = False) -> None:
    """From file to files, with threads as it is or everything in turn, and maybe timed in its parts."""
    outputs = {stem: song.with_name(f"{stem}{song.suffix}") for stem in model.config.stems}
    with ExitStack() as changes:
        if in_turn:
            changes.enter_context(patch.object(reading_ahead, "in_background", lambda items, *_: items))
            changes.enter_context(patch.object(file_separation, "ThreadPoolExecutor", InTurn))
        for part, functions in PARTS.items() if clock else ():
            for owner, name in functions:
                changes.enter_context(patch.object(owner, name, clock.timed(part, getattr(owner, name))))
        file_separation.separate_file(model, song, outputs)


def parts(model: UNetSVSModule, song: Path, num_runs: int) -> Counter[str]:
    """Mean seconds of each part, everything in turn."""
    clock = Clock()
    for _ in range(num_runs):
        with clock.entered(REST):
            separate(model, song, clock, in_turn=True)
    return Counter({part: seconds / num_runs for part, seconds in clock.seconds.items()})


def steps(song: Path, way: tuple[str, ...], num_runs: int) -> list[float]:
    """Median seconds of the command's steps, each time in a new process."""
    said = [run(sys.executable, "-c", STEPS, song, *way).stdout for _ in range(num_runs)]
    return [statistics.median(map(float, each)) for each in zip(*map(str.split, said))]


def main() -> None:
    options = given(__doc__, prefix="", minutes=4.0, runs=5, format="wav")
    length, num_runs, format = 60 * options.minutes, options.runs, options.format
    models = {name: model_in(DTYPES[name]) for name in ("float32", "bfloat16")}
    with tempfile.TemporaryDirectory() as folder:
        song = write_song(Path(folder) / f"song.{format}", noise(2, int(length * RATE)), RATE)
        ways = {}
        for name, (runtime, dtype, _) in COMMANDS.items():
            command = ("unet-svs", "separate", song, "--runtime", runtime, "--dtype", dtype, "--device", "cpu")
            command = (*command, "--overwrite", "--format", format)
            ways[name, "command"] = partial(run, *command, cwd=song.parent)
        for name, model in models.items():
            ways[name, "in process, side by side"] = partial(separate, model, song)
            ways[name, "in process, in turn"] = partial(separate, model, song, in_turn=True)
        seconds = seconds_in_turn(ways, num_runs)
        rows = [(*way, f"{taken:.2f}", f"{length / taken:.0f}") for way, taken in seconds.items()]
        auto = choose_dtype("auto", torch.device("cpu"))
        print_table(f"{length:.0f} s of {format}; auto takes {auto}", ("", "", "seconds", "times real time"), rows)
        rows = [(name, *(f"{taken:.2f}" for taken in steps(song, way, num_runs))) for name, way in COMMANDS.items()]
        print_table("seconds of the command's steps", ("", "imports", "loading", "separation"), rows)
        found = {name: parts(model, song, num_runs) for name, model in models.items()}
    rows = [(part, *(f"{each[part]:.2f}" for each in found.values())) for part in (*PARTS, REST)]
    rows.append(("all", *(f"{each.total():.2f}" for each in found.values())))
    ratios = (f"{each.total() / each['network'] - 1:.2f}" for each in found.values())
    rows.append(("outside the network / inside", *ratios))
    print_table("seconds of each part, everything in turn", ("", *found), rows)


if __name__ == "__main__":
    main()
