"""`python -m tests.benchmarks.peers [--seconds 60] [--runs 3]`: against HTDemucs, HDemucs and Open-Unmix.

All take the same stereo array of 44.1 kHz with random weights and two threads, in turn: HTDemucs and HDemucs as their
authors cut a song up, for four stems; Open-Unmix for one target without its Wiener filter. The peers are installed in
an environment of their own, which sees this one's torch.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import torch

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.command.checkpoint import choose_dtype, load_checkpoint

from ..conftest import ROOT, noise
from .measuring import print_table, seconds_in_turn

RATE = 44_100
STEMS = ["drums", "bass", "other", "vocals"]
PACKAGES = ("demucs", "openunmix")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "unet-svs-benchmarks"


def environment() -> Path:
    """The Python of an environment with the peers, made where it is missing."""
    python = CACHE / "bin" / "python"
    if not python.exists():
        venv.create(CACHE, with_pip=True)
        (folder,) = CACHE.glob("lib/python*/site-packages")
        (folder / "parent.pth").write_text(sysconfig.get_paths()["purelib"])
    for package in PACKAGES:
        install = [python, "-m", "pip", "install", "--quiet", package]
        if subprocess.run(install).returncode:
            print(f"{package} cannot be installed: left out.", file=sys.stderr)
    return python


def htdemucs(mixture: torch.Tensor) -> Callable[[], object]:
    """The shape of the released model: 41,984,456 parameters, segments of 7.8 s that overlap by a quarter."""
    from demucs.apply import apply_model
    from demucs.htdemucs import HTDemucs

    model = HTDemucs(STEMS, bottom_channels=512, dconv_mode=3, segment=7.8).eval()
    return lambda: apply_model(model, mixture[None], shifts=0)


def hdemucs(mixture: torch.Tensor) -> Callable[[], object]:
    """Segments of 10 s that overlap by a tenth."""
    from torchaudio.models import hdemucs_high

    model = hdemucs_high(sources=STEMS).eval()
    starts = range(0, mixture.shape[1], 9 * RATE)
    return lambda: [model(mixture[None, :, start : start + 10 * RATE]) for start in starts]


def open_unmix(mixture: torch.Tensor) -> Callable[[], object]:
    """One target, its mask on the mixture's phase."""
    import openunmix

    model = openunmix.umxhq(targets=["vocals"], pretrained=False, niter=0).eval()
    return lambda: model(mixture[None])


def main(arguments: list[str] | None = None) -> None:
    """Prints the figures, and the machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args(arguments)
    if sys.prefix != str(CACHE):
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        sys.exit(
            subprocess.run([environment(), "-m", "tests.benchmarks.peers", *sys.argv[1:]], env=environ).returncode
        )
    torch.set_num_threads(2)
    mixture = torch.from_numpy(noise(2, int(given.seconds * RATE)))
    measures = {}
    for dtype in (choose_dtype("auto", torch.device("cpu")), torch.float32):
        model = load_checkpoint(DEFAULT_CHECKPOINT).to(dtype, memory_format=torch.channels_last)
        label = f"unet-svs, {str(dtype).removeprefix('torch.')}"
        measures[label] = lambda model=model: model.separate(mixture, RATE)
    ours = next(iter(measures))
    for make, package in ((htdemucs, "demucs"), (hdemucs, "torchaudio"), (open_unmix, "openunmix")):
        if importlib.util.find_spec(package) is None:
            print(f"{make.__name__}: {package} is not installed; left out.")
            continue
        measures[make.__name__] = make(mixture)
    with torch.inference_mode():
        seconds = seconds_in_turn(measures, given.runs)
    rows = [
        (name, f"{time:.2f}", f"{given.seconds / time:.1f}", f"{time / seconds[ours]:.1f}")
        for name, time in seconds.items()
    ]
    columns = ("", "seconds", "times real time", "times the first's time")
    print_table(f"{given.seconds:.0f} s of stereo", columns, rows)


if __name__ == "__main__":
    main()
