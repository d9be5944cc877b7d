"""The training loop."""

from __future__ import annotations

import math
import os
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, set_seed
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm
from transformers import get_cosine_schedule_with_warmup

from modeling_unet_svs import UNetSVSConfig, UNetSVSModel

from .arguments import TrainingArguments
from .checkpoints import find_checkpoint, save_checkpoint
from .data import load_songs, stream_batches
from .mixing import MixingArguments, RandomMixes
from .saving import replace_folder, save_model
from .validation import validate


def train(config: UNetSVSConfig, training: TrainingArguments, mixing: MixingArguments) -> None:
    """Trains a model and saves it to `training.output_dir`, the moving average of its weights.

    Args:
        config: of the model.
        training: what on, how long, where to.
        mixing: how training mixtures are made.

    Raises:
        ValueError: no songs, or a checkpoint that does not fit.
    """
    output_dir = Path(training.output_dir)
    accelerator = Accelerator(
        mixed_precision=training.mixed_precision,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        log_with="tensorboard",
        project_config=ProjectConfiguration(project_dir=output_dir, logging_dir=output_dir / "logs"),
    )
    if accelerator.device.type == "cpu":
        # `accelerate launch` leaves each process a single thread.
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // accelerator.num_processes))
    set_seed(training.seed)
    checkpoint = find_checkpoint(output_dir, training.resume_from_checkpoint)
    train_songs, validation_songs = load_songs(training, config, accelerator)
    batch_size = training.train_batch_size * accelerator.num_processes * training.gradient_accumulation_steps
    model = UNetSVSModel(config).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, training.warmup_steps, training.max_train_steps)
    average = AveragedModel(model, multi_avg_fn=warmed_up_average(training.ema_decay), use_buffers=True)
    model, optimizer = accelerator.prepare(model, optimizer)
    accelerator.register_for_checkpointing(schedule, average)
    average.to(accelerator.device)
    first_step = 0
    if checkpoint is not None:
        accelerator.load_state(str(checkpoint))
        first_step = schedule.last_epoch
        accelerator.print(f"resuming after step {first_step} from {checkpoint}")
    if training.streaming:
        loader = stream_batches(training, config, mixing, accelerator, first_step)
    else:
        examples = RandomMixes(train_songs, config, mixing, training.max_train_steps * batch_size, training.seed)
        remaining = torch.utils.data.Subset(examples, range(first_step * batch_size, len(examples)))
        loader = accelerator.prepare(
            torch.utils.data.DataLoader(
                remaining,
                batch_size=training.train_batch_size,
                num_workers=training.num_workers,
                drop_last=True,
                prefetch_factor=4 if training.num_workers else None,
                # Of its own: a loader draws a number when it starts, and a resumed run starts one more than another.
                generator=torch.Generator().manual_seed(training.seed),
            )
        )
    accelerator.init_trackers("train", config={**asdict(training), **asdict(mixing)})
    best_sdr = -math.inf
    step, losses, skipped = first_step, [], 0
    progress = tqdm(
        total=training.max_train_steps, initial=first_step, disable=not accelerator.is_main_process, mininterval=10
    )
    for batch in loader:
        with accelerator.accumulate(model):
            with accelerator.autocast():
                loss = model(**batch).loss
            accelerator.backward(loss)
            losses.append(loss.detach())
            if not accelerator.sync_gradients:
                continue
            norm = accelerator.clip_grad_norm_(model.parameters(), training.max_grad_norm)
            if torch.isfinite(norm):
                optimizer.step()
                average.update_parameters(accelerator.unwrap_model(model))
            else:
                skipped += 1
            schedule.step()
            optimizer.zero_grad()
        step += 1
        progress.update()
        if step % 50 == 0:
            mean_loss = accelerator.reduce(torch.stack(losses).mean(), "mean").item()
            losses.clear()
            progress.set_postfix(loss=f"{mean_loss:.4f}", refresh=False)
            values = {"loss": mean_loss, "learning_rate": schedule.get_last_lr()[0], "gradient_norm": norm.item()}
            accelerator.log({**values, "skipped_steps": skipped}, step=step)
        if step % training.validation_steps == 0 or step == training.max_train_steps:
            scores = validate(average.module, validation_songs, accelerator) if validation_songs else {}
            accelerator.log(scores, step=step)
            tqdm.write(f"step {step}: " + ", ".join(f"{name} {value:.2f}" for name, value in scores.items()))
            if scores and accelerator.is_main_process and scores["validation_sdr"] > best_sdr:
                best_sdr = scores["validation_sdr"]
                save_model(average.module, output_dir / "partial-best")
                replace_folder(output_dir / "partial-best", output_dir / "best")
        if step % training.checkpointing_steps == 0 or step == training.max_train_steps:
            save_checkpoint(accelerator, output_dir, step, training.checkpoints_total_limit)
    progress.close()
    if accelerator.is_main_process:
        save_model(average.module, output_dir)
    accelerator.end_training()


def warmed_up_average(decay: float):
    """Exponential moving average whose memory grows from nothing to `decay`, so that first weights are forgotten."""

    @torch.no_grad()
    def update(averages: list[torch.Tensor], values: list[torch.Tensor], num_averaged: torch.Tensor | int) -> None:
        warmed_up = min(decay, (1 + float(num_averaged)) / (10 + float(num_averaged)))
        for average, value in zip(averages, values):
            if average.is_floating_point():
                average.lerp_(value, 1 - warmed_up)
            else:
                average.copy_(value)

    return update


__all__ = ["train"]
