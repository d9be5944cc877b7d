"""`python -m train.evaluate`: songs, processes, files, and the two bounds of every score."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.audio_reading import read_audio
from train import evaluate as evaluation
from train.arguments import EvaluationArguments
from train.data.folders import load_song_collection
from train.evaluate import evaluate, find_songs_to_score, main, read_references
from train.evaluation.scores import PROTOCOLS, ScoredSong, museval_metrics
from train.evaluation.separators import load_estimator
from train.exit_codes import FAILED, USAGE

from .conftest import ROOT, call_main, noise, run, write_song
from .data_sets import make_song_folders, make_stem_file, stems_of

RATE = 16_000
EXCERPTS = ("BKS - Bulldozer", "Speak Softly - Broken Man")


@pytest.fixture
def stems_dir(tmp_path) -> Path:
    """Three songs of a second, the last of them without voice."""
    folder = tmp_path / "stems"
    for index, song in enumerate(("a", "b", "c")):
        for stem in ("vocals", "drums", "other")[song == "c" :]:
            write_song(folder / song / f"{stem}.wav", noise(1, RATE, seed=10 * index + len(stem)), RATE)
    return folder


def excerpts(musdb_dir: Path, folder: Path, *names: str) -> Path:
    """A folder of MUSDB18 with these songs alone."""
    (folder / "test").mkdir()
    for name in names:
        (folder / "test" / f"{name}.stem.mp4").symlink_to(musdb_dir / "test" / f"{name}.stem.mp4")
    return folder


def references_of(stems_dir: Path) -> tuple[np.ndarray, int]:
    """The first song's true stems and their rate."""
    return read_references(find_songs_to_score(EvaluationArguments(stems_dir=str(stems_dir))).songs[0])


def evaluated(stems_dir: Path, output: Path | None = None, **more) -> dict:
    given = {"model": "irm", "stems_dir": str(stems_dir), "output": str(output) if output else None, **more}
    return evaluate(EvaluationArguments(**given))


def test_the_command_prints_a_table_and_writes_scores_and_a_plot(training_root, checkpoint, tmp_path):
    output = tmp_path / "new" / "results.json"
    arguments = ["--model", checkpoint, "--musdb_dir", training_root / "musdb18", "--protocol", "sdr", "museval"]
    done = run(sys.executable, "-m", "train.evaluate", *arguments, "--output", output)
    results = json.loads(output.read_text())
    assert list(results["songs"]) == ["Nobody - Four"]
    score = results["songs"]["Nobody - Four"]["sdr"]["vocals"]["sdr"]
    summary = results["summary"]["sdr"]["vocals"]["sdr"]
    assert {summary[name] for name in ("mean", "median", "min", "max", "length_weighted_mean")} == {score}
    assert (summary["std"], summary["count"], summary["skipped"]) == (0, 1, 0)
    assert f"{score:.2f}" in done.stdout
    assert results["command"] == f"python -m train.evaluate {' '.join(map(str, arguments))} --output {output}"
    assert {"torch", "museval", "mir_eval", "python"} <= set(results["versions"])
    assert results["data"]["fingerprint"].startswith("sha256:")
    assert output.with_suffix(".png").stat().st_size > 1000
    assert len(list(output.parent.iterdir())) == 2


def test_an_independent_computation_agrees(training_root, checkpoint, model):
    arguments = EvaluationArguments(model=str(checkpoint), mir1k_dir=str(training_root / "mir-1k"), split="validation")
    scores = evaluate(arguments)["songs"]["jmzen_1_01"]["sdr"]["vocals"]["sdr"]
    stems, rate = read_audio(training_root / "mir-1k" / "jmzen_1_01.wav")
    error = model.separate(stems.sum(0, keepdims=True), rate)["vocals"] - stems[1]
    assert scores == pytest.approx(10 * np.log10((stems[1] ** 2).sum() / (error**2).sum()), abs=0.01)


