"""`python -m train.paper_claim --musdb_dir DIR --mir1k_dir DIR --output_dir DIR`: tests the paper's claim.

The U-Net and its twin without skip connections, all else alike: trained, scored with BSS Eval v3 on songs and singers
that neither has seen, and drawn. What an interrupted run has done is not done again."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers.hf_argparser import HfArg

from modeling_unet_svs.audio.whole_files import replace_text
from train.arguments import CommandParser, read_recipe
from train.evaluation.results import STATISTICS, draw_box_plot, finite, plain
from train.exit_codes import run_command

PROTOCOL = "bss_eval_v3"
METRICS = ("nsdr", "sir", "sar")
NETWORKS = {"unet": "U-Net", "without_skips": "without skips"}
RATE = 8192


@dataclass(frozen=True)
class Run:
    """One training of one network, which is a key of `NETWORKS`."""

    source: str
    network: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.network}_{self.source}_{self.seed}"


# The vocals' runs with the other seeds come last, so that there is a picture of both stems before them.
SEEDS = (("vocals", 0), ("accompaniment", 0), ("vocals", 1), ("vocals", 2))
RUNS = tuple(Run(source, network, seed) for source, seed in SEEDS for network in NETWORKS)


@dataclass
class PaperClaimArguments:
    """The data, the training and the output of the experiment."""

    musdb_dir: str = HfArg(help="MUSDB18: folder with train/ and test/.")
    mir1k_dir: str = HfArg(help="MIR-1K: folder of clips.")
    output_dir: str = HfArg(default="runs/paper_claim", help="Folder for all runs and scores.")
    recipe: str = HfArg(default="paper", help="Recipe of the U-Net, as for `accelerate launch train`.")
    max_train_steps: int = HfArg(default=120, help="Optimizer steps of each of the eight runs.")
    warmup_steps: int = HfArg(default=20, help="Steps of linear warm-up.")
    train_batch_size: int = HfArg(default=128, help="Examples per step; 128 as in the paper.")
    mixed_precision: str = HfArg(default="bf16", help="no, bf16 or fp16.")


def train_network(run: Run, arguments: PaperClaimArguments, folder: Path) -> None:
    """Trains one network, unless it has been trained already."""
    if (folder / "model.safetensors").is_file():
        return
    recipe = read_recipe(arguments.recipe)
    (residual,) = {"vocals", "accompaniment"} - {run.source}
    recipe["model"] |= {"sources": [run.source], "residual": residual, "skip_connections": run.network == "unet"}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.json"
    path.write_text(json.dumps(recipe, indent=2) + "\n")
    flags = asdict(arguments) | {"recipe": path, "output_dir": folder, "cache_dir": folder.parent / "cache"}
    flags |= {"seed": run.seed, "checkpointing_steps": 20, "logging_steps": 10, "resume_from_checkpoint": "latest"}
    call("train", *(str(part) for name, value in flags.items() for part in (f"--{name}", value)))


def evaluate_network(model: Path, data: str, folder: str) -> Path:
    """Scores one network on one data set and returns the results' file."""
    split, output = "test" if data == "musdb" else "validation", model / f"{data}.json"
    where = (f"--{data}_dir", folder, "--split", split, "--bss_eval_rate", str(RATE), "--plot_format", "none")
    call("train.evaluate", "--model", str(model), *where, "--protocol", PROTOCOL, "--output", str(output))
    return output


def call(module: str, *flags: str) -> None:
    """Runs a command of the trainer and prints it."""
    command = ["python", "-m", module, *flags]
    print(f"+ {shlex.join(command)}", flush=True)
    subprocess.run([sys.executable, *command[1:]], check=True)


def rows_of(results: Iterable[tuple[Run, Path]]) -> tuple[list[dict[str, Any]], dict[str, dict[str, np.ndarray]]]:
    """Statistics over the songs of all seeds as the report has them, and the same songs as panels of a box plot."""
    scores: dict[tuple[str, str, str, str], list[np.ndarray]] = {}
    for run, path in results:
        result = json.loads(path.read_text(encoding="utf-8"))
        data = f"{result['data']['name']}, {result['data']['split']}"
        for metric in METRICS:
            values = finite([song[PROTOCOL][run.source][metric] for song in result["songs"].values()])
            scores.setdefault((data, run.source, NETWORKS[run.network], metric), []).append(values)
    rows, panels = [], {}
    for key in sorted(scores, key=lambda key: key[:3]):
        seeds, together = scores[key], np.concatenate(scores[key])
        row = dict(zip(("data", "stem", "network", "metric"), key)) | {"seeds": [float(seed.mean()) for seed in seeds]}
        row |= {name: float(STATISTICS[name](together)) for name in ("mean", "std", "min", "max")}
        rows.append({**row, "songs": len(seeds[0])})
        panels.setdefault(f"{key[3].upper()}, {key[0]}", {})[f"{key[1]}\n{key[2]}"] = together
    return rows, panels


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table."""
    lines = [
        "| data | stem | network | score | mean | std | min | max | mean of each seed |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        score, seeds = row["metric"].upper(), ", ".join(f"{seed:.2f}" for seed in row["seeds"])
        head = f"| {row['data']} | {row['stem']} | {row['network']} | {score} | "
        lines.append(head + "{mean:.2f} | {std:.2f} | {min:.2f} | {max:.2f} | ".format(**row) + f"{seeds} |")
    return "\n".join(lines)


def read_claim(path: Path) -> dict[str, Any] | None:
    """An earlier experiment's settings, its table, and the NSDR that the skip connections gain."""
    if not path.is_file():
        return None
    claim = json.loads(path.read_text(encoding="utf-8"))
    nsdr: dict[tuple[str, str], list[float]] = {}
    for row in claim["rows"]:
        if row["metric"] == "nsdr":
            nsdr.setdefault((row["data"], row["stem"]), []).append(row["mean"])
    gains = [f"{unet - twin:+.2f} dB ({stem}, {data})" for (data, stem), (unet, twin) in nsdr.items()]
    return {**claim, "table": table(claim["rows"]), "gains": ", ".join(gains)}


def prove(arguments: PaperClaimArguments) -> None:
    """Trains and scores both networks; prints the table, writes it as JSON and draws the box plots beside it."""
    output_dir = Path(arguments.output_dir)
    for run in RUNS:
        train_network(run, arguments, output_dir / run.name)
    results = [
        (run, evaluate_network(output_dir / run.name, data, folder))
        for run in RUNS
        for data, folder in (("musdb", arguments.musdb_dir), ("mir1k", arguments.mir1k_dir))
    ]
    rows, panels = rows_of(results)
    report = {name: value for name, value in asdict(arguments).items() if not name.endswith("_dir")}
    replace_text(output_dir / "paper_claim.json", json.dumps(plain({**report, "rows": rows}), indent=1) + "\n")
    draw_box_plot(panels, num_columns=len(METRICS)).savefig(output_dir / "paper_claim.png", dpi=110)
    print(table(rows))


def main() -> int:
    """Exits with 1 where a run failed, 2 for wrong usage."""
    parser = CommandParser(PaperClaimArguments, prog="python -m train.paper_claim")
    return run_command("paper_claim", lambda: prove(*parser.parse_args_into_dataclasses()))


if __name__ == "__main__":
    sys.exit(main())
