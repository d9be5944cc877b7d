"""What a checkpoint is, as labels and values and printed as a table."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from .checkpoint_loading import load_card
from .modeling_unet_svs import UNetSVSModel


def describe_checkpoint(name: str, model: UNetSVSModel) -> list[tuple[str, str]]:
    """A checkpoint's shape, and its training data, licence and scores as its model card has them.

    Args:
        name: folder or model id that it was loaded from.
        model: the loaded checkpoint.

    Returns:
        Labels and values, in order; a label may come again, such as a score on another data set.
    """
    config = model.config
    highest = config.num_bins * config.sampling_rate / config.n_fft
    rows = [
        ("stems", ", ".join(config.stems) + (f" ({config.residual}: what remains)" if config.residual else "")),
        ("sampling rate", f"{config.sampling_rate} Hz, up to {highest:.0f} Hz"),
        ("channels", str(config.num_channels)),
        ("spectrogram", f"{config.n_fft} samples every {config.hop_length}"),
        ("bands", f"{config.num_bands} of {config.num_bins // config.num_bands} bins"),
        ("patch", f"{config.num_frames} frames, {config.patch_samples / config.sampling_rate:.1f} s"),
        ("parameters", f"{model.num_parameters():,}"),
    ]
    card = load_card(name)
    data: Any = card.data if card is not None else None
    if data is not None:
        datasets = data.datasets or []
        trained_on = ", ".join([datasets] if isinstance(datasets, str) else datasets)
        rows.append(("training data", trained_on or "not said"))
        rows.append(("licence", str(data.license_name or data.license or "not said")))
        for result in data.eval_results or []:
            where = f"{result.dataset_name}, {result.dataset_split}" if result.dataset_split else result.dataset_name
            rows.append((result.metric_name or result.metric_type, f"{result.metric_value} ({where})"))
    return rows


def print_info(name: str, model: UNetSVSModel) -> None:
    """Prints what `describe_checkpoint` says.

    Args:
        name: folder or model id that it was loaded from.
        model: the loaded checkpoint.
    """
    table = Table(show_header=False, box=None, pad_edge=False)
    for label, value in [("checkpoint", name), *describe_checkpoint(name, model)]:
        table.add_row(label, value)
    Console(soft_wrap=True, highlight=False).print(table, markup=False)


__all__ = ["describe_checkpoint", "print_info"]
