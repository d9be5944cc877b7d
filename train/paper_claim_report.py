"""What became of the paper's claim: a table of both networks' scores, and box plots as in the paper."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from modeling_unet_svs.whole_files import replace_text

from .evaluation_results import plain

PROTOCOL = "bss_eval_v3"
METRICS = ("nsdr", "sir", "sar")
NETWORKS = {"unet": "U-Net", "without_skips": "without skips"}


@dataclass(frozen=True)
class Run:
    """One training of one network.

    Attributes:
        source: that it estimates.
        skip_connections: whether it is the U-Net or its twin.
        seed: of weights, examples and dropout.
    """

    source: str
    skip_connections: bool
    seed: int

    @property
    def network(self) -> str:
        """Key of `NETWORKS`."""
        return "unet" if self.skip_connections else "without_skips"

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.network}_{self.source}_{self.seed}"


@dataclass(frozen=True)
class Row:
    """Scores of one network on one data set, in dB.

    Attributes:
        data: name of the data set, and its split.
        stem: that was scored.
        network: value of `NETWORKS`.
        metric: nsdr, sir or sar.
        seeds: mean over songs, for each seed.
        mean: over songs and seeds.
        std: of the same.
        min: of the same.
        max: of the same.
        songs: number of them.
    """

    data: str
    stem: str
    network: str
    metric: str
    seeds: list[float]
    mean: float
    std: float
    min: float
    max: float
    songs: int


def rows_of(results: Mapping[str, Mapping[str, Sequence[Path]]]) -> tuple[list[Row], dict[tuple, list[float]]]:
    """Statistics over the songs of all seeds.

    Args:
        results: by network and stem, the results of `train.evaluate` for each seed and data set.

    Returns:
        The rows, and the scores that each is made of, by data set, stem, network and metric.
    """
    scores: dict[tuple, list[list[float]]] = {}
    for network, stems in results.items():
        for stem, paths in stems.items():
            for path in paths:
                result = json.loads(Path(path).read_text(encoding="utf-8"))
                data = f"{result['data']['name']}, {result['data']['split']}"
                for metric in METRICS:
                    values = [song[PROTOCOL][stem][metric] for song in result["songs"].values()]
                    finite = [value for value in values if value is not None and math.isfinite(value)]
                    scores.setdefault((data, stem, NETWORKS[network], metric), []).append(finite)
    rows, pooled = [], {}
    order = list(NETWORKS.values())
    for key, seeds in sorted(scores.items(), key=lambda item: (*item[0][:2], order.index(item[0][2]))):
        together = pooled[key] = [value for seed in seeds for value in seed]
        statistics = (float(statistic(together)) for statistic in (np.mean, np.std, np.min, np.max))
        rows.append(Row(*key, [float(np.mean(seed)) for seed in seeds], *statistics, len(seeds[0])))
    return rows, pooled


def save_report(path: Path, settings: Mapping[str, Any], results: Mapping[str, Mapping[str, Sequence[Path]]]) -> str:
    """Writes scores as JSON and, beside it, box plots as PNG.

    Args:
        path: of the JSON file.
        settings: of the experiment, for the file.
        results: by network and stem, the results of `train.evaluate` for each seed and data set.

    Returns:
        The table, as Markdown.
    """
    rows, scores = rows_of(results)
    replace_text(path, json.dumps(plain({**settings, "rows": [asdict(row) for row in rows]}), indent=1) + "\n")
    draw_box_plots(scores).savefig(path.with_suffix(".png"), dpi=110)
    return table([asdict(row) for row in rows])


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table.

    Args:
        rows: as the JSON file has them.

    Returns:
        The table, without the other metrics' names in capitals.
    """
    lines = [
        "| data | stem | network | score | mean | std | min | max | mean of each seed |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        numbers = " | ".join(f"{row[name]:.2f}" for name in ("mean", "std", "min", "max"))
        seeds = ", ".join(f"{seed:.2f}" for seed in row["seeds"])
        head = " | ".join((row["data"], row["stem"], row["network"], row["metric"].upper()))
        lines.append(f"| {head} | {numbers} | {seeds} |")
    return "\n".join(lines)


def draw_box_plots(scores: Mapping[tuple, Sequence[float]]) -> Figure:
    """A row for each data set, a panel for each metric, a box for each stem and network.

    Args:
        scores: in dB, by data set, stem, network and metric.

    Returns:
        The figure.
    """
    data_sets = list(dict.fromkeys(key[0] for key in scores))
    figure = Figure(figsize=(13, 0.6 + 3 * len(data_sets)), layout="constrained")
    for axes, data in zip(figure.subplots(len(data_sets), len(METRICS), squeeze=False), data_sets):
        for axis, metric in zip(axes, METRICS):
            boxes = {(key[1], key[2]): values for key, values in scores.items() if (key[0], key[3]) == (data, metric)}
            drawn = axis.boxplot(
                list(boxes.values()),
                tick_labels=[f"{stem}\n{network}" for stem, network in boxes],
                patch_artist=True,
                showmeans=True,
                flierprops={"markersize": 3},
                medianprops={"color": "black"},
            )
            for box, (_, network) in zip(drawn["boxes"], boxes):
                box.set_facecolor("tab:blue" if network == NETWORKS["unet"] else "lightgrey")
            axis.set_title(f"{metric.upper()}, {data}", loc="left", fontsize="medium")
            axis.tick_params(axis="x", labelsize="x-small")
            axis.set_ylabel("dB")
            axis.grid(axis="y", alpha=0.3)
    return figure


__all__ = ["NETWORKS", "Row", "Run", "draw_box_plots", "rows_of", "save_report", "table"]
