"""The command `unet-svs`."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..audio.writing import FORMATS, SUBTYPES
from ..audio_reading import AudioFileError

if TYPE_CHECKING:
    from ..network import UNetSVSModule


Format = Enum("Format", {name: name for name in FORMATS})
Subtype = Enum("Subtype", {name: name for name in SUBTYPES})
Device = Enum("Device", {name: name for name in ("auto", "cpu", "cuda", "mps")})
Dtype = Enum("Dtype", {name: name for name in ("auto", "float32", "bfloat16", "float16")})
ExportFormat = Enum("ExportFormat", {"onnx": "onnx"})
FAILED, USAGE = 1, 2

MODEL_HELP = "Folder or Hub id; the one that comes along if not given."

app = typer.Typer(
    help="Takes songs apart into vocals and accompaniment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def separate(
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="INPUT...", help="Audio or video files, folders, or -.")
    ] = None,
    output_dir: Annotated[Path, typer.Option(help="Stems go to OUTPUT_DIR/SONG/STEM.FORMAT.")] = Path("separated"),
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    stem: Annotated[str, typer.Option(help="vocals, accompaniment (or another stem of the model), or all.")] = "all",
    format: Annotated[Format, typer.Option(help="ogg is FLAC in Ogg.")] = Format.wav,
    subtype: Annotated[
        Subtype | None, typer.Option(help="Bits of wav, flac and ogg; the input's own if not given.")
    ] = None,
    device: Annotated[Device, typer.Option(help="auto takes a GPU where there is one.")] = Device.auto,
    dtype: Annotated[Dtype, typer.Option(help="Of the network; auto takes the fastest on the device.")] = Dtype.auto,
    batch_size: Annotated[int, typer.Option(min=1, help="Patches that the network takes at once.")] = 4,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace stems that are already there.")] = False,
    files_from: Annotated[Path | None, typer.Option(help="List of more INPUTs, one in a line.")] = None,
    report: Annotated[Path | None, typer.Option(help="JSON lines: what became of each song.")] = None,
) -> None:
    """Take songs apart into stems of their length, rate and channels, which add up to the song.

    With - for a song, it comes through standard input, and the stem that --stem names goes to standard output.
    Launched as several processes, by accelerate launch -m modeling_unet_svs separate, each does its share.
    """
    from .batch import STANDARD_INPUT, joined_processes, scaled_message, separate_all, separate_standard_input
    from .songs import read_list

    inputs = [*(inputs or []), *(read_list(files_from) if files_from else [])]
    if not inputs:
        raise ValueError("no songs: give at least one INPUT, or a list of them with --files-from.")
    if STANDARD_INPUT in inputs and len(inputs) > 1:
        raise ValueError("standard input (-) goes alone: give no other INPUT.")
    how = {"format": format.value, "subtype": subtype.value if subtype else None, "batch_size": batch_size}
    with joined_processes(device.value) as processes:
        loaded = _load(model, device.value, dtype.value)
        if STANDARD_INPUT in inputs:
            scale = separate_standard_input(loaded, stem, **how)
            if scale != 1:
                print(f"unet-svs: {scaled_message('standard input', scale)}", file=sys.stderr)
            return
        batch = {"model": loaded, "stem": stem, "overwrite": overwrite, "report": report, "processes": processes}
        num_failed = separate_all(inputs, output_dir, **batch, **how)
    if num_failed:
        raise typer.Exit(FAILED)


@app.command()
def info(
    model: Annotated[str | None, typer.Argument(help=MODEL_HELP)] = None,
) -> None:
    """Say what a checkpoint is: rate, bands, parameters, training data, scores."""
    from .checkpoint import print_info

    print_info(model or _default(), _load(model, "cpu", "float32"))


@app.command()
def export(
    output: Annotated[Path, typer.Option(help="Files go to OUTPUT/onnx/.")],
    model: Annotated[str | None, typer.Argument(help=MODEL_HELP)] = None,
    format: Annotated[ExportFormat, typer.Option(help="Of the graph.")] = ExportFormat.onnx,
) -> None:
    """Write the network for runtimes other than PyTorch, in full and in half precision.

    separation.json beside it says what a runner has to know: rate, spectrogram, context and stems.
    """
    import logging

    # It would say at each export that torchvision, which has no part in this, is not installed.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        from ..onnx.export import export_onnx

        print(export_onnx(_load(model, "cpu", "float32"), output))
    except ImportError as error:
        raise ValueError(f'{error}: pip install "unet-svs[export]"') from None
    except OSError as error:
        print(f"unet-svs: {output} cannot be written: {error}", file=sys.stderr)
        raise typer.Exit(FAILED) from None


def _default() -> str:
    from .. import DEFAULT_CHECKPOINT

    return DEFAULT_CHECKPOINT


def _load(model: str | None, device: str, dtype: str) -> UNetSVSModule:
    import torch
    from huggingface_hub.utils import logging

    from .checkpoint import choose_device, choose_dtype, load_checkpoint

    logging.set_verbosity_error()
    chosen_device, reason = choose_device(device)
    chosen_dtype = choose_dtype(dtype, chosen_device)
    loaded = load_checkpoint(model or _default(), chosen_dtype)
    if sys.stderr.isatty() or reason.startswith("the GPU cannot"):
        name = str(chosen_dtype).removeprefix("torch.")
        print(f"unet-svs: computing on {chosen_device} in {name}: {reason}", file=sys.stderr)
    # Convolutions are faster with the channels last, in half precision above all.
    return loaded.to(chosen_device).to(memory_format=torch.channels_last)


def main() -> None:
    """Runs the command; exits with 0 (all good), 1 (some failed), 2 (wrong usage) or 130 (interrupted)."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files need not be text
    try:
        app()
    except (ValueError, OSError) as error:
        print(f"unet-svs: {error}", file=sys.stderr)
        sys.exit(FAILED if isinstance(error, (AudioFileError, OSError)) else USAGE)
