"""The card that a trained model goes to the Hub with: how it was made, and what validation said of it."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers import HfArgumentParser

from modeling_unet_svs import UNetSVSConfig, UNetSVSModel
from modeling_unet_svs.audio.whole_files import replace_text

from ..arguments import TrainingArguments, read_recipe
from ..data.mixing import MixingArguments
from ..evaluation.scores import STEMS
from ..evaluation.separators import IRM, MIXTURE
from ..exit_codes import run_command
from ..scripts.paper_claim import table

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
    """All results on the same songs."""

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
    """All results in a folder."""
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
    """The model's scores for the metadata `model-index`."""
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
    """The songs whose vocals the model separates worst, by SDR."""
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
    """What comes out as a stem that does not play."""
    levels = {stem: collection.value(MODEL, "levels", stem, "leakage", "median") for stem in STEMS}
    if None in levels.values():
        return None
    return {"collection": f"the {collection.title}", **{stem: f"{-level:.1f}" for stem, level in levels.items()}}


def _text(value: float | None) -> str:
    if value is None:
        return "–"
    return f"> {PERFECT:.0f}" if value > PERFECT else f"{value:.2f}"


FOLDER = Path(__file__).resolve().parents[1]
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
    """The model card of what was trained and scored."""
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


TEXT = """---
{metadata}
---

# {name}

Takes songs apart into {stems}, with the deep U-Net of Jansson et al., *Singing Voice Separation with Deep U-Net
Convolutional Networks* (ISMIR 2017), at {sampling_rate} Hz.

```python
from transformers import pipeline

separator = pipeline("audio-to-audio", model="{model_id}", trust_remote_code=True)
stems = separator("song.flac")
```

Trained with `accelerate launch train` on {data}; a model is bound by the licences of what it was trained on.

| validation | dB |
| --- | --- |
{scores}

Arguments of the training:

```json
{arguments}
```
"""


def write_run_card(
    folder: str | Path,
    config: UNetSVSConfig,
    training: TrainingArguments,
    mixing: MixingArguments,
    scores: dict[str, float],
) -> None:
    """Writes `README.md` into a model's folder."""
    name = Path(folder).resolve().name
    given = {
        "MUSDB18": training.musdb_dir,
        "MIR-1K": training.mir1k_dir,
        "instrumentals": training.instrumentals_dir,
    }
    data = [label for label, path in given.items() if path]
    data += [_public(origin) for origin in (training.stems_dir, training.dataset_name) if origin]
    start = training.model_name_or_path
    results = [
        EvalResult(
            task_type="audio-to-audio",
            dataset_type="validation",
            dataset_name="validation songs",
            metric_type="sdr",
            metric_name=f"{score}, dB",
            metric_value=round(value, 2),
        )
        for score, value in scores.items()
    ]
    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag="audio-to-audio",
        tags=["source-separation", "singing-voice"],
        datasets=data,
        base_model=start if start and not Path(start).exists() else None,
        model_name=name if results else None,
        eval_results=results or None,
    )
    text = TEXT.format(
        metadata=metadata.to_yaml(),
        name=name,
        stems=" and ".join(config.stems),
        sampling_rate=config.sampling_rate,
        model_id=training.hub_model_id or f"path/to/{name}",
        data=", ".join(data),
        scores="\n".join(f"| {score} | {value:.2f} |" for score, value in scores.items()),
        arguments=json.dumps(
            {name: _public(value) for name, value in asdict(training).items()} | {"mixing": asdict(mixing)}, indent=1
        ),
    )
    ModelCard(text).save(Path(folder) / "README.md")


def _public(value: Any) -> Any:
    """Of a path, its name alone: where it lies on the machine is nobody's business."""
    return Path(value).resolve().name if isinstance(value, str) and Path(value).exists() else value
