"""Finds the songs in files, folders and lists, and decides where their stems go."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..audio_reading import CONTROLS, AudioFileError

# Characters that some system takes for a folder, a drive, a stream or a pattern.
FORBIDDEN = re.compile(f'{CONTROLS.pattern}|[/\\\\:*?"<>|]')
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}
MAX_BYTES = 160
# File endings looked for in folders; a file that is named directly is recognised by its content.
AUDIO_SUFFIXES = {
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aiff", ".aif", ".wma", ".wv", ".ape"),
    *(".mp4", ".mkv", ".webm", ".mov", ".avi", ".flv"),
}


def safe_name(name: str) -> str:
    """Makes any name a single part of a path, which cannot lead out of its folder."""
    name = FORBIDDEN.sub("_", name).encode()[:MAX_BYTES].decode(errors="ignore").rstrip(". ").lstrip(" ")
    return f"_{name}" if not name or name.split(".")[0].upper() in RESERVED else name


@dataclass
class BatchSong:
    """One song of a batch and its outcome: a line of the report."""

    input: str
    outputs: list[str] = field(default_factory=list)
    status: Literal["waiting", "done", "skipped", "failed"] = "waiting"
    error: str | None = None
    seconds: float | None = None
    num_samples: int | None = None

    def fail(self, error: Exception) -> None:
        """Notes why the song failed."""
        self.status, self.error = "failed", str(error)

    def split_outputs(self, overwrite: bool) -> tuple[dict[str, Path], list[str]]:
        """Returns the stems to make, and the existing files to keep."""
        kept = [] if overwrite else [output for output in self.outputs if os.path.exists(output)]
        return {Path(output).stem: Path(output) for output in self.outputs if output not in kept}, kept


def read_list(path: Path) -> list[Path]:
    """Reads a list of inputs, one per line."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ValueError(f"--files-from {path} cannot be read: {error.strerror}.") from None
    return [Path(os.fsdecode(line)) for line in lines if line.strip()]


def list_songs(inputs: Iterable[Path], output_dir: Path, stems: Iterable[str], format: str) -> list[BatchSong]:
    """Lists the songs of files and folders, always in the same order."""
    songs: list[BatchSong] = []
    first: dict[Path, Path] = {}
    for path, folder in _found(inputs, output_dir):
        song = BatchSong(str(path))
        if folder is None:
            song.fail(AudioFileError(path, "has no audio files in it."))
        elif folder in first:
            song.fail(AudioFileError(path, f"would overwrite the stems of {first[folder]}."))
        else:
            first[folder] = path
            song.outputs = [str(folder / f"{stem}.{format}") for stem in stems]
        songs.append(song)
    return songs


def _found(inputs: Iterable[Path], output_dir: Path) -> Iterator[tuple[Path, Path | None]]:
    """Yields each song with the folder of its stems, and a folder without songs with `None`."""
    made = output_dir.resolve()
    for path in inputs:
        if not os.path.isdir(path):
            yield path, output_dir / safe_name(path.stem)
            continue
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES and file.is_file())
        if path.resolve() in made.parents:
            files = [file for file in files if made not in file.resolve().parents]
        if not files:
            yield path, None
        for file in files:
            folders = file.relative_to(path).parent.parts
            yield file, output_dir.joinpath(*map(safe_name, (*folders, file.stem)))
