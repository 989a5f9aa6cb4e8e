"""Whole layers by the packed torch operators (packing, product, scale and bias) beside torch's bf16 and int8 ones.

Writes results/gpu_layers.json: microseconds a call inside of a CUDA graph; weights and inputs rotate through more than
twice the L2 cache. Frozen layers run with the kernels that the tuner's store knows (run sweep.py or `bitwright tune`
before), or the defaults. torch's layers read bf16 (int8: torch._int_mm, without a scale), ours float32.
Written without a GPU; never run on one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from steps import Items, copies_for, device_of, options_of, torch_seconds

from bitwright.tune.cuda import Chooser, Conv2d


@dataclass(frozen=True)
class Layer:
    """A binary layer: rows by features, or a convolution of `images` maps of `size` x `size`."""

    name: str
    images: int
    size: int
    channels: int
    outputs: int
    kernel: int = 0  # 0: linear
    stride: int = 1

    @property
    def bytes(self) -> int:
        """Of the input in float32."""
        return 4 * self.images * self.channels * (self.size**2 if self.kernel else 1)


LAYERS = (
    *(
        Layer(f"resnet18 conv {c}x{s}x{s} batch {b}", b, s, c, c, 3)
        for b in (1, 32)
        for c, s in ((64, 56), (128, 28), (256, 14), (512, 7))
    ),
    *(
        Layer(f"bert {name} {rows} tokens", rows, 1, features, outputs)
        for rows in (128, 2048)
        for name, features, outputs in (("attention", 768, 768), ("up", 768, 3072), ("down", 3072, 768))
    ),
    *(Layer(f"decoder 4096 {rows} rows", rows, 1, 4096, 4096) for rows in (1, 16, 2048)),
)


def frozen(layer: Layer) -> Any:
    """The packed layer, random bits; on the CPU."""
    import torch

    from bitwright.compiler.dialect import BinaryConvAttrs, BinaryLinearAttrs
    from bitwright.export import PackedConv, PackedLinear
    from bitwright.nn.packing import pack_filters

    o, c, k = layer.outputs, layer.channels, layer.kernel
    scale, bias, threshold = torch.rand(o) + 0.5, torch.randn(o), torch.zeros(1)
    if not k:
        weight = pack_filters(torch.rand(o, c) < 0.5)
        return PackedLinear(weight, threshold, scale, bias, BinaryLinearAttrs(c, -1.0))
    pads = (k // 2,) * 4
    attrs = BinaryConvAttrs((k, k), (layer.stride,) * 2, (1, 1), pads, 1, c, -1.0, "constant", 0.0)
    return PackedConv(pack_filters(torch.rand(o, c, k, k) < 0.5), threshold, scale, bias, attrs)


def input_of(layer: Layer, device: str = "cpu") -> Any:
    """Random float32: channels last, as networks on the GPU have their maps."""
    import torch

    if not layer.kernel:
        return torch.randn(layer.images, layer.channels, device=device)
    x = torch.randn(layer.images, layer.channels, layer.size, layer.size, device=device)
    return x.contiguous(memory_format=torch.channels_last)


def measured(layer: Layer, l2: int, device: str = "cuda") -> dict[str, Any]:
    """Microseconds of the three, and ratios; int8 only for linear layers that torch._int_mm takes."""
    import torch
    import torch.nn.functional as F

    copies = copies_for(layer.bytes, l2)
    inputs = [input_of(layer, device) for _ in range(copies)]
    ours = [frozen(layer).to(device) for _ in range(copies)]
    calls: dict[str, list[Callable[[], Any]]] = {
        "ours": [lambda m=m, x=x: m(x) for m, x in zip(ours, inputs, strict=True)]
    }
    half = [x.to(torch.bfloat16) for x in inputs]
    shape = (layer.outputs, layer.channels, *([layer.kernel] * 2 if layer.kernel else []))
    weights = [torch.randn(shape, device=device, dtype=torch.bfloat16) for _ in range(copies)]
    bias = torch.randn(layer.outputs, device=device, dtype=torch.bfloat16)
    if layer.kernel:
        weights = [w.contiguous(memory_format=torch.channels_last) for w in weights]
        calls["bf16"] = [
            lambda x=x, w=w: F.conv2d(x, w, bias, layer.stride, layer.kernel // 2)
            for x, w in zip(half, weights, strict=True)
        ]
    else:
        calls["bf16"] = [lambda x=x, w=w: F.linear(x, w, bias) for x, w in zip(half, weights, strict=True)]
        if layer.images > 16 and layer.outputs % 8 == 0:
            a = [torch.randint(-127, 128, x.shape, device=device, dtype=torch.int8) for x in inputs]
            w8 = [torch.randint(-127, 128, shape, device=device, dtype=torch.int8) for _ in range(copies)]
            calls["int8"] = [lambda x=x, w=w: torch._int_mm(x, w.T) for x, w in zip(a, w8, strict=True)]
    us = {name: round(1e6 * torch_seconds(run), 3) for name, run in calls.items()}
    return {"us": us, "faster": {n: round(t / us["ours"], 3) for n, t in us.items() if n != "ours"}, "copies": copies}


def main() -> int:
    options = options_of(__doc__ or "")
    device = device_of(options)
    if options.dry_run:
        chooser = Chooser(device)
        for layer in LAYERS[::4]:
            print(f"{layer.name}: {chooser.choose(problem_of(layer)).config}")
        print(f"{len(LAYERS)} layers in all")
        return 0
    items = Items(options.results / "gpu_layers.json", device.environment, options.budget)
    for layer in LAYERS:
        items.run(layer.name, partial(measured, layer, device.number("l2")))
    return items.finish()


def problem_of(layer: Layer) -> Any:
    """What the tuner calls it."""
    from bitwright.tune import Problem

    if not layer.kernel:
        return Problem("gemm", layer.images, layer.outputs, layer.channels, out="f32")
    pad, k = layer.kernel // 2, layer.kernel
    conv = Conv2d(layer.images, layer.size, layer.size, layer.channels, (k, k), (layer.stride,) * 2, (pad, pad))
    return conv.problem(layer.outputs, out="f32")


if __name__ == "__main__":
    sys.exit(main())
