"""The model that training begins with: new weights, or those of a checkpoint as far as they fit."""

from __future__ import annotations

from collections import Counter

from modeling_unet_svs import UNetSVSConfig, UNetSVSModel
from modeling_unet_svs.checkpoint_loading import load_checkpoint


def initial_model(config: UNetSVSConfig, model_name_or_path: str | None) -> tuple[UNetSVSModel, str]:
    """Makes the model to train.

    Args:
        config: its shape.
        model_name_or_path: folder or Hub id of a checkpoint to start from; `None` for new weights.

    Returns:
        The model, in full precision and training mode, and one line that says what its weights are: of which parts of
        each U-Net they were kept, and which are new because the checkpoint lacks them or has them in another shape.

    Raises:
        ValueError: a checkpoint that cannot be loaded.
    """
    if model_name_or_path is None:
        return UNetSVSModel(config).train(), "new weights"
    load_checkpoint(model_name_or_path)  # for its errors: below, nothing that is wrong with the weights is one
    model, report = UNetSVSModel.from_pretrained(
        model_name_or_path,
        config=config,
        dtype="float32",
        use_safetensors=True,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    renewed = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    kept = Counter(_part(name) for name in model.state_dict() if name not in renewed)
    new = Counter(map(_part, renewed))
    said = f"starting from {model_name_or_path}: {sum(kept.values())} tensors kept, {sum(new.values())} new"
    if new:
        said += f" ({', '.join(f'{part}: {count}' for part, count in sorted(new.items()))})"
    return model.train(), said


def _part(name: str) -> str:
    """`unets.vocals.encoder.0.conv.weight` is part of `vocals.encoder.0`."""
    return ".".join(name.split(".")[1:4]) if ".mask." not in name else f"{name.split('.')[1]}.mask"


__all__ = ["initial_model"]
