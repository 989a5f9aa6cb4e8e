"""The one forward of all binary layers: binarize the input, binarize the weight, apply, scale."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from bitwright.binarize.codes import ActivationCode, LevelsCode
from bitwright.binarize.inits import INITS
from bitwright.binarize.method import Method, get_method
from bitwright.binarize.part import LayerShape, Part
from bitwright.binarize.sign import at_least_float32
from bitwright.binarize.verbs import BinaryModule
from bitwright.nn.packing import pack_filters
from bitwright.nn.spec import BinarySpec, NotPackableError


class BinaryLayer(BinaryModule):
    """Base of the binary layers: latent weight `weight`, `weight_binarizer`, `activation` (or None), `output` rule (or
    None), `bias`.

    Training mode computes the method's expression with its gradient. Eval mode computes `scale * conv(±1, ±1) + bias`
    with an exact integer in the middle, in float32 whatever autocast says (docs/develop/layer-contract.md); if
    gradients are asked for in eval mode, the value is still the exact one and the gradient is the method's.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def _build(
        self,
        shape: LayerShape,
        method: str | Method,
        options: Mapping[str, Any],
        bias: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        """Creates everything the layer will ever own, so that an optimizer made afterwards sees it."""
        resolved = get_method(method, **options)
        self.shape = shape
        self.method = str(resolved)
        self.method_name = resolved.name
        self._init_stage()
        with torch.device(device) if device is not None else nullcontext():
            self.weight_binarizer = resolved.build_weight(shape)
            self.activation = resolved.build_activation(shape)
            self.output = resolved.build_output(shape)
            self.weight = nn.Parameter(
                self._from_filters(torch.empty(self.weight_binarizer.latent_shape())).contiguous()
            )
            if bias:
                self.bias = nn.Parameter(torch.zeros(shape.out_channels))
            else:
                self.register_parameter("bias", None)
        self._initializer = resolved.parts.init
        if device is not None:
            self.to(device=device)
        if dtype is not None:
            self.to(dtype=dtype)
        self._check_padding()
        self.reset_parameters()

    def _check_padding(self) -> None:
        if self.activation is not None and self.activation.low == 0 and self.shape.pad_value == -1:
            raise ValueError("pad_value=-1, but this method's activations are 0 or 1; use pad_value 0 or 1")

    def reset_parameters(self) -> None:
        """Draws the latent weight anew by the method's rule and sets the bias to 0."""
        with torch.no_grad():
            filters = torch.empty(
                self.weight_binarizer.latent_shape(), device=self.weight.device, dtype=self.weight.dtype
            )
            INITS.get(self._initializer)(filters, self.shape)
            self.set_latent(self._from_filters(filters))
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
        valid.
        """
        if weight.shape != self.weight.shape:
            raise ValueError(f"the latent weight has shape {tuple(self.weight.shape)}, got {tuple(weight.shape)}")
        if (bias is None) != (self.bias is None):
            raise ValueError("adopt: the layer and the adopted parameters disagree about having a bias")
        self.weight = weight
        self.bias = bias
        self._tell_latent()

    def _tell_latent(self) -> None:
        latent = self.latent_filters().detach()
        for module in (self.weight_binarizer, self.output):
            if module is not None:
                for part in module.modules():
                    if isinstance(part, Part):
                        part.on_latent(latent)

    # The two shapes of a weight. Only the transposed convolution has different ones.
    def _to_filters(self, weight: Tensor) -> Tensor:
        return weight

    def _from_filters(self, filters: Tensor) -> Tensor:
        return filters

    def latent_filters(self) -> Tensor:
        """The latent weight in filter form `[O, I/groups, *kernel]`, differentiable."""
        return self._to_filters(self.weight)

    @torch.no_grad()
    def clip_latent_(self) -> None:
        limits = self.weight_binarizer.latent_range
        if limits is not None:
            self.weight.clamp_(*limits)

    # ------------------------------------------------------------ forward
    def _apply_weight(self, a: Tensor, weight: Tensor) -> Tensor:
        """The linear map without bias; `weight` has the shape of the layer's weight."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        if self.training or not self.is_exact:
            return self._forward_train(x)
        y = self._forward_exact(x)
        if torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad):
            train = self._forward_train(x).to(y.dtype)
            y = y + (train - train.detach())
        return y

    @property
    def is_exact(self) -> bool:
        """Whether eval mode computes with bits: the stage is "full", the weight is one bit plane, and the activation is
        one or has equally spaced levels.
        """
        a = self.activation
        bits = a is None or a.planes == 1 or a.levels() is not None
        return self._stage == "full" and self.weight_binarizer.planes == 1 and bits

    def _forward_train(self, x: Tensor) -> Tensor:
        a, scale = x, None
        if self.activation is not None:
            a = self.activation.real(x) if self._stage == "float" else self.activation(x)
            scale = self.activation.scale() if self._stage != "float" else None
        latent = self.latent_filters()
        w = self.weight_binarizer(latent) if self._stage == "full" else self.weight_binarizer.real(latent)
        y = self._apply_weight(a, self._from_filters(w).to(self.weight.dtype))
        if scale is not None:
            y = y * scale
        if self.output is not None:
            y = self.output(y, x)
        return y if self.bias is None else y + self.shape.per_channel(self.bias)

    @torch.no_grad()
    def _forward_exact(self, x: Tensor) -> Tensor:
        weight, scale, folded = self._weight_plane()
        with _no_autocast(x):
            z = x.to(at_least_float32(self.weight).dtype)
            w = self._from_filters(weight.to(z.dtype) * 2 - 1)
            if self.activation is None:
                y = self._apply_weight(z, w)
            else:
                a, factor = self._activation_levels(z)
                # the sum of ±1 is an integer; round() keeps it one where a backend uses Winograd's algorithm
                y = torch.round(self._apply_weight(a, w))
                if not (isinstance(factor, float) and factor == 1.0):
                    scale = scale * factor
            y = y * self.shape.per_channel(scale.to(z.dtype))
            if self.output is not None and not folded:
                y = self.output(y, x)
            if self.bias is not None:
                y = y + self.shape.per_channel(self.bias.to(z.dtype))
        return y.to(self.weight.dtype)

    def _activation_levels(self, z: Tensor) -> tuple[Tensor, float | Tensor]:
        """(integers that the weights' signs are summed with, the factor that makes them the activation)."""
        assert self.activation is not None
        levels = self.activation.levels()
        if levels is not None:
            scaled = z * self.shape.per_channel(levels.gain.to(z)) + self.shape.per_channel(levels.offset.to(z))
            return torch.round(torch.nan_to_num(scaled, nan=0.0)).clamp(0, levels.top), levels.scale
        code = self.activation.codes()[0]
        above = z >= self.shape.per_channel(code.threshold.to(z.device))
        return torch.where(above, 1.0, code.low).to(z.dtype), code.scale

    def _weight_plane(self) -> tuple[Tensor, Tensor, bool]:
        """(bits in filter form, scale [O] including a folded output rule, whether the output rule is folded)."""
        code = self.weight_binarizer.codes(self.latent_filters())[0]
        if self.output is None or self.output.identity_in_eval:
            return code.bits, code.scale, True
        factor = self.output.channel_scale()
        if factor is None:
            return code.bits, code.scale, False
        return code.bits, code.scale * factor, True

    # ------------------------------------------------------------ views
    @property
    def latent(self) -> nn.Parameter:
        """The float weight that the optimizer moves."""
        return self.weight

    @property
    def binary(self) -> Tensor:
        """The weight that the layer computes with in stage "full": scale times ±1, float, in the shape of `weight`; no
        gradient.
        """
        with torch.no_grad():
            return self._from_filters(self.weight_binarizer(self.latent_filters())).to(self.weight.dtype)

    @property
    def packed(self) -> Tensor:
        """The bits in canonical packing: uint8 `[O, T, 4*ceil(I/groups/32)]`, `[O, 4*ceil(I/32)]` without kernel axes.

        Raises:
            NotPackableError: the weight is not one bit plane.
        """
        if self.weight_binarizer.planes != 1:
            raise NotPackableError(self._many_planes("weight", self.weight_binarizer.planes))
        return pack_filters(self.weight_binarizer.codes(self.latent_filters())[0].bits)

    def binary_spec(self) -> BinarySpec:
        """What deployment needs to compute the layer's eval output bit for bit.

        Raises:
            NotPackableError: not in stage "full", several bit planes, or an output rule that depends on the input.
        """
        if self._stage != "full":
            raise NotPackableError(
                f"the layer is in stage {self._stage!r}, where its weights are real; train it in stage 'full' first "
                "(bitwright.binarize.set_stage(model, 'full'))"
            )
        if self.weight_binarizer.planes != 1:
            raise NotPackableError(self._many_planes("weight", self.weight_binarizer.planes))
        levels = None if self.activation is None else self.activation.levels()
        if self.activation is not None and self.activation.planes != 1 and levels is None:
            raise NotPackableError(self._many_planes("activation", self.activation.planes))
        bits, scale, folded = self._weight_plane()
        if not folded:
            raise NotPackableError(
                f"method {self.method}: {type(self.output).__name__} depends on the layer's input, so it cannot be "
                "folded into one number per channel; train without it"
            )
        activation: ActivationCode | LevelsCode | None = levels
        if self.activation is not None and levels is None:
            code = self.activation.codes()[0]
            threshold = code.threshold.detach().to(self.weight.device, torch.float32)
            activation = ActivationCode(threshold=threshold, low=code.low, scale=code.scale)
        bias = None if self.bias is None else self.bias.detach().float()
        return BinarySpec(self._from_filters(bits).contiguous(), scale.detach().float().contiguous(), bias, activation)

    def _many_planes(self, part: str, planes: int) -> str:
        if planes == 0:
            return f"method {self.method}: the {part} cannot be expressed by bits"
        return (
            f"method {self.method}: the {part} has {planes} bit planes, the packed format holds one; use a 1-bit {part}"
        )


def _no_autocast(x: Tensor) -> AbstractContextManager[Any]:
    kind = x.device.type
    if kind != "meta" and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