@pytest.mark.parametrize("name", EXCERPTS)
def test_floor_and_oracle_agree_with_an_independent_computation(musdb_dir, tmp_path, name):
    """To 0.01 dB, on excerpts of MUSDB18; the oracle with scipy's transform."""
    path = excerpts(musdb_dir, tmp_path, name) / "test" / f"{name}.stem.mp4"
    drums, bass, other, vocals = (read_audio(path, stream)[0].astype(np.float64) for stream in (1, 2, 3, 4))
    references = np.stack([vocals, drums + bass + other])
    spectra = [scipy.signal.stft(stem, nperseg=4096, noverlap=3072)[2] for stem in (*references, references.sum(0))]
    powers = [np.abs(spectrum) ** 2 for spectrum in spectra[:2]]
    masked = [power / np.maximum(sum(powers), 1e-30) * spectra[2] for power in powers]
    oracle = [scipy.signal.istft(spectrum, nperseg=4096, noverlap=3072)[1] for spectrum in masked]
    estimates = {"mixture": np.stack([references.sum(0)] * 2), "irm": np.stack(oracle)[..., : vocals.shape[1]]}
    for bound, estimate in estimates.items():
        # It takes seconds.
        protocols = ["sdr", "museval"] if (name, bound) == (EXCERPTS[0], "irm") else ["sdr"]
        arguments = EvaluationArguments(model=bound, musdb_dir=str(tmp_path), protocol=protocols)
        scores = evaluate(arguments)["songs"][name]
        errors = ((references - estimate) ** 2).sum((1, 2))
        expected = {"sdr": 10 * np.log10((references**2).sum((1, 2)) / errors)}
        if "museval" in protocols:
            arrays = [array.swapaxes(1, 2) for array in (references, estimate)]
            expected["museval"] = np.median(museval_metrics().bss_eval(*arrays, window=44_100, hop=44_100)[0], axis=1)
        for protocol, values in expected.items():
            found = [scores[protocol][stem]["sdr"] for stem in ("vocals", "accompaniment")]
            assert found == pytest.approx(values.tolist(), abs=0.01), (bound, protocol)


def test_the_oracle_is_better_than_the_floor_and_adds_up_to_the_mixture(stems_dir):
    references, rate = references_of(stems_dir)
    estimates = load_estimator("irm").separate(references, rate)
    assert np.abs(estimates.sum(0) - references.sum(0)).max() < 1e-5
    floor = load_estimator("mixture").separate(references, rate)
    songs = [ScoredSong(references, bound, rate, 8_000, None) for bound in (floor, estimates)]
    nsdr = [PROTOCOLS["bss_eval_v3"](song)["vocals"]["nsdr"] for song in songs]
    assert nsdr[0] == 0
    assert nsdr[1] > 3


def test_a_folder_of_stems_and_what_is_silent_in_it(stems_dir, tmp_path):
    output = tmp_path / "results.json"
    results = evaluated(stems_dir, output, model="mixture", protocol=["sdr", "museval", "bss_eval_v3"])
    references, rate = references_of(stems_dir)
    drums, other = (read_audio(stems_dir / "a" / f"{stem}.wav")[0] for stem in ("drums", "other"))
    assert rate == RATE
    assert np.array_equal(references[1], drums + other)
    assert results["songs"]["c"]["sdr"]["vocals"]["sdr"] is None
    assert json.loads(output.read_text())["songs"]["c"]["sdr"]["vocals"]["sdr"] is None
    assert "NaN" not in output.read_text()
    for protocol, metric in (("sdr", "sdr"), ("museval", "sdr"), ("bss_eval_v3", "nsdr")):
        statistics = results["summary"][protocol]["vocals"][metric]
        assert (statistics["count"], statistics["skipped"]) == (2, 1), protocol
    assert results["summary"]["museval"]["vocals"]["sdr"]["skipped_frames"] == 1


