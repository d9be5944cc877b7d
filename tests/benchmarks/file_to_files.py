"""`python -m tests.benchmarks.file_to_files [MINUTES]`: from a song's file to those of its stems, in times real time.

A stereo song of noise at 44.1 kHz, wav in and out, with the checkpoint that comes along: the whole command, and the
same within a process that has started.
"""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from pathlib import Path

import torch

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.checkpoint_loading import load_checkpoint
from modeling_unet_svs.devices import DTYPES, choose_dtype
from modeling_unet_svs.file_separation import separate_file

from ..conftest import noise, run, write_song

RATE = 44_100
NUM_RUNS = 3


def seconds_of_command(song: Path, dtype: str) -> float:
    """The fastest of some runs of `unet-svs separate`."""
    times = []
    for _ in range(NUM_RUNS):
        begun = time.perf_counter()
        done = run("unet-svs", "separate", song, "--dtype", dtype, "--overwrite", cwd=song.parent)
        times.append(time.perf_counter() - begun)
        done.check_returncode()
    return min(times)


def seconds_in_process(song: Path, dtype: str) -> float:
    """The fastest of some separations, after one that does not count."""
    model = load_checkpoint(DEFAULT_CHECKPOINT).to(DTYPES[dtype], memory_format=torch.channels_last)
    outputs = {stem: song.with_name(f"{stem}.wav") for stem in model.config.stems}
    times = []
    for _ in range(NUM_RUNS + 1):
        begun = time.perf_counter()
        separate_file(model, song, outputs)
        times.append(time.perf_counter() - begun)
    return min(times[1:])


def main() -> None:
    """Prints the figures, and the machine."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 4
    length = 60 * minutes
    auto = choose_dtype("auto", torch.device("cpu"))
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; auto takes {auto}")
    with tempfile.TemporaryDirectory() as folder:
        song = write_song(Path(folder) / "song.wav", noise(2, int(length * RATE)), RATE)
        for dtype in ("float32", "bfloat16"):
            for name, measure in (("command", seconds_of_command), ("in process", seconds_in_process)):
                seconds = measure(song, dtype)
                print(f"{dtype:10}{name:12}{seconds:6.1f} s{length / seconds:7.0f} times real time")


if __name__ == "__main__":
    main()
