"""What the tests share: a small model, songs made here, and the data sets where they are."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import av
import numpy as np
import pytest
import torch
from hypothesis import settings

from modeling_unet_svs import UNetSVSConfig, UNetSVSModel
from modeling_unet_svs.audio.writing import AudioWriter
from modeling_unet_svs.command.cli import main
from train.checkpoints import save_model

from . import library_suites
from .browsers import running_browser

ROOT = Path(__file__).resolve().parent.parent

settings.register_profile("default", deadline=None, max_examples=25, derandomize=True, print_blob=True)
settings.load_profile("default")


def pytest_configure(config: pytest.Config) -> None:
    for marker in library_suites.markers():
        config.addinivalue_line("markers", f"{marker}: of the tests of transformers")
    # A shell ignores Ctrl-C for what it runs in the background, and so would the tests of it, and their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def same_numbers_in_any_order() -> None:
    """Random numbers depend on no test that ran before."""
    torch.manual_seed(0)


@pytest.fixture
def one_thread():
    """A small network gains nothing from more, and loses much where others are at work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small_config(**changes) -> UNetSVSConfig:
    """A stereo network of a few thousand parameters."""
    shape = {"num_channels": 2, "sampling_rate": 16_000, "n_fft": 256, "hop_length": 64, "num_frames": 32}
    shape |= {"context_frames": 8, "hidden_sizes": (4, 8, 8), "num_dropout_layers": 1, "magnitude_scaling": "mean"}
    return UNetSVSConfig(**{**shape, **changes})


def make_model(config: UNetSVSConfig) -> UNetSVSModel:
    torch.manual_seed(0)
    return UNetSVSModel(config).eval()


@pytest.fixture(scope="session")
def model() -> UNetSVSModel:
    return make_model(small_config())


@pytest.fixture(scope="session")
def checkpoint(model, tmp_path_factory) -> Path:
    """A folder as it is pushed to the Hub: weights, configurations and code."""
    folder = tmp_path_factory.mktemp("checkpoint") / "small"
    save_model(model, folder)
    return folder


@pytest.fixture(scope="session")
def training_root(tmp_path_factory) -> Path:
    """Tiny data sets and a recipe for the small model."""
    from .small_training import make_training_root

    return make_training_root(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="session")
def finished_run(training_root) -> Path:
    """The folder of a training of four steps, to be copied by who changes it."""
    from .small_training import trained

    return trained(training_root, "finished run")


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Runs `unet-svs` in this process, which spares its start, in an empty folder; gives what it has said."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, exits: int = 0):
        monkeypatch.setattr(sys, "argv", ["unet-svs", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exited:
            main()
        said = capfd.readouterr()
        assert exited.value.code == exits, said.err
        return said

    return call


def call_main(main: Callable[[], int], *arguments: object) -> int:
    """Runs a script of ours in this process; gives its exit code."""
    with patch("sys.argv", [main.__module__, *map(str, arguments)]):
        return main()


@contextmanager
def raises_one_line(said: str | None = None, error: type[Exception] = ValueError):
    """An error whose message matches and is a single line."""
    with pytest.raises(error, match=said) as raised:
        yield raised
    assert "\n" not in str(raised.value)


@pytest.fixture(scope="module")
def browser():
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def demo(checkpoint, tmp_path_factory):
    from .space_server import running_demo  # which imports this file

    with running_demo(checkpoint, tmp_path_factory.mktemp("page")) as server:
        yield server


def noise(num_channels: int, num_samples: int, seed: int = 0, level: float = 0.1) -> np.ndarray:
    """Music enough for a network that does not know any: noise whose level moves."""
    rng = np.random.default_rng(seed)
    envelope = 1 + np.sin(np.arange(num_samples) / 3000)
    return (rng.standard_normal((num_channels, num_samples)) * envelope * level / 2).astype(np.float32)


def joined(blocks: list[dict[str, np.ndarray] | None]) -> dict[str, np.ndarray]:
    """Whole stems of what a stream has given."""
    given = [block for block in blocks if block]
    return {name: np.concatenate([block[name] for block in given], axis=1) for name in given[0]}


def write_song(path: Path, waveform: np.ndarray, sampling_rate: int = 44_100, **kwargs) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with AudioWriter(path, sampling_rate, len(waveform), **kwargs) as writer:
        writer.write(waveform)
    return path


@pytest.fixture(scope="session")
def bad_files(tmp_path_factory) -> Path:
    """A folder of files that cannot be read."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "folder").mkdir()
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.mp3").write_text("I am no song\n" * 1000)
    (folder / "playlist.mp3").write_text(f"ffconcat version 1.0\nfile {folder / 'text.mp3'}\n")
    write_song(folder / "zero.wav", np.zeros((1, 0), dtype=np.float32))
    whole = write_song(folder / "damaged.flac", noise(2, 200_000)).read_bytes()
    (folder / "damaged.flac").write_bytes(whole[:50_000] + bytes(5_000) + whole[55_000:])
    for format in ("mp3", "flac", "wav"):
        song = write_song(folder / f"truncated.{format}", noise(2, 200_000))
        os.truncate(song, song.stat().st_size // 2)
    with av.open(str(folder / "silent film.mp4"), "w") as film:
        pictures = film.add_stream("mpeg4", rate=10)
        pictures.width = pictures.height = 64
        film.mux([*pictures.encode(av.VideoFrame(64, 64, "yuv420p")), *pictures.encode(None)])
    return folder


def run(*arguments: str | Path, exits: int | None = 0, env=None, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """Runs a command with this Python's folder first on the path; any exit code will do where None is asked for."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"HF_HUB_OFFLINE": "1", **(env or {})}
    command = [str(argument) for argument in arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=600)
    assert exits in (done.returncode, None), done.stdout + done.stderr
    return done


def _data(variable: str, folder: str) -> Path:
    path = Path(os.environ.get(variable, ROOT.parent / "shared" / "data" / folder))
    if not path.is_dir():
        pytest.skip(f"{variable} is not set and {folder} is not beside the repository")
    return path


@pytest.fixture(scope="session")
def musdb_dir() -> Path:
    return _data("UNET_SVS_MUSDB_DIR", "musdb18-7s")


@pytest.fixture(scope="session")
def mir1k_dir() -> Path:
    return _data("UNET_SVS_MIR1K_DIR", "mir-1k")
