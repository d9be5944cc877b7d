"""Builds model cards for the bundled checkpoint and for any run of the trainer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from modeling_unet_svs import UNetSVSConfig, UNetSVSModel
from modeling_unet_svs.audio.whole_files import replace_text
from modeling_unet_svs.command.checkpoint import load_card
from modeling_unet_svs.separation import refuse_if

from ..arguments import TrainingArguments, read_recipe
from ..data.mixing import MixingArguments
from ..evaluation.results import STATISTICS
from ..evaluation.scores import STEMS
from ..evaluation.separators import IRM, MIXTURE
from ..paper_claim import read_claim

FOLDER = Path(__file__).resolve().parents[1]
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
# The scores that go into the metadata.
INDEXED = ("SDR, mean", "SDR (museval), median", "NSDR (BSSEval v3), mean")
# Ratios above this many dB are only rounding.
PERFECT = 100.0
EXCERPT_SECONDS = 30
NUM_WORST = 3
LOSS_NAMES = {
    "magnitude_l1": "L1 between masked and true magnitudes",
    "log_mse": "the logarithm of each example's squared error on the complex spectrogram",
}
TERMS = "https://zenodo.org/records/1117372"


def build_card(template: str, values: Mapping[str, Any], scores: list[EvalResult], **metadata: Any) -> ModelCard:
    """A card from a template of `train/` and its values, with the metadata that all our models share."""
    data = ModelCardData(
        library_name="transformers", pipeline_tag="audio-to-audio", eval_results=scores or None, **metadata
    )
    return ModelCard.from_template(data, template_path=str(FOLDER / template), **values)


def score_of(dataset: str, name: str, split: str, metric: str, metric_name: str, value: float) -> EvalResult:
    """A score for the metadata `model-index`."""
    return EvalResult(
        task_type="audio-to-audio",
        task_name="Singing voice separation",
        dataset_type=dataset,
        dataset_name=name,
        dataset_split=split,
        metric_type=metric,
        metric_name=metric_name,
        metric_value=round(value, 2),
    )


def make_card(results_dir: str | Path) -> ModelCard:
    """Makes the card of the bundled checkpoint from `training.json` and the evaluations' files in a folder."""
    results_dir = Path(results_dir)
    training = _read_json(results_dir / "training.json")
    missing = [key for key in ("model_name", "runs", "data") if key not in training]
    refuse_if(missing, f"{results_dir / 'training.json'} lacks {', '.join(missing)}.")
    config = UNetSVSConfig(**read_recipe(training["runs"][-1]["recipe"]).get("model", {}))
    with torch.device("meta"):
        num_parameters = UNetSVSModel(config).num_parameters()
    collections = read_collections(results_dir)
    values = {
        "config": config,
        "num_parameters": num_parameters,
        "training": training,
        "runs": [_run(run) for run in training["runs"]],
        "musdb_minutes": sum(data["minutes"] for data in training["data"] if data["name"].startswith("MUSDB18")),
        "num_singers": training.get("num_singers"),
        "collections": collections,
        "worst": next(filter(None, (collection.worst() for collection in collections)), None),
        "leakage": [leakage for leakage in (collection.leakage() for collection in collections) if leakage],
        "claim": read_claim(results_dir / "paper_claim" / "paper_claim.json"),
    }
    return build_card(
        "model_card_template.md",
        values,
        [score for collection in collections for score in collection.indexed()],
        tags=["source-separation", "singing-voice", "music", "karaoke", "u-net"],
        datasets=[data["name"] for data in training["data"]],
        license="other",
        license_name="non-commercial, for research (code Apache-2.0)",
        license_link=TERMS,
        model_name=training["model_name"],
    )


