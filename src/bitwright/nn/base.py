"""The one forward of all binary layers: binarize the input, binarize the weight, apply, scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.binarize.activations import ActivationBinarizer, PreparedTerm
from bitwright.binarize.codes import ActivationCode, LevelsCode, WeightCode
from bitwright.binarize.method import Method, get_method
from bitwright.binarize.outputs import OutputRule
from bitwright.binarize.part import LayerShape
from bitwright.binarize.precision import no_autocast
from bitwright.binarize.regularizers import Regularizer
from bitwright.binarize.sign import at_least_float32
from bitwright.nn import refusals
from bitwright.nn.latent import LatentLayer
from bitwright.nn.packing import pack_filters
from bitwright.nn.spec import BinarySpec, BinaryTerms, NotPackableError, WeightPlane


class ExactPlanes(NamedTuple):
    """What eval mode computes with: ±1 tensors and their scales `[O]`."""

    planes: tuple[tuple[Tensor, Tensor], ...]  # in the layer's own shape
    mixing: tuple[Tensor, Tensor] | None  # [O, K]
    folded: bool  # whether the output rule is part of the scales


class ReadyWeight(NamedTuple):
    """What `BinaryLayer.ready_weight` returns."""

    train: Tensor | None
    exact: ExactPlanes | None


class BinaryLayer(LatentLayer):
    """Base of the binary layers: latent weight `weight`, `weight_binarizer`, `activation` (or None), `output` rule (or
    None), `regularizer` (or None), `bias`.

    `shape` is the layer as seen from outside, `weight_shape` the one whose weights are binarized; they differ where the
    output rule combines channels.

    Training mode computes the method's expression with its gradient. Eval mode computes `scale * conv(±1, ±1) + bias`
    (or a sum of such planes) with exact integers in the middle, in float32 whatever autocast says
    (docs/develop/layer-contract.md); if gradients are asked for in eval mode, the value is still the exact one and the
    gradient is the method's.
    """

    activation: ActivationBinarizer | None
    output: OutputRule | None
    regularizer: Regularizer | None

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
        resolved.check_kind(shape.kind)
        self.shape = shape
        self.method = str(resolved)
        self.method_name = resolved.name
        self._init_stage()
        with torch.device(device) if device is not None else nullcontext():
            self.activation = resolved.build_activation(shape)
            self.output = resolved.build_output(shape)
            self.weight_shape = shape if self.output is None else self.output.inner_shape()
            self.weight_binarizer = resolved.build_weight(self.weight_shape)
            self.regularizer = resolved.build_regularizer(self.weight_shape)
            self.weight = nn.Parameter(
                self._from_latent(torch.empty(self.weight_binarizer.latent_shape())).contiguous(),
                requires_grad=self.weight_binarizer.trainable,
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
        if self.activation is not None and self.activation.planes > 0 and self.shape.pad_value != 0:
            terms = self.activation.terms()
            if len(terms) > 1 or isinstance(terms[0], LevelsCode):
                raise ValueError(
                    f"pad_value={self.shape.pad_value:g}, but activations of several bits are padded with zeros: "
                    "pad_value must be 0"
                )

    @torch.no_grad()
    def real_result(self, x: Tensor) -> Tensor:
        latent = self.weight_binarizer.normalize(self.latent_filters())
        return self._apply_weight(x, self._from_filters(latent).to(x.dtype))

    # ------------------------------------------------------------ forward
    def _apply_weight(self, a: Tensor, weight: Tensor) -> Tensor:
        """The linear map without bias; `weight` has the shape of the layer's weight."""
        raise NotImplementedError

    def _apply_samples(self, a: Tensor, weights: Tensor) -> Tensor:
        """The linear map with weights of its own (filter form, `[N, O, I/groups, *kernel]`) for every sample."""
        raise ValueError(
            f"method {self.method_name!r} chooses weights for every sample, which {type(self).__name__} cannot do; it "
            "works in convolutions and linear layers"
        )

    def forward(self, x: Tensor, ready: ReadyWeight | None = None) -> Tensor:
        """Args:
        x: the layer's input.
        ready: `ready_weight()`, for layers that are called several times with one weight.
        """
        if self.training or not self.is_exact:
            return self._forward_train(x, ready)
        y = self._forward_exact(x, ready)
        if torch.is_grad_enabled() and (x.requires_grad or self.weight.requires_grad):
            train = self._forward_train(x, ready).to(y.dtype)
            y = y + (train - train.detach())
        return y

    def ready_weight(self) -> ReadyWeight:
        """The weight, binarized once for several calls of `forward`; until the latent weight, the mode or the stage
        change.
        """
        exact = not self.training and self.is_exact
        train = None if exact and not torch.is_grad_enabled() else self._train_weight()
        return ReadyWeight(train, self._exact_planes() if exact else None)

    @property
    def constant_term(self) -> Tensor | None:
        """What the layer adds to its product whatever the input is, `[O]`: its bias."""
        return None if self.bias is None else self._bias()

    @property
    def is_rowwise(self) -> bool:
        """Whether every position of the input (every pixel's window, every row of a linear layer) gives its output
        whatever the others are: no weights, scales or gates are derived from a whole sample.
        """
        a, out = self.activation, self.output
        prepared = a is not None and a.prepares
        plain = out is None or out.identity_in_eval or out.channel_scale() is not None
        return plain and not prepared and not self.weight_binarizer.per_sample

    @property
    def is_exact(self) -> bool:
        """Whether eval mode computes with bits: the stage is "full", and weights and activations (if they are binarized
        at all) are sums of bit planes or equally spaced levels.
        """
        a = self.activation
        bits = a is None or a.planes > 0 or a.weight_only or a.levels() is not None
        return self._stage == "full" and (self.weight_binarizer.planes > 0 or self.is_factored) and bits

    @property
    def is_factored(self) -> bool:
        """Whether eval mode computes with the two factors of the weight, one after the other. A table has no input to
        multiply with the second one.
        """
        return self.weight_binarizer.factored and self.shape.kind != "embedding"

    @property
    def is_choosing(self) -> bool:
        """Whether every sample uses one of several weights of signs. Eval mode is the training expression."""
        return self.weight_binarizer.chooses and self.shape.kind in ("conv", "linear")

    def _train_weight(self) -> Tensor | None:
        """The weight that training multiplies with, in the layer's own shape; None where every sample has its own."""
        latent = self.latent_filters()
        if self._stage != "full":
            w = self.weight_binarizer.real(latent)
        elif self.weight_binarizer.per_sample:
            return None
        else:
            w = self.weight_binarizer(latent)
        return self._from_filters(w).to(self.weight.dtype)

    def _forward_train(self, x: Tensor, ready: ReadyWeight | None = None) -> Tensor:
        a, scale = x, None
        if self.activation is not None:
            a = self.activation.real(x) if self._stage == "float" else self.activation(x)
            scale = self.activation.scale() if self._stage != "float" else None
        weight = self._train_weight() if ready is None else ready.train
        if weight is None:
            weights = self.weight_binarizer.sample_weights(self.latent_filters(), x)
            y = self._apply_samples(a, weights.to(self.weight.dtype))
        else:
            y = self._apply_weight(a, weight)
        if scale is not None:
            y = y * scale
        if self.output is not None:
            y = self.output(y, x)
        return y if self.bias is None else y + self.shape.per_channel(self._bias())

    def _bias(self) -> Tensor:
        assert self.bias is not None
        return self.weight_binarizer.bias(self.bias, self._stage)

    @torch.no_grad()
    def _exact_planes(self) -> ExactPlanes:
        planes, mixing, folded = self._weight_planes()
        dtype = at_least_float32(self.weight).dtype
        return ExactPlanes(
            tuple((self._from_filters(p.bits.to(dtype) * 2 - 1), p.scale) for p in planes),
            None if mixing is None else (mixing.bits.to(dtype) * 2 - 1, mixing.scale),
            folded,
        )

    @torch.no_grad()
    def _forward_exact(self, x: Tensor, ready: ReadyWeight | None = None) -> Tensor:
        planes, mixing, folded = self._exact_planes() if ready is None or ready.exact is None else ready.exact
        with no_autocast(x):
            z = x.to(at_least_float32(self.weight).dtype)
            factor = None
            whole = False
            inputs: list[tuple[Tensor, float | Tensor, Tensor | None]]
            own_z: tuple[PreparedTerm, ...]
            if self.activation is None:
                inputs = [(z, 1.0, None)]
            elif self.activation.weight_only:
                z, factor = self.activation.prepare(z)
                inputs = [(z, 1.0, None)]
            else:
                each = self.activation.prepare_terms(z)
                if each is None:
                    z, factor = self.activation.prepare(z)
                terms = self.activation.terms()
                own_z = (PreparedTerm(z, None),) * len(terms) if each is None else each
                inputs = [(*self._levels(p.z, t), p.factor) for p, t in zip(own_z, terms, strict=True)]
                whole = True
            y: Tensor | None = None
            for w, own in planes:
                for levels, scale, part in inputs:
                    term = self._apply_weight(levels, w)
                    if whole:
                        # the sum of ±1 is an integer; round() keeps it one where a backend uses Winograd's algorithm
                        term = torch.round(term)
                    factors = own if isinstance(scale, float) and scale == 1.0 else own * scale
                    term = term * self.shape.per_channel(factors.to(z.dtype))
                    if part is not None:
                        term = term * part
                    y = term if y is None else y + term
            assert y is not None
            constant = self._added(planes)
            if constant is not None:
                y = y + self.shape.per_channel(constant.to(y.dtype))
            if mixing is not None:
                y = self._mix(y, mixing[0]) * self.shape.per_channel(mixing[1].to(z.dtype))
            if factor is not None:
                y = y * factor
            if self.output is not None and not folded:
                y = self.output(y, x)
            if self.bias is not None:
                y = y + self.shape.per_channel(self._bias().to(z.dtype))
        return y.to(self.weight.dtype)

    def _added(self, planes: Sequence[tuple[Tensor, Tensor]]) -> Tensor | None:
        """`[O]`: what the activation's `addend` adds to the layer's output; `planes`: ±1 `[O, C]` and scales `[O]`."""
        addend = None if self.activation is None else self.activation.addend()
        if addend is None:
            return None
        # float64: eval mode and the frozen layer get the same float32, however torch sums
        terms = [scale.double() * (signs.double() @ addend.detach().double()) for signs, scale in planes]
        return torch.stack(terms).sum(0).float()

    def _mix(self, y: Tensor, signs: Tensor) -> Tensor:
        """The K channels of every group of `y`, at each position, times `signs` `[O, K]`."""
        dims = len(self.shape.kernel_size)
        if dims == 0:
            return F.linear(y, signs)
        return (F.conv1d, F.conv2d, F.conv3d)[dims - 1](
            y, signs.view(*signs.shape, *(1,) * dims), groups=self.shape.groups
        )

    def _levels(self, z: Tensor, term: ActivationCode | LevelsCode) -> tuple[Tensor, float | Tensor]:
        """(integers that the weights' signs are summed with, the factor that makes them the activation)."""
        if isinstance(term, LevelsCode):
            scaled = z * self.shape.per_channel(term.gain.to(z)) + self.shape.per_channel(term.offset.to(z))
            return torch.round(torch.nan_to_num(scaled, nan=0.0)).clamp(0, term.top), term.scale
        above = z >= self.shape.per_channel(term.threshold.to(z.device))
        return torch.where(above, 1.0, term.low).to(z.dtype), term.scale

    def _weight_planes(self) -> tuple[tuple[WeightCode, ...], WeightCode | None, bool]:
        """(planes in filter form, mixing of a factored weight, whether the output rule is folded into the scales of the
        one or the other).
        """
        latent = self.latent_filters()
        codes = self.weight_binarizer.codes(latent)
        mixing = self.weight_binarizer.mixing(latent) if self.is_factored else None
        if self.output is None or self.output.identity_in_eval:
            return codes, mixing, True
        factor = self.output.channel_scale()
        if factor is None:
            return codes, mixing, False
        if mixing is not None:
            return codes, WeightCode(mixing.bits, mixing.scale * factor), True
        return tuple(WeightCode(code.bits, code.scale * factor) for code in codes), None, True

    # ------------------------------------------------------------ views
    @property
    def binary(self) -> Tensor:
        """The weight that the layer computes with in stage "full": scale times ±1, float, in the shape of `weight`; no
        gradient.
        """
        with torch.no_grad():
            latent = self.latent_filters()
            if self.weight_binarizer.planes == 0:
                return self._from_filters(self.weight_binarizer(latent)).to(self.weight.dtype)
            total: Tensor | None = None
            for code in self.weight_binarizer.codes(latent):
                scale = code.scale.view(-1, *(1,) * (code.bits.dim() - 1))
                plane = scale * (code.bits.to(scale.dtype) * 2 - 1)
                total = plane if total is None else total + plane
            assert total is not None
            return self._from_filters(total).to(self.weight.dtype)

    @property
    def packed(self) -> Tensor:
        """The bits in canonical packing: uint8 `[O, T, 4*ceil(I/groups/32)]`, `[O, 4*ceil(I/32)]` without kernel axes.

        Raises:
            NotPackableError: the weight is not one bit plane.
        """
        if self.is_factored:
            raise NotPackableError(refusals.two_factors(self.method))
        if self.is_choosing:
            raise NotPackableError(refusals.one_of_several(self.method))
        if self.weight_binarizer.planes != 1:
            raise NotPackableError(
                refusals.many_planes(self.method, self.method_name, "weight", self.weight_binarizer.planes)
            )
        return pack_filters(self.weight_binarizer.codes(self.latent_filters())[0].bits)

    def binary_terms(self) -> BinaryTerms:
        """What deployment needs to compute the layer's eval output bit for bit, with as many planes as the method has.

        Raises:
            NotPackableError: not in stage "full", or weights or activations that are not bit planes.
        """
        if self._stage != "full":
            raise NotPackableError(
                f"the layer is in stage {self._stage!r}, where its weights are real; train it in stage 'full' first "
                "(bitwright.binarize.set_stage(model, 'full'))"
            )
        if self.weight_binarizer.planes == 0 and not (self.is_factored or self.is_choosing):
            raise NotPackableError(refusals.many_planes(self.method, self.method_name, "weight", 0))
        a = self.activation
        if a is not None and a.planes == 0 and not a.weight_only and a.levels() is None:
            raise NotPackableError(refusals.many_planes(self.method, self.method_name, "activation", 0))
        planes, mixing, folded = self._weight_planes()
        weights = tuple(_plane(self._from_filters(p.bits), p.scale) for p in planes)
        mixed = None if mixing is None else _plane(mixing.bits, mixing.scale)
        bits = a is not None and not a.weight_only
        activations = tuple(self._on_own_device(term) for term in a.terms()) if a is not None and bits else None
        bias = None if self.bias is None else self._bias().detach().float()
        chooser = self.weight_binarizer if self.is_choosing and len(weights) > 1 else None
        constant = self._added([(w.bits.float() * 2 - 1, w.scale) for w in weights])
        return BinaryTerms(weights, activations, bias, a is not None and a.prepares, folded, mixed, chooser, constant)

    def _on_own_device(self, term: ActivationCode | LevelsCode) -> ActivationCode | LevelsCode:
        if isinstance(term, LevelsCode):
            return term
        threshold = term.threshold.detach().to(self.weight.device, torch.float32)
        return ActivationCode(threshold=threshold, low=term.low, scale=term.scale)

    def binary_spec(self) -> BinarySpec:
        """`binary_terms` of a layer with one plane of weights and one of activations.

        Raises:
            NotPackableError: as `binary_terms`; also a factored or chosen weight, several planes, an activation that
                prepares its input or an output rule that depends on the input.
        """
        terms = self.binary_terms()
        if terms.mixing is not None:
            raise NotPackableError(refusals.two_factors(self.method))
        if terms.chooser is not None:
            raise NotPackableError(refusals.one_of_several(self.method))
        if len(terms.weights) != 1:
            raise NotPackableError(refusals.many_planes(self.method, self.method_name, "weight", len(terms.weights)))
        if terms.activations is not None and len(terms.activations) != 1:
            raise NotPackableError(
                refusals.many_planes(self.method, self.method_name, "activation", len(terms.activations))
            )
        if terms.prepares:
            raise NotPackableError(
                f"method {self.method}: {type(self.activation).__name__} computes with the layer's real input before "
                "it compares, so it is no comparison with a fixed threshold"
            )
        if not terms.folded:
            raise NotPackableError(
                f"method {self.method}: {type(self.output).__name__} depends on the layer's input, so it cannot be "
                "folded into one number per channel; train without it"
            )
        activation = None if terms.activations is None else terms.activations[0]
        return BinarySpec(terms.weights[0].bits, terms.weights[0].scale, terms.bias, activation)


def _plane(bits: Tensor, scale: Tensor) -> WeightPlane:
    return WeightPlane(bits.contiguous(), scale.detach().float().contiguous())
