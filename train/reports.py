"""What a run will be, before it trains: its record `run.json`, and what `--dry_run` measures and says."""

import hashlib
import json
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from modeling_unet_svs import UNetSVSConfig
from modeling_unet_svs.audio.whole_files import replace_text, whole_folder
from modeling_unet_svs.audio.writing import AudioWriter

from .arguments import TrainingArguments
from .data.cache import DecodedSong
from .data.mixing import MixingArguments
from .evaluation.results import library_versions

if sys.platform != "win32":
    import resource

RECORD = "run.json"
# The first steps wait for the device to warm up, and the loader has prepared the batches of four.
NUM_STEPS, NUM_MEASURED = 10, 5
MAX_EXAMPLES = 16


def describe_songs(songs: Sequence[DecodedSong], sampling_rate: int) -> dict[str, dict[str, Any]]:
    """The number, the minutes, and a hash over names and lengths of the songs of each source."""
    by_source: dict[str, list[DecodedSong]] = {}
    for song in songs:
        by_source.setdefault(song.source, []).append(song)
    return {
        source: {
            "num_songs": len(found),
            "minutes": round(sum(song.num_samples for song in found) / sampling_rate / 60, 2),
            "fingerprint": _fingerprint(found),
        }
        for source, found in by_source.items()
    }


def _fingerprint(songs: Iterable[DecodedSong]) -> str:
    """The same wherever the songs lie, and in whichever order."""
    contents = sorted((song.name, song.num_samples, sorted(song.stems)) for song in songs)
    return f"sha256:{hashlib.sha256(repr(contents).encode()).hexdigest()}"


def git_state() -> dict[str, Any] | None:
    """The commit of the trainer's repository, and whether its files have changed since; `None` where there is none."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    commit = done.stdout.strip()
    return {"commit": commit.removesuffix("-dirty"), "dirty": commit.endswith("-dirty")}


def write_record(
    accelerator: Accelerator,
    training: TrainingArguments,
    mixing: MixingArguments,
    data: Mapping[str, Any],
    first_step: int,
) -> None:
    """Writes how a run was started to `run.json` of its folder; a resumed run has an entry for each start."""
    record = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "first_step": first_step,
        "command": shlex.join(["python", "-m", "train", *sys.argv[1:]]),
        "git": git_state(),
        "versions": library_versions(),
        "machine": f"{platform.platform()}, {accelerator.num_processes} x {accelerator.device.type}",
        "seed": training.seed,
        "data": data,
        "arguments": {**asdict(training), **asdict(mixing)},
    }
    path = Path(training.output_dir) / RECORD
    earlier = json.loads(path.read_text(encoding="utf-8")) if first_step and path.is_file() else []
    replace_text(path, json.dumps([*earlier, record], indent=1) + "\n")


def try_out(
    accelerator: Accelerator,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Mapping[str, torch.Tensor]],
    validate: Callable[[], Mapping[str, float]],
    training: TrainingArguments,
    data: Mapping[str, Mapping[str, Mapping[str, Any]]],
    first_step: int,
) -> None:
    """Takes a few real steps, validates once, and says what the whole run would take; keeps a batch to listen to."""
    say = accelerator.print
    for split, sources in data.items():
        found = [f"{about['num_songs']} of {name}, {about['minutes']:.1f} min" for name, about in sources.items()]
        say(f"{split} songs: {'; '.join(found) or ('streamed' if training.streaming else 'none')}")
    folder = Path(training.output_dir) / "dry_run"
    ends: list[float] = []
    for index, batch in enumerate(islice(batches, NUM_STEPS * training.gradient_accumulation_steps)):
        if index == 0 and accelerator.is_main_process:
            write_examples(batch, accelerator.unwrap_model(model).config, folder)
            say(f"examples of the first batch: {folder}")
        ends = ends or [time.perf_counter()]
        with accelerator.accumulate(model):
            loss = model(**batch).loss
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), training.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
        if accelerator.sync_gradients:
            loss.item()  # waits for the device
            ends.append(time.perf_counter())
    measured = ends[-NUM_MEASURED - 1 :]
    step_seconds = (measured[-1] - measured[0]) / (len(measured) - 1) if len(measured) > 1 else 0.0
    start = time.perf_counter()
    scores = validate()
    validation_seconds = time.perf_counter() - start
    say(f"a step: {step_seconds:.2f} s; a validation: {validation_seconds:.0f} s", end="")
    is_tuned, every = training.model_name_or_path is not None, training.validation_steps
    say(f", SDR {scores['validation_sdr']:.2f} dB" if is_tuned and scores else "")
    num_steps = training.max_train_steps - first_step
    num_validations = -(-training.max_train_steps // every) - first_step // every + (is_tuned and not first_step)
    total = timedelta(seconds=round(num_steps * step_seconds + num_validations * validation_seconds))
    say(f"the run: {total} for {num_steps} steps and {num_validations} validations", end="")
    say(" at most" if training.early_stopping_patience else "")
    say(
        ", ".join(f"{name} at its peak: {size / 1e9:.1f} GB" for name, size in peak_memory(accelerator.device).items())
    )


def write_examples(batch: Mapping[str, torch.Tensor], config: UNetSVSConfig, folder: Path) -> None:
    """Writes the mixtures and stems of a batch as floating-point WAV, which clips nothing."""
    with whole_folder(folder) as partial:
        for number, (mixture, labels) in enumerate(zip(batch["input_values"][:MAX_EXAMPLES], batch["labels"]), 1):
            for name, waveform in zip(("mixture", *config.stems), (mixture, *labels, mixture - labels.sum(dim=0))):
                path = partial / f"{number:02d} {name}.wav"
                with AudioWriter(path, config.sampling_rate, len(waveform), subtype="float") as writer:
                    writer.write(waveform.cpu().numpy())


def peak_memory(device: torch.device) -> dict[str, int]:
    """The bytes that this process has taken at most, of each kind of memory."""
    taken = {}
    if sys.platform != "win32":
        unit = 1 if sys.platform == "darwin" else 1024
        taken["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if device.type == "cuda":
        taken["GPU memory"] = torch.cuda.max_memory_reserved(device)
    return taken