def write_run_card(
    folder: str | Path,
    config: UNetSVSConfig,
    training: TrainingArguments,
    mixing: MixingArguments,
    scores: Mapping[str, float],
) -> None:
    """Writes the card of a run, with its arguments and its last validation, to `README.md` of the model's folder."""
    name, start = Path(training.output_dir).resolve().name, training.model_name_or_path
    named = {"MUSDB18": training.musdb_dir, "MIR-1K": training.mir1k_dir}
    named |= {"instrumentals": training.instrumentals_dir, "voices": training.voices_dir}
    data = [label for label, path in named.items() if path]
    data += [_public(origin) for origin in (training.stems_dir, training.dataset_name) if origin]
    base = base_of(start)
    arguments = {key: _public(value) for key, value in asdict(training).items()} | {"mixing": asdict(mixing)}
    values = {
        "name": name,
        "config": config,
        "model_id": training.hub_model_id or f"path/to/{name}",
        "data": data,
        "scores": scores,
        "base": base,
        "arguments": json.dumps(arguments, indent=1),
    }
    card = build_card(
        "run_card_template.md",
        values,
        [
            score_of("validation", "validation songs", "validation", "sdr", f"{score}, dB", value)
            for score, value in scores.items()
        ],
        tags=["source-separation", "singing-voice"],
        datasets=list(dict.fromkeys([*data, *base.datasets])),
        base_model=base.name or None,
        license=base.license,
        license_name=base.license_name,
        license_link=base.license_link,
        model_name=name if scores else None,
    )
    replace_text(Path(folder) / "README.md", f"{card}\n")


@dataclass(frozen=True)
class Base:
    """What a run started from, as its card says it; a model that is tuned is bound by the same terms."""

    name: str = ""
    datasets: Sequence[str] = ()
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None

    @property
    def terms(self) -> str:
        return self.license_name or self.license or "not stated"


def base_of(start: str | None) -> Base:
    """The model that a run started from; without a start, nothing."""
    if start is None:
        return Base()
    card = load_card(start)
    name = start
    if Path(start).exists():
        name = (card and card.data.get("model_name")) or Path(start).resolve().name
    found = card.data if card else ModelCardData()
    datasets = [found.datasets] if isinstance(found.datasets, str) else found.datasets or ()
    return Base(name.replace(" ", "-"), datasets, found.license, found.license_name, found.license_link)


def _public(value: Any) -> Any:
    """Reduces a path to its name, so that a card shows no folders of the machine."""
    return Path(value).resolve().name if isinstance(value, str) and Path(value).exists() else value


@dataclass(frozen=True)
class CollectionScores:
    """All results on the same songs, by role."""

    data: Mapping[str, Any]
    results: Mapping[str, Mapping[str, Any]]

    @property
    def songs(self) -> str:
        """Their number, kind and length, in words."""
        lengths = [song["seconds"] for results in self.results.values() for song in results["songs"].values()]
        seconds = float(np.mean(lengths or 0))
        return f"{self.data['num_songs']} {'excerpts' if seconds < EXCERPT_SECONDS else 'songs'} of {seconds:.0f} s"

    @property
    def title(self) -> str:
        return f"{self.songs} of {self.data['name']}, {self.data['split']} split"

    def value(self, role: str, protocol: str, stem: str, metric: str, statistic: str) -> float | None:
        """A statistic of the summary in dB; `None` where it was not measured."""
        summary: Any = self.results.get(role, {}).get("summary", {})
        for key in (protocol, stem, metric, statistic):
            summary = summary.get(key, {})
        return summary if isinstance(summary, (int, float)) else None

    @property
    def rows(self) -> list[dict[str, str]]:
        """The table: `score`, `stem` and a text for each role, for all that was measured."""
        rows = [
            {"score": name, "stem": stem}
            | {role: _text(self.value(role, protocol, stem, metric, statistic)) for role in ROLES}
            for protocol, metric, statistic, name in SCORES
            for stem in STEMS
        ]
        return [row for row in rows if any(row[role] != _text(None) for role in ROLES)]

    @property
    def spread(self) -> list[dict[str, str]]:
        """The paper's table of the model: `score`, `stem` and its five statistics."""
        return [
            {"score": metric.upper(), "stem": stem}
            | {name: _text(self.value(MODEL, "bss_eval_v3", stem, metric, name)) for name in STATISTICS}
            for metric in ("nsdr", "sir", "sar")
            for stem in STEMS
            if self.value(MODEL, "bss_eval_v3", stem, metric, "mean") is not None
        ]

    @property
    def skipped(self) -> str:
        """How many songs and frames had silent references, in words; empty where none had."""
        parts = [
            f"{count} {kind} for {stem} ({protocol})"
            for protocol in ("sdr", "museval", "bss_eval_v3")
            for stem in STEMS
            for key, kind in (("skipped", "songs"), ("skipped_frames", "frames"))
            if (count := self.value(MODEL, protocol, stem, "sdr", key))
        ]
        return f"Left out, because a reference is silent: {', '.join(parts)}." if parts else ""

    def indexed(self) -> list[EvalResult]:
        """The model's scores for the metadata."""
        name, split = self.data["name"], self.data["split"]
        return [
            score_of(name.lower(), f"{name}, {self.songs}", split, metric, f"{stem} {label} in dB", value)
            for protocol, metric, statistic, label in SCORES
            for stem in STEMS
            if label in INDEXED and (value := self.value(MODEL, protocol, stem, metric, statistic)) is not None
        ]

    def worst(self) -> dict[str, Any] | None:
        """The songs whose vocals the model separates worst, by SDR."""
        model, floor = (self.results.get(role, {}).get("songs", {}) for role in (MODEL, MIXTURE))
        scores = {
            name: (song["sdr"]["vocals"]["sdr"], floor[name]["sdr"]["vocals"]["sdr"])
            for name, song in model.items()
            if "sdr" in song and "sdr" in floor.get(name, {})
        }
        ranked = sorted((ours, bound, name) for name, (ours, bound) in scores.items() if None not in (ours, bound))
        songs = [{"name": name, "sdr": _text(ours), "floor": _text(bound)} for ours, bound, name in ranked[:NUM_WORST]]
        return {"collection": f"the {self.title}", "songs": songs} if songs else None

    def leakage(self) -> dict[str, str] | None:
        """The level, in dB below the input, of a stem that is silent in it."""
        levels = {stem: self.value(MODEL, "levels", stem, "leakage", "median") for stem in STEMS}
        if None in levels.values():
            return None
        return {"collection": f"the {self.title}"} | {stem: f"{-level:.1f}" for stem, level in levels.items()}


