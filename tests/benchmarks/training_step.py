"""`python -m tests.benchmarks.training_step [STEPS]`: where the time of a training step goes, loading included.

Trains the full-band recipe on songs made here, as long and as many as a step's examples want, and prints what the
trainer itself measures: seconds of audio per second, and the shares of data, network (forward, loss and backward) and
optimizer (clipping, AdamW and the moving average).
"""

import tempfile
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from train.arguments import parse_arguments
from train.data.folders import MUSDB18_VALIDATION
from train.trainer import train

from ..conftest import write_song
from ..data_sets import RATE, stems_of
from .measuring import given, print_table

SECONDS = 8
NUM_SONGS = 20
PARTS = {
    "network": "forward, loss and backward",
    "data": "waiting for the process that mixes examples",
    "optimizer": "clipping, AdamW, moving average",
}


def measure(folder: Path, num_steps: int) -> dict[str, float]:
    """The trainer's own figures, without its first ten steps; songs, cache and logs go to the folder."""
    for song in [*(f"song {index}" for index in range(NUM_SONGS)), MUSDB18_VALIDATION[0]]:
        for name, waveform in stems_of(song, SECONDS * RATE).items():
            write_song(folder / "musdb18" / "train" / song / f"{name}.wav", waveform, RATE)
    flags = ["--recipe", "full_band", "--musdb_dir", folder / "musdb18", "--output_dir", folder / "run"]
    steps = ["--max_train_steps", 10 + num_steps, "--logging_steps", 10, "--validation_steps", 10_000]
    train(*parse_arguments([str(argument) for argument in [*flags, *steps]]))
    (file,) = (folder / "run" / "logs" / "train").glob("events.out.tfevents*")
    events = EventAccumulator(str(file)).Reload()
    names = ("audio_seconds_per_second", "share_data", "share_network", "share_optimizer")
    values = {name: [event.value for event in events.Scalars(name)[1:]] for name in names}
    return {name: sum(numbers) / len(numbers) for name, numbers in values.items()}


def main() -> None:
    num_steps = given(__doc__, prefix="", steps=30).steps
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), num_steps)
    rows = [(part, f"{figures[f'share_{part}']:.1%}", what) for part, what in PARTS.items()]
    speed = f"{figures['audio_seconds_per_second']:.0f} s of audio per second; {num_steps} steps"
    print_table(speed, ("", "share", ""), rows)


if __name__ == "__main__":
    main()
