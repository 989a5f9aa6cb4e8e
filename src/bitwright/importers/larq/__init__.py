"""Larq Compute Engine `.tflite` -> ONNX.

`reader` turns the bytes into plain dataclasses and checks them; `convert` walks the operators, whose converters are
functions in `binary` (Larq's own), `layers`, `elementwise` and `shapes` (standard TFLite), registered by name;
`tensors` knows in which layout each tensor is available, and what is quantised.
"""

from __future__ import annotations
