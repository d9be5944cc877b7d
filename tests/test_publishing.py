"""A trained model to a Hub, here one on loopback."""

import json
import sys

import pytest
from huggingface_hub import ModelCard

from modeling_unet_svs import DEFAULT_CHECKPOINT
from modeling_unet_svs.command.torch_runtime import load_checkpoint
from modeling_unet_svs.onnx.export import export_onnx
from train.arguments import TrainingArguments
from train.checkpoints import save_model
from train.data.mixing import MixingArguments
from train.publishing.card import write_run_card

from .conftest import run, small_config
from .hub_stub import hub_environment, hub_stub
from .small_training import arguments, weights_of

HUB_ID = "somebody/model"


@pytest.fixture(scope="module")
def refused(training_root):
    """A training whose upload fails."""
    output_dir = training_root / "refused"
    with hub_stub(refuses_commits=True) as hub:
        given = arguments(training_root, output_dir, "--push_to_hub", "--hub_model_id", HUB_ID)
        return output_dir, run(sys.executable, "-m", "train", *given, exits=2, env=hub_environment(hub.url)), hub


def test_a_failing_upload_loses_nothing_and_says_how_to_try_again(refused):
    output_dir, done, hub = refused
    assert hub.commits == []
    line = next(line for line in done.stderr.splitlines() if line.startswith("train: "))
    assert f"the upload to {HUB_ID} failed" in line
    assert line.endswith(f"try again with python -m train.publishing {output_dir} {HUB_ID}")
    assert weights_of(output_dir)


def test_it_goes_up_in_one_commit_with_all_that_a_stranger_needs(refused):
    output_dir, _, _ = refused
    export_onnx(output_dir, load_checkpoint(output_dir).config, output_dir)
    with hub_stub() as hub:
        run(sys.executable, "-m", "train.publishing", output_dir, HUB_ID, env=hub_environment(hub.url))
        assert hub.repositories == [HUB_ID]
        (commit,) = hub.commits
    assert {
        "model.safetensors",
        "model.onnx",
        "config.json",
        "preprocessor_config.json",
        "modeling_unet_svs.py",
    } <= set(commit)
    assert commit["model.safetensors"] == (output_dir / "model.safetensors").read_bytes()
    for name in ("model.onnx", "model_fp16.onnx", "separation.json"):
        assert commit[f"onnx/{name}"] == (output_dir / "onnx" / name).read_bytes()
    assert json.loads(commit["config.json"])["model_type"] == "unet_svs"
    assert all(part in commit["README.md"].decode() for part in ("validation_sdr", "small.json"))
    assert not [path for path in commit if path.startswith(("checkpoint-", "logs", "best", "run.json"))]


PUSHING = """
import sys
from modeling_unet_svs import UNetSVSModel
model = UNetSVSModel.from_pretrained(sys.argv[1])
model.push_to_hub("somebody/pushed", commit_message="One")
model.save_pretrained(sys.argv[2], push_to_hub=True, repo_id="somebody/saved", commit_message="Two")
"""


def test_a_pushed_model_is_complete(checkpoint, tmp_path):
    with hub_stub() as hub:
        run(sys.executable, "-c", PUSHING, checkpoint, tmp_path / "saved", env=hub_environment(hub.url))
    assert set(hub.repositories) == {"somebody/pushed", "somebody/saved"}
    assert len(hub.commits) == 2
    for commit in hub.commits:
        assert {path.name for path in checkpoint.iterdir()} <= set(commit)
        assert commit["model.onnx"] == (checkpoint / "model.onnx").read_bytes()


def test_a_card_names_all_data_and_no_path_of_the_machine(tmp_path):
    songs = tmp_path / "my songs"
    songs.mkdir()
    more = {"dataset_name": "somebody/songs", "model_name_or_path": "somebody/start", "hub_model_id": HUB_ID}
    training = TrainingArguments(stems_dir=str(songs), output_dir=str(tmp_path), musdb_dir=str(songs), **more)
    write_run_card(tmp_path, small_config(), training, MixingArguments(), {})
    card = ModelCard.load(tmp_path / "README.md")
    assert "Trained with `accelerate launch train` on MUSDB18, my songs, somebody/songs;" in card.text
    assert card.data.datasets == ["MUSDB18", "my songs", "somebody/songs"]
    assert card.data.base_model == "somebody/start"
    assert str(tmp_path) not in card.content


def test_a_tuned_model_carries_the_data_and_the_terms_of_its_start(tmp_path):
    training = TrainingArguments(stems_dir="songs", output_dir=str(tmp_path), model_name_or_path=DEFAULT_CHECKPOINT)
    write_run_card(tmp_path, small_config(), training, MixingArguments(), {})
    card, base = ModelCard.load(tmp_path / "README.md"), ModelCard.load(f"{DEFAULT_CHECKPOINT}/README.md").data
    assert card.data.base_model.startswith("unet-svs")
    assert card.data.datasets == [*dict.fromkeys(["songs", *base.datasets])]
    assert (card.data.license, card.data.license_name) == ("other", base.license_name)
    assert "bound by the same terms:\nnon-commercial" in card.text
    nameless = TrainingArguments(stems_dir="songs", output_dir=str(tmp_path), model_name_or_path=str(tmp_path))
    (tmp_path / "README.md").unlink()
    write_run_card(tmp_path, small_config(), nameless, MixingArguments(), {})
    assert "same terms:\nnot stated" in (tmp_path / "README.md").read_text()


def test_a_model_that_is_saved_anew_takes_no_graph_of_the_old_one_along(model, tmp_path):
    (tmp_path / "onnx").mkdir()
    save_model(model, tmp_path)
    assert not (tmp_path / "onnx").exists()


def test_a_folder_without_a_model_is_one_line(tmp_path):
    done = run(sys.executable, "-m", "train.publishing", tmp_path, HUB_ID, exits=2)
    said = f"publishing: {tmp_path} has no model.safetensors: give the folder of a trained model.\n"
    assert done.stderr == said
