"""A song from standard input, one stem to standard output."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ..audio.whole_files import replace_text
from ..audio_reading import AudioFileError
from ..network import UNetSVSModule
from .checkpoint import with_less_memory
from .file_separation import separate_file
from .songs import Song, list_songs, safe_name

T = TypeVar("T")
# As long as one process may wait for the songs of the others.
PATIENCE = timedelta(days=30)


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this is."""

    index: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process speaks for all."""
        return self.index == 0

    def broadcast(self, value: T) -> T:
        """The main process's value, in all of them."""
        if self.count == 1:
            return value
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([value])[0]

    def gather(self, values: list[T]) -> list[T]:
        """All processes' values, in all of them; waits for the last."""
        if self.count == 1:
            return values
        from accelerate.utils import gather_object

        return gather_object(values)


def share_cpus(num_processes: int) -> None:
    """Takes this process's share of the machine's CPUs: `accelerate launch` leaves each process a single thread."""
    num_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(max(1, num_cpus // int(os.environ.get("LOCAL_WORLD_SIZE", num_processes))))


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Joins the other processes, where this one was launched with others; "cuda" is a GPU of its own from then on."""
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


ALL_STEMS = "all"


def separate_all(
    inputs: Iterable[Path],
    output_dir: Path,
    *,
    model: UNetSVSModule,
    stem: str,
    format: str,
    subtype: str | None,
    batch_size: int,
    overwrite: bool,
    report: Path | None = None,
    processes: Processes | None = None,
) -> int:
    """Separates files and folders of files; a broken one is told and the rest go on."""
    processes = processes or Processes()
    names = model.config.stems if stem == ALL_STEMS else (stem,)
    if stem not in (ALL_STEMS, *model.config.stems):
        raise ValueError(f"--stem {stem}: the model has {', '.join(model.config.stems)}, or all.")
    _make_folder("--output-dir", output_dir)
    if report is not None:
        _make_folder("--report", report.parent)
        if report.is_dir():
            raise ValueError(f"--report {report} is a folder: name a file.")
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    shown = processes.is_main and console.is_terminal
    with Progress(*columns, console=console, disable=not shown) as progress:
        songs: list[Song] = []
        if processes.is_main:
            songs = list_songs(inputs, output_dir, names, format)
            _say_what_is_there(songs, overwrite, progress)
        # From one process, since what the others find may be there because the first has begun.
        songs = processes.broadcast(songs)
        waiting = [index for index, song in enumerate(songs) if song.status == "waiting"]
        mine = waiting[processes.index :: processes.count]
        total = progress.add_task("songs", total=len(mine), visible=len(mine) > 1)
        try:
            for index in mine:
                batch_size = _separate(songs[index], model, subtype, batch_size, overwrite, progress)
                progress.advance(total)
            for index, song in processes.gather([(index, songs[index]) for index in mine]):
                songs[index] = song
        except BaseException:  # Ctrl-C, say: what is known is not lost
            if report is not None and processes.is_main:
                _write_report(report, (song for song in songs if song.status != "waiting"))
            raise
        num_failed = sum(song.status == "failed" for song in songs)
        if report is not None and processes.is_main:
            _write_report(report, songs)
            if num_failed:
                _say(f"{num_failed} of {len(songs)} failed: see {report}.", progress)
    return num_failed


def scaled_message(song: str | Path, scale: float) -> str:
    """What is said of stems that would have clipped."""
    return f"{song}: stems made quieter by a factor of {scale:.4f}, or they would clip."


def _separate(
    song: Song, model: UNetSVSModule, subtype: str | None, batch_size: int, overwrite: bool, progress: Progress
) -> int:
    """Separates a song, notes in it what came of it, and returns the batch size that there is memory for."""
    outputs = {path.stem: path for path in map(Path, song.outputs)} if overwrite else song.missing()
    task = progress.add_task(safe_name(Path(song.input).name), total=None)
    begun = time.perf_counter()

    def advance(done: int, total: int | None) -> None:
        song.num_samples = done
        progress.update(task, completed=done, total=total)

    def work(batch_size: int) -> float:
        return separate_file(
            model, song.input, outputs, subtype=subtype, batch_size=batch_size, progress_callback=advance
        )

    try:
        scale, batch_size = with_less_memory(work, model, batch_size, partial(_say, progress=progress))
    except (ValueError, OSError) as error:
        if isinstance(error, OSError):
            error = AudioFileError(Path(song.outputs[0]).parent, f"cannot be written: {error.strerror or error}.")
        song.fail(error)
        song.num_samples = None
        _say(song.error, progress)
    else:
        song.status = "done"
        if scale != 1:
            _say(scaled_message(song.input, scale), progress)
        for output in outputs.values():
            print(output, flush=True)
    finally:
        progress.remove_task(task)
    song.seconds = round(time.perf_counter() - begun, 3)
    return batch_size


def _say_what_is_there(songs: Iterable[Song], overwrite: bool, progress: Progress) -> None:
    """Tells of the songs that cannot be done, and leaves out those that are finished."""
    for song in songs:
        if song.status == "failed":
            _say(song.error, progress)
            continue
        missing = {} if overwrite else song.missing()
        there = [output for output in song.outputs if not overwrite and Path(output) not in missing.values()]
        if there:
            song.status = "waiting" if missing else "skipped"
            what = "not made again" if missing else "left out"
            _say(f"{song.input}: {what}, {there[0]} is there already (--overwrite replaces it).", progress)


def _make_folder(option: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{option} {folder} cannot be made: {error.strerror}.") from None


def _write_report(path: Path, songs: Iterable[Song]) -> None:
    replace_text(path, "".join(f"{json.dumps(asdict(song))}\n" for song in songs))


def _say(message: str | None, progress: Progress) -> None:
    if progress.disable:
        print(f"unet-svs: {message}", file=sys.stderr)
    else:
        progress.console.print(f"unet-svs: {message}", markup=False, highlight=False, soft_wrap=True)


#: Instead of a file's name.
STANDARD_INPUT = Path("-")


def separate_standard_input(
    model: UNetSVSModule, stem: str, *, format: str, subtype: str | None, batch_size: int
) -> float:
    """Separates what comes through standard input, of any format, once all of it is there."""
    if stem not in model.config.stems:
        raise ValueError(f"--stem {stem}: standard output takes one of {', '.join(model.config.stems)}.")
    with tempfile.TemporaryDirectory(prefix="unet-svs-") as folder:
        song, output = Path(folder, "song"), Path(folder, f"stem.{format}")
        with open(song, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            scale, _ = with_less_memory(
                lambda size: separate_file(model, song, {stem: output}, subtype=subtype, batch_size=size),
                model,
                batch_size,
                lambda message: print(f"unet-svs: {message}", file=sys.stderr),
            )
        except AudioFileError as error:
            raise AudioFileError("standard input", error.args[1]) from None
        with open(output, "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return scale
