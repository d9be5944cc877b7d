"""The mask network as ONNX files, laid out and named as the Hub's ONNX and JavaScript users expect."""

from __future__ import annotations

import copy
import os
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .graph_description import FILE_NAME, GraphDescription
from .modeling_unet_svs import UNetSVSModel

FOLDER = "onnx"
DTYPES = {"model.onnx": torch.float32, "model_fp16.onnx": torch.float16}


class MaskNetwork(nn.Module):
    """[`UNetSVSModel.estimate_masks`] as a module's `forward`, with batch normalisation folded into convolutions.

    Args:
        model: in evaluation mode; it is copied.
        dtype: of weights and convolutions. Input and output are float32 in any case.

    Raises:
        ValueError: a weight that is beyond what `dtype` holds.
    """

    def __init__(self, model: UNetSVSModel, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.model = copy.deepcopy(model).cpu().float().eval()
        for unet in self.model.unets.values():
            for layer in [*unet.encoder, *unet.decoder]:
                transposed = isinstance(layer.conv, nn.ConvTranspose2d)
                layer.conv, layer.norm = fuse_conv_bn_eval(layer.conv, layer.norm, transposed), nn.Identity()
        self.model.to(dtype).requires_grad_(False)
        overflown = [name for name, weight in self.model.named_parameters() if not weight.isfinite().all()]
        if overflown:
            raise ValueError(f"{overflown[0]} has values that {dtype} cannot hold.")

    def forward(self, magnitude: torch.Tensor) -> torch.Tensor:
        return self.model.estimate_masks(magnitude)

    def export(self) -> torch.export.ExportedProgram:
        """The network as a graph for any batch and `config.num_frames` frames.

        Returns:
            The graph from `magnitude`, float32 `(batch, num_channels, n_fft // 2 + 1, num_frames)`, to the masks,
            float32 `(batch, num_sources, num_channels, n_fft // 2 + 1, num_frames)`.
        """
        config = self.model.config
        example = torch.ones(2, config.num_channels, config.n_fft // 2 + 1, config.num_frames)
        return torch.export.export(self, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=True)


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
        ImportError: packages are missing that `pip install "unet-svs[export]"` brings.
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
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    program = torch.onnx.export(
        network.export(), dynamo=True, input_names=["magnitude"], output_names=["masks"], verbose=False
    )
    # The exporter writes down the path and line of the code behind every node.
    ClearMetadataAndDocStringPass()(program.model)
    program.save(path)


__all__ = ["MaskNetwork", "export_onnx"]
