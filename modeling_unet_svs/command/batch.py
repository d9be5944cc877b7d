"""Many songs by one process or several, and one song through pipes."""

import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ..audio.reading_ahead import read_info
from ..audio.whole_files import replace_text
from ..audio_reading import AudioFileError, one_line
from ..separation import DEFAULT_BATCH_SIZE, Separator, refuse_if
from .file_separation import new_folder, separate_file
from .songs import BatchSong, list_songs, safe_name

T = TypeVar("T")
# Longest time that one process may wait for the songs of the others.
PATIENCE = timedelta(days=30)
ALL_STEMS = "all"
# Names of failed songs in the last line.
MAX_NAMES = 5
#: Stands for standard input in place of a file name.
STANDARD_INPUT = Path("-")
CONSOLE = Console(stderr=True)


@dataclass(frozen=True)
class Processes:
    """This process's number among those on all machines; process 0 is the main one and reports for all."""

    index: int = 0
    count: int = 1

    def gather(self, values: list[T]) -> list[T]:
        """Returns the values of all processes to each of them, in order; waits for the last process."""
        if self.count == 1:
            return values
        from accelerate.utils import gather_object

        return gather_object(values)


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Joins the other launched processes, if any; from then on, "cuda" is a GPU of this process's own."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield Processes()
        return
    try:
        from accelerate import PartialState

        from .torch_runtime import can_use_cuda, share_cpus
    except ImportError:
        raise ValueError("several processes need Accelerate: pip install accelerate.") from None
    # Without CUDA, Accelerate joins several processes only if it is told to use the CPU.
    cpu = device == "cpu" or not can_use_cuda()
    state = PartialState(cpu=cpu, backend="gloo", timeout=PATIENCE)
    if cpu:
        share_cpus(state.num_processes)
    try:
        yield Processes(state.process_index, state.num_processes)
    finally:
        state.destroy_process_group()


@dataclass
class SeparationOptions:
    """How songs are separated; the batch size is reduced when a GPU runs out of memory."""

    load: Callable[[], Separator]  # gives the model, the same each time; the first time may take seconds
    stems: tuple[str, ...]
    stem: str = ALL_STEMS
    format: str = "wav"
    subtype: str | None = None
    batch_size: int = DEFAULT_BATCH_SIZE
    overwrite: bool = False
    debug: bool = False
    audio_stream: int | None = None
    strict: bool = False

    def separate(
        self,
        path: str | Path,
        outputs: Mapping[str, Path],
        name: str,
        advance: Callable[[int, int | None], None] | None = None,
    ) -> None:
        """Separates a file, and reports stems that would have clipped."""
        work = partial(separate_file, self.load(), path, outputs, subtype=self.subtype, progress_callback=advance)
        work = partial(
            work, audio_stream=self.audio_stream, strict=self.strict, say=lambda note: _say(f"{name} {note}")
        )
        scale, self.batch_size = self._with_less_memory(lambda size: work(batch_size=size))
        if scale != 1:
            _say(f"{name}: stems made quieter by a factor of {scale:.4f}, since they would have clipped.")

    def _with_less_memory(self, work: Callable[[int], T]) -> tuple[T, int]:
        if sys.modules.get("torch") is None:
            return work(self.batch_size), self.batch_size
        from .torch_runtime import with_less_memory

        return with_less_memory(work, self.load(), self.batch_size, _say)


def separate_all(
    inputs: Iterable[Path],
    output_dir: Path,
    options: SeparationOptions,
    report: Path | None = None,
    processes: Processes | None = None,
) -> int:
    """Separates files, and those of folders, to `output_dir/SONG/STEM.FORMAT`; returns how many failed in all.

    A broken song is reported, and the rest go on. The report has a line of JSON for each song, the same whatever the
    number of processes; after Ctrl-C, for each that the main process knows to be finished."""
    processes, stems = processes or Processes(), options.stems
    is_main = processes.index == 0
    is_unknown = options.stem not in (ALL_STEMS, *stems)
    refuse_if(is_unknown, f"--stem {options.stem}: use one of {', '.join(stems)}, all.")
    with ExitStack() as until_loaded:  # until then, an error leaves no empty folders
        _make_folder("--output-dir", output_dir, until_loaded)
        if report is not None:
            _make_folder("--report", report.parent, until_loaded)
            refuse_if(report.is_dir(), f"--report {report} is a folder: name a file.")
        songs: list[BatchSong] = []
        if is_main:
            stems = stems if options.stem == ALL_STEMS else (options.stem,)
            left_out: Counter[str] = Counter()
            songs = list_songs(inputs, output_dir, stems, options.format, left_out)
            if kinds := +left_out:
                counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
                _say(f"left out {kinds.total()} files that are no audio by their endings: {counted}.")
            _say_what_is_there(songs, options.overwrite)
        # The main process lists the songs for all: another might find stems that the first has just made.
        songs = processes.gather(songs)
        waiting = [index for index, song in enumerate(songs) if song.status == "waiting"]
        mine = waiting[processes.index :: processes.count]
        if mine:
            options.load()  # now, so that songs that cannot be separated are told before
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    hidden = not (is_main and CONSOLE.is_terminal)
    begun = time.perf_counter()
    try:
        # On a terminal, paths must not appear in the middle of the bars; a file gets them unchanged.
        with Progress(*columns, console=CONSOLE, disable=hidden, redirect_stdout=sys.stdout.isatty()) as progress:
            total = progress.add_task("songs", total=len(mine), visible=len(mine) > 1)
            for index in mine:
                _separate(songs[index], options, progress)
                progress.advance(total)
        for index, song in processes.gather([(index, songs[index]) for index in mine]):
            songs[index] = song
    finally:  # after Ctrl-C, too, so that no result is lost
        if report is not None and is_main:
            finished = [song for song in songs if song.status != "waiting"]
            replace_text(report, "".join(f"{json.dumps(asdict(song))}\n" for song in finished))
    num_failed = sum(song.status == "failed" for song in songs)
    if is_main and (len(songs) > 1 or not num_failed):
        _say_what_was_done(songs, time.perf_counter() - begun, processes.count, report)
    return num_failed


