"""A flame chart: times as bars, side by side in the order of execution, grouped by path. No script."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["FLAME_STYLE", "Bar", "flame"]

FLAME_STYLE = """
.flame { position: relative; margin: 1rem 0; font-size: .8rem; line-height: 1.5rem }
.flame .bar {
  position: absolute; height: 1.5rem; box-sizing: border-box; border: 1px solid var(--paper); border-radius: 3px;
  background: var(--fill); color: #10151b;
}
.flame .label { position: absolute; inset: 0; overflow: hidden; white-space: nowrap; text-indent: .3rem }
.flame .mark { position: absolute; left: 0; bottom: 0; height: 3px; background: #10151bb0 }
.flame .tip {
  display: none; position: absolute; top: 1.6rem; z-index: 2; padding: .4rem .6rem; white-space: nowrap;
  background: var(--paper); color: var(--ink); border: 1px solid var(--line); border-radius: 6px;
  box-shadow: 0 4px 14px #0004; font-size: .85rem; pointer-events: none;
}
.flame .tip b { display: block }
.flame .tip dl { display: grid; grid-template-columns: auto auto; gap: 0 .8rem; margin: .2rem 0 0 }
.flame .tip dt { color: var(--dim) } .flame .tip dd { margin: 0; text-align: right }
.flame .bar:hover, .flame .bar:focus { outline: 2px solid var(--ink); z-index: 1 }
.flame .bar:hover .tip, .flame .bar:focus .tip { display: block }
.key { display: flex; gap: 1rem; flex-wrap: wrap; color: var(--dim); font-size: .88rem }
.key i {
  display: inline-block; width: .9em; height: .9em; border-radius: 2px; margin-right: .3em; vertical-align: -.1em
}
"""


@dataclass
class Bar:
    """One leaf of the chart.

    Attributes:
        path: names from the outermost group to the leaf; bars that follow one another share their groups.
        value: its width, in any unit.
        facts: what hovering shows, name -> text.
        colour: any CSS colour that dark text can be read on.
        mark: a share, 0 to 1, drawn as a line along the bar's lower edge.
    """

    path: Sequence[str]
    value: float
    facts: Mapping[str, str] = field(default_factory=dict)
    colour: str = "#9ecbbf"
    mark: float = 0.0


@dataclass
class _Node:
    name: str
    bar: Bar | None = None
    children: list[_Node] = field(default_factory=list)

    def leaves(self) -> list[Bar]:
        return [self.bar] if self.bar else [leaf for child in self.children for leaf in child.leaves()]


def _tree(bars: Sequence[Bar]) -> _Node:
    root = _Node("")
    for bar in bars:
        at = root
        for name in bar.path[:-1]:
            last = at.children[-1] if at.children else None
            if last is None or last.bar or last.name != name:
                last = _Node(name)
                at.children.append(last)
            at = last
        at.children.append(_Node(bar.path[-1], bar))
    return root


def _flat(node: _Node) -> _Node:
    """A group around a single bar or group is one with it."""
    while len(node.children) == 1:
        child = node.children[0]
        node = _Node(f"{node.name}.{child.name}" if node.name else child.name, child.bar, child.children)
    return _Node(node.name, node.bar, [_flat(child) for child in node.children])


def _placed(node: _Node, start: float, depth: int) -> Iterator[tuple[_Node, float, int]]:
    yield node, start, depth
    for child in node.children:
        yield from _placed(child, start, depth + 1)
        start += sum(bar.value for bar in child.leaves())


def flame(bars: Sequence[Bar], unit: str) -> str:
    """The chart as HTML; the page needs `FLAME_STYLE`.

    Args:
        bars: in order, widths not all 0.
        unit: of the widths, for the groups' facts.

    Raises:
        ValueError: no bars, a bar without a path or of negative width, or only widths of 0.
    """
    if not bars or any(not bar.path or bar.value < 0 for bar in bars):
        raise ValueError("flame: bars with a path and a width of at least 0 are expected")
    total = sum(bar.value for bar in bars)
    if total <= 0:
        raise ValueError("flame: all bars have the width 0")
    blocks = []
    deepest = 0
    for node, start, depth in _placed(_flat(_tree(bars)), 0.0, 0):
        deepest = max(deepest, depth)
        leaves = node.leaves()
        value = sum(bar.value for bar in leaves)
        facts = {"layers": str(len(leaves)), unit: f"{value:,.1f}", "share": f"{value / total:.1%}"}
        colour, mark = ("#c9d3dc", "")
        if node.bar:
            facts, colour = dict(node.bar.facts), node.bar.colour
            mark = f'<span class="mark" style="width:{100 * min(node.bar.mark, 1):.1f}%"></span>'
        left = 100 * start / total
        side = "left: 0" if left < 50 else "right: 0"
        rows = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in facts.items())
        name = html.escape(node.name or "all")
        blocks.append(
            f'<div class="bar" tabindex="0" style="left:{left:.3f}%;width:{100 * value / total:.3f}%;'
            f'top:{1.6 * depth:.1f}rem;--fill:{html.escape(colour, quote=True)}">'
            f'<span class="label">{name}</span>{mark}'
            f'<div class="tip" style="{side}"><b>{name}</b><dl>{rows}</dl></div></div>'
        )
    return f'<div class="flame" style="height:{1.6 * (deepest + 1):.1f}rem">{"".join(blocks)}</div>'
