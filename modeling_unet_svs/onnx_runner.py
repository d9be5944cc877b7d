"""`OnnxSeparator`, where programs import it from."""

from .onnx.runner import OnnxSeparator as OnnxSeparator
