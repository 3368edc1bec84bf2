"""The tracker as one file for other programs: an ONNX model, or StableHLO that needs nothing but JAX."""
