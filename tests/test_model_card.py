"""model_card.md: made of the recipe and the scores, and read by those who look for them."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, ModelCardData
from train.model_card import main

from modeling_unet_svs.command.checkpoint import load_card, print_info
from train.arguments import EvaluationArguments
from train.evaluate import find_songs_to_score
from train.publishing.card import make_card

from .conftest import ROOT, call_main

RESULTS = ROOT / "train" / "results"
CARD = ROOT / "model_card.md"


@pytest.fixture
def results_dir(tmp_path) -> Path:
    return Path(shutil.copytree(RESULTS, tmp_path / "results"))


def read(name: str) -> dict:
    return json.loads((RESULTS / name).read_text())


def test_the_card_is_what_the_recipe_and_the_scores_make(tmp_path):
    """Where this fails: python -m train.model_card."""
    assert call_main(main, "--output", tmp_path / "card.md") == 0
    assert (tmp_path / "card.md").read_text() == CARD.read_text()


def test_its_metadata_says_what_the_hub_asks_for():
    data = ModelCard.load(CARD).data
    assert isinstance(data, ModelCardData)
    assert (data.library_name, data.pipeline_tag, data.license) == ("transformers", "audio-to-audio", "other")
    assert "non-commercial" in data.license_name
    assert data.license_link.startswith("https://")
    assert {"MUSDB18", "MIR-1K"} <= set(data.datasets)
    assert all(" " not in name for name in data.datasets)
    assert "sdr" in {result.metric_type for result in data.eval_results}
    scores = {(result.dataset_type, result.metric_name): result.metric_value for result in data.eval_results}
    summary = read("musdb18-7s_test_full_band.json")["summary"]
    for stem in ("vocals", "accompaniment"):
        known = round(summary["sdr"][stem]["sdr"]["mean"], 2)
        assert scores["musdb18", f"{stem} SDR, mean in dB"] == known


def test_its_table_has_the_scores_between_their_bounds():
    names = ("mixture", "full_band", "irm")  # floor, model and ceiling
    summaries = [read(f"musdb18-7s_test_{name}.json")["summary"] for name in names]
    text = CARD.read_text()
    for stem in ("vocals", "accompaniment"):
        values = [summary["sdr"][stem]["sdr"]["mean"] for summary in summaries]
        assert values == sorted(values)
        assert f"| SDR, mean | {stem} | {' | '.join(f'{value:.2f}' for value in values)} |" in text


def test_it_says_how_it_was_trained_what_it_is_bad_at_and_whom_to_cite():
    text = CARD.read_text()
    parts = ["train/recipes/full_band.json", "seed 0", "docs/separation.png", "Apache-2.0", "non-commercial"]
    parts += ["## Limits", "Its worst vocals", "Jansson", "ISMIR", "from_pretrained"]
    assert [part for part in parts if part not in text] == []
    assert "{{" not in text


def test_the_floor_is_that_of_the_50_excerpts(musdb_dir):
    results = read("musdb18-7s_test_mixture.json")
    assert results["summary"]["sdr"]["vocals"]["sdr"]["mean"] == pytest.approx(-5.2, abs=0.1)
    songs = find_songs_to_score(EvaluationArguments(musdb_dir=str(musdb_dir)))
    if len(songs.songs) != 50:
        pytest.skip("the excerpts are not those that the scores are for")
    assert songs.fingerprint() == results["data"]["fingerprint"]


def test_info_prints_data_licence_and_scores_of_the_card(checkpoint, tmp_path, capsys):
    folder = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    assert load_card(folder) is None
    shutil.copy(CARD, folder / "README.md")
    print_info(str(folder))
    printed = capsys.readouterr().out
    scores = ("vocals SDR, mean in dB", "accompaniment SDR, mean in dB")
    assert [part for part in ("MUSDB18, MIR-1K", "non-commercial", *scores, "test") if part not in printed] == []


def test_scores_of_several_data_sets_are_all_printed(checkpoint, results_dir, tmp_path, capsys):
    """A score of the same name on MUSDB18 and on MIR-1K is two lines."""
    model_of_ours = read("musdb18-7s_test_full_band.json")["model"]
    scores = {**read("mir-1k_validation_mixture.json"), "model": model_of_ours}
    (results_dir / "mir-1k_validation_full_band.json").write_text(json.dumps(scores))
    folder = Path(shutil.copytree(checkpoint, tmp_path / "checkpoint"))
    (folder / "README.md").write_text(str(make_card(results_dir)))
    print_info(str(folder))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("vocals SDR, mean")]
    assert ["MUSDB18" in line for line in lines] == [True, False]
    assert "MIR-1K" in lines[1]


def test_what_no_card_can_be_made_of_is_named_and_the_card_stays(results_dir, tmp_path, capsys):
    def refused() -> str:
        assert call_main(main, "--results_dir", results_dir, "--output", card) == 2
        assert card.read_text() == "mine"
        (line,) = capsys.readouterr().err.splitlines()
        return line

    card = tmp_path / "card.md"
    card.write_text("mine")
    model = results_dir / "musdb18-7s_test_full_band.json"
    other = {"name": "another", "fingerprint": "of another", "sampling_rate": 8192}
    known = read(model.name)
    (results_dir / "z.json").write_text(json.dumps({**read("mir-1k_validation_mixture.json"), "model": other}))
    assert "z.json is for another model than the other results" in refused()
    (results_dir / "z.json").write_text(json.dumps(known))
    assert f"z.json is the second file for {known['model']['name']} on MUSDB18" in refused()
    (results_dir / "z.json").unlink()
    model.write_text(json.dumps({**known, "failed": {"some song": "broken"}}))
    assert "full_band.json lacks songs" in refused()
    model.write_text("{")
    assert "full_band.json is not valid JSON" in refused()
    (results_dir / "training.json").write_text('{"recipe": "full_band"}')
    assert "training.json lacks model_name, runs, data" in refused()
    (results_dir / "training.json").unlink()
    assert "training.json cannot be read" in refused()
