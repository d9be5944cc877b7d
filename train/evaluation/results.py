"""Scores for people: a table on the screen and a box plot."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from modeling_unet_svs.audio.whole_files import replace_text

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
    """Statistics over songs."""
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
    """Scores that an earlier evaluation left."""
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
    """Writes results, one song a line; a file that is there is replaced when the new one is whole."""
    head = plain(results)
    songs = head.pop("songs")
    text = json.dumps(head, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    lines = [f"  {_line(name)}: {_line(scores)}" for name, scores in songs.items()]
    body = ",\n".join(lines)
    replace_text(path, f'{text},\n "songs": {{\n{body}\n }}\n}}\n')


def plain(value: Any) -> Any:
    """The same as a file has it, so that results which are read again have the same statistics."""
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


# Of each protocol, what the plot shows.
PLOTTED = {"sdr": "sdr", "museval": "sdr", "bss_eval_v3": "nsdr", "levels": "leakage"}
STATISTICS = ("mean", "std", "min", "median", "max", "length_weighted_mean", "count", "skipped")
TABLE_WIDTH = 110


def print_scores(summary: Mapping) -> None:
    """Prints statistics as a table, a line for each protocol, stem and metric."""
    titles = ("protocol", "stem", "metric", "mean", "std", "min", "median", "max", "by length", "songs", "skipped")
    caption = "dB over songs; by length: mean weighted by it; skipped: without a score, as the reference is silent"
    table = Table(*titles[:3], box=SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")
    for title in titles[3:]:
        table.add_column(title, justify="right")
    for protocol, stems in summary.items():
        for stem, metrics in stems.items():
            for metric, statistics in metrics.items():
                table.add_row(protocol, stem, metric, *(_text(statistics[name]) for name in STATISTICS))
        table.add_section()
    console = Console()
    # A narrow terminal, or none, breaks the lines rather than the numbers.
    console.width = max(console.width, TABLE_WIDTH)
    console.print(table)


def draw_box_plot(results: Mapping) -> Figure:
    """The spread of songs: a panel for each protocol, a box for each stem, a dot for each song."""
    summary, songs = results["summary"], results["songs"].values()
    figure = Figure(figsize=(1.5 + 3 * len(summary), 4.5), layout="constrained")
    for axis, (protocol, stems) in zip(figure.subplots(1, len(summary), squeeze=False)[0], summary.items()):
        metric = PLOTTED[protocol]
        boxes = []
        for position, stem in enumerate(stems, start=1):
            scores = [song[protocol][stem][metric] for song in songs if protocol in song]
            boxes.append([score for score in scores if score is not None and math.isfinite(score)])
            # Side by side, as far as the box is wide, in the order of the songs.
            spread = [position + 0.3 * (index / max(len(boxes[-1]) - 1, 1) - 0.5) for index in range(len(boxes[-1]))]
            axis.plot(spread, boxes[-1], ".", color="tab:blue", alpha=0.4, markersize=4)
        axis.boxplot(boxes, tick_labels=list(stems), widths=0.4, showfliers=False)
        axis.set_title(f"{protocol}: {metric.upper()}", loc="left")
        axis.set_ylabel("dB")
        axis.grid(axis="y", alpha=0.3)
    data = results["data"]
    title = f"{results['model']['name']} on {data['name']}, {data['split']}, {data['num_songs']} songs"
    figure.suptitle(title, fontsize="medium")
    return figure


def _text(number: float | int) -> str:
    if isinstance(number, int):
        return str(number)
    return f"{number:.2f}" if math.isfinite(number) else "–"
