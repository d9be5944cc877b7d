"""Export to ONNX, and separation with ONNX Runtime."""
