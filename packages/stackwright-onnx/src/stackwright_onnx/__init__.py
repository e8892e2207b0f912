"""ONNX models, by onnxruntime."""
