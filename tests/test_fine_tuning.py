"""Training that starts from a checkpoint."""

import json
import re
import shutil

import pytest
import torch

from modeling_unet_svs import UNetSVSConfig
from modeling_unet_svs.command.torch_runtime import load_checkpoint
from train import trainer, validation
from train.arguments import DataArguments, parse_arguments, read_recipe
from train.data.loading import find_songs
from train.trainer import initial_model

from .conftest import noise, small_config, write_song
from .data_sets import RATE, TRAIN_SONGS, make_song_folders, names_of
from .small_training import arguments, refused, train_here, trained, weights_of, write_recipe


def test_it_starts_with_the_checkpoints_weights_and_shape(training_root, checkpoint, model, monkeypatch, capsys):
    given = arguments(training_root, "tuned", "--model_name_or_path", checkpoint, "--learning_rate", "0")
    del given[given.index("--recipe") : given.index("--recipe") + 2]
    assert train_here(*given, "--train_batch_size", "2") == 0
    assert f"starting from {checkpoint}: {len(model.state_dict())} tensors kept, 0 new" in capsys.readouterr().out
    tuned = load_checkpoint(training_root / "tuned")
    assert list(tuned.config.hidden_sizes) == list(model.config.hidden_sizes)
    before, after = dict(model.named_parameters()), dict(tuned.named_parameters())
    torch.testing.assert_close(before, after, rtol=1e-5, atol=1e-7)


def test_other_sources_get_networks_of_their_own(checkpoint, model):
    config = small_config(sources=("vocals", "drums"), residual=None)
    tuned, said = initial_model(config, str(checkpoint))
    num_tensors = len(model.state_dict())
    assert f"{num_tensors} tensors kept, {num_tensors} new" in said
    assert "drums.encoder.0: " in said
    assert "vocals." not in said
    assert torch.equal(tuned.unets["vocals"].mask.weight, model.unets["vocals"].mask.weight)
    assert tuned.training


def test_other_channels_make_the_first_and_the_last_layer_new(checkpoint, model):
    tuned, said = initial_model(small_config(num_channels=1), str(checkpoint))
    assert "3 new (vocals.encoder.0: 1, vocals.mask: 2)" in said
    before, after = model.state_dict(), tuned.state_dict()
    kept = [name for name, weight in before.items() if weight.shape == after[name].shape]
    assert len(kept) == len(before) - 3
    assert all(torch.equal(before[name], after[name]) for name in kept)
    assert all(parameter.isfinite().all() for parameter in tuned.parameters())


def test_a_second_u_net_may_be_added(training_root, checkpoint, capsys):
    recipe = write_recipe(training_root / "low.json", low_bins=32, low_hidden_sizes=[4, 4, 4])
    after = weights_of(trained(training_root, "low", "--model_name_or_path", checkpoint, "--recipe", recipe))
    before = weights_of(checkpoint)
    assert after["low_unets.vocals.mask.weight"].any()
    assert f"{len(before)} tensors kept, {len(after) - len(before)} new (low_unets.vocals.d" in capsys.readouterr().out


def test_nothing_of_a_checkpoint_is_new_weights(model):
    tuned, said = initial_model(UNetSVSConfig(), None)
    assert said == "new weights"
    assert tuned.num_parameters() == 9_823_313


def test_a_checkpoint_that_is_none_is_one_line(training_root):
    said = refused(training_root, "not tuned", "--model_name_or_path", "nobody/nothing")
    assert "train: model nobody/nothing: is neither a local folder nor a model" in said
    assert not (training_root / "not tuned").exists()


def test_the_weights_of_the_finished_run_are_complete(training_root, checkpoint):
    tuned = trained(training_root, "tuned on", "--model_name_or_path", checkpoint)
    before, after = weights_of(checkpoint), weights_of(tuned)
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_the_best_is_never_worse_than_the_start(training_root, checkpoint, capsys, monkeypatch):
    """At a learning rate that ruins the weights; it is what is uploaded, with a card of its own."""
    uploaded = []
    monkeypatch.setattr(trainer, "publish", lambda *given: uploaded.append(given))
    given = ("--model_name_or_path", checkpoint, "--learning_rate", "3", "--ema_decay", "0", "--validation_steps", "2")
    pushed = ("--push_to_hub", "--hub_model_id", "somebody/ruined")
    tuned = trained(training_root, "ruined", *given, *pushed)
    said = capsys.readouterr()
    steps = {int(step): float(sdr) for step, sdr in re.findall(r"step (\d+): .*validation_sdr ([-.\d]+)", said.out)}
    assert [*steps] == [0, 2, 4]
    assert max(steps, key=steps.get) == 0
    assert f"no validation was better than the start ({steps[0]:.2f} dB), kept in {tuned / 'best'}: " in said.out
    torch.testing.assert_close(weights_of(checkpoint), weights_of(tuned / "best"))
    assert uploaded == [(tuned / "best", "somebody/ruined")]
    card = (tuned / "best" / "README.md").read_text()
    assert "# ruined" in card
    assert f"| validation_sdr | {steps[0]:.2f} |" in card


def test_a_checkpoint_and_songs_are_all_that_has_to_be_said(checkpoint, model):
    given = ["--model_name_or_path", str(checkpoint), "--musdb_dir", "x"]
    config, training, _ = parse_arguments(given)
    assert parse_arguments([*given, "--loss", "log_mse"])[0].loss == "log_mse"
    assert config.to_diff_dict()["hidden_sizes"] == list(model.config.hidden_sizes)
    assert training.output_dir == "runs/unet-svs"


