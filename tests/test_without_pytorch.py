"""Where PyTorch and transformers are not installed, songs are separated all the same."""

import re
import sys

import numpy as np
import pytest

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.audio_reading import read_audio
from modeling_unet_svs.command.torch_runtime import load_checkpoint

from .conftest import noise, run, write_song

# What is set to None cannot be imported, as where it is not installed.
COMMAND = """
import sys
heavy = ("torch", "transformers", "onnx", "accelerate")
sys.modules.update(dict.fromkeys(heavy))
from modeling_unet_svs.command.cli import main
try:
    main()
finally:
    assert not any(sys.modules[name] for name in heavy) and "scipy" not in sys.modules
"""


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    return write_song(tmp_path_factory.mktemp("songs") / "song.flac", noise(2, 150_000), 48_000, subtype="24")


def without(*arguments: object, exits: int = 0):
    return run(sys.executable, "-c", COMMAND, *arguments, exits=exits)


def test_the_stems_are_those_of_pytorch(song, tmp_path):
    flags = ("--stem", "all", "--format", "flac", "--batch-size", 2, "--report", tmp_path / "report.jsonl")
    said = without("separate", song, "--output-dir", tmp_path, *flags)
    expected = load_checkpoint(DEFAULT_CHECKPOINT).separate(*read_audio(song), batch_size=2)
    for name, stem in expected.items():
        found, rate = read_audio(tmp_path / "song" / f"{name}.flac")
        assert (rate, found.shape) == (48_000, stem.shape)
        assert np.abs(found - stem).max() <= 1e-4
    assert said.stdout.count("\n") == 2
    assert '"status": "done"' in (tmp_path / "report.jsonl").read_text()


def test_standard_input_goes_to_standard_output(song):
    done = run("bash", "-c", f'{sys.executable} -c "$0" separate - --stem vocals < {song} | wc -c', COMMAND)
    assert int(done.stdout) > 100_000


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--runtime", "torch"), 'PyTorch is not installed: pip install "unet-svs[torch]"'),
        (("--device", "cuda"), '--device cuda: ONNX Runtime takes cpu; for others, pip install "unet-svs[torch]".'),
        (("--dtype", "bfloat16"), "--dtype bfloat16: ONNX Runtime takes float32"),
    ],
)
def test_flags_that_need_pytorch_say_so_in_one_line(song, tmp_path, flags, said):
    (line,) = without("separate", song, "--output-dir", tmp_path, *flags, exits=2).stderr.splitlines()
    assert said in line


def test_info_and_help_need_none_either():
    assert "44100 Hz" in without("info").stdout
    assert "--runtime" in without("separate", "--help").stdout


def test_names_that_need_pytorch_say_how_to_get_it():
    code = "import sys; sys.modules.update(torch=None, transformers=None); from modeling_unet_svs import UNetSVSModel"
    said = run(sys.executable, "-c", code, exits=1).stderr
    assert re.search(r'UNetSVSModel needs (torch|transformers): pip install "unet-svs\[torch\]"', said)


def test_the_choice_is_said_on_a_terminal_and_may_be_made(song, tmp_path):
    done = run("script", "-qec", f"unet-svs separate {song} --runtime onnx --output-dir {tmp_path}", "/dev/null")
    assert "computing with ONNX Runtime on cpu in float32: as asked for" in done.stdout
