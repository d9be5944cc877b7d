"""`unet-svs`: what people type, what they get, and what they are told."""

import codecs
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import modeling_unet_svs
from modeling_unet_svs.audio.writing import FORMATS, SUBTYPES
from modeling_unet_svs.audio_reading import AudioReader, read_audio
from modeling_unet_svs.command import batch, cli

from .conftest import noise, run, write_song

FAILED, USAGE, INTERRUPTED = 1, 2, 130
PROGRAM = Path(sys.executable).parent / "unet-svs"
STEMS = ("vocals", "accompaniment")


@pytest.fixture
def unet_svs(command, checkpoint):
    """Runs `unet-svs separate` with the small model."""
    return lambda *arguments, **how: command("separate", *arguments, "--model", checkpoint, **how)


@pytest.fixture
def song(tmp_path) -> str:
    """A short song in the working folder."""
    return write_song(tmp_path / "song.wav", noise(2, 9_000)).name


def stems_of(song: Path | str, format: str = "wav") -> dict[str, np.ndarray]:
    return {stem: read_audio(Path("separated", song, f"{stem}.{format}"))[0] for stem in STEMS}


CLOSING = re.compile(r"unet-svs: (\d+) of (\d+) done (?:in [\d.]+ s|before).*\.\n$")


def assert_one_line(stderr: str, *parts: str) -> None:
    """Beside the last line, which says what was done."""
    (line,) = CLOSING.sub("", stderr).strip().splitlines()
    assert not [part for part in parts if part not in line], line


@pytest.mark.parametrize("subtype", ["16", "24", "float"])
@pytest.mark.parametrize(
    ("rate", "channels", "options"),
    [(44_100, 2, []), (48_000, 1, ["--dtype", "bfloat16"]), (8_000, 3, ["--dtype", "float32"])],
)
def test_stems_are_as_the_song_is_and_add_up_to_it(unet_svs, tmp_path, subtype, rate, channels, options):
    """In length, rate, channels and depth, and in any precision."""
    mixture, _ = read_audio(write_song(tmp_path / "song.wav", noise(channels, 70_001), rate, subtype=subtype))
    paths = unet_svs("song.wav", *options).out.split()
    assert paths == ["separated/song/vocals.wav", "separated/song/accompaniment.wav"]
    stems = stems_of("song")
    assert np.abs(sum(stems.values()) - mixture).max() <= {"16": 2.0**-15, "24": 1e-5, "float": 1e-5}[subtype]
    for path, stem in zip(paths, stems.values()):
        assert stem.shape == mixture.shape
        with AudioReader(path) as reader:
            assert (reader.info.sampling_rate, reader.info.subtype) == (rate, subtype)


@pytest.mark.parametrize("format", ["flac", "mp3", "ogg", "opus", "m4a"])
def test_every_format_goes_in_and_comes_out_with_the_songs_tags(unet_svs, tmp_path, format):
    tags = {"title": "Für Elise", "artist": "Someone"}
    write_song(tmp_path / f"song.{format}", noise(2, 60_001), 48_000, tags=tags)
    unet_svs(f"song.{format}", "--format", format)
    for name, stem in stems_of("song", format).items():
        assert stem.shape == (2, 60_001)
        with AudioReader(f"separated/song/{name}.{format}") as reader:
            assert (tags | {"title": f"Für Elise ({name})"}).items() <= reader.info.tags.items()


def test_the_files_of_a_folder_keep_their_places(unet_svs, tmp_path):
    for name in ("a.wav", "album/b.flac", "album/cd 2/ü.mp3"):
        write_song(tmp_path / "music" / name, noise(1, 9_000))
    for name in ("cover.jpg", "._a.wav", "__MACOSX/a.wav", ".hidden/a.wav"):
        (tmp_path / "music" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "music" / name).write_bytes(b"no song")
    assert_one_line(unet_svs("music").err, "left out 1 file", "1 .jpg")
    found = {path.relative_to("separated").as_posix() for path in Path().glob("separated/**/vocals.wav")}
    assert found == {"a/vocals.wav", "album/b/vocals.wav", "album/cd 2/ü/vocals.wav"}