def _say_what_was_done(songs: list[BatchSong], seconds: float, num_processes: int, report: Path | None) -> None:
    failed = [safe_name(Path(song.input).name) for song in songs if song.status == "failed"]
    num_before = sum(song.status == "skipped" for song in songs)
    num_done = len(songs) - len(failed) - num_before
    said = []
    if num_before < len(songs):
        shared = f" by {num_processes} processes" if num_processes > 1 else ""
        duration = sum(song.duration or 0 for song in songs)
        speed = f" ({duration / seconds:.1f} times real time)" if duration else ""
        said.append(f"{num_done} of {len(songs)} done in {seconds:.1f} s{shared}{speed}")
    if num_before:
        said.append(f"{num_before}{'' if said else f' of {num_before}'} done before")
    if failed:
        names = f"{', '.join(failed[:MAX_NAMES])}{', ...' * (len(failed) > MAX_NAMES)}"
        said.append(f"{len(failed)} failed: {names}{f' (see {report})' if report else ''}")
    _say(f"{', '.join(said)}.")


def _separate(song: BatchSong, options: SeparationOptions, progress: Progress) -> None:
    """Separates a song and records the outcome in it."""
    outputs, _ = song.split_outputs(options.overwrite)
    task = progress.add_task(safe_name(Path(song.input).name), total=None)
    begun = time.perf_counter()

    def advance(done: int, total: int | None) -> None:
        song.num_samples = done
        progress.update(task, completed=done, total=total)

    try:
        options.separate(song.input, outputs, song.input, advance)
    except AudioFileError as error:
        song.fail(error)
    except Exception as error:  # whatever is wrong with one song, the others are still separated
        if options.debug:
            CONSOLE.print_exception()
        where, what = (
            (Path(song.outputs[0]).parent, "written") if isinstance(error, OSError) else (song.input, "separated")
        )
        song.fail(AudioFileError(where, f"cannot be {what}: {one_line(getattr(error, 'strerror', None) or error)}"))
    else:
        song.status = "done"
        with suppress(AudioFileError):  # the song is no longer there
            rate = read_info(song.input, options.audio_stream).sampling_rate
            song.duration = round((song.num_samples or 0) / rate, 3)
        for output in outputs.values():
            print(output, flush=True)
    finally:
        progress.remove_task(task)
    if song.status == "failed":
        song.num_samples = None
        _say(song.error)
    song.seconds = round(time.perf_counter() - begun, 3)


def separate_standard_input(options: SeparationOptions) -> None:
    """Reads a song of any format from standard input to its end, and writes a stem to standard output."""
    is_unknown = options.stem not in options.stems
    refuse_if(is_unknown, f"--stem {options.stem}: standard output takes one of {', '.join(options.stems)}.")
    options.load()  # while the song is on its way
    with tempfile.TemporaryDirectory(prefix="unet-svs-") as folder:
        song, output = Path(folder, "song"), Path(folder, f"stem.{options.format}")
        with open(song, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            options.separate(song, {options.stem: output}, "standard input")
        except AudioFileError as error:
            raise AudioFileError("standard input", error.args[1]) from None
        with open(output, "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def _say_what_is_there(songs: Iterable[BatchSong], overwrite: bool) -> None:
    """Reports songs that cannot be separated, and skips those that are finished."""
    for song in songs:
        outputs, kept = song.split_outputs(overwrite)
        others = [] if song.status == "failed" else song.others_of(kept)
        if others:
            remedy = "--overwrite replaces it, or use another --output-dir"
            song.fail(AudioFileError(song.input, f"{others[0]} is there and is no stem of this file: {remedy}."))
        if song.status == "failed":
            _say(song.error)
        elif kept:
            song.status = "waiting" if outputs else "skipped"
            what = "not made again" if outputs else "left out"
            _say(f"{song.input}: {what}, {kept[0]} is there already (--overwrite replaces it).")


def _make_folder(option: str, folder: Path, undo: ExitStack) -> None:
    try:
        undo.enter_context(new_folder(folder))
    except OSError as error:
        raise ValueError(f"{option} {folder} cannot be made: {error.strerror}.") from None


def _say(message: str | None) -> None:
    # Unwrapped and without emoji, so that a path can be copied from one line.
    CONSOLE.print(f"unet-svs: {message}", markup=False, highlight=False, emoji=False, soft_wrap=True)
