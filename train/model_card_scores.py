"""Results of evaluations as the model card has them: between floor and ceiling, and as metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import EvalResult

from .protocols import STEMS
from .separators import IRM, MIXTURE

MODEL = "model"
ROLES = (MIXTURE, MODEL, IRM)
# Protocol, metric, statistic over songs, and how the card names it.
SCORES = (
    ("sdr", "sdr", "mean", "SDR, mean"),
    ("sdr", "si_sdr", "mean", "SI-SDR, mean"),
    ("museval", "sdr", "median", "SDR (museval), median"),
    ("bss_eval_v3", "nsdr", "mean", "NSDR (BSSEval v3), mean"),
    ("bss_eval_v3", "nsdr", "length_weighted_mean", "GNSDR (BSSEval v3), mean by length"),
    ("bss_eval_v3", "sir", "mean", "SIR (BSSEval v3), mean"),
    ("bss_eval_v3", "sar", "mean", "SAR (BSSEval v3), mean"),
)
# Those of SCORES that go into the metadata.
INDEXED = ("SDR, mean", "SDR (museval), median", "NSDR (BSSEval v3), mean")
STATISTICS = ("mean", "std", "min", "max", "median")
# dB above which a ratio says no more than that there is nothing but rounding.
PERFECT = 100.0
EXCERPT_SECONDS = 30
NUM_WORST = 3


@dataclass(frozen=True)
class CollectionScores:
    """All results on the same songs.

    Attributes:
        data: `name`, `split`, `num_songs` and `fingerprint`.
        results: of `train.evaluate`, by role: `mixture`, `model` and `irm`; any may be missing.
    """

    data: Mapping[str, Any]
    results: Mapping[str, Mapping[str, Any]]

    @property
    def songs(self) -> str:
        """The songs, in words."""
        lengths = [song["seconds"] for results in self.results.values() for song in results["songs"].values()]
        seconds = float(np.mean(lengths)) if lengths else 0.0
        kind = "excerpts" if seconds < EXCERPT_SECONDS else "songs"
        return f"{self.data['num_songs']} {kind} of {seconds:.0f} s"

    @property
    def title(self) -> str:
        """Songs, data set and split, in words."""
        return f"{self.songs} of {self.data['name']}, {self.data['split']} split"

    def value(self, role: str, protocol: str, stem: str, metric: str, statistic: str) -> float | None:
        """A statistic of the summary in dB; `None` where it was not measured."""
        summary: Any = self.results.get(role, {}).get("summary", {})
        for key in (protocol, stem, metric, statistic):
            summary = summary.get(key, {})
        return summary if isinstance(summary, float) else None

    def rows(self) -> list[dict[str, str]]:
        """The table: `score`, `stem` and a text for each role, for all that was measured."""
        rows = []
        for protocol, metric, statistic, name in SCORES:
            for stem in STEMS:
                values = {role: self.value(role, protocol, stem, metric, statistic) for role in ROLES}
                if any(value is not None for value in values.values()):
                    texts = {role: _text(value) for role, value in values.items()}
                    rows.append({"score": name, "stem": stem, **texts})
        return rows

    def spread(self) -> list[dict[str, str]]:
        """The paper's table of the model: `score`, `stem` and its five statistics."""
        return [
            {
                "score": metric.upper(),
                "stem": stem,
                **{name: _text(self.value(MODEL, "bss_eval_v3", stem, metric, name)) for name in STATISTICS},
            }
            for metric in ("nsdr", "sir", "sar")
            for stem in STEMS
            if self.value(MODEL, "bss_eval_v3", stem, metric, "mean") is not None
        ]

    def skipped(self) -> str:
        """How many songs and frames had silent references, in words; empty where none had."""
        parts = []
        for protocol in ("sdr", "museval", "bss_eval_v3"):
            for stem in STEMS:
                summary = self.results.get(MODEL, {}).get("summary", {}).get(protocol, {}).get(stem, {})
                counts = next(iter(summary.values()), {})
                for key, kind in (("skipped", "songs"), ("skipped_frames", "frames")):
                    if counts.get(key):
                        parts.append(f"{counts[key]} {kind} for {stem} ({protocol})")
        return f"Left out, because a reference is silent: {', '.join(parts)}." if parts else ""


