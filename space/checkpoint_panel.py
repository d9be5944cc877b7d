"""Which checkpoint separates, what it is, its scores and its licence, as HTML."""

from __future__ import annotations

from html import escape

from modeling_unet_svs import DEFAULT_CHECKPOINT, UNetSVSModel
from modeling_unet_svs.command.checkpoint import describe_checkpoint


def checkpoint_html(name: str, model: UNetSVSModel) -> str:
    """A table of what `unet-svs info` says.

    Args:
        name: folder or Hub id of the checkpoint.
        model: loaded from it.

    Returns:
        HTML.
    """
    # A folder of the operator's machine is nobody's business, its last part is a name.
    embedded = "the one that comes with unet-svs"
    shown = embedded if name == DEFAULT_CHECKPOINT else "/".join(name.rstrip("/").split("/")[-2:])
    rows = [("checkpoint", shown), *describe_checkpoint(name, model)]
    cells = "".join(f"<tr><th scope='row'>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in rows)
    return f"<table class='unet-svs-checkpoint'><tbody>{cells}</tbody></table>"


__all__ = ["checkpoint_html"]
