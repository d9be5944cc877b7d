"""The mask network as ONNX files with their weights inside, laid out and named as users of the Hub expect."""

from pathlib import Path

import numpy as np

from ..architecture import Architecture
from ..audio.whole_files import whole_files
from ..onnx_graph import MaskGraph
from ..separation import refuse_if
from .runner import DESCRIPTION, write_description

FOLDER = "onnx"
DTYPES = {"model.onnx": "FLOAT", "model_fp16.onnx": "FLOAT16"}


def export_onnx(checkpoint: str | Path, config: Architecture, output_dir: str | Path) -> Path:
    """Writes `onnx/model.onnx`, `onnx/model_fp16.onnx` and `onnx/separation.json` for a checkpoint's folder."""
    import onnx

    checkpoint = Path(checkpoint)
    with whole_files(Path(output_dir) / FOLDER) as folder:
        for name, dtype in DTYPES.items():
            model = MaskGraph(onnx, config, checkpoint, dtype).model()
            onnx.load_external_data_for_model(model, str(checkpoint.resolve()))
            del model.metadata_props[:]  # it depends on no other file
            for tensor in model.graph.initializer if dtype == "FLOAT16" else ():
                highest = np.abs(onnx.numpy_helper.to_array(tensor).astype(np.float32)).max()
                is_overflown = tensor.name.endswith("weight") and not highest <= np.finfo(np.float16).max
                refuse_if(is_overflown, f"{tensor.name} has values that float16 cannot hold.")
            onnx.save(model, str(folder / name))
        write_description(config, folder / DESCRIPTION)
    return Path(output_dir) / FOLDER