def read_collections(results_dir: str | Path) -> list[CollectionScores]:
    """All results in a folder.

    Args:
        results_dir: of JSON files of `train.evaluate`; other JSON files do not count.

    Returns:
        Results on the same songs together; collections where the model was scored on more songs and protocols first.

    Raises:
        ValueError: a damaged file, one that lacks songs, no results at all, or results of two different models or of
            one model twice.
    """
    grouped: dict[str, dict[str, Any]] = {}
    model = None
    for path in sorted(Path(results_dir).glob("*.json")):
        try:
            results = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}.") from None
        if "summary" not in results:
            continue
        if results["failed"] or len(results["songs"]) != results["data"]["num_songs"]:
            raise ValueError(f"{path} lacks songs: run its command once more, {results['command']}")
        name = results["model"]["name"]
        role = name if name in (MIXTURE, IRM) else MODEL
        if role == MODEL:
            if model not in (None, results["model"]["fingerprint"]):
                raise ValueError(f"{path} is for another model than the other results: score one model.")
            model = results["model"]["fingerprint"]
        group = grouped.setdefault(results["data"]["fingerprint"], {})
        if role in group:
            raise ValueError(f"{path} is the second file for {name} on {results['data']['name']}: remove one.")
        group[role] = results
    if not grouped:
        raise ValueError(f"no results in {results_dir}: see train/results/README.md.")
    collections = [CollectionScores(next(iter(group.values()))["data"], group) for group in grouped.values()]
    # MUSDB18 is what others report.
    return sorted(
        collections, key=lambda collection: (not collection.data["name"].startswith("MUSDB18"), collection.title)
    )


def evaluation_results(collection: CollectionScores) -> list[EvalResult]:
    """The model's scores for the metadata `model-index`.

    Args:
        collection: with results of the model, or none.

    Returns:
        One entry for each stem and score that was measured, in dB with two decimals.
    """
    data = collection.data
    measured = [
        (protocol, metric, name, stem, collection.value(MODEL, protocol, stem, metric, statistic))
        for protocol, metric, statistic, name in SCORES
        if name in INDEXED
        for stem in STEMS
    ]
    return [
        EvalResult(
            task_type="audio-to-audio",
            task_name="Singing voice separation",
            dataset_type=data["name"].lower(),
            dataset_name=f"{data['name']}, {collection.songs}",
            dataset_split=data["split"],
            metric_type=metric,
            metric_name=f"{stem} {name} in dB",
            metric_value=round(value, 2),
        )
        for protocol, metric, name, stem, value in measured
        if value is not None
    ]


def worst_songs(collection: CollectionScores) -> dict[str, Any] | None:
    """The songs whose vocals the model separates worst, by SDR.

    Args:
        collection: of any results.

    Returns:
        `collection`, in words, and `songs`, each with `name`, `sdr` and `floor`, texts in dB; `None` where either was
        not measured.
    """
    model, floor = (collection.results.get(role, {}).get("songs", {}) for role in (MODEL, MIXTURE))
    scores = {
        name: (song["sdr"]["vocals"]["sdr"], floor[name]["sdr"]["vocals"]["sdr"])
        for name, song in model.items()
        if "sdr" in song and "sdr" in floor.get(name, {})
    }
    finite = {name: values for name, values in scores.items() if None not in values}
    if not finite:
        return None
    songs = [
        {"name": name, "sdr": _text(finite[name][0]), "floor": _text(finite[name][1])}
        for name in sorted(finite, key=finite.get)[:NUM_WORST]
    ]
    return {"collection": f"the {collection.title}", "songs": songs}


def leakage(collection: CollectionScores) -> dict[str, str] | None:
    """What comes out as a stem that does not play.

    Args:
        collection: of any results.

    Returns:
        `collection`, in words, and for `vocals` and `accompaniment` how far they stay under the input, in dB, medians;
        `None` where it was not measured.
    """
    levels = {stem: collection.value(MODEL, "levels", stem, "leakage", "median") for stem in STEMS}
    if None in levels.values():
        return None
    return {"collection": f"the {collection.title}", **{stem: f"{-level:.1f}" for stem, level in levels.items()}}


def _text(value: float | None) -> str:
    if value is None:
        return "–"
    return f"> {PERFECT:.0f}" if value > PERFECT else f"{value:.2f}"


__all__ = ["CollectionScores", "evaluation_results", "leakage", "read_collections", "worst_songs"]
