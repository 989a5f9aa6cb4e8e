"""The latent weight of a layer: where it comes from, the two shapes it has, what happens to it around a step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitwright.binarize.inits import INITS
from bitwright.binarize.part import LayerShape
from bitwright.binarize.verbs import BinaryModule


class LatentLayer(BinaryModule):
    """A layer that owns a latent weight `weight`, the `weight_binarizer` that gives it its shape, and a `bias` or None;
    `shape` is the layer as seen from outside.
    """

    shape: LayerShape
    bias: nn.Parameter | None
    _initializer: str

    @property
    def latent(self) -> nn.Parameter:
        """The float weight that the optimizer moves."""
        return self.weight

    def reset_parameters(self) -> None:
        """Draws the latent weight anew by the method's rule and sets the bias to 0."""
        with torch.no_grad():
            filters = torch.empty(
                self.weight_binarizer.latent_shape(), device=self.weight.device, dtype=self.weight.dtype
            )
            self.weight_binarizer.initialize(filters, INITS.get(self._initializer))
            self.set_latent(self._from_latent(filters))
            if self.bias is not None:
                self.bias.zero_()

    @torch.no_grad()
    def set_latent(self, weight: Tensor) -> None:
        """Copies `weight` (the shape of `self.weight`) into the latent weight and lets the parts that derive values
        from it do so.
        """
        if weight.shape != self.weight.shape:
            raise ValueError(f"the latent weight has shape {tuple(self.weight.shape)}, got {tuple(weight.shape)}")
        self.weight.copy_(weight)
        self._tell_latent()

    def adopt(self, weight: nn.Parameter, bias: nn.Parameter | None) -> None:
        """Makes another layer's parameters this layer's own: the same objects, so optimizers and tied weights stay
        valid. Where the method's latent weight is something else it starts from `weight`, or stays if it is fixed.

        Raises:
            ValueError: shapes that do not fit, or a latent weight that a float weight does not determine.
        """
        if (bias is None) != (self.bias is None):
            raise ValueError("adopt: the layer and the adopted parameters disagree about having a bias")
        binarizer = self.weight_binarizer
        if binarizer.trainable and binarizer.adopts and self._latent_is_filters():
            if weight.shape != self.weight.shape:
                raise ValueError(f"the latent weight has shape {tuple(self.weight.shape)}, got {tuple(weight.shape)}")
            self.weight = weight
        elif binarizer.trainable:
            with torch.no_grad():
                self.weight.copy_(self._from_latent(binarizer.latent_from(self._to_filters(weight.detach()))))
        self.bias = bias
        self._tell_latent()

    def _tell_latent(self) -> None:
        latent = self.latent_filters().detach()
        for part in self.own_parts():
            part.on_latent(latent)

    # The two shapes of a weight. Only the transposed convolution has different ones.
    def _to_filters(self, weight: Tensor) -> Tensor:
        return weight

    def _from_filters(self, filters: Tensor) -> Tensor:
        return filters

    def _latent_is_filters(self) -> bool:
        """Whether the latent weight is an ordinary weight; a method may choose another shape."""
        return tuple(self.weight_binarizer.latent_shape()) == self.shape.filter_shape

    def _from_latent(self, latent: Tensor) -> Tensor:
        return self._from_filters(latent) if self._latent_is_filters() else latent

    def latent_filters(self) -> Tensor:
        """The latent weight in filter form `[O, I/groups, *kernel]` (or in the shape that the method chose),
        differentiable.
        """
        return self._to_filters(self.weight) if self._latent_is_filters() else self.weight

    @torch.no_grad()
    def before_step(self) -> None:
        if self.weight.grad is None:
            return
        own = self._latent_is_filters()
        for part in self.own_parts():
            gradient = self._to_filters(self.weight.grad) if own else self.weight.grad
            changed = part.on_gradient(self.latent_filters().detach(), gradient)
            if changed is not None:
                self.weight.grad.copy_(self._from_latent(changed))

    @torch.no_grad()
    def after_step(self) -> None:
        for part in self.own_parts():
            changed = part.on_step(self.latent_filters().detach())
            if changed is not None:
                self.weight.copy_(self._from_latent(changed))
        self.clip_latent_()

    @torch.no_grad()
    def clip_latent_(self) -> None:
        limits = self.weight_binarizer.latent_range
        if limits is not None:
            self.weight.clamp_(*limits)