def _text(value: float | None) -> str:
    if value is None:
        return "–"
    return f"> {PERFECT:.0f}" if value > PERFECT else f"{value:.2f}"


def read_collections(results_dir: Path) -> list[CollectionScores]:
    """All results in a folder, by their songs; those of MUSDB18, which others report, come first."""
    grouped: dict[str, dict[str, Any]] = {}
    models: set[str] = set()
    for path in sorted(results_dir.glob("*.json")):
        results = _read_json(path)
        if "summary" not in results:
            continue
        lacks_songs = results["failed"] or len(results["songs"]) != results["data"]["num_songs"]
        refuse_if(lacks_songs, f"{path} lacks songs: run its command once more, {results['command']}")
        name = results["model"]["name"]
        role = name if name in (MIXTURE, IRM) else MODEL
        if role == MODEL:
            models.add(results["model"]["fingerprint"])
        refuse_if(len(models) > 1, f"{path} is for another model than the other results: score one model.")
        group = grouped.setdefault(results["data"]["fingerprint"], {})
        refuse_if(role in group, f"{path} is the second file for {name} on {results['data']['name']}: remove one.")
        group[role] = results
    refuse_if(not grouped, f"no results in {results_dir}: see train/results/README.md.")
    collections = [CollectionScores(next(iter(group.values()))["data"], group) for group in grouped.values()]
    return sorted(collections, key=lambda found: (not found.data["name"].startswith("MUSDB18"), found.title))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = "cannot be read" if isinstance(error, OSError) else "is not valid JSON"
        raise ValueError(f"{path} {reason}: {error}.") from None


def _run(run: Mapping) -> dict[str, Any]:
    """A run of the trainer, with all its settings."""
    recipe = read_recipe(run["recipe"])
    flags = {name: value for name, value in run["flags"].items() if not hasattr(MixingArguments, name)}
    trained = TrainingArguments(**{**recipe.get("training", {}), **flags})
    return {
        **asdict(trained),
        "recipe": run["recipe"],
        "flags": ", ".join(f"`--{name} {value}`" for name, value in run["flags"].items()),
        "note": run.get("note"),
        "steps": f"{trained.max_train_steps:,}",
        "batch_size": trained.train_batch_size * trained.gradient_accumulation_steps,
        "loss": LOSS_NAMES[UNetSVSConfig(**recipe.get("model", {})).loss],
    }
