"""The trainer, from the arguments to the saved model: the loop first, then its parts."""

import math
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, set_seed
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm
from transformers import get_cosine_schedule_with_warmup

from modeling_unet_svs import UNetSVSConfig, UNetSVSModel
from modeling_unet_svs.audio.whole_files import whole_folder
from modeling_unet_svs.command.torch_runtime import choose_dtype, load_checkpoint, share_cpus

from .arguments import TrainingArguments
from .checkpoints import find_checkpoint, load_checkpoint_state, save_checkpoint, save_model
from .data.loading import load_songs, training_batches, what_is_learned
from .data.mixing import MixingArguments
from .publishing.card import base_of, write_run_card
from .publishing.hub import publish
from .reports import describe_songs, try_out, write_record
from .validation import available_trackers, log_examples, validate

PRECISIONS = {torch.float32: "no", torch.bfloat16: "bf16", torch.float16: "fp16"}


def train(config: UNetSVSConfig, training: TrainingArguments, mixing: MixingArguments) -> None:
    """Trains a model and saves the moving average of its weights to `training.output_dir`."""
    output_dir = Path(training.output_dir)
    if training.mixed_precision == "auto":
        # A build for GPUs names an accelerator where there is none.
        device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        training.mixed_precision = PRECISIONS[choose_dtype("auto", device)]
    accelerator = Accelerator(
        # Without a GPU, Accelerate joins several processes only if it is told to use the CPU.
        cpu=not torch.accelerator.is_available(),
        mixed_precision=training.mixed_precision,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        dynamo_backend="inductor" if training.torch_compile else None,
        log_with=available_trackers(training.report_to) or None,
        project_config=ProjectConfiguration(project_dir=output_dir, logging_dir=output_dir / "logs"),
    )
    if accelerator.device.type == "cpu":
        share_cpus(accelerator.num_processes)
    checkpoint = find_checkpoint(output_dir, training.resume_from_checkpoint)
    train_songs, validation_songs = load_songs(training, config, accelerator)
    if learned := what_is_learned(train_songs):
        accelerator.print(learned)

    set_seed(training.seed)
    model, said = initial_model(config, training.model_name_or_path)
    accelerator.print(f"{said}; mixed precision: {training.mixed_precision}")
    output_dir.mkdir(parents=True, exist_ok=True)
    # The processes start with the same weights, but drop different units.
    set_seed(training.seed, device_specific=True)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, training.warmup_steps, training.max_train_steps)
    average = AveragedModel(model, multi_avg_fn=warmed_up_average(training.ema_decay), use_buffers=True)
    average.to(accelerator.device)
    run = RunState()
    model, optimizer = accelerator.prepare(model, optimizer)
    accelerator.register_for_checkpointing(schedule, average, run)
    if checkpoint is not None:
        checkpoint = load_checkpoint_state(accelerator, checkpoint, config)
        accelerator.print(f"resuming after step {run.step}{f' from {checkpoint}' if checkpoint else ''}")
    if run.full_precision:
        accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    loader = training_batches(train_songs, training, config, mixing, accelerator, run.step)

    def scored() -> dict[str, float]:
        """Scores the moving average."""
        with nullcontext() if run.full_precision else accelerator.autocast():
            return validate(average.module, validation_songs, accelerator)

    if not validation_songs:
        accelerator.print("no songs validate: no model is kept as best, and nothing stops the run early.")
    splits = {"train": train_songs, "validation": validation_songs}
    data = {split: describe_songs(songs, config.sampling_rate) for split, songs in splits.items()}
    if training.dry_run:
        try_out(accelerator, model, optimizer, loader, scored, training, data, run.step)
        accelerator.end_training()
        return
    if accelerator.is_main_process:
        write_record(accelerator, training, mixing, data, run.step)
    accelerator.init_trackers("train", config={**asdict(training), **asdict(mixing)})
    progress = tqdm(
        total=training.max_train_steps, initial=run.step, disable=not accelerator.is_main_process, mininterval=10
    )
    batch_size = training.train_batch_size * accelerator.num_processes * training.gradient_accumulation_steps
    stopwatch = Stopwatch(accelerator.device, batch_size * config.patch_samples / config.sampling_rate)
    losses: list[torch.Tensor] = []
    scores: dict[str, float] = {}

    def validated() -> dict[str, float]:
        """Scores the moving average, and keeps it as `best` where it is."""
        scores = scored()
        accelerator.log(scores, step=run.step)
        if accelerator.is_main_process:
            tqdm.write(f"step {run.step}: " + ", ".join(f"{name} {value:.2f}" for name, value in scores.items()))
            log_examples(accelerator, average.module, validation_songs, run.step)
        if scores and run.is_best(scores["validation_sdr"]) and accelerator.is_main_process:
            with whole_folder(output_dir / "best") as best:
                save_model(average.module, best)
                write_run_card(best, config, training, mixing, scores)
        return scores

    if validation_songs and training.model_name_or_path and run.step == 0:
        scores = validated()
        run.start_sdr = run.best_sdr
    stopwatch.skip()
    for batch in loader:
        stopwatch.lap("data")
        with accelerator.accumulate(model):
            loss = model(**batch).loss
            accelerator.backward(loss)
            losses.append(loss.detach())
            stopwatch.lap("network")
            if not accelerator.sync_gradients:
                continue
            norm = accelerator.clip_grad_norm_(model.parameters(), training.max_grad_norm)
            # fp16 overflows now and then by design; its gradient scaler skips such a step by itself.
            if torch.isfinite(norm) or training.mixed_precision == "fp16":
                optimizer.step()
                average.update_parameters(accelerator.unwrap_model(model))
            elif run.full_precision or training.mixed_precision == "no":
                tqdm.write(f"step {run.step + 1}: the gradient is not finite: left out")
            else:
                run.full_precision = True
                # Removes only what `prepare` has wrapped around `forward`.
                accelerator.unwrap_model(model, keep_fp32_wrapper=False)
                tqdm.write(f"step {run.step + 1}: the gradient is not finite: left out; full precision from here on")
            schedule.step()
            optimizer.zero_grad()
        stopwatch.lap("optimizer")
        stopwatch.num_steps += 1
        run.step += 1
        progress.update()
        is_last = run.step == training.max_train_steps

        if run.step % training.logging_steps == 0 or is_last:
            values = {"loss": accelerator.reduce(torch.stack(losses).mean(), "mean").item(), **stopwatch.report()}
            losses.clear()
            progress.set_postfix_str(
                "loss {loss:.4f}, {audio_seconds_per_second:.0f} s of audio/s, {share_network:.0%} in the network, "
                "{share_data:.0%} in data".format(**values),
                refresh=False,
            )
            values |= {"learning_rate": schedule.get_last_lr()[0], "gradient_norm": norm.item()}
            accelerator.log(values, step=run.step)
        if validation_songs and (run.step % training.validation_steps == 0 or is_last):
            scores = validated()
            is_last |= run.validations_since_best == training.early_stopping_patience
        if run.step % training.checkpointing_steps == 0 or is_last:
            save_checkpoint(accelerator, output_dir, run.step, training.checkpoints_total_limit, config)
        stopwatch.skip()
        if is_last:
            break

    progress.close()
    if run.start_sdr == run.best_sdr > -math.inf:
        accelerator.print(
            f"no validation was better than the start ({run.start_sdr:.2f} dB), kept in {output_dir / 'best'}: "
            "try a lower --learning_rate, or more songs of the kind that validates."
        )
    if accelerator.is_main_process:
        save_model(average.module, output_dir)
        write_run_card(output_dir, config, training, mixing, scores)
    accelerator.end_training()
    if training.push_to_hub and accelerator.is_main_process:
        if training.model_name_or_path:
            base = base_of(training.model_name_or_path)
            accelerator.print(f"uploading; the terms of {base.name}, where it started, are this model's: {base.terms}")
        is_best = scores.get("validation_sdr", run.best_sdr) == run.best_sdr
        publish(output_dir if is_best else output_dir / "best", training.hub_model_id)


