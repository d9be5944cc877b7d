"""`python -m train.listen`: a page that plays what two models make of the same songs."""

import re
from urllib.parse import unquote

import numpy as np
import pytest

from modeling_unet_svs.audio_reading import read_audio
from train import listen

from .conftest import call_main, noise, write_song
from .data_sets import TRAIN_SONGS, make_song_folders


def test_a_page_has_all_it_plays_beside_it_and_the_scores(checkpoint, tmp_path):
    songs = make_song_folders(tmp_path / "songs")
    models = ("--before", checkpoint, "--after", checkpoint)
    page = tmp_path / "page"
    assert call_main(listen.main, *models, "--stems_dir", songs, "--num_songs", 2, "--output_dir", page) == 0
    html = (page / "index.html").read_text()
    assert re.findall("<h2>(.*)</h2>", html) == sorted(TRAIN_SONGS)[:2]
    files = {unquote(name) for name in re.findall(' src="(.*?)"', html)}
    assert files == {path.name for path in page.iterdir()} - {"index.html"}
    assert len([name for name in files if name.endswith(".opus")]) == 2 * 7
    scores = re.findall(r'class="score">(-?\d+\.\d\d)<', html)
    assert len(scores) == 2 * 4
    assert scores[:2] == scores[2:4]  # of the same model
    assert "://" not in html
    mixture, rate = read_audio(page / "1 mixture mixture.opus")
    assert (rate, mixture.shape[1]) == (48_000, 48_000)


def test_mixed_songs_have_no_scores_and_only_a_part_is_played(checkpoint, tmp_path):
    song = write_song(tmp_path / "a & <b>.wav", noise(1, 100_000))
    given = ("--before", checkpoint, "--songs", song, "--after", checkpoint, "--seconds", 1)
    assert call_main(listen.main, *given, "--output_dir", tmp_path / "page") == 0
    html = (tmp_path / "page" / "index.html").read_text()
    assert "<h2>a &amp; &lt;b&gt;.wav</h2>" in html
    assert not re.search(r'class="score">.', html.replace('class="score"></td>', ""))
    assert np.abs(read_audio(tmp_path / "page" / "1 after vocals.opus")[0]).shape == (1, 48_000)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "nothing to evaluate on: "),
        (("--songs", "nowhere.mp3"), "nowhere.mp3"),
        (("--songs", "x", "--stems_dir", "y"), "--songs, or a folder, not both."),
        (("--songs", "x", "--seconds", "0"), "--num_songs and --seconds must be at least 1."),
        (("--songs", "x", "--after", "nobody/nothing"), "model nobody/nothing: "),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(given, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert call_main(listen.main, *given) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("listen: ") and said in lines[-1]
    assert not [*tmp_path.iterdir()]
