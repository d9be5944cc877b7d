"""Scores of many songs: their statistics, and the JSON file that keeps them."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from modeling_unet_svs.whole_files import replace_text

LIBRARIES = (
    "unet-svs",
    "torch",
    "numpy",
    "scipy",
    "transformers",
    "accelerate",
    "datasets",
    "museval",
    "mir_eval",
    "av",
    "soxr",
)
DECIMALS = 4
# What two evaluations must share for one to go on where the other ended.
IDENTITY = ("model", "data", "bss_eval_rate")


def summarise(songs: Mapping[str, Mapping]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Statistics over songs.

    Args:
        songs: for each song `seconds`, and scores by protocol, stem and metric.

    Returns:
        By protocol, stem and metric: `mean`, `std` (of the songs, not of a larger population), `min`, `max`, `median`
        and `length_weighted_mean` (with NSDR, SIR and SAR the field's GNSDR, GSIR and GSAR) in dB over the songs that
        have a finite score; `count` of those songs, and `skipped` ones, whose reference is silent. Where there are
        frames, `frames` and `skipped_frames` count them in the same way.
    """
    protocols = list(dict.fromkeys(key for scores in songs.values() for key in scores if key != "seconds"))
    summary: dict = {}
    for protocol in protocols:
        scored = [scores for scores in songs.values() if protocol in scores]
        summary[protocol] = {}
        for stem, metrics in scored[0][protocol].items():
            summary[protocol][stem] = {
                metric: _statistics(
                    [scores[protocol][stem][metric] for scores in scored], [scores["seconds"] for scores in scored]
                )
                for metric in metrics
                if metric != "frames"
            }
            for metric in metrics.get("frames", ()):
                frames = [value for scores in scored for value in scores[protocol][stem]["frames"][metric]]
                finite = sum(_is_finite(value) for value in frames)
                summary[protocol][stem][metric] |= {"frames": finite, "skipped_frames": len(frames) - finite}
    return summary


def read_results(path: Path, identity: Mapping[str, Any], overwrite: bool) -> dict[str, dict]:
    """Scores that an earlier evaluation left.

    Args:
        path: of the JSON file, which need not be there.
        identity: `model`, `data` and `bss_eval_rate` of this evaluation.
        overwrite: whether what is there does not count.

    Returns:
        Scores by song.

    Raises:
        ValueError: a file that is something else, or that belongs to another model, other data or another rate.
    """
    if overwrite or not path.exists():
        return {}
    remedy = "give another --output, or --overwrite."
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        known = {key: earlier[key] for key in IDENTITY}
        songs = dict(earlier["songs"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is there and holds no results of an evaluation: {remedy}") from None
    for key in IDENTITY:
        if known[key] != identity[key]:
            difference = f"{known[key]} and not {identity[key]}"
            raise ValueError(f"{path} is there and holds results for another {key}, {difference}: {remedy}")
    return songs


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Writes results, one song a line; a file that is there is replaced when the new one is whole.

    Args:
        path: of the JSON file.
        results: with `songs`; numbers that are not finite become null.

    Raises:
        OSError: it cannot be written.
    """
    head = plain(results)
    songs = head.pop("songs")
    text = json.dumps(head, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    lines = [f"  {_line(name)}: {_line(scores)}" for name, scores in songs.items()]
    body = ",\n".join(lines)
    replace_text(path, f'{text},\n "songs": {{\n{body}\n }}\n}}\n')


def plain(value: Any) -> Any:
    """The same as a file has it, so that results which are read again have the same statistics.

    Args:
        value: numbers, texts, mappings and lists of such.

    Returns:
        Floating-point numbers with four decimals, or `None` where they are not finite; mappings as dictionaries.
    """
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return round(value, DECIMALS) if math.isfinite(value) else None
    return value


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that take part in the scores, by name; only what is installed."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def _statistics(values: Sequence[float | None], seconds: Sequence[float]) -> dict[str, float]:
    kept = [(value, length) for value, length in zip(values, seconds) if _is_finite(value)]
    counts = {"count": len(kept), "skipped": len(values) - len(kept)}
    if not kept:
        names = ("mean", "std", "min", "max", "median", "length_weighted_mean")
        return {**dict.fromkeys(names, math.nan), **counts}
    scores, lengths = np.array(kept).T
    return {
        "mean": float(scores.mean()),
        "std": float(scores.std()),
        "min": float(scores.min()),
        "max": float(scores.max()),
        "median": float(np.median(scores)),
        "length_weighted_mean": float(np.average(scores, weights=lengths)),
        **counts,
    }


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _line(value: Mapping | str) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


__all__ = ["library_versions", "plain", "read_results", "summarise", "write_results"]
