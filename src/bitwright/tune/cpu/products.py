"""Matrix products by the engine's binary kernels."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import ClassVar

from ..config import Config
from ..device import Device
from ..problem import Problem
from ..template import Template

ROWS = (0, 16, 64, 256)
"""Rows of A that pass B's panels together; 0: as the caches suggest. A panel stays in L1 meanwhile, the rows in L2."""
_SLICED_BITS = 65535


@cache
def _kernels() -> tuple[str, ...]:
    """Kernels of binary products on this CPU with their register tiles, the default one first. A narrow variant counts
    as a kernel; a kernel's first tile is what it does anyway."""
    from bitwright.runtime import kernels

    found = [k for k in kernels() if k["operation"] == "bconv" and k["supported"]]
    return tuple(
        name
        for k in sorted(found, key=lambda k: not k["default"])
        for name in (k["name"], *(f"{k['name']}/{tile}" for tile in k["tiles"][1:]))
    )


class EngineProducts(Template):
    """`bitwright.runtime.products`: XNOR + popcount, or bit-sliced counting, by kernel name.

    compiled: `kernel` (micro-kernel and panel width, and the register tile if it is not the kernel's own) and `side`,
    the operand that is laid out in panels once: "w", or "a" for products with few outputs. run: `threads`, `rows`
    (blocking of M).
    """

    name: ClassVar[str] = "engine"
    version: ClassVar[int] = 1
    kind: ClassVar[str] = "cpu"
    layout: ClassVar[str] = "canonical"

    def space(self, problem: Problem, device: Device) -> Iterable[Config]:
        most = device.number("threads")
        for kernel in _kernels():
            for side in ("w", "a"):
                for threads in dict.fromkeys((most, 1)):
                    for rows in ROWS:
                        yield Config.of(self.name, {"kernel": kernel, "side": side}, threads=threads, rows=rows)

    def why_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        if problem.op != "gemm":
            return f"the family computes matrix products, not {problem.op}"
        if problem.a not in ("pm1", "u1") or problem.w != "pm1" or problem.out != "s32":
            wanted = f"{problem.a} times {problem.w} into {problem.out}"
            return f"the family computes pm1 or u1 times pm1 into s32, not {wanted}"
        rows = int(config["rows"])
        if rows and rows >= problem.m:
            return f"blocks of {rows} rows: the product has {problem.m}"
        if config["side"] == "a" and rows:
            return "blocks of rows only where the weights are laid out"
        if config["side"] == "a" and problem.a != "pm1":
            return "{0,1} activations are laid out as rows, not as panels"
        if config["side"] == "a" and problem.n >= 2 * problem.m:
            return "laying out the activations pays only for few outputs"
        if config["kernel"] == "bconv_gfni" and rows:
            return "the bit-sliced kernel divides the rows as it does"
        if config["kernel"] == "bconv_gfni" and problem.k > _SLICED_BITS:
            return f"bit-sliced counts hold {_SLICED_BITS} bits, a row has {problem.k}"
        return None

    def cost(self, config: Config, problem: Problem, device: Device) -> float:
        order = _kernels().index(str(config["kernel"]))
        # the default kernel, weights laid out, all threads, no blocking: what runs without tuning
        return order + (config["side"] == "a") * 0.5 + (int(config["threads"]) == 1) * 0.25 + bool(config["rows"]) * 0.1
