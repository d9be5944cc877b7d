"""`python -m tests.benchmarks.startup [RUNS]`: seconds until a command is done that has next to nothing to do."""

import sys
import tempfile
from functools import partial
from pathlib import Path

from ..conftest import noise, run, write_song
from .measuring import given, print_table, seconds_in_turn


def main() -> None:
    runs = given(__doc__, prefix="", runs=5).runs
    with tempfile.TemporaryDirectory() as folder:
        song = write_song(Path(folder) / "song.wav", noise(2, 44_100))
        commands = {
            "unet-svs --help": ("unet-svs", "--help"),
            "import modeling_unet_svs": (sys.executable, "-c", "import modeling_unet_svs"),
            "unet-svs info": ("unet-svs", "info"),
            "unet-svs separate, 1 s of audio": ("unet-svs", "separate", song, "--overwrite", "--output-dir", folder),
        }
        for command in commands.values():
            run(*command)
        measures = {name: partial(run, *command) for name, command in commands.items()}
        seconds = seconds_in_turn(measures, runs, warm_up=False)
    print_table("start-up", ("", "seconds"), [(name, f"{time:.2f}") for name, time in seconds.items()])


if __name__ == "__main__":
    main()
