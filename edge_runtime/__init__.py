"""Run a TFLite or ONNX model on a camera or ECG stream of a small Linux board."""

__version__ = "0.1.0"
