"""The trainer's command line: flags over a recipe file over defaults."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, Optional

from transformers import HfArgumentParser
from transformers.hf_argparser import HfArg

from modeling_unet_svs import DEFAULT_CHECKPOINT, UNetSVSConfig
from modeling_unet_svs.architecture import Architecture
from modeling_unet_svs.command.torch_runtime import load_checkpoint
from modeling_unet_svs.separation import refuse_if

from .data.folders import LAYOUTS
from .data.mixing import MixingArguments
from .evaluation.scores import PROTOCOLS


@dataclass(kw_only=True)
class DataArguments:
    """The songs, the place for them when decoded, and how to read a data set that is larger than the disk."""

    musdb_dir: str | None = HfArg(default=None, help="MUSDB18: folder with train/ and test/.")
    mir1k_dir: str | None = HfArg(default=None, help="MIR-1K: folder of clips.")
    instrumentals_dir: str | None = HfArg(default=None, help="Folder of music without voice.")
    voices_dir: str | None = HfArg(
        default=None, help="Folder of voices without music; each subfolder is a group of singers."
    )
    stems_dir: str | None = HfArg(
        default=None, help="Folder of SONG/{vocals, accompaniment | mixture | drums,bass,other}.*, or DSD100."
    )
    dataset_name: str | None = HfArg(
        default=None, help="Data set of the Hub, or a local copy, with the stems of songs."
    )
    layout: str | None = HfArg(
        default=None, help=f"Layout of --stems_dir or --dataset_name if it is not recognised: {', '.join(LAYOUTS)}."
    )
    skip_broken_songs: bool = HfArg(
        default=False, help="Leave out songs that lack a stem or cannot be decoded, instead of stopping."
    )
    cache_dir: str | None = HfArg(default=None, help="Folder for decoded songs; default: output_dir/../cache.")
    decoding_workers: int = HfArg(default=0, help="Threads that decode; 0 for two: more wait for each other.")
    streaming: bool = HfArg(default=False, help="Read --dataset_name song by song while training; nothing is kept.")
    shuffle_buffer_size: int = HfArg(default=64, help="With --streaming: crops that each worker holds and mixes.")
    crops_per_song: int = HfArg(default=8, help="With --streaming: crops taken from a song in each pass.")

    def check_data(self) -> None:
        """Refuses flags that do not fit together."""
        folders = self.musdb_dir or self.mir1k_dir or self.stems_dir
        if self.streaming:
            refuse_if(not self.dataset_name, "--streaming reads --dataset_name, which is not given.")
            only = "--streaming reads only --dataset_name: leave the folders out."
            refuse_if(folders or self.instrumentals_dir or self.voices_dir, only)
            too_few = "--shuffle_buffer_size and --crops_per_song must be at least 1."
            refuse_if(self.shuffle_buffer_size < 1 or self.crops_per_song < 1, too_few)
        if self.layout:
            which = "--layout says how one of --stems_dir and --dataset_name is laid out, not both."
            refuse_if(self.stems_dir and self.dataset_name, which)
            neither = "--layout is that of --stems_dir or --dataset_name, and neither is given."
            refuse_if(not self.stems_dir and not self.dataset_name, neither)
        any_of = "--musdb_dir, --mir1k_dir, --stems_dir, --dataset_name, --voices_dir or --instrumentals_dir"
        is_empty = not (folders or self.dataset_name or self.voices_dir or self.instrumentals_dir)
        refuse_if(is_empty, f"nothing to train on: give {any_of}.")


RECIPES = Path(__file__).parent / "recipes"
# Without a start and with one.
DEFAULT_RECIPE, TUNING_RECIPE = "full_band", "finetune"


# Flags of things that are counted, of which there must be some.
COUNTS = ("max_train_steps", "train_batch_size", "gradient_accumulation_steps", "validation_steps", "logging_steps")
COUNTS = (*COUNTS, "checkpointing_steps", "checkpoints_total_limit", "early_stopping_patience")


@dataclass(kw_only=True)
class TrainingArguments(DataArguments):
    """The data, the recipe, the optimizer and the output of a training."""

    output_dir: str = HfArg(default="runs/unet-svs", help="Folder for the model, its checkpoints and its logs.")
    recipe: str | None = HfArg(
        default=None,
        help="Name in train/recipes/, or a path to a JSON file; default: full_band, or finetune if "
        "--model_name_or_path is given.",
    )
    model_name_or_path: str | None = HfArg(
        default=None, help="Checkpoint to start from, a folder or Hub id; its shape is kept unless the recipe has one."
    )
    max_train_steps: int = HfArg(default=5000, help="Optimizer steps.")
    train_batch_size: int = HfArg(default=16, help="Examples per step and process.")
    gradient_accumulation_steps: int = HfArg(default=1, help="Batches per optimizer step.")
    learning_rate: float = HfArg(default=1.2e-3, help="AdamW's highest learning rate.")
    warmup_steps: int = HfArg(default=100, help="Steps of linear warm-up before the cosine.")
    weight_decay: float = HfArg(default=0.01, help="AdamW's weight decay.")
    max_grad_norm: float = HfArg(default=5.0, help="Upper limit of the gradients' norm.")
    ema_decay: float = HfArg(default=0.999, help="Decay of the weights' moving average, which is what is saved.")
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = HfArg(
        default="no",
        help="Precision; auto is the device's fastest; bf16 goes on in full precision after an overflow.",
    )
    torch_compile: bool = HfArg(default=False, help="Compile the model first; worthwhile for long runs.")
    num_workers: int = HfArg(default=1, help="Processes that make examples.")
    seed: int = HfArg(default=0, help="Seed of weights, examples and dropout.")
    validation_steps: int = HfArg(default=500, help="Steps between two validations.")
    early_stopping_patience: int | None = HfArg(
        default=None, help="Stop after this many validations in a row without a better SDR."
    )
    report_to: Literal["tensorboard", "wandb", "trackio", "all", "none"] = HfArg(
        default="tensorboard", help="Where to log; all means every installed tracker."
    )
    logging_steps: int = HfArg(default=50, help="Steps between two lines of the log.")
    checkpointing_steps: int = HfArg(default=250, help="Steps between two checkpoints.")
    checkpoints_total_limit: int = HfArg(default=2, help="Checkpoints to keep; older ones are removed.")
    resume_from_checkpoint: str | None = HfArg(
        default=None, help="A checkpoint's folder, or `latest` for the newest in output_dir, if any."
    )
    dry_run: bool = HfArg(
        default=False,
        help="Find and decode the songs, write a batch to output_dir/dry_run, measure a few steps and a validation, "
        "and stop.",
    )
    push_to_hub: bool = HfArg(default=False, help="Upload the trained model, in one commit.")
    hub_model_id: str | None = HfArg(default=None, help="USER/NAME on the Hub, for --push_to_hub.")

    def __post_init__(self):
        for name in COUNTS:
            value = getattr(self, name)
            refuse_if(value is not None and value < 1, f"--{name} is {value}: use 1 or more.")


class CommandParser(HfArgumentParser):
    """Raises what is wrong with a command line, so that it is one line instead of a list of all flags."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _model_arguments() -> type:
    """A dataclass with a field for each of the model's configuration, `None` where it is not given."""
    flags = []
    for field in dataclasses.fields(Architecture):
        kind = {list[str] | tuple[str, ...]: list[str], list[int] | tuple[int, ...]: list[int], float | int: float}
        given = HfArg(default=None, help="The model's, as in UNetSVSConfig; over the recipe's.")
        flags.append((field.name, Optional[kind.get(field.type, field.type)], given))  # noqa: UP045 (for any type)
    return dataclasses.make_dataclass("ModelArguments", flags)


