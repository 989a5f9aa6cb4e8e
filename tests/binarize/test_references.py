"""Every method's convolution against its float64 reference in tests/binarize/reference: values and gradients."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.binarize.reference.case import PAD, STRIDE, Array, Case, Grads, convolve

from bitwright.binarize import list_methods, regularization, set_progress
from bitwright.nn import BinaryConv2d, BinaryLayer

FOLDER = Path(__file__).parent / "reference"
FILES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in ("__init__", "case"))
CASES: list[Any] = []
for _file in FILES:
    for _i, _case in enumerate(importlib.import_module(f"tests.binarize.reference.{_file}").CASES):
        CASES += [pytest.param(_file, _case, groups, id=f"{_file}-{_i}-g{groups}") for groups in _case.groups]


def test_every_method_has_a_reference() -> None:
    assert {info.name for info in list_methods()} == set(FILES)


def test_references_do_not_import_the_library() -> None:
    for path in FOLDER.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import bitwright" not in text, path.name
        assert "from bitwright" not in text, path.name
        assert "import torch" not in text, path.name


def split(grads: Grads) -> tuple[Array, dict[str, Array]]:
    return grads if isinstance(grads, tuple) else (grads, {})


def layer_of(method: str, case: Case, groups: int, rng: np.random.Generator) -> BinaryLayer:
    torch.manual_seed(0)
    layer = BinaryConv2d(
        4, 6, 3, stride=STRIDE, padding=PAD, groups=groups, method=method, dtype=torch.float64, **case.options
    )
    set_progress(layer, epoch=3, epochs=8)
    state = {**dict(layer.named_parameters()), **dict(layer.named_buffers())}
    with torch.no_grad():
        if layer.weight.requires_grad:
            layer.set_latent(
                layer._from_latent(torch.from_numpy(case.latent(rng, tuple(layer.latent_filters().shape))))
            )
        for name, draw in case.parameters.items():
            state[name].copy_(torch.from_numpy(np.asarray(draw(rng, tuple(state[name].shape)))))
    return layer


@pytest.mark.parametrize(("method", "case", "groups"), CASES)
def test_forward_and_gradients(method: str, case: Case, groups: int) -> None:
    rng = np.random.default_rng(7)
    layer = layer_of(method, case, groups, rng)
    x = case.x(rng, (2, 4, 7, 7))
    params = {name: value.double().numpy().copy() for name, value in layer.state_dict().items()}
    latent = layer.latent_filters().detach().numpy().copy()

    value, weight_back = case.weight(latent, params)
    levels, activation_back = (x, lambda g: g) if case.activation is None else case.activation(x, params)
    y, back = convolve(levels, value, groups)
    out, output_back = (y, lambda g: g) if case.output is None else case.output(y, x, params)

    def same(actual: torch.Tensor | None, expected: Array) -> None:
        assert actual is not None
        # schedules are float32 buffers, so methods that have one agree to float32 only
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=case.tolerance, atol=case.tolerance * scale)

    if case.trains:
        g = rng.normal(size=out.shape)
        gy, output_grads = split(output_back(g))
        gw, ga = back(gy)
        g_latent, weight_grads = split(weight_back(gw))
        gx, activation_grads = split(activation_back(ga))
        gx = gx + output_grads.pop("x", 0.0)  # output rules that read the layer's input
        xt = torch.from_numpy(x).requires_grad_()
        got = layer.train()(xt)
        got.backward(torch.from_numpy(g))
        same(got, out)
        same(xt.grad, gx)
        if layer.weight.requires_grad:
            assert layer.weight.grad is not None
            same(layer._to_filters(layer.weight.grad) if layer._latent_is_filters() else layer.weight.grad, g_latent)
        expected = {**output_grads, **weight_grads, **activation_grads}
        learned = {n: p for n, p in layer.named_parameters() if n not in ("weight", "bias") and p.requires_grad}
        for name, parameter in learned.items():
            assert name in expected, f"the reference has no gradient of {name}"
            same(parameter.grad, np.asarray(expected[name]).reshape(parameter.shape))
    if case.evaluates:
        with torch.no_grad():
            same(layer.eval()(torch.from_numpy(x)), out)
    if case.loss is not None:
        layer.zero_grad()
        term = regularization(layer.train())
        assert term is not None
        wanted, grads = case.loss(latent, params)
        assert float(term) == pytest.approx(wanted, rel=1e-6)
        term.backward()
        g_latent, others = split(grads)
        same(layer.weight.grad, g_latent)
        for name, grad in others.items():
            same(layer.get_parameter(name).grad, np.asarray(grad))
