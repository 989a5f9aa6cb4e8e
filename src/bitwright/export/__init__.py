"""From a trained model to bits: freeze, packed torch operators, ONNX.

`freeze` swaps every binary layer for its packed twin, whose forward is one operator of `torch.ops.bitwright`; `to_onnx`
writes a frozen (or purely float) model in the ai.bitwright dialect (docs/dialect.md).
"""

from __future__ import annotations

from bitwright.export import reference_ops
from bitwright.export.checks import PackedOperatorError
from bitwright.export.freezing import LatentLayerError, freeze, latent_layers, pack_layer
from bitwright.export.native import reference_ops_enabled, use_reference_ops
from bitwright.export.onnx_export import OnnxExportError, to_onnx
from bitwright.export.packed import (
    FrozenModelError,
    FrozenModule,
    PackedBinarize,
    PackedConv,
    PackedConvTranspose,
    PackedEmbedding,
    PackedLayer,
    PackedLevelConv,
    PackedLevelLinear,
    PackedLinear,
    WeightOnlyConv,
    WeightOnlyLinear,
)
from bitwright.export.store import PackedFileError, load_packed, save_packed
from bitwright.export.torch_reference import TorchReference
from bitwright.nn.spec import NotPackableError

__all__ = [
    "FrozenModelError",
    "FrozenModule",
    "LatentLayerError",
    "NotPackableError",
    "OnnxExportError",
    "PackedBinarize",
    "PackedConv",
    "PackedConvTranspose",
    "PackedEmbedding",
    "PackedFileError",
    "PackedLayer",
    "PackedLevelConv",
    "PackedLevelLinear",
    "PackedLinear",
    "PackedOperatorError",
    "TorchReference",
    "WeightOnlyConv",
    "WeightOnlyLinear",
    "freeze",
    "latent_layers",
    "load_packed",
    "pack_layer",
    "reference_ops",
    "reference_ops_enabled",
    "save_packed",
    "to_onnx",
    "use_reference_ops",
]
