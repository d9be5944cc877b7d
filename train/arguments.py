"""The trainer's command line: flags over a recipe file over defaults."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transformers import HfArgumentParser

from modeling_unet_svs import DEFAULT_CHECKPOINT, UNetSVSConfig
from modeling_unet_svs.command.checkpoint import load_checkpoint

from .data.folders import LAYOUTS, SPLITS
from .data.mixing import MixingArguments
from .evaluation.scores import PROTOCOLS


@dataclass(kw_only=True)
class DataArguments:
    """Which songs, where they are kept decoded, and how a data set larger than the disk is read."""

    musdb_dir: str | None = field(default=None, metadata={"help": "MUSDB18: folder with train/ and test/."})
    mir1k_dir: str | None = field(default=None, metadata={"help": "MIR-1K: folder of clips."})
    instrumentals_dir: str | None = field(default=None, metadata={"help": "Folder of music without voice."})
    stems_dir: str | None = field(
        default=None,
        metadata={"help": "Folder of SONG/{vocals, accompaniment | mixture | drums,bass,other}.*, or DSD100."},
    )
    dataset_name: str | None = field(
        default=None, metadata={"help": "Data set of the Hub, or a local copy, with the stems of songs."}
    )
    layout: str | None = field(
        default=None,
        metadata={"help": f"Of --stems_dir or --dataset_name, where it is not recognised: {', '.join(LAYOUTS)}."},
    )
    skip_broken_songs: bool = field(
        default=False, metadata={"help": "Leave out songs that lack a stem or cannot be decoded, instead of stopping."}
    )
    cache_dir: str | None = field(
        default=None, metadata={"help": "Where songs are kept decoded; default: output_dir/../cache."}
    )
    decoding_workers: int = field(default=0, metadata={"help": "Threads that decode; 0 for one per core, up to 8."})
    streaming: bool = field(
        default=False, metadata={"help": "Read --dataset_name song by song while training; nothing is kept."}
    )
    shuffle_buffer_size: int = field(
        default=64, metadata={"help": "With --streaming: crops that are held and mixed, for each worker."}
    )
    crops_per_song: int = field(default=8, metadata={"help": "With --streaming: crops of a song each time it comes."})

    def check_data(self) -> None:
        """Checks that the flags fit together.

        Raises:
            ValueError: nothing to train on, or a flag that needs or excludes another.
        """
        if self.streaming:
            if not self.dataset_name:
                raise ValueError("--streaming reads --dataset_name, which is not given.")
            if self.musdb_dir or self.mir1k_dir or self.stems_dir or self.instrumentals_dir:
                raise ValueError("--streaming reads --dataset_name alone: leave the folders out.")
            if self.shuffle_buffer_size < 1 or self.crops_per_song < 1:
                raise ValueError("--shuffle_buffer_size and --crops_per_song must be at least 1.")
        if self.stems_dir and self.dataset_name and self.layout:
            raise ValueError("--layout says how one of --stems_dir and --dataset_name is laid out, not both.")
        if self.layout and not self.stems_dir and not self.dataset_name:
            raise ValueError("--layout is that of --stems_dir or --dataset_name, and neither is given.")
        if not (self.musdb_dir or self.mir1k_dir or self.stems_dir or self.dataset_name):
            raise ValueError(
                "nothing to train on: give --musdb_dir, --mir1k_dir, or both, or --stems_dir, or --dataset_name."
            )


RECIPES = Path(__file__).parent / "recipes"
DEFAULT_RECIPE = "full_band"
PLOT_FORMATS = ("png", "svg", "none")


@dataclass(kw_only=True)
class TrainingArguments(DataArguments):
    """What to train on, for how long, and where to write."""

    output_dir: str = field(
        default="runs/unet-svs", metadata={"help": "Folder for the model, its checkpoints and its logs."}
    )
    recipe: str | None = field(
        default=None, metadata={"help": "Name in train/recipes/, or a path to a JSON file; full_band if not given."}
    )
    model_name_or_path: str | None = field(
        default=None,
        metadata={"help": "Checkpoint to start from, a folder or Hub id; --recipe, where given, says the new shape."},
    )
    max_train_steps: int = field(default=5000, metadata={"help": "Optimizer steps."})
    train_batch_size: int = field(default=16, metadata={"help": "Examples per step and process."})
    gradient_accumulation_steps: int = field(default=1, metadata={"help": "Batches per optimizer step."})
    learning_rate: float = field(default=1.2e-3, metadata={"help": "AdamW's highest learning rate."})
    warmup_steps: int = field(default=100, metadata={"help": "Steps of linear warm-up before the cosine."})
    weight_decay: float = field(default=0.01, metadata={"help": "AdamW's weight decay."})
    max_grad_norm: float = field(default=5.0, metadata={"help": "Gradients are scaled down to this norm."})
    ema_decay: float = field(default=0.999, metadata={"help": "Moving average of the weights; this is what is saved."})
    mixed_precision: str = field(default="no", metadata={"help": "no, bf16 or fp16; bf16 ends where it overflows."})
    torch_compile: bool = field(default=False, metadata={"help": "Compile the model first; pays for long runs."})
    num_workers: int = field(default=1, metadata={"help": "Processes that make examples."})
    seed: int = field(default=0, metadata={"help": "Of weights, examples and dropout."})
    validation_steps: int = field(default=500, metadata={"help": "Steps between two validations."})
    early_stopping_patience: int | None = field(
        default=None, metadata={"help": "Stop after so many validations in a row without a better SDR."}
    )
    report_to: str = field(default="tensorboard", metadata={"help": "tensorboard, wandb, trackio, all or none."})
    logging_steps: int = field(default=50, metadata={"help": "Steps between two lines of the log."})
    checkpointing_steps: int = field(default=250, metadata={"help": "Steps between two checkpoints."})
    checkpoints_total_limit: int = field(default=2, metadata={"help": "Older checkpoints are removed."})
    resume_from_checkpoint: str | None = field(
        default=None, metadata={"help": "A checkpoint's folder, or `latest` for the newest in output_dir, if any."}
    )
    push_to_hub: bool = field(default=False, metadata={"help": "Upload the trained model, in one commit."})
    hub_model_id: str | None = field(default=None, metadata={"help": "USER/NAME on the Hub, for --push_to_hub."})


def read_recipe(name: str) -> dict[str, dict]:
    """A recipe's sections."""
    path = Path(name) if name.endswith(".json") else RECIPES / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.json")))
        raise ValueError(f"--recipe {name!r} is neither a file nor one of {known}.")
    try:
        recipe = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON: {error}.") from None
    known_fields = {"model": UNetSVSConfig, "training": TrainingArguments, "mixing": MixingArguments}
    for section, values in recipe.items():
        if section not in known_fields:
            raise ValueError(f"{path} has a section {section!r}: use {', '.join(known_fields)}.")
        unknown = set(values) - {item.name for item in dataclasses.fields(known_fields[section])}
        if unknown:
            raise ValueError(f"{path}, section {section!r}: unknown {', '.join(sorted(unknown))}.")
    return recipe


