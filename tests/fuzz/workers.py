"""A process that a file may break: with limits of memory and time, and another one when it dies."""

import contextlib
import faulthandler
import math
import multiprocessing
import os
import random
import resource
import signal
import tempfile
import time
import traceback
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from train.checkpoints import save_model

from ..conftest import make_model, small_config
from .lies import EDITS, LIES, lie
from .mutations import mutate, mutate_json, mutate_safetensors
from .seeds import MODEL_FILES, make_seeds
from .targets import TARGETS, outcome_of

CRASH, HANG, TRACEBACK, MEMORY = "crash", "hang", "traceback", "memory over bound"
FINDINGS = (CRASH, HANG, TRACEBACK, MEMORY)
# Of computing; of waiting for nothing, or for other programs, much more.
SECONDS_PER_FILE, SECONDS_OF_WAITING = 20, 240
MEMORY_BOUND = 400 << 20
ADDRESS_SPACE = 3 << 30


@dataclass(frozen=True)
class Corpus:
    """Sound files and a checkpoint to be damaged."""

    songs: dict[str, list[bytes]]
    checkpoint: Path

    @classmethod
    def make(cls, folder: Path):
        tiny = small_config(hidden_sizes=(2, 4, 4), num_frames=16, context_frames=4)
        save_model(make_model(tiny), folder / "checkpoint")
        return cls(make_seeds(folder), folder / "checkpoint")

    def mutated(self, kind: str, number: int) -> bytes:
        """The damaged file of a kind and number; always the same."""
        generator = random.Random(f"{kind} {number}")
        name, _, what = kind.partition(", ")
        songs = self.songs.get(name)
        everything = [song for group in self.songs.values() for song in group]
        if kind in MODEL_FILES:
            how = mutate_safetensors if kind == "model.safetensors" else mutate_json
            return how((self.checkpoint / kind).read_bytes(), generator, everything)
        if fields := {"lying": LIES, "edited": EDITS}.get(what):
            return lie(generator.choice(self.songs[name]), fields[name], generator)
        return mutate(generator.choice(songs or everything), generator, everything)


class Worker:
    """Gives files to `outcome_of` in a process of its own, which is started again when it dies."""

    # A fork of a process whose threads have computed crashes in what comes next.
    def __init__(self, corpus: Corpus, start_method: str = "spawn"):
        self.corpus, self._context = corpus, multiprocessing.get_context(start_method)
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True)
        self._process = None

    def __enter__(self):
        return self

    def __exit__(self, *exception) -> None:
        self._stop()
        self._folder.cleanup()

    def give(self, kind: str, data: bytes) -> tuple[str, str, float]:
        """The outcome of a file, what was said of it, and the seconds it took."""
        if self._process is None:
            self._start()
        begun = time.monotonic()
        self._connection.send((kind, data))
        if not self._connection.poll(SECONDS_OF_WAITING):
            self._stop()
            return HANG, f"no answer within {SECONDS_OF_WAITING} s", time.monotonic() - begun
        try:
            outcome, said = self._connection.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            said = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            outcome = HANG if code == -signal.SIGXCPU else CRASH
            self._stop()
        if outcome == MEMORY:
            self._stop()
        return outcome, said, time.monotonic() - begun

    def _start(self) -> None:
        self._connection, other = self._context.Pipe()
        arguments = (other, self.corpus, Path(self._folder.name))
        self._process = self._context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        other.close()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None


def _serve(connection, corpus: Corpus, folder: Path) -> None:
    limit = _status("VmSize") + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    faulthandler.disable()
    while True:
        try:
            kind, data = connection.recv()
        except EOFError:
            return
        path = folder / (kind if kind in MODEL_FILES else "song.bin")
        path.write_bytes(data)
        used = math.ceil(sum(os.times()[:2]))
        resource.setrlimit(resource.RLIMIT_CPU, (used + SECONDS_PER_FILE, resource.RLIM_INFINITY))
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
        before = _status("VmRSS")
        try:
            answer = outcome_of(kind, path, corpus.checkpoint)
        except BaseException:
            answer = TRACEBACK, traceback.format_exc()
        grown = _status("VmHWM") - before
        if grown > MEMORY_BOUND:
            answer = MEMORY, f"{grown >> 20} MiB; {answer}"
        connection.send(answer)


def _status(name: str) -> int:
    """A figure of this process's memory in bytes."""
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) << 10


def kinds_in_turn(num_files: int) -> list[str]:
    """As many files' kinds as are asked for, evenly."""
    return list(islice(cycle(TARGETS), num_files))
