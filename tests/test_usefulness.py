"""What the stems are good for: the arithmetic on signals and scores with known answers, and what is said of it."""

import json

import numpy as np
import pytest

from train.evaluation.results import plain

from .benchmarks.usefulness import karaoke, lyrics, singers
from .benchmarks.usefulness.clips import Clip, Stems, some, some_clips
from .benchmarks.usefulness.melody import Melody, compare
from .benchmarks.usefulness.report import DOCUMENT, README, between_marks, document, with_lines
from .benchmarks.usefulness.summary import figure, summarise
from .benchmarks.usefulness.work import compare_singers, read_earlier
from .conftest import ROOT, noise, raises_one_line

RESULTS = ROOT / "train" / "results" / "usefulness" / "usefulness.json"
RATE = 16_000


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_the_voice_that_is_left_is_known_to_a_tenth_of_a_decibel(share):
    """Whatever the level of the accompaniment, and with noise that is neither."""
    accompaniment, voice, other = (noise(2, 4 * RATE, seed=seed) for seed in range(3))
    level = 20 * np.log10(share)
    assert karaoke.voice_left(accompaniment + share * voice, accompaniment, voice, RATE) == pytest.approx(
        level, abs=1e-3
    )
    changed = 0.7 * accompaniment + share * voice + 0.05 * other
    assert karaoke.voice_left(changed, accompaniment, voice, RATE) == pytest.approx(level, abs=0.1)


def test_the_voice_that_is_left_where_stems_are_silent():
    voice, silence = noise(2, 2 * RATE), np.zeros((2, 2 * RATE), np.float32)
    assert karaoke.voice_left(0.1 * voice, silence, voice, RATE) == pytest.approx(-20, abs=1e-3)
    assert np.isnan(karaoke.voice_left(voice, voice[::-1], silence, RATE))
    assert karaoke.voice_left(voice[::-1], voice[::-1], voice, RATE) == karaoke.NONE


def test_a_voice_that_changes_with_time_and_pitch_is_found():
    """Where a mask leaves it in half of the time."""
    accompaniment, voice = noise(2, 4 * RATE, seed=1), noise(2, 4 * RATE, seed=2)
    left = voice * (np.arange(4 * RATE) < 2 * RATE)
    assert karaoke.voice_left(accompaniment + left, accompaniment, voice, RATE) == pytest.approx(-3, abs=0.3)


def test_voicing_that_is_left():
    true = Melody(np.array([100.0, 100, 100, 100]), np.array([True, True, True, False]))
    heard = Melody(np.array([101.0, 200, 100, 100]), np.array([True, True, False, True]))
    assert karaoke.voicing_left(true, heard) == {"voiced": pytest.approx(2 / 3), "pitched": pytest.approx(1 / 3)}


def test_measures_of_a_melody():
    """An octave off counts for the chroma alone; without voiced frames, nothing counts."""
    true = Melody(np.array([100.0, 100, 100, 100, 100]), np.array([True, True, True, True, False]))
    found = Melody(np.array([100.0, 200, 150, 101, 100]), np.array([True, True, True, False, True]))
    measures = {"pitch": 0.5, "chroma": 0.75, "recall": 0.75, "false_alarm": 1.0, "overall": 0.2}
    assert compare(true, found) == pytest.approx(measures)
    nothing = compare(Melody(true.pitch, np.zeros(5, bool)), found)
    assert [name for name, value in nothing.items() if np.isfinite(value)] == ["false_alarm"]


def test_equal_error_rates_of_known_scores():
    rate = singers.equal_error_rate
    assert rate(np.array([0.8, 0.9]), np.array([0.1, 0.2])) == 0
    assert rate(np.array([0.1, 0.2]), np.array([0.8, 0.9])) == 1
    # One in four of each lies on the wrong side of 0.5.
    assert rate(np.array([0.4, 0.6, 0.7, 0.8]), np.array([0.1, 0.2, 0.3, 0.55])) == pytest.approx(0.25)
    assert rate(*np.random.default_rng(0).standard_normal((2, 20_000))) == pytest.approx(0.5, abs=0.01)


