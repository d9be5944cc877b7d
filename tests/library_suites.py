"""The common test suites of transformers, out of the source distribution of the release that is installed.

`python -m tests.library_suites` fetches it, once, to the user's cache; the tests themselves fetch nothing.
"""

import importlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType

import transformers

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unet-svs"
FOLDER = CACHE / f"transformers-{transformers.__version__}" / "transformers_suites"
NAMED = f"The test suites of transformers {transformers.__version__}"


def fetch() -> None:
    """Unpacks `tests/` of the source distribution to `FOLDER`."""
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER.parent) as name:
        archives, unpacked = Path(name, "archives"), Path(name, "unpacked")
        release = f"transformers=={transformers.__version__}"
        options = ["--quiet", "--no-deps", "--no-binary", "transformers", "--dest", str(archives)]
        subprocess.run([sys.executable, "-m", "pip", "download", *options, release], check=True)
        with tarfile.open(next(archives.glob("*.tar.gz"))) as archive:
            tests = [member for member in archive.getmembers() if "/tests/test_" in member.name]
            archive.extractall(unpacked, members=tests, filter="data")
        suites = next(unpacked.glob("*/tests"))
        (suites / "__init__.py").touch()
        suites.replace(FOLDER)


def markers() -> set[str]:
    """Names of the pytest markers that the suites use; none where they have not been fetched."""
    sources = [*FOLDER.glob("test_*_common.py"), Path(transformers.__file__).parent / "testing_utils.py"]
    return {name for path in sources for name in re.findall(r"\bmark\.(\w+)", path.read_text())}


def load(name: str) -> ModuleType:
    """One of the suites."""
    if not FOLDER.is_dir():
        raise FileNotFoundError(f"{NAMED} are not here: run `python -m tests.library_suites`")
    # The source distribution has no folders below `tests/`, of which the suites import two mixins and the arguments
    # that every configuration takes.
    common_arguments = {"return_dict": False, "output_hidden_states": True, "dtype": "float16"}
    common_arguments |= {"chunk_size_feed_forward": 5, "is_encoder_decoder": True, "architectures": ["UNetSVSModel"]}
    common_arguments |= {"id2label": {0: "voice"}, "label2id": {"voice": 0}, "problem_type": "regression"}
    for module, attributes in {
        "exporters.test_export": {"ExportTesterMixin": type("ExportTesterMixin", (), {})},
        "generation.test_utils": {"GenerationTesterMixin": type("GenerationTesterMixin", (), {})},
        "utils.test_configuration_utils": {"config_common_kwargs": common_arguments},
    }.items():
        replaced = sys.modules.setdefault(f"{FOLDER.name}.{module}", ModuleType(module))
        vars(replaced).update(attributes)
    if str(FOLDER.parent) not in sys.path:
        sys.path.append(str(FOLDER.parent))
    return importlib.import_module(f"{FOLDER.name}.{name}")


if __name__ == "__main__":
    try:
        if not FOLDER.is_dir():
            fetch()
        print(f"{NAMED} are in {FOLDER}")
    except subprocess.CalledProcessError:
        print(f"{NAMED} cannot be fetched, and their tests are skipped")