ModelArguments = _model_arguments()


def read_recipe(name: str) -> dict[str, dict]:
    """A recipe's sections."""
    path = Path(name) if name.endswith(".json") else RECIPES / f"{name}.json"
    known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.json")))
    refuse_if(not path.is_file(), f"--recipe {name!r} is neither a file nor one of {known}.")
    try:
        recipe = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON: {error}.") from None
    sections = {"model": UNetSVSConfig, "training": TrainingArguments, "mixing": MixingArguments}
    for section, values in recipe.items():
        refuse_if(section not in sections, f"{path} has a section {section!r}: use {', '.join(sections)}.")
        unknown = set(values) - {item.name for item in dataclasses.fields(sections[section])}
        refuse_if(unknown, f"{path}, section {section!r}: unknown {', '.join(sorted(unknown))}.")
    return recipe


def parse_arguments(
    arguments: Sequence[str] | None = None,
) -> tuple[UNetSVSConfig, TrainingArguments, MixingArguments]:
    """Reads the command line, with the recipe's values as defaults."""
    parser = CommandParser((TrainingArguments, MixingArguments, ModelArguments), prog="accelerate launch train")
    given = sys.argv[1:] if arguments is None else [*arguments]
    chosen = parser.parse_known_args(given)[0]
    recipe_name = chosen.recipe or (TUNING_RECIPE if chosen.model_name_or_path else DEFAULT_RECIPE)
    recipe = read_recipe(recipe_name)
    defaults = {**recipe.get("training", {}), **recipe.get("mixing", {})}
    training, mixing, model = parser.parse_args_into_dataclasses(
        [*(f"--{name}={value}" for name, value in defaults.items()), *given]
    )
    training.check_data()
    is_nameless = training.push_to_hub and not training.hub_model_id
    refuse_if(is_nameless, "--push_to_hub needs --hub_model_id USER/NAME.")
    values = recipe.get("model")
    if values is None:
        start = "give the checkpoint to tune as --model_name_or_path."
        refuse_if(not training.model_name_or_path, f"--recipe {recipe_name} has no model of its own: {start}")
        values = dataclasses.asdict(load_checkpoint(training.model_name_or_path).config)
    changes = {name: value for name, value in vars(model).items() if value is not None}
    if changes.get("residual") == "none":
        changes["residual"] = None
    return UNetSVSConfig(**{**values, **changes}), training, mixing


