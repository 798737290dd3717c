"""Jobs on ONNX files."""
