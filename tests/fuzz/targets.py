"""What takes files from strangers, and what it may answer: a result, or one clear line."""

import functools
import json
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from modeling_unet_svs import UNetSVSFeatureExtractor
from modeling_unet_svs.audio_reading import AudioFileError, AudioReader, read_audio
from modeling_unet_svs.command.file_separation import separate_file
from modeling_unet_svs.command.torch_runtime import load_checkpoint

from ..conftest import ROOT
from .lies import EDITS, LIES, MAX_PADDING
from .seeds import AUDIO_KINDS, MODEL_FILES, SECONDS

sys.path.append(str(ROOT / "space"))
from job import SongError, check_song  # noqa: E402
from settings import Settings  # noqa: E402

READ, REFUSED = "read", "refused in one line"
LONGEST_LINE = 600


def decode(path: Path, checkpoint: Path, least_seconds: float = 0) -> None:
    """Decodes a file block by block."""
    num_samples = 0
    with AudioReader(path) as reader:
        for block in reader.blocks():
            assert block.dtype == np.float32 and block.ndim == 2 and len(block) == reader.info.num_channels
            num_samples += block.shape[1]
    assert num_samples, "no samples and no error"
    assert num_samples >= reader.info.sampling_rate * least_seconds - MAX_PADDING, f"only {num_samples} samples"


def decode_whole(path: Path, checkpoint: Path) -> None:
    """Decodes a file whose sound is all there, whatever its header says."""
    decode(path, checkpoint, SECONDS)


def separate(path: Path, checkpoint: Path) -> None:
    """Takes a file apart, as the command does."""
    outputs = {stem: path.parent / "stems" / f"{stem}.flac" for stem in ("vocals", "accompaniment")}
    try:
        separate_file(_model(checkpoint), path, outputs)
        assert len({read_audio(output)[0].shape for output in outputs.values()}) == 1, "stems of different shapes"
    finally:
        assert not list(path.parent.glob("stems/.*")), "left behind"
        shutil.rmtree(path.parent / "stems", ignore_errors=True)


def check_upload(path: Path, checkpoint: Path) -> None:
    """Looks at a file as the demo does when it is uploaded."""
    check_song(path, Settings(max_minutes=1, max_megabytes=1))


def load_model(path: Path, checkpoint: Path) -> None:
    """Loads a checkpoint of which one file is damaged, and separates with it."""
    folder = path.parent / "model"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(checkpoint, folder)
    shutil.copyfile(path, folder / path.name)
    if path.name == "preprocessor_config.json":
        with suppress(ValueError):
            if not isinstance(json.loads(path.read_bytes()), dict):
                return  # the library says what it wants
        UNetSVSFeatureExtractor.from_pretrained(folder)([np.zeros(1000, dtype=np.float32)])
        return
    model = load_checkpoint(folder)
    assert set(model.separate(np.zeros(2000, dtype=np.float32), 16_000)) == set(model.config.stems)


_model = functools.cache(load_checkpoint)
TARGETS = {
    **{f"{kind}, decoded": decode for kind in AUDIO_KINDS},
    **{f"{kind}, lying": decode_whole for kind in LIES},
    **{f"{kind}, edited": decode for kind in EDITS},
    "song, separated": separate,
    "song, uploaded": check_upload,
    **dict.fromkeys(MODEL_FILES, load_model),
}


def outcome_of(kind: str, path: Path, checkpoint: Path) -> tuple[str, str]:
    """Gives a file to what takes its kind; what else is raised is a finding."""
    # What the library says of a preprocessor's file, and of bytes that are no text, is its own.
    is_librarys = kind == "preprocessor_config.json"
    refusals = (ValueError, OSError) if is_librarys else (ValueError,)
    try:
        TARGETS[kind](path, checkpoint)
    except refusals as error:
        said = str(error)
        expected = {"song, uploaded": SongError}.get(kind, (AudioFileError, SongError) if "," in kind else refusals)
        # A file with a NaN is refused by the stream.
        is_expected = isinstance(error, expected) or "separated" in kind
        if not is_expected or (isinstance(error, UnicodeError) and not is_librarys):
            raise
        is_short = said and "\n" not in said and len(said) <= LONGEST_LINE
        assert is_librarys or is_short, f"no short line: {said[:2000]!r}"
        return REFUSED, said
    return READ, ""
