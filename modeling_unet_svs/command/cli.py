"""The command `unet-svs`."""

from __future__ import annotations

import codecs
import os
import shlex
import sys
from contextlib import nullcontext
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .. import DEFAULT_CHECKPOINT, __version__

if TYPE_CHECKING:
    from ..separation import Separator

# What is heavy is imported where it is used, so that the help comes at once.
Format = Literal["wav", "flac", "mp3", "ogg", "opus", "m4a"]
Subtype = Literal["16", "24", "float"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Runtime = Literal["auto", "torch", "onnx"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
FAILED, USAGE = 1, 2
MODEL_HELP = "Folder or Hub id of the model; by default the one that comes with this program."

app = typer.Typer(
    help="Splits songs into vocals and accompaniment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"unet-svs {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def separate(
    inputs: Annotated[
        list[Path] | None, typer.Argument(metavar="INPUT...", help="Audio or video files, folders, or -.")
    ] = None,
    output_dir: Annotated[
        Path, typer.Option("--output-dir", "-o", help="Stems go to OUTPUT_DIR/SONG/STEM.FORMAT.")
    ] = Path("separated"),
    model: Annotated[str, typer.Option(help=MODEL_HELP, show_default=False)] = DEFAULT_CHECKPOINT,
    stem: Annotated[str, typer.Option(help="vocals, accompaniment (or another stem of the model), or all.")] = "all",
    format: Annotated[Format, typer.Option(help="Format of the stems; ogg is FLAC in Ogg, opus 48 kHz.")] = "wav",
    subtype: Annotated[
        Subtype | None, typer.Option(help="Bits of a sample in wav, flac and ogg; by default the song's own.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute; auto takes a GPU if there is one.")] = "auto",
    dtype: Annotated[Dtype, typer.Option(help="Precision of the network; auto takes the device's fastest.")] = "auto",
    runtime: Annotated[Runtime, typer.Option(help="auto takes PyTorch if it is installed, or else ONNX.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Patches that the network processes at once.")] = 4,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace stems that are already there.")] = False,
    files_from: Annotated[Path | None, typer.Option(help="List of more INPUTs, one per line.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write what became of each song, as JSON lines.")] = None,
    audio_stream: Annotated[
        int | None, typer.Option(min=0, help="Which audio stream of a file, from 0; by default the one players take.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse damaged songs that could be read in part.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where in the program a song failed.")] = False,
) -> None:
    """Split songs into stems of the same length, rate and channels, which add up to the song.

    If INPUT is -, the song comes from standard input, and the stem that --stem names goes to standard output.
    Several processes, launched by torchrun --nproc_per_node N -m modeling_unet_svs separate, share the songs.
    """
    from ..separation import refuse_if
    from .batch import STANDARD_INPUT, SeparationOptions, joined_processes, separate_all, separate_standard_input
    from .checkpoint import opened_checkpoint
    from .songs import read_list

    inputs = [*(inputs or []), *(read_list(files_from) if files_from else [])]
    refuse_if(not inputs, "no songs: give at least one INPUT, or a list of them with --files-from.")
    is_mixed = STANDARD_INPUT in inputs and len(inputs) > 1
    refuse_if(is_mixed, "standard input (-) cannot be combined with another INPUT.")
    for stream, name in ((sys.stdin, "input"), (sys.stdout, "output")):
        is_closed = STANDARD_INPUT in inputs and stream is None
        refuse_if(is_closed, f"standard {name} is closed: open it, or name a file.")
    with joined_processes(device) as processes:
        with opened_checkpoint(model) as (_, config):
            stems = config.stems
        options = SeparationOptions(
            cache(partial(_load, model, runtime, device, dtype, processes.index == 0)),
            stems,
            *(stem, format, subtype, batch_size, overwrite, debug, audio_stream, strict),
        )
        if STANDARD_INPUT in inputs:
            return separate_standard_input(options)
        num_failed = separate_all(inputs, output_dir, options, report, processes)
    if num_failed:
        raise typer.Exit(FAILED)


@app.command()
def info(
    model: Annotated[str, typer.Argument(help=MODEL_HELP, show_default=False)] = DEFAULT_CHECKPOINT,
) -> None:
    """Print what a checkpoint is: rate, bands, parameters, training data, scores."""
    from .checkpoint import print_info

    print_info(model)


@app.command()
def export(
    output: Annotated[Path, typer.Option(help="Files go to OUTPUT/onnx/.")],
    model: Annotated[str, typer.Argument(help=MODEL_HELP, show_default=False)] = DEFAULT_CHECKPOINT,
    format: Annotated[Literal["onnx"], typer.Option(help="Format of the graph.")] = "onnx",
) -> None:
    """Write the network for runtimes other than PyTorch, in full and in half precision.

    The file separation.json beside the graphs has what a runner needs to know: rate, spectrogram, context and stems.
    """
    from .checkpoint import opened_checkpoint

    with opened_checkpoint(model) as (folder, config):
        pass  # what follows has errors of its own
    try:
        from ..onnx.export import export_onnx

        print(export_onnx(folder, config, output))
    except ImportError as error:
        raise ValueError(f'{error}: pip install "unet-svs[export]"') from None
    except OSError as error:
        print(f"unet-svs: {output} cannot be written: {error}", file=sys.stderr)
        raise typer.Exit(FAILED) from None


def _load(model: str, runtime: str, device: str, dtype: str, is_shown: bool) -> Separator:
    from .batch import CONSOLE
    from .checkpoint import load_separator

    # The first start after an installation may take many seconds.
    with CONSOLE.status("loading the model and what computes it ...") if is_shown else nullcontext():
        separator, where = load_separator(model, runtime, device, dtype)
    separator.checkpoint = model
    if sys.stderr.isatty() or "the GPU cannot" in where:
        print(f"unet-svs: computing with {where}", file=sys.stderr)
    return separator


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    """Writes names that are no text as the bytes that they are, and letters that the encoding lacks as escapes."""
    if not isinstance(error, UnicodeEncodeError):
        return codecs.lookup_error("surrogateescape")(error)
    letter = error.object[error.start]
    is_byte = 0xDC80 <= ord(letter) <= 0xDCFF
    escaped = letter.encode("ascii", "surrogateescape" if is_byte else "backslashreplace")
    return (escaped if is_byte else escaped.decode()), error.start + 1


def main() -> None:
    """Runs the command; exits with 0 (all good), 1 (some failed), 2 (wrong usage) or 130 (interrupted)."""
    codecs.register_error("escaped", _escaped)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="escaped")
    try:
        first = next(iter(sys.argv[1:]), "-")
        commands = {command.callback.__name__ for command in app.registered_commands if command.callback}
        is_song = "." in first or os.path.exists(first)
        if is_song and first not in commands and not first.startswith("-"):
            raise ValueError(f"{first} is no command: to separate it, use unet-svs separate {shlex.quote(first)}")
        app()
    except (ValueError, OSError) as error:
        from ..audio_reading import AudioFileError

        print(f"unet-svs: {error}", file=sys.stderr)
        sys.exit(FAILED if isinstance(error, (AudioFileError, OSError)) else USAGE)
