"""`bitwright methods`."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bitwright.cli._command import print_table, run_command

if TYPE_CHECKING:
    from bitwright.binarize import MethodInfo


def methods(name: str = "", *, json: bool = False) -> int:
    """List the binarization methods, or print everything that is known about one of them.

    Args:
        name: a method; without it the table of all.
        json: print JSON instead.
    """
    from bitwright import binarize

    infos = [binarize.method_info(name)] if name else binarize.list_methods()
    if json:
        facts = [_facts(info) for info in infos]
        print(json_module.dumps(facts[0] if name else facts, indent=2, default=str, ensure_ascii=False))
    elif name:
        print(_details(infos[0]))
    else:
        print_table(
            f"Binarization methods ({len(infos)}; bitwright methods NAME for one)",
            ["name", "year", "bits W/A", "what it does", "learned", "needs", "at inference", "sources"],
            [
                [
                    i.name,
                    i.year,
                    f"{i.weight_bits}/{i.activation_bits}",
                    i.summary,
                    ", ".join(i.learned),
                    ", ".join([*(["epoch"] if i.needs_epoch else []), *i.requires]),
                    i.packable,
                    ", ".join(sorted(set(i.provenance.values()))),
                ]
                for i in infos
            ],
        )
    return 0


def _facts(info: MethodInfo) -> dict[str, Any]:
    from dataclasses import asdict

    from bitwright import binarize

    return {**asdict(info), "options": binarize.method_options(info.name)}


def _details(info: MethodInfo) -> str:
    """Everything about one method, as text."""
    from bitwright import binarize

    venue = info.venue if str(info.year) in info.venue else f"{info.venue} {info.year}"
    where = f", arXiv {info.arxiv}" if info.arxiv else ""
    lines = [f"{info.name}: {info.summary}", "", info.title, f"{info.authors}. {venue}{where}"]

    def block(title: str, entries: Mapping[str, object]) -> None:
        if entries:
            width = max(map(len, entries))
            lines.extend(["", title, *(f"  {key:<{width}}  {value}" for key, value in entries.items())])

    facts = {
        "bits": f"weights {info.weight_bits}, activations {info.activation_bits}",
        "binarizes": ", ".join(info.binarizes),
        "weight scale": info.weight_scale,
        "learned": ", ".join(info.learned) or "nothing beyond the latent weights",
        "at inference": info.packable,
        "stages": " -> ".join(info.stages),
        "schedule": "set_progress every epoch" if info.needs_epoch else "none",
        "extra loss": info.regularizer or "none",
        "block": info.block or "any",
    }
    block("facts", facts)
    block("formulas (g: gradient that arrives)", info.formula)
    block("needs", info.requires)
    block("options", {key: repr(value) for key, value in binarize.method_options(info.name).items()})
    block("parts", _parts(info.name))
    block("where each part is known from", info.provenance)
    block("defects of the authors' code, by option", info.compat)
    block("does not hold", {f"{binarize.PROPERTIES[key]}": why for key, why in info.departs.items()})
    block("layers without it", info.refuses)
    if info.notes:
        lines += ["", "notes", f"  {info.notes}"]
    return "\n".join(lines)


def _parts(name: str) -> dict[str, str]:
    """The blocks that the method is made of with its default options."""
    from bitwright import binarize

    parts = binarize.get_method(name).parts
    shown = {"weight": parts.weight, "activation": parts.activation, "output": parts.output}
    shown["regularizer"] = parts.regularizer
    text = {key: _spec(value) for key, value in shown.items() if value is not None}
    return {**text, "init": parts.init}


def _spec(spec: Mapping[str, Any]) -> str:
    options = ", ".join(f"{key}={value!r}" for key, value in spec.items() if key != "kind")
    return f"{spec['kind']}({options})"


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    if argv and not argv[0].startswith("-"):  # `bitwright methods irnet` is `bitwright methods --name irnet`
        argv = ["--name", *argv]
    examples = "  bitwright methods\n  bitwright methods irnet\n  bitwright methods irnet --json"
    return run_command(methods, argv, examples)
