"""`python -m tests.benchmarks.lengths [--max_seconds 10800] [--format wav]`: time and memory against length and batch.

Every line is a process of its own, on a stereo song of 44.1 kHz; three hours of wav want 15 GB of disk for a while.
"""

import json
import sys
import tempfile
from pathlib import Path

from modeling_unet_svs.audio.writing import FORMATS, AudioWriter

from ..conftest import noise, run
from .measuring import given, print_table

RATE = 44_100
LENGTHS = (10, 60, 180, 900, 3600, 10_800)
BATCH_SIZES = (1, 2, 4, 8, 16)
CHILD = """
import json, sys, time
from pathlib import Path
import torch
from modeling_unet_svs.command.torch_runtime import choose_dtype
from modeling_unet_svs.command.file_separation import separate_file
from tests.benchmarks.measuring import model_in

song, batch_size = Path(sys.argv[1]), int(sys.argv[2])
model = model_in(choose_dtype("auto", torch.device("cpu")))
outputs = {name: song.with_name(name + song.suffix) for name in model.config.stems}
begun = time.perf_counter()
separate_file(model, song, outputs, batch_size=batch_size)
seconds = time.perf_counter() - begun
(line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps([seconds, int(line.split()[1]) / 1024]))
"""


def measure(seconds: int, batch_size: int, format: str) -> tuple[str, ...]:
    """A row of the table."""
    second = noise(2, RATE)
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / f"song.{format}"
        with AudioWriter(song, RATE, 2) as writer:
            for _ in range(seconds):
                writer.write(second)
        done = run(sys.executable, "-c", CHILD, song, str(batch_size))
    taken, peak = json.loads(done.stdout)
    return str(seconds), str(batch_size), f"{taken:.1f}", f"{seconds / taken:.0f}", f"{peak:.0f}"


def main() -> None:
    options = given(__doc__, max_seconds=LENGTHS[-1], format=tuple(FORMATS))
    cases = [(seconds, 4) for seconds in LENGTHS if seconds <= options.max_seconds]
    cases += [(min(180, options.max_seconds), batch_size) for batch_size in BATCH_SIZES]
    rows = [measure(*case, options.format) for case in cases]
    columns = ("seconds of audio", "batch size", "seconds", "times real time", "peak memory, MiB")
    print_table(f"{options.format} to {options.format}", columns, rows)


if __name__ == "__main__":
    main()