def test_no_clip_meets_a_centroid_that_its_song_went_into():
    """Each song has a direction of its own, which its clips would find at once."""
    clips = [f"{singer}_{song}_0{clip}" for singer in ("a", "b") for song in (1, 2, 10) for clip in (1, 2)]
    songs = sorted({singers.song_of(clip) for clip in clips})
    vectors = {clip: np.eye(len(songs))[songs.index(singers.song_of(clip))] for clip in clips}
    cosines = singers.compare({**vectors, "only_1_01": np.ones(len(songs))})
    assert set(cosines) == set(clips)  # a singer with one song has nothing to be compared with
    assert all(score == 0 for scores in cosines.values() for score in scores.values())
    assert {tuple(scores) for scores in cosines.values()} == {("a", "b")}
    halves = singers.halves(clips)
    assert [halves[f"a_{song}"] for song in (1, 2, 10)] == [0, 1, 0]


def test_the_nearest_centroid_decides():
    trials = [("a", {"a": 0.9, "b": 0.1}), ("b", {"a": 0.6, "b": 0.5})]
    assert singers.accuracy_of(trials) == 0.5
    assert singers.error_rate_of(trials) == 0.5


def test_words_in_common_keep_their_order():
    assert lyrics.found_of([("one two three", "two one three four"), ("five", "")]) == 0.5
    assert lyrics.words_in_common(["a", "b", "c"], ["c", "b", "a"]) == 1


def test_intervals_hold_the_value_and_narrow_with_more_songs():
    values = np.random.default_rng(0).random(400)
    few, many = (figure([[value] for value in values[:count]], lambda v: float(np.mean(v))) for count in (20, 400))
    for each in (few, many):
        assert each["low"] < each["value"] < each["high"]
    assert many["high"] - many["low"] < (few["high"] - few["low"]) / 3


def test_parts_of_the_clips_are_every_nth_of_each_kind():
    class Song:
        def __init__(self, name):
            self.name = name

    songs = [Song(f"a_{song}_{clip:02}") for song in (1, 2) for clip in range(5)]
    assert [song.name[-2:] for song in some_clips(songs)] == ["00", "02", "04"] * 2
    clips = [Clip("mir1k", song, tasks) for tasks in (("melody",), ("singers",)) for song in songs]
    assert len(some(clips, 5)) == 4


def test_vectors_give_way_to_cosines_once_all_are_there():
    class Song:
        def __init__(self, name):
            self.name = name

    clips = [Clip("mir1k", Song(f"{singer}_{song}_01"), ("singers",)) for singer in "ab" for song in (1, 2)]
    of = ("mixture", "ours", "true")
    done = {
        clip.key: {"singers": {each: noise(1, 8, seed=index)[0].tolist() for each in of}}
        for index, clip in enumerate(clips)
    }
    compare_singers(done, clips)
    assert done["mir1k/a_1_01"]["singers"]["ours"].keys() == {"a", "b"}
    again = json.loads(json.dumps(done))
    compare_singers(again, clips)
    assert again == done


def test_a_signal_is_tracked_once_for_all_tasks():
    heard = []
    track = heard.append
    waveforms = {of: noise(2, RATE, seed=seed) for seed, of in enumerate(("mixture", "ours", "true"))}
    stems = Stems(waveforms, waveforms, RATE)
    for kind in ("vocals", "accompaniment", "vocals"):
        for of in waveforms:
            stems.once(track, kind, of)
    assert len(heard) == 5


def test_results_of_another_model_are_not_mixed_in(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"model": "one", "data": "d", "songs": {"a": {}}}))
    assert read_earlier(path, {"model": "one", "data": "d"}) == {"a": {}}
    with raises_one_line("another model: give --overwrite"):
        read_earlier(path, {"model": "two", "data": "d"})


def test_a_part_between_marks_is_replaced():
    assert (
        between_marks("a\n<!-- x -->\nold\n<!-- /x -->\nb", "x", r"\1 new") == "a\n<!-- x -->\n\\1 new\n<!-- /x -->\nb"
    )


def test_the_document_and_the_readme_are_what_the_results_make():
    """Where this fails: python -m tests.benchmarks.usefulness."""
    results = json.loads(RESULTS.read_text())
    for path, change in ((DOCUMENT, document), (README, with_lines)):
        text = path.read_text()
        assert change(text, results) == text, path.name
    assert f"Measured on {len(results['songs'])} of {results['num_clips']} songs and clips." in DOCUMENT.read_text()


def test_the_summary_is_that_of_the_clips():
    results = json.loads(RESULTS.read_text())
    assert plain(summarise(results["songs"])) == results["summary"]
