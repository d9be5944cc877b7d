"""Many files and folders to stems: what goes where, progress, and what failed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from .audio_reading import AudioFileError
from .file_separation import separate_file
from .modeling_unet_svs import UNetSVSModel

# Of files in folders; a file that is named itself is recognised by its content.
SUFFIXES = {
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aiff", ".aif", ".wma", ".wv", ".ape"),
    *(".mp4", ".mkv", ".webm", ".mov", ".avi", ".flv"),
}
ALL_STEMS = "all"


@dataclass(frozen=True)
class Song:
    """A file to separate, and the folder of its stems."""

    path: Path
    folder: Path


def separate_all(
    inputs: Iterable[Path],
    output_dir: Path,
    *,
    model: UNetSVSModel,
    stem: str,
    format: str,
    subtype: str | None,
    batch_size: int,
    overwrite: bool,
) -> int:
    """Separates files and folders of files, one after the other; a broken one is reported and the rest go on.

    Args:
        inputs: audio or video files, and folders of them.
        output_dir: stems go to `output_dir/SONG/STEM.FORMAT`, those of a folder's files to the same subfolders.
        model: that separates.
        stem: name of a stem, or "all".
        format: ending of the outputs.
        subtype: "16", "24" or "float"; `None` for each input's own.
        batch_size: patches that the network takes at once.
        overwrite: whether stems that are there are replaced; otherwise songs that have them are left out.

    Returns:
        How many inputs failed.

    Raises:
        ValueError: no such stem, or an output folder that cannot be made; before any work.
    """
    names = model.config.stems if stem == ALL_STEMS else (stem,)
    if stem not in (ALL_STEMS, *model.config.stems):
        raise ValueError(f"--stem {stem}: the model has {', '.join(model.config.stems)}, or all.")
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--output-dir {output_dir} cannot be made: {error.strerror}.") from None
    failed = 0
    planned: dict[Path, Path] = {}
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        for song in _songs(inputs, output_dir):
            if isinstance(song, AudioFileError):
                failed += _report(song, progress)
                continue
            outputs = {name: song.folder / f"{name}.{format}" for name in names}
            there = [output for output in outputs.values() if output.exists()]
            if song.folder in planned:
                clash = AudioFileError(song.path, f"would write where the stems of {planned[song.folder]} are.")
                failed += _report(clash, progress)
                continue
            planned[song.folder] = song.path
            if there and not overwrite:
                _say(f"{song.path}: left out, {there[0]} is there already (--overwrite replaces it).", progress)
                continue
            task = progress.add_task(song.path.name, total=None)
            try:
                scale = separate_file(
                    model,
                    song.path,
                    outputs,
                    subtype=subtype,
                    batch_size=batch_size,
                    progress_callback=partial(_advance, progress, task),
                )
            except (ValueError, OSError) as error:
                progress.remove_task(task)
                failed += _report(error, progress)
                continue
            progress.update(task, completed=1, total=1)
            if scale != 1:
                _say(scaled_message(song.path, scale), progress)
            for output in outputs.values():
                print(output)
    return failed


def scaled_message(song: str | Path, scale: float) -> str:
    """What is said of stems that would have clipped.

    Args:
        song: what they are of.
        scale: that they were multiplied by.

    Returns:
        One line.
    """
    return f"{song}: stems made quieter by a factor of {scale:.4f}, or they would clip."


def _songs(inputs: Iterable[Path], output_dir: Path) -> Iterator[Song | AudioFileError]:
    for path in inputs:
        if not path.is_dir():
            yield Song(path, output_dir / path.stem)
            continue
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        if not found:
            yield AudioFileError(path, "has no audio files in it.")
        for file in found:
            yield Song(file, output_dir / file.relative_to(path).with_suffix(""))


def _advance(progress: Progress, task: TaskID, done: int, total: int | None) -> None:
    progress.update(task, completed=done, total=total)


def _report(error: Exception, progress: Progress) -> int:
    _say(str(error), progress)
    return 1


def _say(message: str, progress: Progress) -> None:
    if progress.disable:
        print(f"unet-svs: {message}", file=sys.stderr)
    else:
        progress.console.print(f"unet-svs: {message}", markup=False, highlight=False, soft_wrap=True)


__all__ = ["scaled_message", "separate_all"]