def initial_model(config: UNetSVSConfig, model_name_or_path: str | None) -> tuple[UNetSVSModel, str]:
    """The model to train, and where its weights come from: a checkpoint gives those that have the same shape."""
    if model_name_or_path is None:
        return UNetSVSModel(config).train(), "new weights"
    load_checkpoint(model_name_or_path)  # for its errors: below, faulty weights would raise none
    model, report = UNetSVSModel.from_pretrained(
        model_name_or_path,
        config=config,
        dtype="float32",
        use_safetensors=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    new = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    said = f"starting from {model_name_or_path}: {len(model.state_dict()) - len(new)} tensors kept, {len(new)} new"
    # `unets.vocals.encoder.0.conv.weight` is in the layer `vocals.encoder.0`.
    layers = Counter(re.sub(r"^unets\.|(\.conv|\.norm)?\.\w+$", "", name) for name in new)
    if new:
        said += f" ({', '.join(f'{layer}: {count}' for layer, count in sorted(layers.items()))})"
    return model.train(), said


def warmed_up_average(decay: float) -> Callable[[list[torch.Tensor], list[torch.Tensor], torch.Tensor], None]:
    """Exponential moving average whose memory grows from nothing to `decay`, so that first weights are forgotten."""

    def update(averages: list[torch.Tensor], values: list[torch.Tensor], num_averaged: torch.Tensor) -> None:
        warmed_up = min(decay, (1 + float(num_averaged)) / (10 + float(num_averaged)))
        get_ema_multi_avg_fn(warmed_up)(averages, values, num_averaged)

    return update


@dataclass
class RunState:
    """Progress of a run, which its checkpoints keep."""

    step: int = 0
    start_sdr: float = -math.inf
    best_sdr: float = -math.inf
    validations_since_best: int = 0
    full_precision: bool = False

    def state_dict(self) -> dict:
        return asdict(self)

    def load_state_dict(self, state: dict) -> None:
        vars(self).update(state)

    def is_best(self, sdr: float) -> bool:
        """Takes a validation's result and compares it with those before."""
        is_best = sdr > self.best_sdr
        self.validations_since_best = 0 if is_best else self.validations_since_best + 1
        self.best_sdr = max(sdr, self.best_sdr)
        return is_best


class Stopwatch:
    """Adds up the time of a step's parts, which follow each other, over the steps between two reports."""

    def __init__(self, device: torch.device, seconds_per_step: float):
        self.device, self.seconds_per_step = device, seconds_per_step
        self.times: Counter[str] = Counter()
        self.num_steps = 0
        self.skip()

    def skip(self) -> None:
        """Leaves out the time since the last lap: a validation, or a checkpoint."""
        self.last = time.perf_counter()

    def lap(self, part: str) -> None:
        """Counts the time since the last lap as a part's."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        self.times[part] += now - self.last
        self.last = now

    def report(self) -> dict[str, float]:
        """Seconds of audio per second, and each part's share of the time, since the last report."""
        total = max(self.times.total(), 1e-9)
        shares = {f"share_{part}": seconds / total for part, seconds in self.times.items()}
        speed = self.num_steps * self.seconds_per_step / total
        self.times.clear()
        self.num_steps = 0
        return {"audio_seconds_per_second": speed, **shares}
