"""Means over clips and songs, with their bootstrap intervals."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from train.data.folders import MIR1K_VALIDATION_SINGERS

from . import lyrics, singers
from .clips import VOICES
from .melody import MEASURES, TRACKERS

NUM_SAMPLES = 1000
CONFIDENCE = 95
COLLECTIONS = ("mir1k", "musdb18")
Figure = dict[str, float | int]


def figure(groups: Sequence[Sequence], statistic: Callable[[list], float]) -> Figure:
    """A statistic of all that the groups hold, and the interval it has where groups are drawn again and again."""
    if not groups:
        return {"value": float("nan"), "low": float("nan"), "high": float("nan"), "count": 0}
    generator = np.random.default_rng(0)
    drawn = [
        statistic([item for index in generator.integers(len(groups), size=len(groups)) for item in groups[index]])
        for _ in range(NUM_SAMPLES)
    ]
    low, high = np.percentile(drawn, [(100 - CONFIDENCE) / 2, (100 + CONFIDENCE) / 2])
    value = statistic([item for group in groups for item in group])
    return {"value": value, "low": float(low), "high": float(high), "count": len(groups)}


def mean(values: Iterable[float | None]) -> Figure:
    """The mean over clips that have a value."""
    return figure([[value] for value in values if value is not None and np.isfinite(value)], average)


def average(values: list[float]) -> float:
    return float(np.mean(values))


def summarise(clips: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """All figures: task, then collection, then measure, then what was heard."""
    by_collection = {
        name: [measures for key, measures in clips.items() if key.startswith(f"{name}/") and "melody" in measures]
        for name in COLLECTIONS
    }
    summary: dict[str, Any] = {"melody": {}, "karaoke": {}}
    for name, each in by_collection.items():
        summary["melody"][name] = {
            tracker: {
                measure: {of: mean(clip["melody"][tracker][of][measure] for clip in each) for of in VOICES}
                for measure in MEASURES
            }
            for tracker in TRACKERS
        }
        summary["karaoke"][name] = {
            measure: {of: mean(clip["karaoke"][of][measure] for clip in each) for of in VOICES}
            for measure in ("left", "voiced", "pitched")
        }
    summary["singers"] = summarise_singers(clips)
    summary["lyrics"] = summarise_lyrics([clip["lyrics"] for clip in clips.values() if "lyrics" in clip])
    return summary


def summarise_singers(clips: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Over all clips, drawn by songs, and the accuracy for the singers that the checkpoint was not trained on."""
    songs: dict[str, list] = defaultdict(list)
    for key, measures in clips.items():
        # Until all clips are measured there are vectors, which cannot be compared yet.
        if isinstance(measures.get("singers", {}).get("ours"), dict):
            songs[singers.song_of(key.partition("/")[2])].append(measures["singers"])
    by_song = {
        of: {song: [(singers.singer_of(song), clip[of]) for clip in each] for song, each in songs.items()}
        for of in VOICES
    }
    statistics = {"accuracy": singers.accuracy_of, "error_rate": singers.error_rate_of}
    unseen = [song for song in songs if singers.singer_of(song) in MIR1K_VALIDATION_SINGERS]
    return {
        "clips": sum(map(len, songs.values())),
        "songs": len(songs),
        "singers": len({singers.singer_of(song) for song in songs}),
        "unseen_clips": sum(len(songs[song]) for song in unseen),
        **{
            name: {of: figure([*by_song[of].values()], statistic) for of in VOICES}
            for name, statistic in statistics.items()
        },
        "unseen_accuracy": {of: figure([by_song[of][song] for song in unseen], singers.accuracy_of) for of in VOICES},
    }


def summarise_lyrics(texts: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Words found and words right; by chance, those that our vocals of every other song have in common with a song."""
    heard = {of: [text[of] for text in texts] for of in VOICES}
    found, right = {}, {}
    for of in VOICES:
        found[of] = figure([[pair] for pair in zip(heard["true"], heard[of])], lyrics.found_of)
        right[of] = figure([[pair] for pair in zip(heard[of], heard["true"])], lyrics.found_of)
    others = [(heard["true"][i], heard["ours"][j]) for i in range(len(texts)) for j in range(len(texts)) if i != j]
    words = {of: sum(len(text.split()) for text in heard[of]) for of in VOICES}
    chance = {"found": lyrics.found_of(others), "right": lyrics.found_of([pair[::-1] for pair in others])}
    return {"songs": len(texts), "words": words, "found": found, "right": right, "chance": chance}
