"""What `Session.profile` returns: times, rates and limits of a network's ops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

__all__ = ["Machine", "PartTime", "Peak", "Profile", "account", "wishes"]

UNSTABLE = 0.03  # the clock's relative change during a profile that is worth a warning
FAMILIES = ("binary", "float", "int8")


@dataclass(frozen=True)
class Peak:
    """A rate that a short loop reached with all the session's threads.

    Attributes:
        loop: its name.
        about: its instructions.
        per_ns: multiply-accumulates or bytes a nanosecond.
    """

    loop: str
    about: str
    per_ns: float


@dataclass(frozen=True)
class Machine:
    """What the machine can do with the session's threads, measured beside the network.

    Attributes:
        clock_ghz: by a chain of dependent additions, one a cycle, before and after the network ran; 0: unknown.
        arithmetic: kernel -> multiply-accumulates by the instructions that the kernel spends its time on.
        read, write: bytes, of a footprint as large as the network's weights and activations.
    """

    clock_ghz: tuple[float, float]
    arithmetic: dict[str, Peak]
    read: Peak
    write: Peak

    @property
    def ghz(self) -> float:
        """Mean of the two clocks."""
        return sum(self.clock_ghz) / 2

    @property
    def stable(self) -> bool:
        """Whether the clock was the same before and after, to 3 %."""
        return abs(self.clock_ghz[0] - self.clock_ghz[1]) <= UNSTABLE * self.ghz


class PartTime(TypedDict):
    """One part of a model that runs partly in onnxruntime: ``ns`` (median) of a call with all its ops, ``ops_ns`` of
    the ops alone, and what other parts handed over to it: ``boundary_copies`` tensors of ``boundary_bytes``."""

    part: int
    kind: str
    ns: int
    ops_ns: int
    boundary_copies: int
    boundary_bytes: int


@dataclass(frozen=True)
class Profile:
    """A network's ops with their times, and what the machine could do at best.

    Attributes:
        ops: `Session.ops` of each, and of a whole call with ``batch`` samples: ``ns`` (median), ``share`` of the
            network's time, ``macs``, ``mac_per_cycle``, ``read_bytes`` (weights and activations), ``write_bytes``,
            ``roofline_ns`` (the larger of the multiply-accumulates at the peak of the kernel's instructions and of the
            memory traffic at the machine's rates; an input of several planes is counted once a plane),
            ``roofline_share`` (``roofline_ns / ns``) and ``bound`` ("arithmetic" or "memory").
        batch: samples of a call.
        threads: threads of the session.
        repeats: timed calls.
        machine: the limits; None if they were not measured.
        memory: bytes held: ``arena`` (activations of the samples that go through together), ``weights`` (packed),
            ``tables`` (the rest that was prepared), ``scratch``, and their sum ``total``.
        parts: of a model that runs partly in onnxruntime: its parts' times. Empty for others.
    """

    ops: list[dict[str, Any]]
    batch: int
    threads: int
    repeats: int
    machine: Machine | None
    memory: dict[str, int] = field(default_factory=dict)
    parts: list[PartTime] = field(default_factory=list)

    @property
    def ns(self) -> int:
        """Nanoseconds of all ops."""
        return sum(int(op["ns"]) for op in self.ops)

    @property
    def totals(self) -> dict[str, Any]:
        """Sums over the ops: ``ns``, ``macs``, ``read_bytes``, ``write_bytes``; with `machine` also
        ``mac_per_cycle``, ``roofline_ns`` and ``roofline_share``."""
        names = ("ns", "macs", "read_bytes", "write_bytes")
        totals: dict[str, Any] = {name: sum(int(op[name]) for op in self.ops) for name in names}
        if self.machine:
            roofline = sum(float(op["roofline_ns"]) for op in self.ops)
            totals["mac_per_cycle"] = _ratio(totals["macs"], totals["ns"] * self.machine.ghz)
            totals["roofline_ns"] = roofline
            totals["roofline_share"] = _ratio(roofline, totals["ns"])
        return totals

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "ns": self.ns, "totals": self.totals}


def _ratio(a: float, b: float) -> float:
    return a / b if b else 0.0


def wishes(ops: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, str]]:
    """kernel -> (family of loops, instruction set): whose peaks these ops are compared with."""
    found = {}
    for op in ops:
        for family in FAMILIES:
            if op[f"{family}_macs"]:
                found[str(op["kernel"])] = (family, str(op["kernel"]).rsplit("_", 1)[1])
    return found


def account(
    ops: Sequence[Mapping[str, Any]],
    values: Sequence[Mapping[str, Any]],
    ns: Sequence[int],
    batch: int,
    machine: Machine | None,
) -> list[dict[str, Any]]:
    """Adds to each op its times, traffic and limits; see `Profile`."""
    total = sum(ns)
    rows = []
    for op, time in zip(ops, ns, strict=True):
        macs = sum(int(op[f"{family}_macs"]) for family in FAMILIES) * batch
        read = sum(int(values[v]["bytes"]) for v in op["reads"]) * batch + int(op["packed_bytes"])
        write = sum(int(values[v]["bytes"]) for v in op["writes"]) * batch
        row = {
            **op,
            "ns": time,
            "share": _ratio(time, total),
            "macs": macs,
            "read_bytes": read,
            "write_bytes": write,
        }
        if machine:
            arithmetic = macs * op["planes"] / machine.arithmetic[op["kernel"]].per_ns if macs else 0.0
            memory = read / machine.read.per_ns + write / machine.write.per_ns
            row["mac_per_cycle"] = _ratio(macs, time * machine.ghz)
            row["roofline_ns"] = max(arithmetic, memory)
            row["roofline_share"] = _ratio(row["roofline_ns"], time)
            row["bound"] = "arithmetic" if arithmetic >= memory else "memory"
        rows.append(row)
    return rows
