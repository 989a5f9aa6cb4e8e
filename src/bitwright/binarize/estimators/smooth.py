"""Estimators that are the derivative of a smooth approximation of sign with a fixed steepness."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bitwright.binarize.estimators.base import Estimator, EstimatorInfo, positive, register_estimator


@register_estimator(
    EstimatorInfo(
        name="swishsign",
        formula="beta (2 - beta x tanh(beta x / 2)) / (1 + cosh(beta x))",
        summary="derivative of the sign-swish; negative for |beta x| > 2.399, as published",
        parameters={"beta": "steepness, 5"},
        source="BNN+, arXiv 1812.11800; default beta of Larq",
        provenance="code read",
    )
)
class SwishSign(Estimator):
    def __init__(self, beta: float = 5.0) -> None:
        super().__init__()
        self.beta = positive("beta", beta)

    def derivative(self, x: Tensor) -> Tensor:
        # past 60 the slope is below 1e-23, and cosh would overflow in float32 from 89 on
        z = (self.beta * x).clamp(-60, 60)
        return self.beta * (2 - z * torch.tanh(z / 2)) / (1 + torch.cosh(z))

    def primitive(self, x: Tensor) -> Tensor:
        z = self.beta * x
        s = torch.sigmoid(z)
        return 2 * s * (1 + z * (1 - s)) - 1

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


@register_estimator(
    EstimatorInfo(
        name="tanh",
        formula="t (1 - tanh^2(t x))",
        summary="derivative of tanh(t x)",
        parameters={"t": "steepness, 1"},
        source="common practice",
        provenance="reconstruction",
    )
)
class Tanh(Estimator):
    def __init__(self, t: float = 1.0) -> None:
        super().__init__()
        self.t = positive("t", t)

    def derivative(self, x: Tensor) -> Tensor:
        return self.t * (1 - torch.tanh(self.t * x).square())

    def primitive(self, x: Tensor) -> Tensor:
        return torch.tanh(self.t * x)

    def extra_repr(self) -> str:
        return f"t={self.t}"


@register_estimator(
    EstimatorInfo(
        name="sigmoid",
        formula="2 beta s (1 - s), s = sigmoid(beta x)",
        summary="derivative of 2 sigmoid(beta x) - 1",
        parameters={"beta": "steepness, 1"},
        source="common practice",
        provenance="reconstruction",
    )
)
class Sigmoid(Estimator):
    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = positive("beta", beta)

    def derivative(self, x: Tensor) -> Tensor:
        s = torch.sigmoid(self.beta * x)
        return 2 * self.beta * s * (1 - s)

    def primitive(self, x: Tensor) -> Tensor:
        return 2 * torch.sigmoid(self.beta * x) - 1

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


@register_estimator(
    EstimatorInfo(
        name="softsign",
        formula="a / (1 + a|x|)^2",
        summary="derivative of a x / (1 + a|x|)",
        parameters={"a": "steepness, 1"},
        source="common practice",
        provenance="reconstruction",
    )
)
class Softsign(Estimator):
    def __init__(self, a: float = 1.0) -> None:
        super().__init__()
        self.a = positive("a", a)

    def derivative(self, x: Tensor) -> Tensor:
        return self.a / (1 + self.a * x.abs()).square()

    def primitive(self, x: Tensor) -> Tensor:
        return self.a * x / (1 + self.a * x.abs())

    def extra_repr(self) -> str:
        return f"a={self.a}"


@register_estimator(
    EstimatorInfo(
        name="arctan",
        formula="a / (1 + (pi a x / 2)^2)",
        summary="derivative of (2/pi) arctan(pi a x / 2)",
        parameters={"a": "steepness, 2"},
        source="common practice",
        provenance="reconstruction",
    )
)
class Arctan(Estimator):
    def __init__(self, a: float = 2.0) -> None:
        super().__init__()
        self.a = positive("a", a)

    def derivative(self, x: Tensor) -> Tensor:
        return self.a / (1 + (math.pi / 2 * self.a * x).square())

    def primitive(self, x: Tensor) -> Tensor:
        return 2 / math.pi * torch.atan(math.pi / 2 * self.a * x)

    def extra_repr(self) -> str:
        return f"a={self.a}"


@register_estimator(
    EstimatorInfo(
        name="dsq",
        formula="s k (1 - tanh^2(k x)) if |x| <= 1, else 0; k = ln(2/alpha - 1) / 2, s = 1 / (1 - alpha)",
        summary="differentiable soft quantization on [-1, 1]; alpha -> 0 is sign",
        parameters={"alpha": "distance to sign in (0, 1), 0.2"},
        source="DSQ, arXiv 1908.05033 section 3 (binary, fixed alpha)",
        provenance="paper read",
    )
)
class DSQ(Estimator):
    def __init__(self, alpha: float = 0.2) -> None:
        super().__init__()
        if not 0 < alpha < 1:
            raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
        self.alpha = float(alpha)
        self.k = math.log(2 / alpha - 1) / 2
        self.s = 1 / (1 - alpha)

    def derivative(self, x: Tensor) -> Tensor:
        return self.s * self.k * (1 - torch.tanh(self.k * x).square()) * (x.abs() <= 1).to(x.dtype)

    def primitive(self, x: Tensor) -> Tensor:
        return self.s * torch.tanh(self.k * x.clamp(-1, 1))

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"