@dataclass
class EvaluationArguments:
    """The model, the songs and the scores of an evaluation."""

    model: str = HfArg(
        default=DEFAULT_CHECKPOINT,
        help="Folder or Hub id; `mixture` for the floor, `irm` for the oracle's ratio mask.",
    )
    musdb_dir: str | None = HfArg(default=None, help="MUSDB18: folder with train/ and test/.")
    mir1k_dir: str | None = HfArg(default=None, help="MIR-1K: folder of clips.")
    stems_dir: str | None = HfArg(
        default=None, help="Folder of SONG/vocals.*, SONG/accompaniment.* (or any other stems)."
    )
    split: Literal["train", "validation", "test", "all"] | None = HfArg(
        default=None,
        help="Which songs; default: test of MUSDB18, validation of MIR-1K, all of --stems_dir. For --stems_dir, the "
        "split that the trainer makes of the same folder.",
    )
    protocol: list[str] = HfArg(
        default_factory=lambda: ["sdr"],
        help="One or several of sdr (SDR and SI-SDR of the song), museval (BSSEval v4), bss_eval_v3 (the "
        "paper's NSDR, SIR, SAR), levels (how loud a stem is that does not play).",
        metadata={"choices": [*PROTOCOLS]},
    )
    bss_eval_rate: int | None = HfArg(
        default=None, help="Hz of bss_eval_v3; default: the lower of the model's and the song's (MIR-1K: 16000)."
    )
    output: str | None = HfArg(
        default=None, help="JSON file for all scores; songs already in it are not scored again."
    )
    overwrite: bool = HfArg(default=False, help="Start --output afresh, whatever it holds.")
    plot_format: Literal["png", "svg", "none"] = HfArg(default="png", help="Format of the box plot beside --output.")

    def __post_init__(self):
        given = [folder for folder in (self.musdb_dir, self.mir1k_dir, self.stems_dir) if folder]
        refuse_if(not given, "nothing to evaluate on: give --musdb_dir, --mir1k_dir or --stems_dir.")
        refuse_if(len(given) > 1, "only one of --musdb_dir, --mir1k_dir or --stems_dir at a time.")
        refuse_if(self.mir1k_dir and self.split == "test", "MIR-1K has no test split: give --split validation.")
        refuse_if(self.split == "all" and not self.stems_dir, "--split all is for --stems_dir.")
        self.split = self.split or ("all" if self.stems_dir else "validation" if self.mir1k_dir else "test")
        no_rate = self.bss_eval_rate is not None and self.bss_eval_rate <= 0
        refuse_if(no_rate, f"--bss_eval_rate {self.bss_eval_rate}: give a sampling rate in Hz.")
        self.protocol = list(dict.fromkeys(self.protocol))
