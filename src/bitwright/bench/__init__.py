"""Fair measurements: interleaved timing against peers, and the quickstart's comparison."""

from bitwright.bench.latency import Timing, interleave, ratio

__all__ = ["Timing", "interleave", "ratio"]
