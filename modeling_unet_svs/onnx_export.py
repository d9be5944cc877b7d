"""The mask network as ONNX files, laid out and named as the Hub's ONNX and JavaScript users expect."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass

from .graph_description import FILE_NAME, GraphDescription
from .mask_network import MaskNetwork
from .modeling_unet_svs import UNetSVSModel

FOLDER = "onnx"
DTYPES = {"model.onnx": torch.float32, "model_fp16.onnx": torch.float16}


def export_onnx(model: UNetSVSModel, output_dir: str | Path) -> Path:
    """Writes `onnx/model.onnx`, `onnx/model_fp16.onnx` and `onnx/separation.json`.

    The graphs take `magnitude` and give `masks`, as [`MaskNetwork.export`] says. The second has weights and
    convolutions in half precision.

    Args:
        model: on any device, in any precision.
        output_dir: where the folder `onnx` is made; files of the same names are replaced, each when it is whole.

    Returns:
        The folder `onnx`.

    Raises:
        ValueError: weights that half precision cannot hold.
        OSError: a folder that cannot be written.
    """
    folder = Path(output_dir) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
        for name, dtype in DTYPES.items():
            _write_graph(MaskNetwork(model, dtype), Path(partial) / name)
        GraphDescription.of(model.config).write(Path(partial) / FILE_NAME)
        for name in (*DTYPES, FILE_NAME):
            os.replace(Path(partial) / name, folder / name)
    return folder


def _write_graph(network: MaskNetwork, path: Path) -> None:
    program = torch.onnx.export(
        network.export(), dynamo=True, input_names=["magnitude"], output_names=["masks"], verbose=False
    )
    assert program is not None  # as it is with `dynamo`
    # The exporter writes down the path and line of the code behind every node.
    ClearMetadataAndDocStringPass()(program.model)
    program.save(path)


__all__ = ["export_onnx"]
