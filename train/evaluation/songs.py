"""The songs that are scored: which ones, and their true stems."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arguments import EvaluationArguments
from ..data.folders import STEM_FILE, folder_songs, load_mir1k, load_musdb18
from ..data.songs import Song, read_stems
from ..exit_codes import refuse_if
from .scores import STEMS

# Copies as Opus files say 48 kHz.
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
