"""The card that a trained model goes to the Hub with: how it was made, and what validation said of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from modeling_unet_svs import UNetSVSConfig

from .arguments import TrainingArguments
from .mixing import MixingArguments

TEXT = """---
{metadata}
---

# {name}

Takes songs apart into {stems}, with the deep U-Net of Jansson et al., *Singing Voice Separation with Deep U-Net
Convolutional Networks* (ISMIR 2017), at {sampling_rate} Hz.

```python
from transformers import pipeline

separator = pipeline("audio-to-audio", model="{model_id}", trust_remote_code=True)
stems = separator("song.flac")
```

Trained with `accelerate launch train` on {data}; a model is bound by the licences of what it was trained on.

| validation | dB |
| --- | --- |
{scores}

Arguments of the training:

```json
{arguments}
```
"""


def write_run_card(
    folder: str | Path,
    config: UNetSVSConfig,
    training: TrainingArguments,
    mixing: MixingArguments,
    scores: dict[str, float],
) -> None:
    """Writes `README.md` into a model's folder.

    Args:
        folder: of the model.
        config: of the model.
        training: what on, how long.
        mixing: how training mixtures were made.
        scores: of the last validation, in dB by name.
    """
    name = Path(folder).resolve().name
    given = {
        "MUSDB18": training.musdb_dir,
        "MIR-1K": training.mir1k_dir,
        "instrumentals": training.instrumentals_dir,
    }
    data = [label for label, path in given.items() if path]
    data += [_public(origin) for origin in (training.stems_dir, training.dataset_name) if origin]
    start = training.model_name_or_path
    results = [
        EvalResult(
            task_type="audio-to-audio",
            dataset_type="validation",
            dataset_name="validation songs",
            metric_type="sdr",
            metric_name=f"{score}, dB",
            metric_value=round(value, 2),
        )
        for score, value in scores.items()
    ]
    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag="audio-to-audio",
        tags=["source-separation", "singing-voice"],
        datasets=data,
        base_model=start if start and not Path(start).exists() else None,
        model_name=name if results else None,
        eval_results=results or None,
    )
    text = TEXT.format(
        metadata=metadata.to_yaml(),
        name=name,
        stems=" and ".join(config.stems),
        sampling_rate=config.sampling_rate,
        model_id=training.hub_model_id or f"path/to/{name}",
        data=", ".join(data),
        scores="\n".join(f"| {score} | {value:.2f} |" for score, value in scores.items()),
        arguments=json.dumps(
            {name: _public(value) for name, value in asdict(training).items()} | {"mixing": asdict(mixing)}, indent=1
        ),
    )
    ModelCard(text).save(Path(folder) / "README.md")


def _public(value: Any) -> Any:
    """Of a path, its name alone: where it lies on the machine is nobody's business."""
    return Path(value).resolve().name if isinstance(value, str) and Path(value).exists() else value


__all__ = ["write_run_card"]
