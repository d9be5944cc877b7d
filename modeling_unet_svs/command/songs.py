"""Finds the songs in files, folders and lists, and decides where their stems go."""

import codecs
import hashlib
import os
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..audio_reading import CONTROLS, AudioFileError
from .stem_tags import fingerprint, is_stem_of

# Characters that some system takes for a folder, a drive, a stream or a pattern.
FORBIDDEN = re.compile(f'{CONTROLS.pattern}|[/\\\\:*?"<>|]')
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}
MAX_BYTES = 160
# What tells long names apart that begin alike: a few digits of a hash.
HASH_DIGITS = 8
# File endings looked for in folders; a file that is named directly is recognised by its content.
AUDIO_SUFFIXES = {
    *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".aiff", ".aif", ".aifc", ".caf", ".au", ".snd", ".flac", ".mp3"),
    *(".mp2", ".mpga", ".ogg", ".oga", ".ogx", ".opus", ".spx", ".m4a", ".m4b", ".m4r", ".aac", ".ac3", ".eac3"),
    *(".amr", ".ape", ".wv", ".tta", ".tak", ".mpc", ".dts", ".dsf", ".latm", ".loas", ".mka", ".weba", ".wma"),
    *(".mp4", ".m4v", ".3gp", ".mov", ".mkv", ".webm", ".avi", ".flv", ".wmv", ".asf", ".mpg", ".mpeg", ".vob"),
    *(".ts", ".mts", ".m2ts", ".ogv"),
}
# Left by macOS beside what it copies, or in archives.
HIDDEN = (".", "__MACOSX")
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def safe_name(name: str) -> str:
    """Makes any name a single part of a path, which cannot lead out of its folder; long names stay distinct."""
    safe = FORBIDDEN.sub("_", name)
    if len(safe.encode()) > MAX_BYTES:
        begin = safe.encode()[: MAX_BYTES - HASH_DIGITS - 1].decode(errors="ignore")
        safe = f"{begin}~{hashlib.sha256(os.fsencode(name)).hexdigest()[:HASH_DIGITS]}"
    safe = safe.rstrip(". ").lstrip(" ")
    return f"_{safe}" if not safe or safe.split(".")[0].upper() in RESERVED else safe


def audio_files(folder: str | Path, left_out: Counter[str] | None = None) -> list[Path]:
    """Audio files of a folder and its subfolders, by their endings; those of other files are counted in `left_out`.

    Links to folders are followed, each folder once; what is hidden stays out."""
    found: list[Path] = []
    seen: set[Path] = set()
    # Folders before links to them, so that a song keeps its own place.
    waiting, links, others = [Path(folder)], deque[Path](), Counter[str]() if left_out is None else left_out
    while waiting or links:
        current = waiting.pop() if waiting else links.popleft()
        real = current.resolve()
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = sorted(current.iterdir())
        except OSError:
            others["that cannot be opened"] += current != Path(folder)
            continue
        for path in entries:
            if path.name.startswith(HIDDEN):
                continue
            if path.is_dir():
                (links if path.is_symlink() else waiting).append(path)
            elif path.suffix.lower() in AUDIO_SUFFIXES and path.is_file():
                found.append(path)
            else:
                others[path.suffix.lower() or "without an ending"] += 1
    return sorted(found)


@dataclass
class BatchSong:
    """One song of a batch and its outcome: a line of the report."""

    input: str
    outputs: list[str] = field(default_factory=list)
    status: Literal["waiting", "done", "skipped", "failed"] = "waiting"
    error: str | None = None
    seconds: float | None = None
    num_samples: int | None = None
    duration: float | None = None

    def fail(self, error: Exception) -> None:
        """Notes why the song failed."""
        self.status, self.error = "failed", str(error)

    def split_outputs(self, overwrite: bool) -> tuple[dict[str, Path], list[str]]:
        """Returns the stems to make, and the existing files to keep."""
        kept = [] if overwrite else [output for output in self.outputs if os.path.exists(output)]
        return {Path(output).stem: Path(output) for output in self.outputs if output not in kept}, kept

    def others_of(self, kept: Iterable[str]) -> list[str]:
        """Those of the existing files that were not made from this song."""
        if not kept or not os.path.isfile(self.input):  # separating it says what is wrong; a pipe would never end
            return []
        try:
            source = fingerprint(self.input)
        except OSError:
            return []
        return [output for output in kept if not is_stem_of(output, source)]


def read_list(path: Path) -> list[Path]:
    """Reads a list of inputs, one per line; a byte-order mark tells its encoding."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"--files-from {path} cannot be read: {error.strerror}.") from None
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            content = os.fsencode(content.removeprefix(mark).decode(encoding, errors="replace"))
    return [Path(os.fsdecode(line)) for line in content.splitlines() if line.strip()]


def list_songs(
    inputs: Iterable[Path], output_dir: Path, stems: Iterable[str], format: str, left_out: Counter[str] | None = None
) -> list[BatchSong]:
    """Lists the songs of files and folders, each once and always in the same order."""
    songs: list[BatchSong] = []
    first: dict[Path, Path] = {}
    found = list(_found(inputs, output_dir, Counter() if left_out is None else left_out))
    sources = {os.path.realpath(path) for path, _ in found}
    for path, folder in found:
        song = BatchSong(str(path))
        songs.append(song)
        if not os.path.exists(path):
            song.fail(AudioFileError(path, "no such file."))
            continue
        if folder in first:  # such as song.wav beside song.mp3
            folder = folder.with_name(safe_name(path.name))
        if folder is None:
            song.fail(AudioFileError(path, "has no audio files in it."))
            continue
        if folder in first:
            song.fail(AudioFileError(path, f"would overwrite the stems of {first[folder]}."))
            continue
        first[folder] = path
        song.outputs = [str(folder / f"{stem}.{format}") for stem in stems]
        taken = [output for output in song.outputs if os.path.realpath(output) in sources]
        if taken:
            song.fail(AudioFileError(path, f"would have its stem in place of the song {taken[0]}: use --output-dir."))
    return songs


def _found(inputs: Iterable[Path], output_dir: Path, left_out: Counter[str]) -> Iterator[tuple[Path, Path | None]]:
    """Yields each song with the folder of its stems, and a folder without songs with `None`."""
    made = output_dir.resolve()
    named: set[str] = set()
    for path in inputs:
        if not os.path.isdir(path):
            files, folder = [path], path.parent
        elif made == path.resolve():
            continue  # where the stems are
        else:
            files, folder = audio_files(path, left_out), path
            if path.resolve() in made.parents:
                files = [file for file in files if made not in file.resolve().parents]
            if not files:
                yield path, None
        for file in files:
            if os.path.abspath(file) not in named:
                named.add(os.path.abspath(file))
                folders = file.relative_to(folder).parent.parts
                yield file, output_dir.joinpath(*map(safe_name, (*folders, file.stem)))
