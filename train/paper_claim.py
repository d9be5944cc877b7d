"""`python -m train.paper_claim --musdb_dir DIR --mir1k_dir DIR --output_dir DIR`: the paper's claim, tried.

The U-Net and its twin without skip connections, all else alike: trained, scored with BSS Eval v3 on songs and singers
that neither has seen, and drawn. What an interrupted run has done is not done again.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from transformers import HfArgumentParser

from .arguments import read_recipe
from .paper_claim_report import NETWORKS, Run, save_report

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
    """Trains and scores both networks.

    Args:
        arguments: of the command line.

    Returns:
        By network and stem, the results of `train.evaluate` for each seed and data set.

    Raises:
        ValueError: data that cannot be read.
        subprocess.CalledProcessError: a run that failed; it has said why.
    """
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
