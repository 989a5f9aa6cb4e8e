"""The two architectures of BNN-PYNQ; the parameter files say nothing about the graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """A convolution 3x3 without padding (`conv`) or a dense layer; `pool`: a 2x2 maximum behind it."""

    rows: int
    inputs: int  # channels of a convolution, features of a dense layer
    conv: bool = False
    pool: bool = False
    padded: int = 0  # columns that the files have, if more than the inputs

    @property
    def columns(self) -> int:
        """Weights of a row in the files."""
        return self.padded or self.inputs * (9 if self.conv else 1)


@dataclass(frozen=True)
class Network:
    """An architecture: its layers, and the sample that it takes."""

    name: str
    title: str
    sample: tuple[int, ...]
    layers: tuple[Layer, ...]


LFC = Network(
    "lfc",
    "LFC, 784-1024-1024-1024-64",
    (1, 28, 28),
    (Layer(1024, 784, padded=832), Layer(1024, 1024), Layer(1024, 1024), Layer(64, 1024)),
)
CNV = Network(
    "cnv",
    "CNV, 64-64-M-128-128-M-256-256-512-512-64",
    (3, 32, 32),
    (
        Layer(64, 3, conv=True),
        Layer(64, 64, conv=True, pool=True),
        Layer(128, 64, conv=True),
        Layer(128, 128, conv=True, pool=True),
        Layer(256, 128, conv=True),
        Layer(256, 256, conv=True),
        Layer(512, 256),
        Layer(512, 512),
        Layer(64, 512),
    ),
)
NETWORKS = (LFC, CNV)
