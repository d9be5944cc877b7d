"""`python -m tests.benchmarks.startup [RUNS]`: seconds until a command is done that has next to nothing to do.

Processor seconds, of all threads, are there beside them: they hold on busy machines, too."""

import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from ..conftest import noise, run, write_song
from .measuring import given, print_table, processor_seconds, times_in_turn


def main() -> None:
    runs = given(__doc__, prefix="", runs=5).runs
    with tempfile.TemporaryDirectory() as folder:
        song = write_song(Path(folder) / "song.wav", noise(2, 44_100))
        separate = ("unet-svs", "separate", song, "--overwrite", "--output-dir", folder, "--runtime")
        commands = {
            "unet-svs --help": ("unet-svs", "--help"),
            "import modeling_unet_svs": (sys.executable, "-c", "import modeling_unet_svs"),
            "unet-svs info": ("unet-svs", "info"),
            "unet-svs separate, 1 s of audio, PyTorch": (*separate, "torch"),
            "unet-svs separate, 1 s of audio, ONNX Runtime": (*separate, "onnx"),
        }
        for command in commands.values():
            run(*command)
        measures = {name: partial(run, *command) for name, command in commands.items()}
        times = times_in_turn(measures, runs, False, time.perf_counter, processor_seconds)
    rows = [(name, *(f"{taken:.2f}" for taken in each)) for name, each in times.items()]
    print_table("start-up", ("", "seconds", "processor seconds"), rows)


if __name__ == "__main__":
    main()
