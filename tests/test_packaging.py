"""What is released: the wheel has the package and its checkpoint and nothing else, the source what makes the wheel."""

import importlib.metadata
import shutil
import sys
import tarfile
import zipfile

import pytest

from .conftest import ROOT, run

CHECKPOINT_FOLDER = ROOT / "modeling_unet_svs" / "checkpoint"
CHECKPOINT = ("LICENSE", "config.json", "preprocessor_config.json", "model.safetensors", "model.onnx", "README.md")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with both, made by `python -m build`, the wheel from the unpacked source."""
    source = tmp_path_factory.mktemp("source")
    # A copy of what is tracked, so that nothing else of the working tree gets in and nothing is left in it.
    for name in run("git", "ls-files", "-z").stdout.strip("\0").split("\0"):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    # Without isolation, which would ask the package index for setuptools.
    run(sys.executable, "-m", "build", "--no-isolation", ".", cwd=source)
    return source / "dist"


@pytest.fixture(scope="module")
def wheel(built):
    return next(built.glob("*.whl"))


def package_files() -> set[str]:
    package = ROOT / "modeling_unet_svs"
    files = {*package.rglob("*.py"), package / "py.typed", *(package / "checkpoint" / name for name in CHECKPOINT)}
    return {path.relative_to(ROOT).as_posix() for path in files}


def test_the_wheel_holds_the_package_and_the_checkpoint_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == package_files()
    # Weights in half precision, once.
    assert 15e6 < wheel.stat().st_size < 35e6


def test_the_code_in_the_checkpoint_is_the_packages(wheel):
    """In the repository, it is links."""
    files = zipfile.ZipFile(wheel)
    for path in (ROOT / "modeling_unet_svs" / "checkpoint").glob("*.py"):
        assert files.read(f"modeling_unet_svs/checkpoint/{path.name}") == path.read_bytes()


def test_the_source_has_no_tests_training_or_page(built):
    names = {name.split("/", 1)[1] for name in tarfile.open(next(built.glob("*.tar.gz"))).getnames() if "/" in name}
    assert package_files() | {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert not {name for name in names if name.startswith(("tests", "train", "space", "docs", ".ci"))}


def test_its_metadata_say_where_it_runs_and_what_it_needs(wheel):
    (found,) = importlib.metadata.distributions(name="unet-svs", path=[str(wheel)])
    assert found.metadata["Requires-Python"] == ">=3.10"
    assert set(found.metadata.get_all("Provides-Extra")) >= {"space", "test", "torch", "train"}
    assert all(">=" in requirement for requirement in found.requires if not requirement.startswith("unet-svs["))
    (command,) = found.entry_points.select(group="console_scripts")
    assert (command.name, command.value) == ("unet-svs", "modeling_unet_svs.command.cli:main")


def test_it_says_that_code_and_weights_have_their_own_licences(wheel):
    (found,) = importlib.metadata.distributions(name="unet-svs", path=[str(wheel)])
    assert found.metadata["License-Expression"] == "Apache-2.0 AND LicenseRef-unet-svs-weights"
    assert found.metadata.get_all("License-File") == ["LICENSE", "modeling_unet_svs/checkpoint/LICENSE"]
    names = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("checkpoint/LICENSE")]
    assert {zipfile.ZipFile(wheel).read(name) for name in names} == {(CHECKPOINT_FOLDER / "LICENSE").read_bytes()}
    assert "non-commercial" in (CHECKPOINT_FOLDER / "LICENSE").read_text()


def test_an_editable_install_is_a_path_which_type_checkers_follow(built):
    """They run no code, such as a finder is."""
    source, build = built.parent, "from setuptools.build_meta import build_editable; build_editable('editable')"
    (source / "editable").mkdir()
    run(sys.executable, "-c", build, cwd=source)
    files = zipfile.ZipFile(next((source / "editable").glob("*.whl")))
    (path,) = [name for name in files.namelist() if ".dist-info/" not in name]
    assert files.read(path).decode().strip() == str(source)


def test_the_card_in_the_checkpoint_is_the_projects():
    assert (ROOT / "modeling_unet_svs/checkpoint/README.md").read_text() == (ROOT / "model_card.md").read_text()
