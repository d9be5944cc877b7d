"""Faults, injected for real: killed, interrupted, no space, no permission, nothing there, a decoder that hangs."""

import errno
import gc
import inspect
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock

import pytest

from modeling_unet_svs.audio import reading_ahead, whole_files, writing
from modeling_unet_svs.audio.whole_files import replace_text, whole_folder
from modeling_unet_svs.audio.writing import AudioWriter
from modeling_unet_svs.audio_reading import AudioFileError, AudioReader, read_audio
from modeling_unet_svs.command import file_separation
from modeling_unet_svs.command.batch import SeparationOptions, separate_all
from train.checkpoints import save_model

from .conftest import ROOT, noise, raises_one_line, run, write_song
from .small_training import refused

RATE = 16_000
FAILED, INTERRUPTED = 1, 130
WRITING = (file_separation, reading_ahead, whole_files, writing)
pytestmark = pytest.mark.faults


@pytest.fixture
def separate(model, capsys):
    """Separates files in this process; returns how many failed, and what was said."""

    def call(inputs: list[Path], output_dir: Path, format: str = "wav") -> tuple[int, list[str]]:
        failed = separate_all(inputs, output_dir, SeparationOptions(lambda: model, model.config.stems, format=format))
        return failed, capsys.readouterr().err.strip().splitlines()

    return call


def assert_one_line(failed: int, said: list[str], *parts: str) -> None:
    (line,) = said
    assert failed == 1 and all(part in line for part in parts), line


@contextmanager
def disk_of(folder: Path, kilobytes: int):
    """A real disk of a few kilobytes; skips where it may not be mounted."""
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder)
    if not sys.platform.startswith("linux") or run(*mount, exits=None).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        run("umount", "-l", folder, exits=None)


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


SLOW_DISK = """
import time
from modeling_unet_svs.audio.writing import AudioWriter
from modeling_unet_svs.command.cli import main
write = AudioWriter.write
AudioWriter.write = lambda writer, block: (time.sleep(10), write(writer, block))
main()
"""


