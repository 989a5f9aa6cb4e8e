"""One file a family of operators; importing them registers their converters."""

from . import activations, binary, elementwise, heads, layers, pooling, shapes

__all__ = ["activations", "binary", "elementwise", "heads", "layers", "pooling", "shapes"]
