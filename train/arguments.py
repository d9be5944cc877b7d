"""The trainer's command line: flags over a recipe file over defaults."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transformers import HfArgumentParser

from modeling_unet_svs import UNetSVSConfig
from modeling_unet_svs.checkpoint_loading import load_checkpoint

from .data_arguments import DataArguments
from .mixing import MixingArguments

RECIPES = Path(__file__).parent / "recipes"
DEFAULT_RECIPE = "full_band"


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
    """A recipe's sections.

    Args:
        name: of a file in `train/recipes/` without its ending, or a path.

    Returns:
        `model` (fields of `UNetSVSConfig`), `training` and `mixing` (fields of the classes of those names).

    Raises:
        ValueError: no such recipe, or one with unknown sections or fields.
    """
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
    """Reads the command line, with the recipe's values as defaults.

    Args:
        arguments: instead of `sys.argv[1:]`.

    Returns:
        The model's configuration, the training and the mixing arguments.

    Raises:
        ValueError: a recipe or a checkpoint that cannot be used, or flags that do not fit together, such as nothing to
            train on.
    """
    parser = HfArgumentParser((TrainingArguments, MixingArguments), prog="accelerate launch train")
    first, _, _ = parser.parse_args_into_dataclasses(arguments, return_remaining_strings=True)
    recipe = read_recipe(first.recipe or DEFAULT_RECIPE)
    parser.set_defaults(**recipe.get("training", {}), **recipe.get("mixing", {}))
    training, mixing = parser.parse_args_into_dataclasses(arguments)
    training.check_data()
    if training.push_to_hub and not training.hub_model_id:
        raise ValueError("--push_to_hub needs --hub_model_id USER/NAME.")
    if training.model_name_or_path and not training.recipe:
        return load_checkpoint(training.model_name_or_path).config, training, mixing
    return UNetSVSConfig(**recipe.get("model", {})), training, mixing


__all__ = ["TrainingArguments", "parse_arguments", "read_recipe"]
