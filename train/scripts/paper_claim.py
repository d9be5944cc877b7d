"""`python -m train.paper_claim --musdb_dir DIR --mir1k_dir DIR --output_dir DIR`: the paper's claim, tried.

The U-Net and its twin without skip connections, all else alike: trained, scored with BSS Eval v3 on songs and singers
that neither has seen, and drawn. What an interrupted run has done is not done again."""

from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from transformers import HfArgumentParser

from modeling_unet_svs.audio.whole_files import replace_text
from train.arguments import read_recipe
from train.evaluation.results import plain

PROTOCOL = "bss_eval_v3"
METRICS = ("nsdr", "sir", "sar")
NETWORKS = {"unet": "U-Net", "without_skips": "without skips"}


@dataclass(frozen=True)
class Run:
    """One training of one network."""

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
    """Scores of one network on one data set, in dB."""

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
    """Statistics over the songs of all seeds."""
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
    """Writes scores as JSON and, beside it, box plots as PNG."""
    rows, scores = rows_of(results)
    replace_text(path, json.dumps(plain({**settings, "rows": [asdict(row) for row in rows]}), indent=1) + "\n")
    draw_box_plots(scores).savefig(path.with_suffix(".png"), dpi=110)
    return table([asdict(row) for row in rows])


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table."""
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
    """A row for each data set, a panel for each metric, a box for each stem and network."""
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


# The vocals' runs with the other seeds come last, so that there is a picture of both stems before them.
RUNS = tuple(
    Run(source, skip_connections, seed)
    for source, seed in (("vocals", 0), ("accompaniment", 0), ("vocals", 1), ("vocals", 2))
    for skip_connections in (True, False)
)
RATE = 8192
REPORT = "paper_claim.json"


@dataclass
class PaperClaimArguments:
    """What to train and score on, for how long, and where to write."""

    musdb_dir: str = field(metadata={"help": "MUSDB18: folder with train/ and test/."})
    mir1k_dir: str = field(metadata={"help": "MIR-1K: folder of clips."})
    output_dir: str = field(default="runs/paper_claim", metadata={"help": "Folder for all runs and scores."})
    recipe: str = field(default="paper", metadata={"help": "Of the U-Net, as for `accelerate launch train`."})
    max_train_steps: int = field(default=120, metadata={"help": "Optimizer steps of each of the eight runs."})
    warmup_steps: int = field(default=20, metadata={"help": "Steps of linear warm-up."})
    train_batch_size: int = field(default=128, metadata={"help": "The paper's."})
    mixed_precision: str = field(default="bf16", metadata={"help": "no, bf16 or fp16."})


def prove(arguments: PaperClaimArguments) -> dict[str, dict[str, list[Path]]]:
    """Trains and scores both networks."""
    output_dir = Path(arguments.output_dir)
    for run in RUNS:
        _train(run, arguments, output_dir / run.name)
    results: dict[str, dict[str, list[Path]]] = {network: {} for network in NETWORKS}
    for run in RUNS:
        paths = [_evaluate(output_dir / run.name, data, folder) for data, folder in _data(arguments)]
        results[run.network].setdefault(run.source, []).extend(paths)
    return results


def _data(arguments: PaperClaimArguments) -> tuple[tuple[str, str], ...]:
    return ("musdb", arguments.musdb_dir), ("mir1k", arguments.mir1k_dir)


def _train(run: Run, arguments: PaperClaimArguments, folder: Path) -> None:
    if (folder / "model.safetensors").is_file():
        return
    recipe = read_recipe(arguments.recipe)
    (residual,) = {"vocals", "accompaniment"} - {run.source}
    recipe["model"] |= {"sources": [run.source], "residual": residual, "skip_connections": run.skip_connections}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.json"
    path.write_text(json.dumps(recipe, indent=2) + "\n")
    flags = {
        **{"recipe": path, "musdb_dir": arguments.musdb_dir, "mir1k_dir": arguments.mir1k_dir, "output_dir": folder},
        **{name: getattr(arguments, name) for name in ("max_train_steps", "warmup_steps", "train_batch_size")},
        **{"mixed_precision": arguments.mixed_precision, "seed": run.seed, "checkpointing_steps": 20},
        **{"logging_steps": 10, "resume_from_checkpoint": "latest", "cache_dir": folder.parent / "cache"},
    }
    _run("train", *(str(part) for name, value in flags.items() for part in (f"--{name}", value)))


def _evaluate(model: Path, data: str, folder: str) -> Path:
    split, output = "test" if data == "musdb" else "validation", model / f"{data}.json"
    where = (f"--{data}_dir", folder, "--split", split, "--bss_eval_rate", str(RATE), "--plot_format", "none")
    _run("train.evaluate", "--model", str(model), *where, "--protocol", "bss_eval_v3", "--output", str(output))
    return output


def _run(module: str, *flags: str) -> None:
    command = ["python", "-m", module, *flags]
    print(f"+ {shlex.join(command)}", flush=True)
    subprocess.run([sys.executable, *command[1:]], check=True)


def main() -> int:
    """Writes scores, table and box plots to the output folder; exits with 1 where a run failed, 2 for wrong usage."""
    (arguments,) = HfArgumentParser(
        PaperClaimArguments, prog="python -m train.paper_claim"
    ).parse_args_into_dataclasses()
    try:
        settings = {name: value for name, value in asdict(arguments).items() if not name.endswith("_dir")}
        print(save_report(Path(arguments.output_dir) / REPORT, settings, prove(arguments)))
    except subprocess.CalledProcessError as error:
        print(f"paper_claim: {shlex.join(error.cmd[2:])} failed", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"paper_claim: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
