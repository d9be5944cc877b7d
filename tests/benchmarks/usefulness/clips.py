"""Which songs and clips are measured, for which tasks, and what is heard in each."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modeling_unet_svs.separation import Resampler
from train.data.folders import load_mir1k, load_musdb18
from train.data.songs import Song
from train.evaluate import read_references
from train.evaluation.separators import Estimator

RATE = 16_000
# Of each song of MIR-1K, every second clip takes part in telling singers apart.
SINGER_CLIPS_STEP = 2
VOICES = ("mixture", "ours", "true")


@dataclass(frozen=True)
class Clip:
    """A song or clip, the collection that it is from, and what is measured on it."""

    collection: str
    song: Song
    tasks: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.collection}/{self.song.name}"


@dataclass(frozen=True)
class Stems:
    """Voices and accompaniments `(num_channels, num_samples)` by what they are of: mixture, ours or true."""

    vocals: dict[str, np.ndarray]
    accompaniment: dict[str, np.ndarray]
    rate: int
    # What was found in each of them, which several tasks need.
    found: dict[tuple, Any] = field(default_factory=dict)

    def once(self, measure: Callable[[np.ndarray], Any], kind: str, of: str) -> Any:
        """A measure of what is heard; the mixture is the same whether it stands for vocals or accompaniment."""
        key = (measure, "" if of == "mixture" else kind, of)
        if key not in self.found:
            self.found[key] = measure(self.heard(kind, of))
        return self.found[key]

    def heard(self, kind: str, of: str) -> np.ndarray:
        """One of them as the trackers take it: mono at 16 kHz."""
        waveform = getattr(self, kind)[of].mean(axis=0, keepdims=True, dtype=np.float32)
        return np.ascontiguousarray(Resampler(self.rate, RATE, 1).push(waveform, last=True)[0])


def find_clips(mir1k_dir: str, musdb_dir: str) -> list[Clip]:
    """All that is measured: MUSDB18's test songs, MIR-1K's validation singer, and a part of all singers' clips."""
    validation, training = (load_mir1k(mir1k_dir, split) for split in ("validation", "train"))
    told_apart = {song.name for song in some_clips([*validation, *training])}
    clips = [Clip("musdb18", song, ("melody", "karaoke", "lyrics")) for song in load_musdb18(musdb_dir, "test")]
    for song in validation:
        singers = ("singers",) if song.name in told_apart else ()
        clips.append(Clip("mir1k", song, ("melody", "karaoke", *singers)))
    return clips + [Clip("mir1k", song, ("singers",)) for song in training if song.name in told_apart]


def some(clips: list[Clip], every: int) -> list[Clip]:
    """Every n-th clip of those with the same tasks."""
    by_tasks = defaultdict(list)
    for clip in clips:
        by_tasks[clip.collection, clip.tasks].append(clip)
    return [clip for each in by_tasks.values() for clip in each[::every]]


def some_clips(songs: list[Song]) -> list[Song]:
    """Every second clip of each song: MIR-1K names its clips `singer_song_clip`."""
    by_song = defaultdict(list)
    for song in sorted(songs, key=lambda song: song.name):
        by_song[song.name.rpartition("_")[0]].append(song)
    return [song for clips in by_song.values() for song in clips[::SINGER_CLIPS_STEP]]


def separate(song: Song, estimator: Estimator) -> Stems:
    """The mixture is the sum of the true stems."""
    references, rate = read_references(song)
    estimates = estimator.separate(references, rate)
    mixture = references.sum(axis=0)
    vocals, accompaniment = (
        {"mixture": mixture, "ours": estimates[index], "true": references[index]} for index in range(2)
    )
    return Stems(vocals, accompaniment, rate)
