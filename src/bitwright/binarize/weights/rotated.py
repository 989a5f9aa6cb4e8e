"""RBNN's weight: every filter is turned towards the corners of the hypercube before its sign is taken."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.part import LayerShape, Progress
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.precision import no_autocast
from bitwright.binarize.registry import UnknownNameError
from bitwright.binarize.sign import bsign
from bitwright.binarize.weights.sign import SignWeight

BACKWARDS = ("through", "detached")


@WEIGHTS.register("rotated")
class RotatedWeight(SignWeight):
    """`bsign(w + |sin theta_o| (R w - w))`, w the standardised filter, R = two small rotations shared by the layer.

    A filter of n weights is seen as a matrix X `[a, b]`, a the largest divisor of n up to sqrt(n); R w is
    `R1^T X R2`. At the start of every epoch R1 and R2 move towards the orthogonal matrices that bring the layer's
    filters nearest to their own signs (`sweeps` alternating singular value decompositions). theta is learned per
    filter and starts at pi/2: fully rotated. At inference only the bits remain.

    Args:
        shape: the layer's shape.
        backward: "through": the rotation is part of the differentiated expression (paper); "detached": R w is a
            constant, as in the authors' code, so that at theta = pi/2 the latent weight has no gradient at all and
            only weight decay on theta starts the training.
        sweeps: alternations of the update of R1 and R2.
        estimator, scale, gradient: as in `SignWeight`.
    """

    rotation1: Tensor
    rotation2: Tensor
    rotated_epoch: Tensor

    def __init__(
        self,
        shape: LayerShape,
        backward: str = "through",
        sweeps: int = 3,
        estimator: EstimatorSpec = "taa",
        scale: str = "none",
        gradient: str = "ste",
    ) -> None:
        super().__init__(shape, estimator=estimator, center="filter", standardize=True, scale=scale, gradient=gradient)
        if backward not in BACKWARDS:
            raise UnknownNameError("backward of the rotation", backward, BACKWARDS)
        if sweeps < 0:
            raise ValueError(f"sweeps must be >= 0, got {sweeps}")
        self.backward_mode, self.sweeps = backward, int(sweeps)
        n = shape.fan_in
        rows = max(d for d in range(1, math.isqrt(n) + 1) if n % d == 0)
        self.register_buffer("rotation1", nn.init.orthogonal_(torch.empty(rows, rows)))
        self.register_buffer("rotation2", nn.init.orthogonal_(torch.empty(n // rows, n // rows)))
        self.register_buffer("rotated_epoch", torch.tensor(-1))
        self.theta = nn.Parameter(torch.full((shape.out_channels,), math.pi / 2))

    def _matrices(self, w: Tensor) -> Tensor:
        return w.reshape(w.shape[0], self.rotation1.shape[0], self.rotation2.shape[0])

    def rotate(self, w: Tensor) -> Tensor:
        """`R1^T X R2` of every filter, in filter form."""
        r1, r2 = self.rotation1.to(w.dtype), self.rotation2.to(w.dtype)
        with no_autocast(w):
            return (r1.t() @ self._matrices(w) @ r2).view_as(w)

    def normalize(self, latent: Tensor) -> Tensor:
        w = super().normalize(latent)
        turned = self.rotate(w)
        if self.backward_mode == "detached":
            turned = turned.detach()
        share = torch.sin(self.theta.to(w.dtype)).abs().view(-1, *(1,) * (w.dim() - 1))
        return w + share * (turned - w)

    def on_progress(self, progress: Progress, latent: Tensor | None = None) -> None:
        if latent is not None and progress.epoch != int(self.rotated_epoch):
            self.update_rotation(latent)
            self.rotated_epoch.fill_(progress.epoch)

    @torch.no_grad()
    def update_rotation(self, latent: Tensor) -> None:
        """Each half step maximises `sum tr(B^T R1^T X R2)`, with B the signs of the rotated filters."""
        x = self._matrices(super().normalize(latent.detach()))
        r1, r2 = self.rotation1.to(x.dtype), self.rotation2.to(x.dtype)
        for _ in range(self.sweeps):
            b = bsign(r1.t() @ x @ r2)
            u, _, vt = torch.linalg.svd((b @ r2.t() @ x.mT).sum(0))
            r1 = vt.t() @ u.t()
            u, _, vt = torch.linalg.svd((x.mT @ r1 @ b).sum(0))
            r2 = u @ vt
        self.rotation1.copy_(r1)
        self.rotation2.copy_(r2)

    def extra_repr(self) -> str:
        return f"backward={self.backward_mode}, sweeps={self.sweeps}, {super().extra_repr()}"
