"""A song from standard input, one stem to standard output."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from .audio_reading import AudioFileError
from .file_separation import separate_file
from .memory_fallback import with_less_memory
from .modeling_unet_svs import UNetSVSModel

#: Instead of a file's name.
STANDARD_INPUT = Path("-")


def separate_standard_input(
    model: UNetSVSModel, stem: str, *, format: str, subtype: str | None, batch_size: int
) -> float:
    """Separates what comes through standard input, of any format, once all of it is there.

    Input and output go through files, since formats with their index at the end cannot be read as they come; memory
    does not grow with the length of the song.

    Args:
        model: that separates.
        stem: that goes to standard output.
        format: of the output.
        subtype: "16", "24" or "float"; `None` for the song's own.
        batch_size: patches that the network takes at once.

    Returns:
        The factor that the stem was scaled by, 1.0 where nothing would clip.

    Raises:
        ValueError: a stem that the model lacks, a song that cannot be read, or a format that cannot hold it.
    """
    if stem not in model.config.stems:
        raise ValueError(f"--stem {stem}: standard output takes one of {', '.join(model.config.stems)}.")
    with tempfile.TemporaryDirectory(prefix="unet-svs-") as folder:
        song, output = Path(folder, "song"), Path(folder, f"stem.{format}")
        with open(song, "wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        try:
            scale, _ = with_less_memory(
                lambda size: separate_file(model, song, {stem: output}, subtype=subtype, batch_size=size),
                model,
                batch_size,
                lambda message: print(f"unet-svs: {message}", file=sys.stderr),
            )
        except AudioFileError as error:
            raise AudioFileError("standard input", error.args[1]) from None
        with open(output, "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    return scale


__all__ = ["STANDARD_INPUT", "separate_standard_input"]
