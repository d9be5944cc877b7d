"""Names, of files and in tags, from strangers: nothing is written outside the output folder."""

import os
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling_unet_svs.audio_reading import AudioFileError
from modeling_unet_svs.command.batch import SeparationOptions, separate_all
from modeling_unet_svs.command.cli import main
from modeling_unet_svs.command.songs import safe_name

from .conftest import noise, write_song

pytest.importorskip("gradio")

from .space_server import SPACE  # noqa: E402, F401

from downloads import make_download  # noqa: E402  isort:skip
from job import SeparationJob  # noqa: E402  isort:skip
from settings import Settings  # noqa: E402  isort:skip

RATE = 16_000
ODD_NAMES = (
    *("...wav", "..wav", "... .wav", "CON.wav", "nul.wav", "-rf.wav", "a\nb.wav", "\x1b[31mred.wav", "[b].wav"),
    *("🎤" * 62 + ".wav", "x" * 251 + ".wav", "..\\..\\up.wav", "C:\\up.wav", "%s%n.wav", "a. . .wav"),
    *("\udcff\udcfe.wav", "~.wav", "$(touch x).wav", "\u202efdp.wav"),
)
TAGS = {"title": "../../etc/passwd", "artist": "a\nb\x1b[31m", "album": "/absolute", "comment": "🎤" * 5000}


@given(st.one_of(st.text(max_size=80), st.sampled_from(ODD_NAMES), st.text("./\\ CONul", max_size=9)))
def test_any_name_is_one_part_of_a_path(name):
    safe = safe_name(name)
    assert 0 < len(os.fsencode(safe)) <= 160
    assert Path("folder", safe).resolve().parent == Path("folder").resolve()
    assert not set(safe) & set('/\\:*?"<>|\n\x1b\0\u202e')
    assert not safe.endswith((".", " "))
    assert safe.split(".")[0].upper() not in ("CON", "NUL", "COM1")
    assert safe_name(safe) == safe


@pytest.mark.parametrize("in_a_folder", [True, False])
def test_stems_of_oddly_named_songs_stay_in_the_output_folder(model, tmp_path, capsys, in_a_folder):
    whole = write_song(tmp_path / "song.wav", noise(1, 2_000), RATE, tags=TAGS).read_bytes()
    songs = tmp_path / "in" / "music"
    for name in ODD_NAMES:
        folder = songs / (f"{name[:9]} folder" if in_a_folder else "")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(whole)
    before = {*tmp_path.rglob("*")}
    output = tmp_path / "out" / "separated"
    inputs = [songs] if in_a_folder else sorted(songs.iterdir())
    failed = separate_all(inputs, output, SeparationOptions(lambda: model, model.config.stems, "vocals"))
    said = capsys.readouterr()
    written = [path for path in {*tmp_path.rglob("*")} - before if path.is_file()]
    assert all(path.is_relative_to(output) and len(path.relative_to(output).parts) >= 2 for path in written)
    # Two names can become one; the second is refused and the first stays. Folders hide what begins with a dot.
    num_hidden = sum(name.startswith(".") for name in ODD_NAMES) if in_a_folder else 0
    assert len(written) + failed + num_hidden == len(ODD_NAMES)
    assert said.err.count("would overwrite the stems of") == failed
    assert len(said.out.splitlines()) == len(written)
    assert "\x1b" not in said.out + said.err


def test_a_name_that_is_too_long_or_no_name_is_one_line(model, tmp_path, capsys):
    inputs = [Path("x" * 300), Path("a/" * 3000), Path("no\nsuch\x1b[31m.wav"), Path("\udcff.wav")]
    assert separate_all(inputs, tmp_path / "out", SeparationOptions(lambda: model, model.config.stems, "vocals")) == 4
    *lines, last = capsys.readouterr().err.strip().splitlines()
    assert "0 of 4 done" in last and "\x1b" not in last
    assert [line.endswith(": no such file.") and "\x1b" not in line for line in lines] == [True] * 4
    assert str(AudioFileError("a\nb\x1b\udcff\u202e", "is\r\nbad")) == "a?b???: is??bad"


def test_names_that_are_no_text_are_printed_all_the_same(checkpoint, tmp_path, monkeypatch, capfdbinary):
    song, output = write_song(tmp_path / "song.wav", noise(1, 2_000), RATE), tmp_path / os.fsdecode(b"out\xff")
    command = ("unet-svs", "separate", song, "--output-dir", output, "--model", checkpoint)
    monkeypatch.setattr(sys, "argv", [*map(str, command)])
    with pytest.raises(SystemExit) as exited:
        main()
    assert exited.value.code == 0
    assert b"out\xff/song/vocals.wav" in capfdbinary.readouterr().out
    assert (output / "song" / "vocals.wav").exists()


@pytest.mark.parametrize("name", ["...wav", "..\\..\\up.wav", "🎤" * 62 + ".wav", "a\nb.wav", "\udcff.wav", "CON.wav"])
def test_downloads_and_zips_hold_plain_names(model, tmp_path, name):
    path = tmp_path / "upload" / name
    write_song(path.with_name("plain.wav"), noise(1, 4_000), RATE, tags=TAGS).rename(path)
    folder = tmp_path / "results" / "one"
    *_, song = SeparationJob(model, Settings()).run(path, folder, "flac")
    archive = make_download(song, "all", "wav")
    assert archive.parent == folder
    for entry in zipfile.ZipFile(archive).namelist():
        assert Path(entry).name == entry and not set(entry) & set("/\\:\n")
    assert sorted(os.listdir(tmp_path)) == ["results", "upload"]
    assert os.listdir(folder.parent) == ["one"]
