"""`python -m tests.benchmarks.peers [--seconds 60] [--runs 3]`: against HTDemucs, HDemucs and Open-Unmix.

All take the same stereo array of 44.1 kHz with random weights and two threads, in turn: HTDemucs and HDemucs as their
authors cut a song up, for four stems; Open-Unmix for one target without its Wiener filter. The peers are installed in
an environment of their own, which sees this one's torch.
"""

import importlib.util
import os
import subprocess
import sys
import sysconfig
import venv
from functools import partial
from pathlib import Path

import torch

from modeling_unet_svs.command.torch_runtime import choose_dtype

from ..conftest import ROOT, noise
from .measuring import given, model_in, print_table, seconds_in_turn

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


def htdemucs(mixture):
    """The shape of the released model: 41,984,456 parameters, segments of 7.8 s that overlap by a quarter."""
    from demucs.apply import apply_model
    from demucs.htdemucs import HTDemucs

    model = HTDemucs(STEMS, bottom_channels=512, dconv_mode=3, segment=7.8).eval()
    return lambda: apply_model(model, mixture[None], shifts=0)


def hdemucs(mixture):
    """Segments of 10 s that overlap by a tenth."""
    from torchaudio.models import hdemucs_high

    model = hdemucs_high(sources=STEMS).eval()
    starts = range(0, mixture.shape[1], 9 * RATE)
    return lambda: [model(mixture[None, :, start : start + 10 * RATE]) for start in starts]


def open_unmix(mixture):
    """One target, its mask on the mixture's phase."""
    import openunmix

    model = openunmix.umxhq(targets=["vocals"], pretrained=False, niter=0).eval()
    return lambda: model(mixture[None])


def main() -> None:
    options = given(__doc__, seconds=60.0, runs=3)
    if sys.prefix != str(CACHE):
        command = [environment(), "-m", "tests.benchmarks.peers", *sys.argv[1:]]
        sys.exit(subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode)
    torch.set_num_threads(2)
    mixture = torch.from_numpy(noise(2, int(options.seconds * RATE)))
    measures = {}
    for dtype in (choose_dtype("auto", torch.device("cpu")), torch.float32):
        measures[f"unet-svs, {str(dtype).removeprefix('torch.')}"] = partial(model_in(dtype).separate, mixture, RATE)
    ours = next(iter(measures))
    for make, package in ((htdemucs, "demucs"), (hdemucs, "torchaudio"), (open_unmix, "openunmix")):
        if importlib.util.find_spec(package) is None:
            print(f"{make.__name__}: {package} is not installed; left out.")
            continue
        measures[make.__name__] = make(mixture)
    with torch.inference_mode():
        seconds = seconds_in_turn(measures, options.runs)
    columns = ("", "seconds", "times real time", "times the first's time")
    rows = [
        (name, f"{taken:.2f}", f"{options.seconds / taken:.1f}", f"{taken / seconds[ours]:.1f}")
        for name, taken in seconds.items()
    ]
    print_table(f"{options.seconds:.0f} s of stereo", columns, rows)


if __name__ == "__main__":
    main()
