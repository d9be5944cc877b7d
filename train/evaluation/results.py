"""Results of an evaluation: statistics over songs, the JSON file, the table on the screen, the box plot."""

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
    *("unet-svs", "torch", "numpy", "scipy", "transformers", "accelerate", "datasets", "museval", "mir_eval", "av"),
    "soxr",
)
DECIMALS = 4
# Two evaluations must share these for one to go on where the other ended.
IDENTITY = ("model", "data", "bss_eval_rate")
# The metric of each protocol that the box plot shows.
PLOTTED = {"sdr": "sdr", "museval": "sdr", "bss_eval_v3": "nsdr", "levels": "leakage"}
TABLE_WIDTH = 110
STATISTICS = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max, "median": np.median}


def finite(values: Sequence[float | None]) -> np.ndarray:
    """Finite scores: those of silent references are `None` or NaN, those of perfect estimates infinite."""
    scores = np.array(values, dtype=float)
    return scores[np.isfinite(scores)]


def statistics(values: Sequence[float | None], seconds: Sequence[float]) -> dict[str, float]:
    """Statistics over the songs that have a score; NaN where none has."""
    scores, lengths = np.array(values, dtype=float), np.array(seconds)
    scored = np.isfinite(scores)
    found = dict.fromkeys((*STATISTICS, "length_weighted_mean"), math.nan)
    if scored.any():
        found = {name: float(statistic(scores[scored])) for name, statistic in STATISTICS.items()}
        found["length_weighted_mean"] = float(np.average(scores[scored], weights=lengths[scored]))
    return {**found, "count": int(scored.sum()), "skipped": int((~scored).sum())}


def summarise(songs: Mapping[str, Mapping]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Statistics over songs by protocol, stem and metric."""
    summary: dict = {}
    for protocol in dict.fromkeys(key for scores in songs.values() for key in scores if key != "seconds"):
        scored = [scores for scores in songs.values() if protocol in scores]
        seconds = [scores["seconds"] for scores in scored]
        summary[protocol] = {}
        for stem, metrics in scored[0][protocol].items():
            rows = [scores[protocol][stem] for scores in scored]
            summary[protocol][stem] = {
                metric: statistics([row[metric] for row in rows], seconds) for metric in metrics if metric != "frames"
            }
            for metric in metrics.get("frames", ()):
                frames = [value for row in rows for value in row["frames"][metric]]
                count = len(finite(frames))
                summary[protocol][stem][metric] |= {"frames": count, "skipped_frames": len(frames) - count}
    return summary


def read_results(path: Path, identity: Mapping[str, Any], overwrite: bool) -> dict[str, dict]:
    """Scores that an earlier evaluation of the same model on the same songs left."""
    if overwrite or not path.exists():
        return {}
    remedy = "give another --output, or --overwrite."
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        known, songs = {key: earlier[key] for key in IDENTITY}, dict(earlier["songs"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} exists and holds no results of an evaluation: {remedy}") from None
    for key, value in known.items():
        if value != identity[key]:
            difference = f"{value} and not {identity[key]}"
            raise ValueError(f"{path} exists and holds results for another {key}, {difference}: {remedy}")
    return songs


def write_results(path: Path, results: Mapping[str, Any]) -> None:
    """Writes results, one song a line."""
    head = plain(results)
    lines = [f"  {_line(name)}: {_line(scores)}" for name, scores in head.pop("songs").items()]
    text = json.dumps(head, indent=1, ensure_ascii=False, allow_nan=False).removesuffix("\n}")
    replace_text(path, text + ',\n "songs": {\n' + ",\n".join(lines) + "\n }\n}\n")


def _line(value: Mapping | str) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Numbers as written to the file, so that results read back have the same statistics."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return round(value, DECIMALS) if math.isfinite(value) else None
    return value


def library_versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that take part in the scores."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def describe_songs(results: Mapping) -> str:
    """How many songs of which split were scored."""
    data, count = results["data"], len(results["songs"])
    of_all = f"{count} of {data['num_songs']}" if count != data["num_songs"] else f"{count}"
    return f"{data['name']}, {data['split']} split: {of_all} songs"


def print_scores(results: Mapping) -> None:
    """Prints statistics as a table, a line for each protocol, stem and metric."""
    summary = results["summary"]
    caption = "dB over songs; by length: mean weighted by it; skipped: without a score, as the reference is silent"
    table = Table(
        "protocol", "stem", "metric", box=SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left"
    )
    names = ("mean", "std", "min", "median", "max", "length_weighted_mean", "count", "skipped")
    for title in (*names[:5], "by length", "songs", "skipped"):
        table.add_column(title, justify="right")
    for protocol, stems in summary.items():
        for stem, metrics in stems.items():
            for metric, values in metrics.items():
                table.add_row(protocol, stem, metric, *(_text(values[name]) for name in names))
        table.add_section()
    console = Console()
    console.print(describe_songs(results), markup=False, highlight=False, soft_wrap=True)
    # A narrow terminal, or none, breaks the lines rather than the numbers.
    console.width = max(console.width, TABLE_WIDTH)
    console.print(table)


def _text(number: float | int) -> str:
    if isinstance(number, int):
        return str(number)
    return f"{number:.2f}" if math.isfinite(number) else "–"


def draw_results(results: Mapping) -> Figure:
    """Draws the spread of an evaluation's songs, with a panel for each protocol."""
    panels = {
        f"{protocol}: {PLOTTED[protocol].upper()}": {
            stem: finite(
                [song[protocol][stem][PLOTTED[protocol]] for song in results["songs"].values() if protocol in song]
            )
            for stem in stems
        }
        for protocol, stems in results["summary"].items()
    }
    title = f"{results['model']['name']} on {describe_songs(results)}"
    return draw_box_plot(panels, num_columns=len(panels), title=title)


def draw_box_plot(panels: Mapping[str, Mapping[str, Sequence[float]]], num_columns: int, title: str = "") -> Figure:
    """Draws a panel in dB for each title, with a box for each label and a dot for each song."""
    num_rows = math.ceil(len(panels) / num_columns)
    figure = Figure(figsize=(1.5 + 3.5 * num_columns, 1 + 3.5 * num_rows), layout="constrained")
    for axis, (name, boxes) in zip(figure.subplots(num_rows, num_columns, squeeze=False).flat, panels.items()):
        for position, scores in enumerate(boxes.values(), start=1):
            # Side by side, as far as the box is wide, in the order of the songs.
            axis.plot(position + np.linspace(-0.15, 0.15, len(scores)), scores, ".", alpha=0.4, markersize=4)
        axis.boxplot(list(boxes.values()), tick_labels=list(boxes), widths=0.4, showfliers=False)
        axis.set_title(name, loc="left", fontsize="medium")
        axis.set_ylabel("dB")
        axis.tick_params(axis="x", labelsize="x-small")
        axis.grid(axis="y", alpha=0.3)
    figure.suptitle(title, fontsize="medium", wrap=True)
    return figure
