"""The plots of pages and docs, drawn without a display."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0b6e5f", "#c2571a", "#3b5bbf", "#8a3ea8", "#8f7a00", "#b3264a", "#4d5a68")


def _figure(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = [figure.add_subplot(1, columns, index + 1) for index in range(columns)]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    return figure, axes


def curves(
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence[float]]]], x_label: str = "epoch"
) -> Figure:
    """Line plots side by side: panel title -> line name -> (x values, y values)."""
    figure, axes = _figure(4.2 * len(panels), 3.0, len(panels))
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        for index, (name, (x, y)) in enumerate(lines.items()):
            axis.plot(x, y, label=name, color=_COLOURS[index % len(_COLOURS)], linewidth=1.8)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(x_label)
        if len(lines) > 1:
            axis.legend(fontsize=8, frameon=False)
    return figure


def bars(values: Mapping[str, float], unit: str, *, spread: Mapping[str, tuple[float, float]] | None = None) -> Figure:
    """Horizontal bars with their values; `spread` gives (low, high) of each bar as a thin line."""
    figure, (axis,) = _figure(6.4, 0.8 + 0.5 * len(values))
    names = list(values)[::-1]
    for index, name in enumerate(names):
        axis.barh(index, values[name], height=0.55, color=_COLOURS[(len(names) - 1 - index) % len(_COLOURS)])
        if spread and name in spread:
            low, high = spread[name]
            axis.plot([low, high], [index, index], color="black", linewidth=1)
        axis.annotate(f" {values[name]:,.4g} {unit}", (values[name], index), va="center", fontsize=9)
    axis.set_yticks(range(len(names)), names)
    axis.set_xlim(0, max(values.values()) * 1.25 or 1)
    axis.grid(axis="y", alpha=0)
    axis.set_xlabel(unit)
    return figure


def estimator_plot(
    forward: Callable[[np.ndarray], np.ndarray], backward: Callable[[np.ndarray], np.ndarray], limit: float = 2.0
) -> Figure:
    """Forward value and backward factor of an estimator over [-limit, limit], drawn from the functions themselves."""
    import numpy as np

    figure, (left, right) = _figure(6.8, 2.4, 2)
    x = np.linspace(-limit, limit, 801)
    left.plot(x, forward(x), color=_COLOURS[0])
    left.set_title("forward", fontsize=10)
    right.plot(x, backward(x), color=_COLOURS[1])
    right.set_title("backward factor", fontsize=10)
    for axis in (left, right):
        axis.set_xlabel("x")
    return figure
