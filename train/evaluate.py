"""`python -m train.evaluate --model MODEL --musdb_dir DIR --output results.json`: scores on songs with known stems.

The model may be a folder, a Hub id, `mixture` (the floor) or `irm` (the ceiling); the songs those of --musdb_dir,
--mir1k_dir or --stems_dir. `accelerate launch -m train.evaluate`, or torchrun, shares the songs between processes."""

import hashlib
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from modeling_unet_svs.audio_reading import one_line
from modeling_unet_svs.separation import refuse_if

from .arguments import CommandParser, EvaluationArguments
from .data.folders import STEM_FILE, folder_songs, load_mir1k, load_musdb18, load_song_collection
from .data.songs import Song, read_stems
from .evaluation.results import (
    draw_results,
    library_versions,
    plain,
    print_scores,
    read_results,
    summarise,
    write_results,
)
from .evaluation.scores import PROTOCOLS, STEMS, ScoredSong
from .evaluation.separators import Estimator, load_estimator
from .exit_codes import FAILED, run_command

# Songs per process between two writes of the results.
SONGS_PER_ROUND = 4
# Copies stored as Opus files report 48 kHz.
MIR1K_RATE = 16_000


@dataclass(frozen=True)
class SongCollection:
    """Songs with known stems."""

    name: str
    split: str
    songs: list[Song]
    recorded_rate: int | None = None

    def fingerprint(self) -> str:
        """Hash over the songs' names, and the names and sizes of their files; where those lie does not matter."""
        digest = hashlib.sha256()
        for song in self.songs:
            digest.update(repr(song.name).encode())
            for stem in song.parts:
                for _, recording in song.terms(stem):
                    path = Path(recording.path)
                    size = path.stat().st_size if path.is_file() else None
                    key = (stem, path.name, size, recording.audio_stream, recording.channel)
                    digest.update(repr(key).encode())
        return f"sha256:{digest.hexdigest()}"


def find_songs_to_score(arguments: EvaluationArguments) -> SongCollection:
    """The songs that the command line names."""
    split = arguments.split
    if arguments.musdb_dir:
        songs = load_musdb18(arguments.musdb_dir, split)
        is_compressed = songs[0].stems["vocals"].path.endswith(STEM_FILE)
        return SongCollection("MUSDB18" if is_compressed else "MUSDB18-HQ", split, songs)
    if arguments.mir1k_dir:
        return SongCollection("MIR-1K", split, load_mir1k(arguments.mir1k_dir, split), MIR1K_RATE)
    if arguments.split != "all":
        songs = load_song_collection(arguments.stems_dir)[arguments.split]
        name = Path(arguments.stems_dir).resolve().name
        refuse_if(not songs, f"--split {arguments.split}: {arguments.stems_dir} has no such songs: leave --split out.")
        return SongCollection(name, arguments.split, songs)
    songs = list(folder_songs(Path(arguments.stems_dir)))
    needed = "it needs SONG folders with vocals.* and accompaniment.* files"
    refuse_if(not songs, f"no songs in {arguments.stems_dir}: {needed}.")
    for song in songs:
        # All stems but the vocals are accompaniment, and either side may be missing.
        needed = f"{song.name!r} has a mixture alone: it needs the stems that make it up"
        refuse_if(not any(stem in song.stems for stem in STEMS), f"{arguments.stems_dir}: {needed}.")
    return SongCollection(Path(arguments.stems_dir).resolve().name, "all", songs)


def read_references(song: Song) -> tuple[np.ndarray, int]:
    """A song's true stems, `(num_stems, num_channels, num_samples)`, zeros for a missing one, and their rate."""
    there = [stem in song.stems for stem in STEMS]
    decoded, rate = read_stems(song, [stem for stem in STEMS if stem in song.stems])
    references = np.zeros((len(STEMS), *decoded.shape[1:]), dtype=np.float32)
    references[there] = decoded
    return references, rate


