"""Checks and times candidates of matrix products on this CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..errors import TuneError, WrongResultError
from ..formats import planes_of, product_reference, random_values
from ..problem import Problem

_GUARD = 1024  # elements before and after the output
_POISON = -0x5A5A5A5A
_EVICT = 64 << 20  # bytes read to empty the caches

Call = Callable[[], NDArray[Any]]


class CpuRunner:
    """Runs matrix products.

    Args:
        problem: a "gemm" of integer formats into s32.
        seed: of the random operands.
        cold: empties the caches before each sample; otherwise one call warms them.

    Each candidate is checked before its first timing: an output poisoned before, with guard bands around it, must equal
    the integer product in every element and leave the bands alone. Laying out an operand is not timed: it is done once.
    """

    def __init__(self, problem: Problem, *, seed: int = 0, cold: bool = False) -> None:
        if problem.op != "gemm" or problem.out != "s32":
            raise TuneError(f"this runner times matrix products into s32, not {problem}")
        rng = np.random.default_rng(seed)
        self.problem = problem
        self._a = random_values(problem.a, (problem.m, problem.k), rng)
        self._w = random_values(problem.w, (problem.n, problem.k), rng)
        self._expected = product_reference(self._a.astype(np.float64), self._w.astype(np.float64)).astype(np.int64)
        self._evict = np.zeros(_EVICT, np.uint8) if cold else None
        self._calls: dict[Config, Call] = {}
        self._failures: dict[Config, str] = {}
        self._operands: dict[str, Any] = {}

    @property
    def failures(self) -> Mapping[Config, str]:
        return self._failures

    def measure(self, configs: Sequence[Config], repeats: int) -> dict[Config, list[float]]:
        ready = [config for config in configs if self._prepare(config)]
        samples: dict[Config, list[float]] = {config: [] for config in ready}
        for _ in range(repeats):
            for config in ready:
                call = self._calls[config]
                if self._evict is not None:
                    self._evict += 1
                start = time.perf_counter()
                call()
                samples[config].append(time.perf_counter() - start)
        return samples

    def _prepare(self, config: Config) -> bool:
        """Builds, checks and warms up a candidate; False if it failed, now or before."""
        if config in self._failures:
            return False
        if config not in self._calls:
            try:
                call = self._dense() if config.template == "numpy_f32" else self._engine(config)
                self._check(config, call)
            except (WrongResultError, ValueError, MemoryError) as error:
                self._failures[config] = str(error)
                return False
            self._calls[config] = call
        return True

    def _check(self, config: Config, call: Call) -> None:
        result = call()
        wrong = int(np.count_nonzero(result != self._expected))
        if wrong:
            raise WrongResultError(f"{config}: wrong result in {wrong} of {result.size} outputs")
        guard = self._operands.get("guard")
        if guard is not None and not (guard[:_GUARD] == _POISON).all() & (guard[-_GUARD:] == _POISON).all():
            raise WrongResultError(f"{config}: wrong writes outside the output")

    def _output(self) -> NDArray[np.int32]:
        """A poisoned output between guard bands."""
        if "guard" not in self._operands:
            self._operands["guard"] = np.empty(2 * _GUARD + self.problem.m * self.problem.n, np.int32)
        guard = self._operands["guard"]
        guard[:] = _POISON
        return np.asarray(guard[_GUARD:-_GUARD].reshape(self.problem.m, self.problem.n))

    def _packed(self, side: str) -> NDArray[np.uint32]:
        from bitwright.runtime import pack_bits

        if side not in self._operands:
            values, format_ = (self._a, self.problem.a) if side == "a" else (self._w, self.problem.w)
            signs = np.where(planes_of(values, format_)[0], 1.0, -1.0).astype(np.float32)
            self._operands[side] = pack_bits(signs)
        return np.asarray(self._operands[side])

    def _engine(self, config: Config) -> Call:
        from bitwright.runtime.products import PackedMatrix

        out, k = self._output(), self.problem.k
        threads, rows, side = int(config["threads"]), int(config["rows"]), str(config["side"])
        key = f"{side} by {config['kernel']}"
        if key not in self._operands:
            self._operands[key] = PackedMatrix(self._packed(side), k, kernel=str(config["kernel"]))
        matrix, product = self._operands[key], "signs" if self.problem.a == "pm1" else "levels"
        if matrix.kernel != config["kernel"]:
            raise TuneError(f"{config['kernel']} does not take this product; {matrix.kernel} would run")
        if side == "w":
            a = self._packed("a")
            return lambda: matrix.multiply(a, product=product, out=out, threads=threads, rows=rows)
        w = self._packed("w")
        turned = np.empty((self.problem.n, self.problem.m), np.int32)

        def exchanged() -> NDArray[Any]:
            matrix.multiply(w, product=product, out=turned, threads=threads)
            np.copyto(out, turned.T)
            return out

        return exchanged

    def _dense(self) -> Call:
        a, w = self._a.astype(np.float32), np.ascontiguousarray(self._w.T.astype(np.float32))
        out = np.empty((self.problem.m, self.problem.n), np.float32)

        def dense() -> NDArray[Any]:
            return np.matmul(a, w, out=out)

        return dense
