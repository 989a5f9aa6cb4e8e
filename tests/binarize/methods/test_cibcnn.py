"""CI-BCNN: published vectors, mining."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bitwright.binarize import LayerShape, OutputRule, get_method, initialize_from_data
from bitwright.nn import BinaryConv2d, BinaryLinear


def rule(edges: Any, steps: int = 5, unit: float = 0.001) -> OutputRule:
    output = get_method("cibcnn", edges=edges, steps=steps, unit=unit).build_output(LayerShape("linear", 288, 2))
    assert output is not None
    return output


@pytest.mark.parametrize(
    ("influence", "steps"),
    [
        (3, {-288: -1, -97: -1, -96: -1, -95: 0, 0: 0, 96: 0, 97: 1, 288: 1}),
        (-3, {-288: 1, -96: 1, -95: 0, 96: 0, 97: -1}),
        (5, {-200: -2, -96: -1, 96: 1, 200: 2}),
        (11, {200: 4, 288: 5, 97: 2}),
    ],
)
def test_steps(influence: int, steps: dict[int, int]) -> None:
    p = torch.tensor([[float(v), 7.0] for v in steps])
    out = rule([(0, 1, influence)])(p, p)
    assert out[:, 0].tolist() == list(steps)
    assert (out[:, 1] - 7).tolist() == list(steps.values())


def test_heights_and_degrees() -> None:
    for n, height in ((288, 3), (576, 6), (300, 3)):
        part: Any = get_method("cibcnn").build_output(LayerShape("linear", n, 2))
        assert part.step == height
    assert [part.degree(w) for w in (0.1, 0.6, -0.9, 0.0)] == [3, 5, -5, 0]


def test_all_edges_read_uncorrected_sums() -> None:
    p = torch.tensor([[200.0, 96.0]])
    assert rule([(0, 1, 3), (1, 0, 3)])(p, p).tolist() == [[200.0, 97.0]]
    assert rule([(1, 0, 3), (0, 1, 3)])(p, p).tolist() == [[200.0, 97.0]]


def test_without_edges_it_is_a_plain_binary_layer() -> None:
    torch.manual_seed(0)
    ours, plain = BinaryConv2d(5, 6, 3, method="cibcnn"), BinaryConv2d(5, 6, 3, method="bnn")
    plain.set_latent(ours.weight.detach())
    x = torch.randn(2, 5, 6, 6)
    assert torch.equal(ours.eval()(x), plain.eval()(x))


def test_mining_finds_correlated_channels() -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(64, 6, method="cibcnn", density=2 / 36)
    w = torch.randn(6, 64)
    w[4], w[5] = w[1], -w[2]
    layer.set_latent(w)
    assert initialize_from_data(layer, torch.randn(500, 64)) == ["output"]
    influence = layer.output.influence
    assert {tuple(sorted(pair)) for pair in influence.nonzero().tolist()} == {(1, 4), (2, 5)}
    assert float(influence[[1, 4], [4, 1]].sum()) == 5
    assert float(influence[[2, 5], [5, 2]].sum()) == -5


@pytest.mark.parametrize("edges", [[(0, 0, 3)], [(0, 7, 3)], [(0, 1, 4)], [(0, 1, 1)], [(0, 1, 7)], "learn"])
def test_bad_edges(edges: Any) -> None:
    with pytest.raises(ValueError, match="edge"):
        BinaryLinear(4, 4, method="cibcnn", edges=edges)