def test_a_single_song_is_trained_on_and_the_log_says_that_nothing_validates(training_root, checkpoint, capsys):
    songs = make_song_folders(training_root / "alone")
    for song in TRAIN_SONGS[1:]:
        shutil.rmtree(songs / song)
    given = (
        "--stems_dir",
        songs,
        "--output_dir",
        training_root / "alone tuned",
        "--cache_dir",
        training_root / "cache",
    )
    steps = ("--max_train_steps", 2, "--train_batch_size", 2, "--report_to", "none")
    assert train_here("--model_name_or_path", checkpoint, *given, *steps) == 0
    assert "no songs validate: no model is kept as best, and nothing stops" in capsys.readouterr().out
    assert not (training_root / "alone tuned" / "best").exists()


def make_singles(root, *kinds: str):
    """Flags of a tuning by folders of voices, of music, or of both, which are written; each has three files."""
    given = []
    for seed, kind in enumerate(kinds):
        for name in "abc":
            write_song(root / kind / f"{kind} {name}.wav", noise(2, 60_000, seed=seed * 9 + ord(name)), RATE)
        given += [f"--{kind}_dir", root / kind]
    given += ["--output_dir", root / "tuned", "--max_train_steps", 2, "--train_batch_size", 2, "--validation_steps", 1]
    return [*given, "--report_to", "none", "--num_workers", 0]


@pytest.mark.parametrize(
    ("kinds", "said", "scored"),
    [
        (
            ("voices",),
            "voices alone: .* leave the accompaniment silent.*add --instrumentals_dir",
            "vocals_voices",
        ),
        (
            ("instrumentals",),
            "music alone: .* leave the vocals silent.*add --voices_dir",
            "accompaniment_instrumentals",
        ),
        (
            ("voices", "instrumentals"),
            "no songs with both stems: the voices of .* are mixed",
            "vocals_remixes",
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_voices_and_music_need_no_songs(kinds, said, scored, checkpoint, tmp_path, monkeypatch, capsys):
    """What is learned is said, and what is held out chooses the best."""
    monkeypatch.setattr(validation, "NUM_REMIXES", 4)
    assert train_here("--model_name_or_path", checkpoint, *make_singles(tmp_path, *kinds)) == 0
    out = capsys.readouterr().out
    assert re.search(said, out)
    assert len(re.findall(rf"step \d: .*validation_sdr_{scored} ", out)) == 3
    assert load_checkpoint(tmp_path / "tuned" / "best").config.sampling_rate == 16_000
    assert ("validation_sdr_vocals " in out, "validation_sdr_accompaniment " in out) == (
        "voices" in kinds,
        "instrumentals" in kinds,
    )
    (record,) = json.loads((tmp_path / "tuned" / "run.json").read_text())
    for split, count in (("train", 2), ("validation", 1)):
        found = {name: about["num_songs"] for name, about in record["data"][split].items()}
        assert found == dict.fromkeys(kinds, count)


def test_what_has_one_stem_does_not_validate_a_run_on_songs(tmp_path):
    """Unless a mixture can be made of it: alone, it would choose the model that hears nothing but this stem."""
    songs = make_song_folders(tmp_path / "songs")
    for song in TRAIN_SONGS[1:]:
        shutil.rmtree(songs / song)
    make_singles(tmp_path, "voices", "instrumentals")
    folders = {kind: str(tmp_path / kind) for kind in ("voices", "instrumentals")}

    def held_out(**folders) -> list[str]:
        return names_of(find_songs(DataArguments(**{f"{kind}_dir": folder for kind, folder in folders.items()}))[1])

    assert held_out(stems=str(songs), voices=folders["voices"]) == []
    assert held_out(stems=str(songs), instrumentals=folders["instrumentals"]) == []
    assert held_out(stems=str(songs), **folders) == ["instrumentals b.wav", "voices c.wav"]
    write_song(tmp_path / "choir" / "choir" / "1.wav", noise(1, 9000), RATE)
    assert held_out(voices=str(tmp_path / "choir"), instrumentals=folders["instrumentals"]) == []


def test_tuning_has_a_recipe_of_its_own_unless_one_is_named(checkpoint):
    """Gentler and shorter than a training, and it ends by itself; the shape is the checkpoint's."""
    given = ["--model_name_or_path", str(checkpoint), "--musdb_dir", "x"]
    config, tuning, _ = parse_arguments(given)
    named, _, _ = parse_arguments([*given, "--recipe", "finetune"])
    assert named == config
    usual = read_recipe("full_band")["training"]
    assert tuning.learning_rate < usual["learning_rate"] / 4
    assert tuning.max_train_steps < usual["max_train_steps"] / 4
    assert tuning.early_stopping_patience * tuning.validation_steps < tuning.max_train_steps
    config, training, _ = parse_arguments([*given, "--recipe", "paper"])
    assert (config.sampling_rate, training.early_stopping_patience) == (8192, None)


def test_the_recipe_for_tuning_needs_a_start(training_root):
    said = refused(training_root, "not tuned", "--recipe", "finetune")
    assert said == (
        "train: --recipe finetune has no model of its own: give the checkpoint to tune as --model_name_or_path."
    )
