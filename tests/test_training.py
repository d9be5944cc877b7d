"""`accelerate launch train`: real runs of a few steps."""

import io
import json
import re
import sqlite3
import wave
from contextlib import closing
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter
from tqdm.auto import tqdm
from train.package_checkpoint import package_checkpoint

from modeling_unet_svs import UNetSVSConfig, UNetSVSModel
from modeling_unet_svs.command.torch_runtime import load_checkpoint
from modeling_unet_svs.onnx.runner import OnnxSeparator
from train import draw_training, trainer, validation
from train.arguments import parse_arguments, read_recipe
from train.checkpoints import list_checkpoints
from train.data.mixing import MixingArguments
from train.evaluation.scores import STEMS

from .conftest import call_main, make_model, noise, run, write_song
from .small_training import arguments, refused, trained, weights_of


@pytest.mark.parametrize("launch", [["train"], ["-m", "train"]], ids=["folder", "module"])
def test_it_is_launched_by_accelerate(training_root, launch):
    output_dir = training_root / f"launched {len(launch)}"
    done = run("accelerate", "launch", "--cpu", *launch, *arguments(training_root, output_dir))
    assert "validation_sdr_vocals" in done.stderr + done.stdout
    model = load_checkpoint(output_dir)
    assert model.config.sampling_rate == 16_000
    files = ("model.safetensors", "preprocessor_config.json", "modeling_unet_svs.py", "best")
    assert all((output_dir / name).exists() for name in files)


def test_an_error_is_its_one_line_under_the_launcher_too(training_root):
    alone = ("--num_processes", "1", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no")
    alone += ("--num_cpu_threads_per_process", "1")  # with these, there is no notice of the launcher's defaults
    given = arguments(training_root, "unlaunched", "--musdb_dir", "nowhere")
    done = run("accelerate", "launch", "--quiet", "--cpu", *alone, "train", *given, exits=1)
    assert re.fullmatch("train: no songs of MUSDB18's train split in nowhere.*\n", done.stderr)


def test_the_averaged_weights_are_those_that_are_saved(training_root):
    folder = trained(training_root, "averaged", "--ema_decay", "0.0")
    last = weights_of(folder / "checkpoint-4")
    torch.testing.assert_close(weights_of(folder), last, rtol=1e-5, atol=1e-6, check_dtype=False)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--musdb_dir", "nowhere"], "no songs of MUSDB18's train split in nowhere"),
        (
            ["--recipe", "x"],
            "--recipe 'x' is neither a file nor one of finetune, full_band, full_band_finish, full",
        ),
        (["--resume_from_checkpoint", "nowhere"], "--resume_from_checkpoint nowhere is no folder"),
        (["--push_to_hub"], "--push_to_hub needs --hub_model_id USER/NAME."),
        (["--report_to", "mlflow"], "invalid choice: 'mlflow' .*tensorboard.*wandb.*trackio.*all.*none"),
        (["--report_to", "wandb"], "pip install wandb"),
        (["--max_train_steps", "0"], "--max_train_steps is 0: use 1 or more."),
        (["--num_bands", "3"], "n_fft is 256: use a multiple of"),
    ],
)
def test_what_cannot_be_trained_is_one_line_before_any_work(training_root, monkeypatch, flags, said):
    monkeypatch.setattr(validation, "get_available_trackers", list)
    assert re.search(said, refused(training_root, "cannot be trained", *flags))
    assert not (training_root / "cannot be trained").exists()


@pytest.mark.parametrize("during", ["save_checkpoint", "load_songs"])
def test_an_error_begins_a_line_and_does_not_stand_behind_a_progress_bar(training_root, monkeypatch, during):
    def fails(*_, **__):
        bar = tqdm(total=2, disable=during == "save_checkpoint")  # noqa: F841 (held while the error passes)
        raise ValueError("the disk is full")

    monkeypatch.setattr(trainer, during, fails)
    assert refused(training_root, f"failed to {during}") == "train: the disk is full"


def test_nothing_to_train_on():
    with pytest.raises(ValueError, match="nothing to train on: give --musdb_dir, .*--voices_dir or --inst"):
        parse_arguments(["--output_dir", "runs/x"])


def test_flags_win_over_the_recipe_and_the_recipe_over_defaults():
    given = ["--recipe", "paper", "--musdb_dir", "x", "--output_dir", "y", "--train_batch_size", "7"]
    config, training, mixing = parse_arguments(given)
    assert config.sampling_rate == 8192
    assert (training.train_batch_size, training.weight_decay) == (7, 0.0)
    assert mixing == MixingArguments()


def test_each_field_of_the_model_is_a_flag():
    flags = "--num_bands 4 --hidden_sizes 32 64 --sources vocals drums --residual none --skip_connections false"
    config, _, _ = parse_arguments(["--recipe", "paper", "--musdb_dir", "x", *flags.split(), "--dropout", "0.1"])
    assert (config.num_bands, config.hidden_sizes, config.sources) == (4, [32, 64], ["vocals", "drums"])
    assert (config.residual, config.skip_connections, config.dropout) == (None, False, 0.1)
    assert config.hop_length == 768