def test_whatever_is_read_is_found_in_folders_and_links_are_followed_once(unet_svs, tmp_path):
    song = write_song(tmp_path / "elsewhere" / "linked.wav", noise(1, 9_000))
    for name in ("a.m4b", "b.W64", "c.caf", "d.mka", "e.ts", "f.aifc", "g.mp2", "h.au"):
        (tmp_path / "music").mkdir(exist_ok=True)
        shutil.copy(song, tmp_path / "music" / name)  # the content decides how it is read
    for link, target in (("music/album", "elsewhere"), ("music/again", "elsewhere"), ("music/loop", "music")):
        (tmp_path / link).symlink_to(tmp_path / target)
    found = sorted(line.split("/", 1)[1] for line in unet_svs("music", "--stem", "vocals").out.splitlines())
    assert found == [f"{name}/vocals.wav" for name in ("a", "again/linked", *"bcdefgh")]


def test_two_files_of_one_name_give_two_results_and_one_named_twice_gives_one(unet_svs, tmp_path):
    for name in ("song.flac", "song.wav"):
        write_song(tmp_path / "music" / name, noise(1, 9_000))
    said = unet_svs("music/song.wav", "music", tmp_path / "music" / "song.flac", "--stem", "vocals").out
    assert said.splitlines() == ["separated/song/vocals.wav", "separated/song.flac/vocals.wav"]


def test_long_names_that_begin_alike_stay_apart(unet_svs, tmp_path):
    for movement in ("first", "second"):
        write_song(tmp_path / "music" / f"{'交響曲第九番' * 9} {movement}.wav", noise(1, 9_000))
    first, second = unet_svs("music", "--stem", "vocals").out.splitlines()
    assert first != second


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_a_list_may_be_in_any_encoding_that_says_so(unet_svs, tmp_path, encoding):
    write_song(tmp_path / "ü.wav", noise(1, 9_000))
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    (tmp_path / "list.txt").write_bytes(mark + "ü.wav\r\nü.wav\r\n".encode(encoding))
    assert unet_svs("--files-from", "list.txt", "--stem", "vocals").out == "separated/ü/vocals.wav\n"


def test_a_song_is_never_replaced_by_its_own_stem(unet_svs, tmp_path):
    song = write_song(tmp_path / "out" / "vocals" / "vocals.wav", noise(1, 9_000))
    before = song.read_bytes()
    said = unet_svs("out/vocals/vocals.wav", "--output-dir", "out", "--overwrite", exits=FAILED).err
    assert_one_line(said, "would have its stem in place of the song", "--output-dir")
    assert song.read_bytes() == before
    assert os.listdir("out/vocals") == ["vocals.wav"]


def test_the_folder_of_the_stems_is_no_input(unet_svs, song):
    first = unet_svs(song, "--stem", "vocals").out
    assert unet_svs(song, "separated", "--stem", "vocals", "--overwrite").out == first


def test_any_failure_is_its_songs_and_debug_shows_where(unet_svs, song, tmp_path, monkeypatch):
    def failing(model, path, *_, **__):
        if Path(path).name == "broken.wav":
            raise ZeroDivisionError("division by zero")
        return separate_file(model, path, *_, **__)

    separate_file = batch.separate_file
    monkeypatch.setattr(batch, "separate_file", failing)
    write_song(tmp_path / "broken.wav", noise(1, 9_000))
    said = unet_svs("broken.wav", song, "--report", "report.jsonl", exits=FAILED)
    assert_one_line(said.err, "broken.wav: cannot be separated: division by zero")
    assert said.out.startswith("separated/song/vocals.wav")
    assert "division by zero" in Path("report.jsonl").read_text()
    assert "ZeroDivisionError" in unet_svs("broken.wav", "--debug", exits=FAILED).err


@pytest.mark.parametrize("redirected", ["<&-", ">&-"])
def test_a_closed_stream_is_one_line(song, checkpoint, redirected, tmp_path):
    command = f"{PROGRAM} separate - --stem vocals --model {checkpoint} {'' if '<' in redirected else f'< {song}'}"
    done = run("bash", "-c", f"{command} {redirected}", exits=USAGE, cwd=tmp_path)
    assert_one_line(done.stderr, "standard", "is closed")


