"""Installs the wheel, alone, in a new environment of each Python that is here, and runs README's first command there.

`python -m tests.wheel_on_pythons [3.10 ...]` prints what was installed, a line for each Python. It needs the package
index, and some gigabytes of disk: for each where pip installs, once for all where there is uv, which links what it has
unpacked (`UV_CACHE_DIR` and `TMPDIR` on one disk).
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .conftest import ROOT, noise, write_song

PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def first_command() -> str:
    """What README.md begins with, after the installation."""
    (command,) = re.findall(r"^pip install \. && (unet-svs [^#\n]*)", (ROOT / "README.md").read_text(), re.MULTILINE)
    return command.strip()


def try_wheel(python: str, wheel: Path, folder: Path) -> str:
    """Installs the wheel for a Python, and runs the first command."""
    subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
    bin = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    # Isolated, or pip finds the project in the working folder and takes it for installed.
    pip = [bin / "python", "-I", "-m", "pip", "install"]
    uv = ["uv", "pip", "install", "--python", bin / "python"]
    subprocess.run([*(uv if shutil.which("uv") else pip), "--quiet", wheel], check=True)
    write_song(folder / "song.mp3", noise(2, 300_000))
    subprocess.run([bin / first_command().split()[0], *first_command().split()[1:]], cwd=folder, check=True)
    for stem in ("vocals", "accompaniment"):
        assert (folder / "separated" / "song" / f"{stem}.wav").stat().st_size > 1_000_000
    says = "import platform, numpy as n, torch, transformers as t; "
    says += "print(platform.python_version(), n.__version__, torch.__version__, t.__version__)"
    return subprocess.run([bin / "python", "-c", says], check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    os.environ.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as name:
        build = [sys.executable, "-m", "build", "--wheel", "--outdir", name, str(ROOT)]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        wheel = next(Path(name).glob("*.whl"))
        print("python, numpy, torch, transformers")
        for version in sys.argv[1:] or PYTHONS:
            python = f"python{version}"
            # One that pyenv has not activated is found and does not start.
            if not shutil.which(python) or subprocess.run([python, "--version"], capture_output=True).returncode:
                print(f"{version}: not on this machine")
                continue
            with tempfile.TemporaryDirectory(dir=name) as folder:
                print(try_wheel(python, wheel, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
