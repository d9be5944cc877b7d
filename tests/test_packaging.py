"""The wheel: the package and its checkpoint, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built of a copy of what is tracked, so that nothing of the working tree gets in and nothing is left in it."""
    source = tmp_path_factory.mktemp("source")
    for name in ("modeling_unet_svs", "train"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "wheels", "."]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = (source / "wheels").glob("unet_svs-*.whl")
    return built


def test_it_holds_the_package_and_the_checkpoint_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"modeling_unet_svs"}
    packaged = {name.removeprefix("modeling_unet_svs/") for name in names if name.startswith("modeling_unet_svs/")}
    expected = {path.name for path in (ROOT / "modeling_unet_svs").glob("*.py")}
    checkpoint = ("config.json", "preprocessor_config.json", "model.safetensors", "README.md")
    assert packaged == expected | {f"checkpoint/{name}" for name in checkpoint}


def test_it_is_small(wheel):
    """About 20 MB: weights in half precision, once."""
    assert 15e6 < wheel.stat().st_size < 30e6


def test_the_card_in_the_checkpoint_is_the_projects():
    assert (ROOT / "modeling_unet_svs/checkpoint/README.md").read_text() == (ROOT / "model_card.md").read_text()