def test_a_split_of_own_songs_is_the_one_that_the_trainer_makes(tmp_path, capsys):
    make_song_folders(tmp_path)
    held_out = [song.name for song in load_song_collection(tmp_path)["validation"]]
    for split, names in (("validation", held_out), ("all", None)):
        given = ("--model", "mixture", "--stems_dir", tmp_path, "--output", tmp_path / f"{split}.json")
        assert call_main(main, *given, *(("--split", split) if names else ())) == 0
        songs = json.loads((tmp_path / f"{split}.json").read_text())["songs"]
        assert list(songs) == (names or list(songs))
        assert f"{tmp_path.name}, {split} split: {len(songs)} songs" in capsys.readouterr().out
    assert len(songs) > len(held_out)
    assert call_main(main, "--model", "mixture", "--stems_dir", tmp_path, "--split", "test") == USAGE
    assert "--split test: " in capsys.readouterr().err


def test_levels_say_what_leaks(stems_dir):
    """All of the mixture, where it is taken for each stem; nothing of what an oracle knows not to be there."""
    leaking = evaluated(stems_dir, model="mixture", protocol=["levels"])["summary"]["levels"]
    assert leaking["vocals"]["leakage"]["mean"] == 0
    assert [leaking[stem]["leakage"]["count"] for stem in ("vocals", "accompaniment")] == [3, 2]
    assert evaluated(stems_dir, protocol=["levels"])["songs"]["a"]["levels"]["vocals"]["leakage"] == -120


def test_songs_that_are_there_are_not_done_again(stems_dir, tmp_path, monkeypatch):
    output = tmp_path / "results.json"
    evaluated(stems_dir, output)
    whole = json.loads(output.read_text())
    interrupted = {**whole, "songs": {name: whole["songs"][name] for name in ("a", "c")}}
    output.write_text(json.dumps(interrupted))
    done = []
    monkeypatch.setattr(evaluation, "read_references", lambda row: done.append(row.name) or read_references(row))
    evaluated(stems_dir, output)
    assert done == ["b"]
    assert json.loads(output.read_text()) == whole
    more = evaluated(stems_dir, output, protocol=["levels"])
    assert done == ["b", "a", "b", "c"]
    assert set(more["songs"]["b"]) == {"seconds", "sdr", "levels"}


def test_results_of_something_else_are_not_overwritten(stems_dir, tmp_path):
    output = tmp_path / "results.json"
    evaluated(stems_dir, output)
    before = output.read_text()
    with pytest.raises(ValueError, match="results.json exists and holds results for another model"):
        evaluated(stems_dir, output, model="mixture")
    write_song(stems_dir / "d" / "vocals.wav", noise(1, RATE), RATE)
    with pytest.raises(ValueError, match="for another data"):
        evaluated(stems_dir, output)
    assert output.read_text() == before
    assert list(evaluated(stems_dir, output, overwrite=True)["songs"]) == ["a", "b", "c", "d"]
    output.write_text("mine")
    with pytest.raises(ValueError, match="holds no results"):
        evaluated(stems_dir, output)
    assert output.read_text() == "mine"


def test_a_broken_song_is_reported_and_the_rest_go_on(stems_dir, tmp_path, capsys):
    whole = (stems_dir / "b" / "drums.wav").read_bytes()
    (stems_dir / "b" / "drums.wav").write_bytes(b"RIFF" + bytes(len(whole) - 4))
    arguments = ["--model", "mixture", "--stems_dir", stems_dir, "--output", tmp_path / "results.json"]
    assert call_main(main, *arguments) == FAILED
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results["songs"]) == ["a", "c"]
    assert "drums.wav" in results["failed"]["b"]
    assert "evaluate: b: " in capsys.readouterr().err
    (stems_dir / "b" / "drums.wav").write_bytes(whole)
    assert call_main(main, *arguments, "--plot_format", "svg") == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert (list(results["songs"]), results["failed"]) == (["a", "b", "c"], {})
    assert (tmp_path / "results.svg").read_text().startswith("<?xml")


