"""Scores for people: a table on the screen and a box plot."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

# Of each protocol, what the plot shows.
PLOTTED = {"sdr": "sdr", "museval": "sdr", "bss_eval_v3": "nsdr", "levels": "leakage"}
STATISTICS = ("mean", "std", "min", "median", "max", "length_weighted_mean", "count", "skipped")
TABLE_WIDTH = 110


def print_scores(summary: Mapping) -> None:
    """Prints statistics as a table, a line for each protocol, stem and metric.

    Args:
        summary: of `summarise`.
    """
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
    """The spread of songs: a panel for each protocol, a box for each stem, a dot for each song.

    Args:
        results: of an evaluation, with at least one song.

    Returns:
        The figure.
    """
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


__all__ = ["draw_box_plot", "print_scores"]