def test_a_name_that_standard_output_cannot_encode_is_escaped(song, checkpoint, tmp_path):
    for name in ("а.wav", "я.wav"):
        (tmp_path / "music").mkdir(exist_ok=True)
        shutil.copy(tmp_path / song, tmp_path / "music" / name)
    command = (PROGRAM, "separate", "music", "--stem", "vocals", "--model", checkpoint)
    done = run(*command, env={"PYTHONIOENCODING": "cp1252"}, cwd=tmp_path)
    assert done.stdout.splitlines() == [r"separated/\u0430/vocals.wav", r"separated/\u044f/vocals.wav"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_a_report_goes_through_links_and_into_pipes(unet_svs, song, tmp_path):
    (tmp_path / "real.jsonl").touch()
    (tmp_path / "link.jsonl").symlink_to("real.jsonl")
    unet_svs(song, "--report", "link.jsonl")
    assert (tmp_path / "link.jsonl").is_symlink()
    assert '"done"' in (tmp_path / "real.jsonl").read_text()
    os.mkfifo("pipe")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(Path("pipe").read_text)
        unet_svs(song, "--report", "pipe")
        assert '"skipped"' in read.result(timeout=60)
    assert Path("pipe").is_fifo()


def test_stems_of_this_song_are_not_made_again_and_other_files_stay(unet_svs, song, tmp_path):
    vocals = Path("separated/song/vocals.wav")
    unet_svs(song, "--stem", "vocals")
    made = vocals.read_bytes()
    assert_one_line(unet_svs(song).err, song, "not made again, separated/song/vocals.wav is there already")
    again = unet_svs(song).err
    assert_one_line(again, song, "left out", "--overwrite")
    assert again.endswith("unet-svs: 1 of 1 done before.\n")
    other = write_song(tmp_path / "album" / "song.wav", noise(1, 9_000, seed=1))
    for no_stem in (made, b"mine"):
        vocals.write_bytes(no_stem)
        said = unet_svs(other, exits=FAILED).err
        assert_one_line(
            said, f"{other}: separated/song/vocals.wav is there and is no stem of this file", "--overwrite"
        )
        assert vocals.read_bytes() == no_stem
    unet_svs(other, "--overwrite")
    assert read_audio(vocals)[0].shape == (1, 9_000)


def test_one_stem_alone_of_songs_from_a_list(unet_svs, tmp_path):
    for name in ("a.wav", "music/ü b.flac"):
        write_song(tmp_path / name, noise(1, 9_000))
    (tmp_path / "list.txt").write_bytes("a.wav\r\n\nmusic/ü b.flac\n".encode())
    options = ("--stem", "vocals", "--output-dir", "here", "--report", "reports/all.jsonl")
    said = unet_svs("--files-from", "list.txt", *options).out
    assert said.splitlines() == ["here/a/vocals.wav", "here/ü b/vocals.wav"]
    assert os.listdir("here/a") == ["vocals.wav"]
    assert len(Path("reports/all.jsonl").read_text().splitlines()) == 2


def test_where_it_would_clip_both_stems_are_scaled_by_the_same_factor(unet_svs, tmp_path):
    """A float song far beyond full scale, whose stems are asked for in 16 bits."""
    mixture = noise(2, 60_000, level=4.0)
    write_song(tmp_path / "loud.wav", mixture, subtype="float")
    limited, scaled, _ = unet_svs("loud.wav", "--subtype", "16").err.splitlines()
    assert re.search("loud.wav has [0-9]+ samples beyond full scale, which are limited to it.$", limited)
    scale = float(re.search("loud.wav: stems made quieter by a factor of ([0-9.]+), ", scaled)[1])
    stems = stems_of("loud")
    assert 0.999 < max(np.abs(stem).max() for stem in stems.values()) <= 1
    assert np.abs(sum(stems.values()) - scale * np.clip(mixture, -1, 1)).max() < 1e-3
    assert CLOSING.fullmatch(unet_svs("loud.wav", "--overwrite").err).groups() == ("1", "1")
    assert np.abs(sum(stems_of("loud").values()) - mixture).max() <= 1e-5


def test_a_broken_song_is_told_and_the_others_go_on(unet_svs, tmp_path, song, bad_files):
    names = ("missing.wav", "text.mp3", "truncated.mp3", "zero.wav", "silent film.mp4", "damaged.flac")
    *lines, last = unet_svs(*(bad_files / name for name in names), song, exits=FAILED).err.strip().splitlines()
    assert len(lines) == len(names)
    assert re.search("1 of 7 done in .* s .*, 6 failed: missing.wav, text.mp3, .*, [.]{3}[.]$", last)
    assert all(line.startswith(f"unet-svs: {bad_files / name}: ") for line, name in zip(lines, names))
    assert sorted(path.name for path in tmp_path.glob("separated/*/*")) == ["accompaniment.wav", "vocals.wav"]


@pytest.mark.parametrize(
    ("arguments", "exits", "parts"),
    [
        (["empty"], FAILED, ("empty", "has no audio files in it")),
        (["song.wav", "a/song.wav", "b/song.wav"], FAILED, ("b/song.wav", "stems of a/song.wav")),  # overwritten
        (["song.wav", "--output-dir", "file/separated"], USAGE, ("--output-dir file/separated",)),
        ([], USAGE, ("no songs", "--files-from")),
        (["-"], USAGE, ("--stem all: standard output takes one of vocals",)),
        (["-", "song.wav"], USAGE, ("cannot be combined",)),
    ],
)
def test_what_cannot_be_done_is_one_line(unet_svs, tmp_path, song, arguments, exits, parts):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no folder")
    for folder in ("a", "b"):
        write_song(tmp_path / folder / "song.wav", noise(1, 9_000))
    assert_one_line(unet_svs(*arguments, exits=exits).err, *parts)
    assert (tmp_path / "file").read_text() == "no folder"


WRONG = {"--stem drums": "--stem drums: use one of vocals, accompaniment, all", "--format aiff": "aiff"}
WRONG |= {"--subtype 8": "8", "--batch-size 0": "--batch-size", "--nonsense": "--nonsense"}
WRONG |= {"--files-from nowhere": "--files-from nowhere cannot be read: No such file"}


@pytest.mark.parametrize(("arguments", "part"), WRONG.items())
def test_wrong_usage_is_told_before_any_work(unet_svs, song, arguments, part):
    said = unet_svs(song, *arguments.split(), exits=USAGE).err
    assert part in said
    assert "Traceback" not in said
    assert not Path("separated").exists()


NO_MODELS = {
    "nobody/no-such-model": "is neither a local folder nor a model that can be reached on the Hugging Face Hub",
    **dict.fromkeys(("truncated weights", "garbage for weights", "a pickle"), "safetensors"),
    **{"another kind of model": "bert", "an empty folder": "config.json"},
}


@pytest.mark.parametrize(("name", "said"), NO_MODELS.items())
def test_a_model_that_cannot_be_loaded_is_one_clear_line(command, checkpoint, song, name, said):
    folder = Path(name)
    if folder.parent == Path():
        folder.mkdir() if "empty" in name else shutil.copytree(checkpoint, folder)
    weights = folder / "model.safetensors"
    if "truncated" in name:
        os.truncate(weights, weights.stat().st_size // 2)
    if "garbage" in name:
        weights.write_bytes(b"\xff" * 1000)
    if "another" in name:
        (folder / "config.json").write_text('{"model_type": "bert"}')
    if "pickle" in name:
        weights.unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    stderr = command("separate", song, "--model", name, exits=USAGE).err
    assert_one_line(stderr, f"unet-svs: model {name}", said)
    assert not Path("separated").exists()


def test_no_ffmpeg_and_no_path_are_needed(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_song(tmp_path / "song.mp3", noise(2, 9_000))
    arguments = ("song.mp3", "--model", checkpoint, "--format", "m4a")
    run(PROGRAM, "separate", *arguments, cwd=tmp_path, env={"PATH": ""})
    assert stems_of("song", "m4a")["vocals"].shape == (2, 9_000)


def test_a_stem_file_of_musdb18_is_a_song(unet_svs, musdb_dir):
    path = sorted(musdb_dir.glob("test/*.stem.mp4"))[0]
    unet_svs(path)
    mixture, rate = read_audio(path)
    (folder,) = os.listdir("separated")
    assert np.abs(sum(stems_of(folder).values()) - mixture).max() <= 2.0**-15 + 1e-5
    assert rate == 44_100


def pipe(data: bytes, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [PROGRAM, "separate", "-", "--stem", "vocals", *arguments]
    return subprocess.run(command, input=data, capture_output=True, timeout=600)


def test_a_song_goes_through_standard_input_and_a_stem_comes_out(checkpoint, model, tmp_path):
    """As `ffmpeg ... -f wav - | unet-svs separate - --stem vocals > vocals.wav`, which does not know the length."""
    mixture = noise(2, 70_001)
    data = bytearray(write_song(tmp_path / "song.wav", mixture, subtype="float").read_bytes())
    data[4:8] = b"\xff" * 4
    size = data.index(b"data") + 4
    data[size : size + 4] = b"\xff" * 4
    done = pipe(bytes(data), "--model", checkpoint, "--dtype", "float32")
    assert done.returncode == 0, done.stderr
    (tmp_path / "vocals.wav").write_bytes(done.stdout)
    vocals, rate = read_audio(tmp_path / "vocals.wav")
    assert rate == 44_100
    assert np.array_equal(vocals, model.separate(mixture, 44_100)["vocals"])


@pytest.mark.skipif(sys.platform == "win32", reason="no such terminals")
def test_paths_go_where_standard_output_goes_while_a_terminal_shows_the_progress(checkpoint, tmp_path, song):
    import pty

    terminal, shown = pty.openpty()
    command = [PROGRAM, "separate", song, "--model", checkpoint]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=shown, cwd=tmp_path, timeout=600)
    assert done.stdout.split() == [b"separated/song/vocals.wav", b"separated/song/accompaniment.wav"]
    shows = os.read(terminal, 100_000)
    assert b"song" in shows and b"loading the model" in shows
    os.close(terminal)
    os.close(shown)


def test_what_is_no_song_through_standard_input(checkpoint):
    done = pipe(b"no song", "--model", checkpoint)
    assert (done.returncode, done.stdout) == (FAILED, b"")
    assert_one_line(done.stderr.decode(), "standard input: is not an audio file of a known format")


def test_an_interrupt_ends_the_wait_for_a_song_that_never_comes(unet_svs, tmp_path, monkeypatch):
    """As `timeout -s INT` does."""
    reading, writing = os.pipe()
    monkeypatch.setattr(sys, "stdin", os.fdopen(reading))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def interrupt() -> None:
        while not list(tmp_path.glob("*/song")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    assert unet_svs("-", "--stem", "vocals", exits=INTERRUPTED).out == ""
    os.close(writing)
    assert os.listdir(tmp_path) == []


def test_info_says_what_a_checkpoint_is(command, checkpoint, model):
    said = command("info", checkpoint).out
    assert all(part in said for part in ("vocals, accompaniment", "16000 Hz", f"{model.num_parameters():,}"))


def test_every_format_and_subtype_that_is_written_can_be_asked_for():
    assert (get_args(cli.Format), get_args(cli.Subtype)) == (tuple(FORMATS), tuple(SUBTYPES))


def test_help_is_help():
    done = run("unet-svs", "--help")
    assert "separate" in done.stdout and "info" in done.stdout


def test_export_writes_graphs_and_what_a_runner_has_to_know(command, checkpoint):
    said = command("export", "--format", "onnx", "--output", "graphs", checkpoint)
    assert (said.out.strip(), said.err) == (str(Path("graphs/onnx")), "")
    assert {*os.listdir("graphs/onnx")} == {"model.onnx", "model_fp16.onnx", "separation.json"}
    assert json.loads(Path("graphs/onnx/separation.json").read_text()) == {
        **{"format_version": 1, "window": "periodic_hann"},
        **{"sampling_rate": 16_000, "num_channels": 2, "n_fft": 256, "hop_length": 64, "num_bands": 1},
        **{"num_frames": 32, "context_frames": 8},
        **{"sources": ["vocals"], "residual": "accompaniment", "stems": ["vocals", "accompaniment"]},
    }
    # Nothing of the machine that it was made on.
    assert str(Path(sys.prefix)).encode() not in Path("graphs/onnx/model.onnx").read_bytes()


def test_what_cannot_be_exported_is_one_line(command, checkpoint, monkeypatch):
    def refused(output: str, model: Path | str, exits: int) -> str:
        return command("export", "--output", output, model, exits=exits).err

    Path("a file").touch()
    assert_one_line(refused("a file", checkpoint, FAILED), "a file cannot be written")
    assert_one_line(refused("graphs", "nowhere", USAGE), "model nowhere")
    monkeypatch.setitem(sys.modules, "modeling_unet_svs.onnx.export", None)
    assert_one_line(refused("graphs", checkpoint, USAGE), 'pip install "unet-svs[export]"')


def test_a_song_without_a_command_gets_a_hint(command):
    for first in ("song.mp3", "no such song.mp3"):
        assert_one_line(command(first, exits=USAGE).err, f"{first} is no command", "use unet-svs separate ", first)


def test_short_options_and_the_version(command, unet_svs, song):
    assert command("--version").out == f"unet-svs {modeling_unet_svs.__version__}\n"
    for words in (["-h"], ["separate", "-h"]):
        assert "Usage: " in command(*words).out
    unet_svs(song, "-o", "elsewhere")
    assert Path("elsewhere/song/vocals.wav").is_file()
