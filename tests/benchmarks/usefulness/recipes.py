"""The recipes of docs/recipes.md that need no weights beyond those in packages, on a real song."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from modeling_unet_svs.audio_writing import AudioWriter
from train.evaluate import read_references

from ...conftest import ROOT
from .clips import Clip

RECIPES = ROOT / "docs" / "recipes.md"
# What each recipe leaves, and the words that tell its snippet.
LEFT = {"karaoke": "AudioWriter", "melody": "librosa", "singer_vector": "resemblyzer"}


def snippets() -> list[str]:
    """The start of all recipes, and those recipes."""
    start, *others = re.findall(r"```python\n(.*?)```", RECIPES.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [start, *(each for each in others if any(word in each for word in LEFT.values()))]


@contextlib.contextmanager
def working_in(folder: str) -> Iterator[None]:
    """The recipes name their files without a folder; Python has the like from 3.11 on."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def try_recipes(clip: Clip) -> list[str]:
    """Runs them one after the other; gives the names of what they left."""
    references, rate = read_references(clip.song)
    mixture = np.clip(references.sum(axis=0), -1, 1)
    names: dict = {}
    with tempfile.TemporaryDirectory() as folder, working_in(folder):
        with AudioWriter(Path("song.mp3"), rate, len(mixture)) as writer:
            writer.write(mixture)
        for snippet in snippets():
            exec(snippet, names)
    return [name for name in LEFT if np.size(names[name])]
