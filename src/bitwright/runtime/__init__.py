"""The run time: compiled models on any CPU, with numpy and the native engine alone.

``Session("net.bwm").run(x)`` runs a model; `kernels` lists what the engine has; `pack_bits` and
`unpack_bits` convert between floats and the canonical bit packing; `bitwright.runtime.functional` runs
single layers.
"""

from __future__ import annotations

from bitwright.runtime import functional
from bitwright.runtime.errors import InputError, KernelError, ModelError
from bitwright.runtime.kernels import KernelInfo, available_cpus, kernels
from bitwright.runtime.packing import pack_bits, unpack_bits
from bitwright.runtime.session import Session, TensorInfo

__all__ = [
    "InputError",
    "KernelError",
    "KernelInfo",
    "ModelError",
    "Session",
    "TensorInfo",
    "available_cpus",
    "functional",
    "kernels",
    "pack_bits",
    "unpack_bits",
]
