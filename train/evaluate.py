"""`python -m train.evaluate --model MODEL --musdb_dir DIR --output results.json`: scores on songs with known stems."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import datasets
import numpy as np
from rich.console import Console
from rich.table import Table
from tqdm.auto import tqdm
from transformers import HfArgumentParser

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.checkpoint_loading import load_checkpoint

from .scores import museval_sdr, sdr
from .songs import load_mir1k, load_musdb18
from .stem_references import read_stems

MIXTURE = "mixture"
STEMS = ("vocals", "accompaniment")
PROTOCOLS: Mapping[str, Callable[[np.ndarray, np.ndarray, int], dict[str, float]]] = {
    "sdr": lambda references, estimates, _: {
        stem: sdr(reference, estimate) for stem, reference, estimate in zip(STEMS, references, estimates)
    },
    "museval": lambda references, estimates, sampling_rate: dict(
        zip(STEMS, museval_sdr(references, estimates, sampling_rate))
    ),
}


@dataclass
class EvaluationArguments:
    """What to score, and on which songs."""

    model: str = field(
        default=DEFAULT_CHECKPOINT, metadata={"help": "Folder or Hub id; `mixture` for the mixture as estimate."}
    )
    musdb_dir: str | None = field(default=None, metadata={"help": "MUSDB18: folder with train/ and test/."})
    mir1k_dir: str | None = field(default=None, metadata={"help": "MIR-1K: folder of clips."})
    split: str = field(default="test", metadata={"help": "test or validation; MIR-1K has no test split."})
    protocol: list[str] = field(
        default_factory=lambda: ["sdr"], metadata={"help": "sdr (whole song), museval (BSSEval v4), or both."}
    )
    output: str | None = field(default=None, metadata={"help": "JSON file for the scores of every song."})


def evaluate(arguments: EvaluationArguments) -> dict:
    """Separates every song's mixture, which is the sum of its stems, and scores the estimates at the song's rate.

    Args:
        arguments: of the command line.

    Returns:
        `arguments`; `songs`, the scores in dB of each song; and `summary`, for each protocol and stem the `mean` and
        the `median` over songs, and `count`, the songs whose reference was not silent.

    Raises:
        ValueError: no songs, an unknown protocol, or a model that cannot be loaded or lacks a stem.
    """
    unknown = [protocol for protocol in arguments.protocol if protocol not in PROTOCOLS]
    if unknown:
        raise ValueError(f"--protocol {unknown[0]} is unknown: use {', '.join(PROTOCOLS)}.")
    model = None if arguments.model == MIXTURE else load_checkpoint(arguments.model)
    if model is not None and not set(STEMS) <= set(model.config.stems):
        raise ValueError(
            f"--model {arguments.model} has the stems {', '.join(model.config.stems)}, not both of {STEMS}."
        )
    songs = {}
    for song in tqdm(_songs(arguments), desc="Evaluating", unit="song"):
        references, rate = read_stems(song)
        mixture = references.sum(axis=0)
        stems = dict.fromkeys(STEMS, mixture) if model is None else model.separate(mixture, rate)
        estimates = np.stack([stems[stem] for stem in STEMS])
        songs[song["name"]] = {name: PROTOCOLS[name](references, estimates, rate) for name in arguments.protocol}
    summary = {
        protocol: {stem: _summary([scores[protocol][stem] for scores in songs.values()]) for stem in STEMS}
        for protocol in arguments.protocol
    }
    return {"arguments": asdict(arguments), "summary": summary, "songs": songs}


def _songs(arguments: EvaluationArguments) -> datasets.Dataset:
    if arguments.musdb_dir:
        return load_musdb18(arguments.musdb_dir, arguments.split)
    if arguments.mir1k_dir:
        return load_mir1k(arguments.mir1k_dir, arguments.split)
    raise ValueError("nothing to evaluate on: give --musdb_dir or --mir1k_dir.")


def _summary(scores: list[float]) -> dict[str, float]:
    finite = [score for score in scores if np.isfinite(score)]
    return {
        "mean": float(np.mean(finite)) if finite else float("nan"),
        "median": float(np.median(finite)) if finite else float("nan"),
        "count": len(finite),
    }


def main() -> int:
    """Prints a table and writes the JSON file; exits with 2 where something given cannot be used."""
    (arguments,) = HfArgumentParser(EvaluationArguments, prog="python -m train.evaluate").parse_args_into_dataclasses()
    try:
        results = evaluate(arguments)
        if arguments.output:
            Path(arguments.output).parent.mkdir(parents=True, exist_ok=True)
            Path(arguments.output).write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    except (ValueError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 2
    table = Table("protocol", "stem", "mean, dB", "median, dB", "songs")
    for protocol, stems in results["summary"].items():
        for stem, scores in stems.items():
            table.add_row(protocol, stem, f"{scores['mean']:.2f}", f"{scores['median']:.2f}", str(scores["count"]))
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
