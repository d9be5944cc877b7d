"""Who sings: how well vectors of a model that tells speakers apart tell singers apart.

The songs of each singer are dealt out to two halves, in turn. The clips of one half make the singers' centroids that
the clips of the other half are compared with: no clip meets a centroid that its own song went into.
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from .clips import RATE, VOICES, Stems


@functools.cache
def encoder():
    """Resemblyzer's network, whose weights are in its package."""
    from resemblyzer import VoiceEncoder

    return VoiceEncoder("cpu", verbose=False)


def embed(voice: np.ndarray) -> list[float]:
    """A unit vector of 256 numbers."""
    from resemblyzer.audio import preprocess_wav

    # It leaves out long silences, and so all of a clip where it hears no voice.
    kept = preprocess_wav(voice)
    return encoder().embed_utterance(kept if len(kept) > RATE // 2 else voice).tolist()


def measure(stems: Stems) -> dict[str, list[float]]:
    """Vectors by what they are of."""
    return {of: embed(stems.heard("vocals", of)) for of in VOICES}


def singer_of(clip: str) -> str:
    """MIR-1K names its clips `singer_song_clip`."""
    return clip.split("_")[0]


def song_of(clip: str) -> str:
    """The singer and the song."""
    return clip.rpartition("_")[0]


def halves(clips: Iterable[str]) -> dict[str, int]:
    """The half of each song, of the singers with two songs or more."""
    songs = defaultdict(set)
    for clip in clips:
        songs[singer_of(clip)].add(song_of(clip))
    in_order = (sorted(each, key=lambda song: int(song.split("_")[1])) for each in songs.values() if len(each) > 1)
    return {song: index % 2 for each in in_order for index, song in enumerate(each)}


def compare(vectors: Mapping[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """By clip, the cosine with the centroid of each singer, made of clips of the half that the clip is not in."""
    half_of = halves(vectors)
    members = defaultdict(list)
    for clip, vector in vectors.items():
        if song_of(clip) in half_of:
            members[half_of[song_of(clip)], singer_of(clip)].append(unit(vector))
    centroids = {key: unit(np.mean(each, axis=0)) for key, each in members.items()}
    return {
        clip: {
            singer: float(centroid @ unit(vector))
            for (half, singer), centroid in centroids.items()
            if half != half_of[song_of(clip)]
        }
        for clip, vector in vectors.items()
        if song_of(clip) in half_of
    }


def unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector) / np.linalg.norm(vector)


def accuracy_of(trials: Iterable[tuple[str, Mapping[str, float]]]) -> float:
    """The share of clips, given as singer and cosines, whose nearest centroid is their singer's."""
    return float(np.mean([max(scores, key=scores.__getitem__) == singer for singer, scores in trials]))


def error_rate_of(trials: Iterable[tuple[str, Mapping[str, float]]]) -> float:
    """The equal error rate over all pairs of a clip and a singer."""
    same, other = [], []
    for singer, scores in trials:
        for name, score in scores.items():
            (same if name == singer else other).append(score)
    return equal_error_rate(np.array(same), np.array(other))


def equal_error_rate(same: np.ndarray, other: np.ndarray) -> float:
    """Where as many of the same are refused as others are accepted, between thresholds by interpolation."""
    thresholds = np.unique(np.concatenate([same, other, [np.inf]]))
    refused = np.searchsorted(np.sort(same), thresholds) / len(same)
    accepted = 1 - np.searchsorted(np.sort(other), thresholds) / len(other)
    after = int(np.argmax(refused >= accepted))
    if after == 0:
        return float((refused[0] + accepted[0]) / 2)
    gaps = (accepted - refused)[[after - 1, after]]
    weight = gaps[0] / (gaps[0] - gaps[1])
    return float(refused[after - 1] + weight * (refused[after] - refused[after - 1]))