def evaluate(arguments: EvaluationArguments, command: str = "") -> dict[str, Any]:
    """Separates every song's mixture, which is the sum of its stems, and scores the estimates at the song's rate."""
    # Without a GPU, Accelerate joins several processes only if it is told to use the CPU.
    use_cpu = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("1", "true")
    state = PartialState(cpu=use_cpu or not torch.accelerator.is_available())
    collection = find_songs_to_score(arguments)
    estimator = load_estimator(arguments.model, state.device)
    results = {
        "command": command,
        "arguments": asdict(arguments),
        "versions": library_versions(),
        "model": {name: getattr(estimator, name) for name in ("name", "fingerprint", "sampling_rate")},
        "data": {
            "name": collection.name,
            "split": collection.split,
            "num_songs": len(collection.songs),
            "fingerprint": collection.fingerprint(),
        },
        "bss_eval_rate": arguments.bss_eval_rate,
    }
    output = Path(arguments.output) if arguments.output else None
    songs = read_results(output, results, arguments.overwrite) if output else {}
    state.wait_for_everyone()
    failed: dict[str, str] = {}

    def current() -> dict[str, Any]:
        ordered = {song.name: songs[song.name] for song in collection.songs if song.name in songs}
        return {**results, "summary": summarise(ordered), "failed": failed, "songs": ordered}

    def write() -> None:
        if output and state.is_main_process:
            output.parent.mkdir(parents=True, exist_ok=True)
            write_results(output, current())

    write()  # before any work, so that a place that cannot be written to is known at once
    todo = [song for song in collection.songs if not set(arguments.protocol) <= set(songs.get(song.name, ()))]
    per_round = SONGS_PER_ROUND * state.num_processes
    with tqdm(total=len(todo), desc="Evaluating", unit="song", disable=not state.is_main_process) as progress:
        for start in range(0, len(todo), per_round):
            done = []
            with state.split_between_processes(todo[start : start + per_round]) as mine:
                for song in mine:
                    done.append(score(song, songs.get(song.name, {}), estimator, collection, arguments))
                    progress.update()
            gathered = gather_object(done)
            progress.update(len(gathered) - len(done))
            for name, scores, reason in gathered:
                if reason is None:
                    songs[name] = scores
                    continue
                failed[name] = reason
                if state.is_main_process:
                    progress.write(f"evaluate: {name}: {reason}", file=sys.stderr)
            write()
    return current()


def score(
    song: Song, known: Mapping, estimator: Estimator, collection: SongCollection, arguments: EvaluationArguments
) -> tuple[str, dict[str, Any] | None, str | None]:
    """Returns a song's name and its scores, or the reason why there are none."""
    try:
        references, rate = read_references(song)
        estimates = np.ascontiguousarray(estimator.separate(references, rate))
        rates = (rate, estimator.sampling_rate or rate, collection.recorded_rate or rate)
        separated = ScoredSong(references, estimates, rate, arguments.bss_eval_rate or min(rates), estimator.separate)
        new = {protocol: PROTOCOLS[protocol](separated) for protocol in arguments.protocol if protocol not in known}
        return song.name, plain({**known, "seconds": references.shape[-1] / rate, **new}), None
    except Exception as error:  # whatever is wrong with one song, the others are still evaluated
        return song.name, None, one_line(error)


def evaluate_and_show() -> int:
    """Prints a table, writes the JSON file and a box plot beside it."""
    (arguments,) = CommandParser(EvaluationArguments, prog="python -m train.evaluate").parse_args_into_dataclasses()
    try:
        results = evaluate(arguments, shlex.join(["python", "-m", "train.evaluate", *sys.argv[1:]]))
        if PartialState().is_main_process:
            print_scores(results)
            if arguments.output and results["songs"] and arguments.plot_format != "none":
                picture = Path(arguments.output).with_suffix(f".{arguments.plot_format}")
                draw_results(results).savefig(picture, dpi=100)
    finally:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    return FAILED if results["failed"] else 0


def main() -> int:
    """Exits with 1 where songs failed, with 2 where nothing can be scored."""
    return run_command("evaluate", evaluate_and_show)


if __name__ == "__main__":
    sys.exit(main())
