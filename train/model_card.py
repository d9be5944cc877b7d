"""`python -m train.model_card`: model_card.md from the recipe, the scores in train/results/ and a template.

train/results/README.md has the commands that make each of the files.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers import HfArgumentParser

from modeling_unet_svs import UNetSVSConfig, UNetSVSModel
from modeling_unet_svs.whole_files import replace_text

from .arguments import TrainingArguments, read_recipe
from .commands import run_command
from .model_card_scores import CollectionScores, evaluation_results, leakage, read_collections, worst_songs
from .paper_claim_report import table

FOLDER = Path(__file__).resolve().parent
TEMPLATE = FOLDER / "model_card_template.md"
TRAINING = "training.json"
PAPER_CLAIM = Path("paper_claim") / "paper_claim.json"
SHOWN_SETTINGS = ("learning_rate", "warmup_steps", "weight_decay", "mixed_precision", "ema_decay", "seed")
LOSS_NAMES = {
    "magnitude_l1": "L1 between masked and true magnitudes",
    "log_mse": "the logarithm of each example's squared error on the complex spectrogram",
}
TERMS = "https://zenodo.org/records/1117372"


@dataclass
class ModelCardArguments:
    """What the card is made of, and where it goes."""

    results_dir: str = field(
        default=str(FOLDER / "results"), metadata={"help": "Folder of training.json and the evaluations' JSON files."}
    )
    output: str = field(default=str(FOLDER.parent / "model_card.md"), metadata={"help": "The card."})


def make_card(results_dir: str | Path) -> ModelCard:
    """The model card of what was trained and scored.

    Args:
        results_dir: folder of `training.json` (`model_name`; `runs`, one after the other, each with its `recipe`, the
            `flags` that were given over it, and a `note` where there is more to say of it; `data`, a list of `name`,
            `what`, `songs`, `minutes` and `terms`; and `seen`, how its spectrograms look) and of results of
            `train.evaluate`, for the floor, the oracle and one model, on any number of data sets.

    Returns:
        The card, with the model's scores in its metadata.

    Raises:
        ValueError: a file that is missing or something else, or results of two different models.
    """
    results_dir = Path(results_dir)
    training = _read_training(results_dir / TRAINING)
    config = UNetSVSConfig(**read_recipe(training["runs"][-1]["recipe"]).get("model", {}))
    collections = read_collections(results_dir)
    return ModelCard.from_template(
        _metadata(training, [result for collection in collections for result in evaluation_results(collection)]),
        template_str=TEMPLATE.read_text(encoding="utf-8"),
        title=training["model_name"],
        license_link=TERMS,
        **_shape(config),
        runs=[_run(run) for run in training["runs"]],
        seen=training.get("seen"),
        training_data=training["data"],
        musdb_minutes=_minutes(training["data"], "MUSDB18"),
        collections=[_section(collection) for collection in collections],
        worst=next(filter(None, map(worst_songs, collections)), None),
        leakage=list(filter(None, map(leakage, collections))),
        claim=_claim(results_dir / PAPER_CLAIM),
    )


def _run(run: Mapping) -> dict[str, Any]:
    """A run of the trainer, with all its settings."""
    recipe = read_recipe(run["recipe"])
    defaults = {item.name: item.default for item in dataclasses.fields(TrainingArguments)}
    trained = {**defaults, **recipe.get("training", {}), **run["flags"]}
    return {
        "recipe": run["recipe"],
        "flags": ", ".join(f"`--{name} {value}`" for name, value in run["flags"].items()),
        "note": run.get("note"),
        "steps": f"{trained['max_train_steps']:,}",
        "batch_size": trained["train_batch_size"] * trained["gradient_accumulation_steps"],
        "loss": LOSS_NAMES[UNetSVSConfig(**recipe.get("model", {})).loss],
        **{name: trained[name] for name in SHOWN_SETTINGS},
    }


def _metadata(training: Mapping, scores: Sequence[EvalResult]) -> ModelCardData:
    return ModelCardData(
        library_name="transformers",
        pipeline_tag="audio-to-audio",
        tags=["source-separation", "singing-voice", "music", "karaoke", "u-net"],
        datasets=[data["name"] for data in training["data"]],
        license="other",
        license_name="non-commercial, for research (code Apache-2.0)",
        license_link=TERMS,
        model_name=training["model_name"],
        eval_results=list(scores) or None,
    )


def _shape(config: UNetSVSConfig) -> dict[str, Any]:
    with torch.device("meta"):
        num_parameters = UNetSVSModel(config).num_parameters()
    return {
        "sampling_rate": config.sampling_rate,
        "num_channels": config.num_channels,
        "num_bands": config.num_bands,
        "num_parameters": f"{num_parameters:,}",
        "highest_frequency": round(config.num_bins * config.sampling_rate / config.n_fft),
        "sources": " and ".join(config.sources),
    }


def _claim(path: Path) -> dict[str, Any] | None:
    """What `train.paper_claim` found: its settings, the table, and what the skip connections gain in NSDR."""
    if not path.is_file():
        return None
    claim = json.loads(path.read_text(encoding="utf-8"))
    nsdr: dict[tuple[str, str], list[float]] = {}
    for row in claim["rows"]:
        if row["metric"] == "nsdr":
            nsdr.setdefault((row["data"], row["stem"]), []).append(row["mean"])
    gains = [f"{unet - twin:+.2f} dB ({stem}, {data})" for (data, stem), (unet, twin) in nsdr.items()]
    return {**claim, "table": table(claim["rows"]), "gains": ", ".join(gains)}


def _section(collection: CollectionScores) -> dict[str, Any]:
    return {
        "title": collection.title,
        "rows": collection.rows(),
        "spread": collection.spread(),
        "skipped": collection.skipped(),
    }


def _minutes(data: Sequence[Mapping], name: str) -> float:
    return sum(item["minutes"] for item in data if item["name"].startswith(name))


def _read_training(path: Path) -> dict[str, Any]:
    try:
        training = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from None
    missing = [key for key in ("model_name", "runs", "data") if key not in training]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}.")
    return training


def main() -> int:
    """Writes the card; exits with 2 where it cannot be made, and leaves the one that is there."""
    parser = HfArgumentParser(ModelCardArguments, prog="python -m train.model_card")
    (arguments,) = parser.parse_args_into_dataclasses()
    return run_command(
        "model_card", lambda: replace_text(Path(arguments.output), f"{make_card(arguments.results_dir)}\n")
    )


if __name__ == "__main__":
    sys.exit(main())