def test_two_processes_give_the_results_of_one(stems_dir, tmp_path):
    one = evaluated(stems_dir, tmp_path / "one.json")
    command = ["torchrun", "--standalone", "--nproc_per_node", "2", "-m", "train.evaluate", "--model", "irm"]
    done = run(*command, "--stems_dir", stems_dir, "--output", tmp_path / "two.json", env={"ACCELERATE_USE_CPU": "1"})
    assert done.stdout.count("protocol") == 1  # one table
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    assert (two["songs"], two["summary"]) == (one["songs"], one["summary"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("--protocol", "pesq"), "argument --protocol: invalid choice: 'pesq'"),
        (("--split", "dev"), "argument --split: invalid choice: 'dev'"),
        (("--plot_format", "bmp"), "argument --plot_format/--plot-format: invalid choice: 'bmp'"),
        (("--musdb_dir", ""), "--musdb_dir, --mir1k_dir or --stems_dir"),
        (("--mir1k_dir", "clips"), "only one of --musdb_dir, --mir1k_dir or --stems_dir"),
        (("--musdb_dir", "", "--mir1k_dir", "clips", "--split", "test"), "MIR-1K has no test split"),
        (("--musdb_dir", "", "--stems_dir", "nowhere"), "no songs in nowhere"),
        (("--musdb_dir", "nowhere"), "no songs of MUSDB18's test split in nowhere"),
        (("--model", "nowhere"), "model nowhere"),
        (("--bss_eval_rate", "0"), "--bss_eval_rate 0"),
        (("--output", str(ROOT)), "Is a directory"),
    ],
)
def test_what_cannot_be_scored_is_one_clear_line(training_root, capsys, change, said):
    assert call_main(main, "--model", "mixture", "--musdb_dir", training_root / "musdb18", *change) == USAGE
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("evaluate: ")
    assert said in line


def test_where_only_a_mixture_is_beside_the_vocals_the_accompaniment_is_the_difference(tmp_path):
    vocals, accompaniment = noise(1, RATE, seed=1), noise(1, RATE, seed=2)
    write_song(tmp_path / "song" / "mixture.wav", vocals + accompaniment, RATE, subtype="float")
    with pytest.raises(ValueError, match="'song' has a mixture alone"):
        references_of(tmp_path)
    write_song(tmp_path / "song" / "vocals.wav", vocals, RATE, subtype="float")
    references, _ = references_of(tmp_path)
    assert np.allclose(references, [vocals, accompaniment], atol=1e-6)


def test_stems_that_do_not_fit_together_are_named(tmp_path):
    make_stem_file(tmp_path / "whole.stem.mp4", stems_of("whole"))
    write_song(tmp_path / "a" / "vocals.wav", noise(2, RATE), RATE)
    write_song(tmp_path / "a" / "other.wav", noise(2, RATE // 2), RATE)
    write_song(tmp_path / "b" / "vocals.wav", noise(2, RATE), RATE)
    write_song(tmp_path / "b" / "other.wav", noise(2, RATE), 8_000)
    failed = evaluated(tmp_path, model="mixture")["failed"]
    assert failed["a"] == "the stems of 'a' differ in length: accompaniment 0.50 s, the longest 1.00 s."
    assert failed["b"] == "'b': accompaniment has 8000 Hz where the other stems have 16000 Hz."


def test_the_checkpoint_that_comes_along_is_as_good_as_its_scores_say(musdb_dir, tmp_path):
    """On some excerpts, those of the results that the card is made of."""
    known = json.loads((ROOT / "train" / "results" / "musdb18-7s_test_full_band.json").read_text())
    assert known["summary"]["sdr"]["vocals"]["sdr"]["mean"] >= 4.3
    assert known["summary"]["sdr"]["accompaniment"]["sdr"]["mean"] >= 9.5
    folder = excerpts(musdb_dir, tmp_path, *EXCERPTS)
    results = evaluate(EvaluationArguments(model=DEFAULT_CHECKPOINT, musdb_dir=str(folder)))
    assert results["model"]["fingerprint"] == known["model"]["fingerprint"]
    for name in EXCERPTS:
        for stem, scores in known["songs"][name]["sdr"].items():
            assert results["songs"][name]["sdr"][stem] == pytest.approx(scores, abs=0.05)