@contextmanager
def separating(checkpoint: Path, *songs: Path, output_dir: Path, program: str | None = None):
    """The real command in a process of its own, or a program that changes something and then runs it."""
    start = [sys.executable, "-c", program] if program else [Path(sys.executable).parent / "unet-svs"]
    command = [*start, "separate", *songs, "--output-dir", output_dir, "--model", checkpoint]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, env=environment, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(condition, process: subprocess.Popen, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_killed_while_writing_leaves_no_stem_and_the_next_run_removes_what_is_left(separate, checkpoint, tmp_path):
    song = write_song(tmp_path / "song.wav", noise(2, RATE), RATE)
    folder = tmp_path / "out" / "song"
    with separating(checkpoint, song, output_dir=tmp_path / "out", program=SLOW_DISK) as process:
        wait_for(lambda: list(folder.glob(".*.partial")), process)
        process.kill()
        process.wait()
    assert list(folder.glob(".*.partial")) and not list(folder.glob("*.wav"))
    assert separate([song], tmp_path / "out")[0] == 0
    assert files_of(folder) == ["accompaniment.wav", "vocals.wav"]


def test_what_another_program_is_writing_is_left_alone(tmp_path):
    (tmp_path / ".song.wav.of a killed program.partial").write_bytes(b"left behind")
    with AudioWriter(tmp_path / "song.wav", RATE, 1) as writer:
        (others,) = files_of(tmp_path)
        write_song(tmp_path / "song.wav", noise(1, 200), RATE)
        assert files_of(tmp_path) == [others, "song.wav"]
        writer.write(noise(1, 100))
    assert files_of(tmp_path) == ["song.wav"]
    assert read_audio(tmp_path / "song.wav")[0].shape == (1, 100)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_files_and_folders_are_replaced_when_they_are_whole_and_not_before(tmp_path, error):
    """A file alone; a folder as a whole; the files of a folder in which others stay."""
    (tmp_path / ".folder.of a killed program.partial").mkdir()
    for name in ("file", "folder/old", "folder/sub/old"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("old")
    with pytest.raises(error), whole_files.whole_file(tmp_path / "file") as file:
        file.write(b"new")
        raise error
    for writing_whole in (whole_folder, whole_files.whole_files):
        with pytest.raises(error), writing_whole(tmp_path / "folder") as folder:
            (folder / "new").touch()
            raise error
    assert files_of(tmp_path) == ["file", "folder/old", "folder/sub/old"]
    replace_text(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"
    with whole_files.whole_files(tmp_path / "folder") as folder:
        (folder / "old").write_text("replaced")
        (folder / "new").touch()
    assert files_of(tmp_path) == ["file", "folder/new", "folder/old", "folder/sub/old"]
    assert (tmp_path / "folder" / "old").read_text() == "replaced"
    with whole_folder(tmp_path / "folder") as folder:
        (folder / "alone").touch()
        assert (tmp_path / "folder" / "old").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert files_of(tmp_path / "folder") == ["alone"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_link_is_followed_and_a_pipe_or_a_device_is_never_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real" / "file")
    for text in ("first", "second"):
        replace_text(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink() and (tmp_path / "real" / "file").read_text() == text
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    replace_text(tmp_path / "pipe", "through it")
    assert os.read(reader, 100) == b"through it"
    assert (tmp_path / "pipe").is_fifo()
    os.close(reader)
    replace_text("/dev/null", "nothing")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("when", ["separating", "writing"])
def test_ctrl_c_ends_with_130_and_leaves_nothing(checkpoint, tmp_path, when):
    song = write_song(tmp_path / "song.wav", noise(2, (200 if when == "separating" else 1) * RATE), RATE)
    output, program = tmp_path / "out", SLOW_DISK if when == "writing" else None
    begun = {"separating": output.exists, "writing": lambda: list(output.glob("song/.*.partial"))}
    with separating(checkpoint, song, output_dir=output, program=program) as process:
        wait_for(begun[when], process)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stdout) == (INTERRUPTED, ""), stderr
    assert "Traceback" not in stderr
    assert files_of(output) == []


def test_ctrl_c_at_any_line_of_what_writes_leaves_no_partial_file(model, tmp_path):
    """At each in turn, the first time that it is reached."""
    song = write_song(tmp_path / "song.wav", 2 * noise(2, 2000), RATE)
    outputs = {stem: tmp_path / "out" / f"{stem}.wav" for stem in model.config.stems}
    files = {inspect.getfile(module) for module in WRITING}
    interrupted: set[tuple[str, int]] = set()

    def interrupt(frame, event, _):
        line = (frame.f_code.co_filename, frame.f_lineno)
        if line[0] not in files:
            return None
        if event == "line" and line not in interrupted:
            interrupted.add(line)
            sys.settrace(None)
            raise KeyboardInterrupt
        return interrupt

    before = sys.gettrace()
    gc.freeze()  # so that collecting looks at what the loop leaves alone, and takes no time
    for _ in range(1000):
        sys.settrace(interrupt)
        try:
            file_separation.separate_file(model, song, outputs, subtype="16")
            break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        gc.collect()
        assert not list((tmp_path / "out").rglob("*.partial")), max(interrupted)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
    gc.unfreeze()
    assert len(interrupted) > 60
    assert files_of(tmp_path / "out") == ["accompaniment.wav", "vocals.wav"]


@pytest.mark.parametrize("format", ["wav", "flac", "mp3"])
def test_a_full_disk_is_one_line_and_leaves_no_file(separate, tmp_path, format):
    song = write_song(tmp_path / "song.wav", noise(2, 10 * RATE), RATE)
    with disk_of(tmp_path / "disk", 600) as disk:
        assert_one_line(*separate([song], disk / "out", format), "cannot be written: No space left on device")
        assert files_of(disk) == []


def test_a_read_only_disk_is_one_line(separate, tmp_path):
    song = write_song(tmp_path / "song.wav", noise(2, RATE), RATE)
    with disk_of(tmp_path / "disk", 600) as disk:
        (disk / "out").mkdir()
        run("mount", "-o", "remount,ro", disk)
        assert_one_line(*separate([song], disk / "out"), "cannot be written: Read-only file system")
        with pytest.raises(ValueError, match="--output-dir .* cannot be made: Read-only file system"):
            separate([song], disk / "new")


def test_a_file_where_a_songs_folder_should_be_is_one_line(separate, tmp_path):
    song = write_song(tmp_path / "song.wav", noise(2, RATE), RATE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "song").write_text("mine")
    assert_one_line(*separate([song], tmp_path / "out"), "out/song", "cannot be written")
    assert (tmp_path / "out" / "song").read_text() == "mine"


def test_a_file_that_vanishes_after_it_was_found_is_one_line_and_the_others_go_on(separate, tmp_path, monkeypatch):
    for name in "abc":
        write_song(tmp_path / "in" / f"{name}.wav", noise(2, RATE), RATE)
    opened = AudioReader.__init__

    def vanish(reader, path, *arguments):
        if Path(path).name == "b.wav":
            Path(path).unlink()
        opened(reader, path, *arguments)

    monkeypatch.setattr(AudioReader, "__init__", vanish)
    failed, (said, last) = separate([tmp_path / "in"], tmp_path / "out")
    assert (failed, said) == (1, f"unet-svs: {tmp_path / 'in' / 'b.wav'}: no such file.")
    assert last.endswith("1 failed: b.wav.")
    assert len(files_of(tmp_path / "out")) == 4


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ENOENT])
def test_a_file_that_cannot_be_opened_is_one_line(tmp_path, monkeypatch, number):
    song = write_song(tmp_path / "song.wav", noise(1, 100), RATE)
    monkeypatch.setattr("builtins.open", Mock(side_effect=OSError(number, os.strerror(number))))
    with pytest.raises(AudioFileError, match=f"song.wav: cannot be read: {os.strerror(number)}"):
        AudioReader(song)


def test_a_disk_that_fails_while_a_song_is_read_is_one_line(tmp_path, monkeypatch):
    song = write_song(tmp_path / "song.flac", noise(2, 20 * RATE), RATE)
    content, descriptor = song.read_bytes(), os.open(song, os.O_RDONLY)

    class Failing(io.BytesIO):
        def fileno(self) -> int:
            return descriptor

        def read(self, size: int) -> bytes:
            if self.tell() > 300_000:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(size)

    monkeypatch.setattr("builtins.open", lambda *_: Failing(content))
    with pytest.raises(AudioFileError, match="song.flac: "):
        read_audio(song)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_does_not_hang(separate, tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    failed, said = separate([tmp_path / "pipe.wav", Path("/dev/zero")], tmp_path / "out")
    assert failed == 2
    assert ["is a pipe or a device: a song has to be a file" in line for line in said] == [True, True, False]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_whose_stems_are_there_does_not_hang(separate, tmp_path):
    song, stems = write_song(tmp_path / "song.wav", noise(2, RATE)), tmp_path / "out"
    assert separate([song], stems)[0] == 0
    song.unlink()
    os.mkfifo(song)
    assert "song.wav: left out" in separate([song], stems)[1][0]


HANGING = """
import ctypes
from modeling_unet_svs.audio import reading_ahead
from modeling_unet_svs.audio_reading import AudioReader
from modeling_unet_svs.command.cli import main
read = AudioReader.blocks
def hang(reader):
    if reader.path.name == "a.wav":
        ctypes.CDLL(None).sleep(1000)  # outside of Python, as FFmpeg is
    return read(reader)
AudioReader.blocks, reading_ahead.TIME_LIMIT = hang, 1
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="another sleep")
def test_a_decoder_that_hangs_is_one_line_and_the_next_song_goes_on(checkpoint, tmp_path):
    songs = [write_song(tmp_path / f"{name}.wav", noise(2, RATE), RATE) for name in "ab"]
    with separating(checkpoint, *songs, output_dir=tmp_path / "out", program=HANGING) as process:
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == FAILED
    said, last = stderr.strip().splitlines()
    assert said == f"unet-svs: {songs[0]}: cannot be read: nothing came from it for 1 s."
    assert last.endswith("1 failed: a.wav.")
    assert files_of(tmp_path / "out") == ["b/accompaniment.wav", "b/vocals.wav"]


@pytest.mark.parametrize("method", ["_open", "blocks"])
def test_a_decoder_that_hangs_in_training_is_one_line(training_root, tmp_path, monkeypatch, method):
    ended, usual = threading.Event(), getattr(AudioReader, method)

    def hang(reader, *args):
        if reader.path.suffix == ".wav":
            ended.wait(60)
        return usual(reader, *args)

    monkeypatch.setattr(AudioReader, method, hang)
    monkeypatch.setattr(reading_ahead, "TIME_LIMIT", 1)
    # What hangs keeps the progress bar, behind which the line stands then.
    said = refused(training_root, tmp_path / "run", "--cache_dir", tmp_path / "cache", begins="")
    ended.set()
    (song,) = re.findall(r"train: (.+): cannot be read: nothing came from it for 1 s\.", said)
    assert Path(song).is_file()


def test_a_full_disk_for_standard_input_is_one_line(command, checkpoint, tmp_path, monkeypatch):
    song = write_song(tmp_path / "song.wav", noise(2, 10 * RATE), RATE)
    with disk_of(tmp_path / "disk", 100) as disk, open(song, encoding="latin-1") as stdin:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        monkeypatch.setattr(sys, "stdin", stdin)
        said = command("separate", "-", "--stem", "vocals", "--model", checkpoint, exits=FAILED)
        assert files_of(disk) == []
    assert (said.out, said.err.strip()) == ("", "unet-svs: [Errno 28] No space left on device")


def test_a_disk_that_is_full_for_a_checkpoint_is_one_line_and_leaves_none(training_root, tmp_path):
    with disk_of(tmp_path / "disk", 100) as disk:
        said = refused(training_root, disk / "run")
        assert re.findall(r"train: (\S+) cannot be written to: \S", said) == [str(disk / "run")]
        assert not list(disk.glob("run/checkpoint-*")) and not list(disk.glob("run/*.partial"))


def test_a_disk_that_is_full_for_a_model_leaves_the_one_that_is_there(model, tmp_path):
    with disk_of(tmp_path / "disk", 200) as disk:
        save_model(model, disk / "model")
        before = {name: (disk / "model" / name).read_bytes() for name in files_of(disk / "model")}
        # All space that is left but a few kilobytes.
        (disk / "filler").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - 8192)))
        with pytest.raises(ValueError, match="model cannot be written to: "):
            save_model(model, disk / "model")
        assert {name: (disk / "model" / name).read_bytes() for name in files_of(disk / "model")} == before


@pytest.fixture
def job(model, monkeypatch):
    """Separates as the demo does, but gives up sooner."""
    pytest.importorskip("gradio")
    from . import space_server  # noqa: F401

    from job import SeparationJob  # isort:skip
    from settings import Settings  # isort:skip

    monkeypatch.setattr("job.STALL_SECONDS", 3)
    monkeypatch.setattr("job.TICK_SECONDS", 0.05)
    return SeparationJob(model, Settings())


@pytest.mark.parametrize("where", ["check_song", "separate_file"])
def test_the_demo_gives_a_decoder_that_hangs_up_and_the_next_song_has_its_turn(job, tmp_path, monkeypatch, where):
    from job import SongError

    song = write_song(tmp_path / "song.wav", noise(2, RATE), RATE)
    ended = threading.Event()
    with monkeypatch.context() as patch:
        patch.setattr(f"job.{where}", lambda *_, **__: ended.wait(60))
        with pytest.raises(SongError, match="keeps the decoder busy"):
            list(job.run(song, tmp_path / "out", "flac"))
    *_, result = job.run(song, tmp_path / "out", "flac")
    assert all(path.exists() for path in result.stems.values())
    ended.set()
    *_, result = job.run(song, tmp_path / "again", "flac")
    assert len(result.stems) == 2


def test_a_disk_that_is_full_for_the_demo_is_one_sentence(job, tmp_path):
    from job import SongError

    song = write_song(tmp_path / "song.wav", noise(2, 10 * RATE), RATE)
    with disk_of(tmp_path / "disk", 300) as disk:
        with raises_one_line(error=SongError):
            list(job.run(song, disk / "out", "flac"))
        assert files_of(disk) == []