def parse_arguments(
    arguments: Sequence[str] | None = None,
) -> tuple[UNetSVSConfig, TrainingArguments, MixingArguments]:
    """Reads the command line, with the recipe's values as defaults."""
    parser = HfArgumentParser((TrainingArguments, MixingArguments), prog="accelerate launch train")
    first, _, _ = parser.parse_args_into_dataclasses(arguments, return_remaining_strings=True)
    recipe = read_recipe(first.recipe or DEFAULT_RECIPE)
    parser.set_defaults(**recipe.get("training", {}), **recipe.get("mixing", {}))
    training, mixing = parser.parse_args_into_dataclasses(arguments)
    training.check_data()
    if training.push_to_hub and not training.hub_model_id:
        raise ValueError("--push_to_hub needs --hub_model_id USER/NAME.")
    if training.model_name_or_path and not training.recipe:
        config = load_checkpoint(training.model_name_or_path).config
        return UNetSVSConfig(**dataclasses.asdict(config)), training, mixing
    return UNetSVSConfig(**recipe.get("model", {})), training, mixing


@dataclass
class EvaluationArguments:
    """What to score, on which songs, and how."""

    model: str = field(
        default=DEFAULT_CHECKPOINT,
        metadata={"help": "Folder or Hub id; `mixture` for the floor, `irm` for the oracle's ratio mask."},
    )
    musdb_dir: str | None = field(default=None, metadata={"help": "MUSDB18: folder with train/ and test/."})
    mir1k_dir: str | None = field(default=None, metadata={"help": "MIR-1K: folder of clips."})
    stems_dir: str | None = field(
        default=None, metadata={"help": "Folder of SONG/vocals.*, SONG/accompaniment.* (or any other stems)."}
    )
    split: str = field(default="test", metadata={"help": "test, validation or train; MIR-1K has no test split."})
    protocol: list[str] = field(
        default_factory=lambda: ["sdr"],
        metadata={
            "help": "One or several of sdr (SDR and SI-SDR of the song), museval (BSSEval v4), bss_eval_v3 (the "
            "paper's NSDR, SIR, SAR), levels (what comes out as a stem that does not play)."
        },
    )
    bss_eval_rate: int | None = field(
        default=None,
        metadata={"help": "Hz of bss_eval_v3; default: the lower of the model's and the song's (MIR-1K: 16000)."},
    )
    output: str | None = field(
        default=None,
        metadata={"help": "JSON file for all scores; songs that it has already are not done again."},
    )
    overwrite: bool = field(default=False, metadata={"help": "Begin --output anew, whatever it has."})
    plot_format: str = field(default="png", metadata={"help": "Of the box plot beside --output: png, svg or none."})

    def __post_init__(self):
        """Raises ValueError for what no evaluation can be made of."""
        given = [folder for folder in (self.musdb_dir, self.mir1k_dir, self.stems_dir) if folder]
        if len(given) != 1:
            what = "only one of" if given else "nothing to evaluate on: give"
            raise ValueError(f"{what} --musdb_dir, --mir1k_dir or --stems_dir{' at a time' if given else ''}.")
        self.protocol = list(dict.fromkeys(self.protocol))
        for flag, values, known in (
            ("--protocol", self.protocol, PROTOCOLS),
            ("--split", [self.split], SPLITS),
            ("--plot_format", [self.plot_format], PLOT_FORMATS),
        ):
            unknown = [value for value in values if value not in known]
            if unknown:
                raise ValueError(f"{flag} {unknown[0]} is unknown: use {', '.join(known)}.")
        if self.bss_eval_rate is not None and self.bss_eval_rate <= 0:
            raise ValueError(f"--bss_eval_rate {self.bss_eval_rate}: give a sampling rate in Hz.")