@pytest.mark.parametrize(
    ("recipe", "said"),
    [("{", "not valid JSON"), ('{"models": {}}', "section 'models'"), ('{"training": {"lr": 1}}', "unknown lr")],
)
def test_a_recipe_with_a_mistake_says_which(tmp_path, recipe, said):
    (tmp_path / "recipe.json").write_text(recipe)
    with pytest.raises(ValueError, match=said):
        read_recipe(str(tmp_path / "recipe.json"))


def test_the_paper_recipe_is_the_papers_configuration_and_batch():
    recipe = read_recipe("paper")
    assert UNetSVSConfig(**recipe["model"]).to_diff_dict() == UNetSVSConfig().to_diff_dict()
    assert recipe["training"]["train_batch_size"] == 128


def test_the_full_band_recipe_reaches_20_khz_in_stereo_at_the_cost_of_the_papers_patch():
    config = UNetSVSConfig(**read_recipe("full_band")["model"])
    assert (config.sampling_rate, config.num_channels) == (44_100, 2)
    assert config.num_bins * config.sampling_rate / config.n_fft >= 20_000
    assert (config.num_bins // config.num_bands, config.num_frames) == (512, 128)
    assert config.hop_length == config.n_fft // 4


def test_the_papers_configuration_learns():
    """Tones out of noise: in a few steps the loss falls."""
    model = make_model(UNetSVSConfig()).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    time = torch.arange(model.config.patch_samples) / model.config.sampling_rate
    pitches = torch.tensor([[220.0], [330.0], [440.0], [550.0]])
    vocals = torch.sin(2 * torch.pi * pitches * time)
    mixture = vocals + 0.3 * torch.randn(vocals.shape)
    losses = []
    for _ in range(12):
        loss = model(mixture, labels=vocals).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert losses == sorted(losses, reverse=True)


def test_a_packaged_checkpoint_is_half_as_large_and_loads_in_full_precision(checkpoint, model, tmp_path):
    package_checkpoint(checkpoint, tmp_path / "packaged")
    weights = weights_of(tmp_path / "packaged")
    assert {weight.dtype for name, weight in weights.items() if weight.ndim == 4} == {torch.float16}
    assert {weight.dtype for name, weight in weights.items() if "norm.running" in name} == {torch.float32}
    loaded = UNetSVSModel.from_pretrained(tmp_path / "packaged")
    assert loaded.dtype == torch.float32
    torch.testing.assert_close(model.state_dict(), loaded.state_dict(), rtol=1e-3, atol=1e-5)
    assert {path.name for path in checkpoint.iterdir()} <= {path.name for path in (tmp_path / "packaged").iterdir()}
    assert OnnxSeparator(tmp_path / "packaged").config.sampling_rate == model.config.sampling_rate


def test_a_packaged_checkpoint_can_separate_longer_patches_with_the_same_weights(checkpoint, model, tmp_path):
    package_checkpoint(checkpoint, tmp_path / "packaged", num_frames="64")
    loaded = load_checkpoint(tmp_path / "packaged")
    assert (loaded.config.num_frames, model.config.num_frames) == (64, 32)
    assert loaded.config.context_frames == model.config.context_frames
    assert weights_of(tmp_path / "packaged").keys() == model.state_dict().keys()


SHOWN = [f"{part}/{kind}" for part in ("musdb18 1", "remixes 2", "remixes 3") for kind in ("mixture", *STEMS)]


def test_what_a_run_logs_can_be_seen_and_heard(training_root, checkpoint):
    """The same few examples at each validation, in stereo."""
    voices = write_song(training_root / "voices" / "csd" / "1.wav", noise(1, 60_000)).parents[1]
    given = ("--logging_steps", "2", "--voices_dir", voices, "--model_name_or_path", checkpoint)
    folder = trained(training_root, "logged", *given, "--report_to", "tensorboard")
    (file,) = (folder / "logs" / "train").glob("events.out.tfevents*")
    events = EventAccumulator(str(file), size_guidance={"images": 0, "audio": 0}).Reload()
    tags = events.Tags()
    parts = {f"validation_sdr_{stem}_{part}" for stem in STEMS for part in ("musdb18", "remixes")}
    assert {"loss", "gradient_norm", "audio_seconds_per_second", "validation_sdr", *parts} <= set(tags["scalars"])
    assert set(tags["images"]) == {f"{part}/separation" for part in ("musdb18 1", "remixes 2", "remixes 3")}
    assert set(tags["audio"]) == set(SHOWN)
    for tag in SHOWN:
        start, end = events.Audio(tag)
        assert (start.step, end.step) == (0, 4)
        with wave.open(io.BytesIO(end.encoded_audio_string)) as sound:
            assert (sound.getnchannels(), sound.getframerate()) == (2, 16_000)
        assert (start.encoded_audio_string == end.encoded_audio_string) == tag.endswith("mixture")
    shares = [events.Scalars(f"share_{part}")[-1].value for part in ("data", "network", "optimizer")]
    assert sum(shares) == pytest.approx(1)
    assert all(share > 0 for share in shares)


def test_trackio_shows_the_same(training_root, tmp_path):
    pytest.importorskip("trackio")
    given = arguments(training_root, "tracked", "--report_to", "trackio")
    run("python", "-m", "train", *given, env={"TRACKIO_DIR": str(tmp_path)})
    with closing(sqlite3.connect(tmp_path / "train.db")) as base:
        logged = [json.loads(row) for (row,) in base.execute("SELECT metrics FROM metrics")]
    shown = {name: value for row in logged for name, value in row.items() if isinstance(value, dict)}
    assert set(shown) - set(SHOWN) == {f"{part}/separation" for part in ("musdb18 1", "remixes 2", "remixes 3")}
    for name, value in shown.items():
        kind = "image" if name.endswith("separation") else "audio"
        assert value["_type"] == f"trackio.{kind}"
        assert next(tmp_path.rglob(Path(value["file_path"]).name)).stat().st_size > 1000
    assert {"gradient_norm", "share_network", "validation_sdr"} <= {name for row in logged for name in row}


def test_it_stops_when_validation_gets_no_better(training_root, monkeypatch):
    monkeypatch.setattr(trainer, "validate", lambda *_: {"validation_sdr": 1.0})
    steps = ("--max_train_steps", "20", "--validation_steps", "1")
    folder = trained(training_root, "stopped", *steps, "--early_stopping_patience", "3")
    assert list_checkpoints(folder)[-1].name == "checkpoint-4"
    assert (folder / "model.safetensors").is_file()


def test_bf16_goes_on_in_full_precision_where_a_gradient_is_not_finite(training_root, monkeypatch, capsys):
    """Once, at the second step."""
    precisions = []
    forward = UNetSVSModel.forward

    def overflowing(model, *args, **kwargs):
        output = forward(model, *args, **kwargs)
        if model.training:
            precisions.append(torch.is_autocast_enabled("cpu"))
            if len(precisions) == 2:
                output.loss = output.loss * torch.nan
        return output

    monkeypatch.setattr(UNetSVSModel, "forward", overflowing)
    folder = trained(training_root, "overflown", "--mixed_precision", "bf16")
    assert precisions == [True, True, False, False]
    assert "step 2: the gradient is not finite: left out; full precision from here on" in capsys.readouterr().out
    assert all(weight.isfinite().all() for weight in weights_of(folder).values())


@pytest.mark.parametrize(("dtype", "said"), [(torch.bfloat16, "bf16"), (torch.float32, "no")])
def test_the_device_decides_about_the_precision(dtype, said, training_root, monkeypatch, capsys):
    monkeypatch.setattr(trainer, "choose_dtype", lambda *_: dtype)
    trained(training_root, f"precision {said}", "--mixed_precision", "auto", "--max_train_steps", 1)
    assert f"new weights; mixed precision: {said}" in capsys.readouterr().out


def test_accumulated_gradients_are_those_of_the_whole_batch(training_root, finished_run):
    """Without batch normalisation's own statistics they would be the same; here they are close."""
    steps = ("--train_batch_size", "2", "--gradient_accumulation_steps", "2")
    whole, parts = weights_of(finished_run), weights_of(trained(training_root, "2 times 2", *steps))
    names = [name for name in whole if name.endswith("conv.weight")]
    distance = torch.cat([(whole[name] - parts[name]).flatten() for name in names]).norm()
    assert distance < 0.05 * torch.cat([whole[name].flatten() for name in names]).norm()


def test_a_resumed_run_is_one_curve_and_its_newest_part_counts(tmp_path):
    for scalars in (
        {"loss": {1: 4.0, 2: 3.0, 3: 9.0}, "learning_rate": {1: 0.5}},
        {"loss": {3: 2.0, 4: 1.0}, "validation_sdr_vocals": {4: 6.0}},
    ):
        with SummaryWriter(str(tmp_path / "logs" / "train")) as writer:
            for name, values in scalars.items():
                for step, value in values.items():
                    writer.add_scalar(name, value, step)
    scalars = draw_training.read_scalars(tmp_path)
    assert scalars["loss"] == {1: 4.0, 2: 3.0, 3: 2.0, 4: 1.0}
    assert scalars["validation_sdr_vocals"] == {4: 6.0}
    picture = tmp_path / "curves.png"
    assert call_main(draw_training.main, tmp_path, picture) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_a_log_is_named(tmp_path, capsys):
    assert call_main(draw_training.main, tmp_path, tmp_path / "curves.png") == 2
    assert capsys.readouterr().err == f"draw_training: {tmp_path} has no TensorBoard log of a training in logs/.\n"
    with pytest.raises(ValueError):
        draw_training.read_scalars(tmp_path / "nowhere")
