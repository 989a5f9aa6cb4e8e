"""mkdocs hook: pages that are generated from the code itself, so that they cannot disagree with it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Files, config: Any) -> Files:
    """Adds the home page (the README), the methods page with its plots, the networks page and the command line page."""
    pages: dict[str, str | bytes] = {
        "index.md": _home(),
        "models.md": _models(),
        "reference/cli.md": _cli(),
    }
    pages.update(_methods())
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def _home() -> str:
    """The README; links into docs/ become relative to the site, links to other files of the repository plain text."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\(docs/([^)]+)\)", r"](\1)", text)
    return re.sub(
        r"\[([^\]]+)\]\((?!https?:|#)((?!guide/|develop/|reference/|bwm|dialect|methods|models)[^)]+)\)", r"`\2`", text
    )


def _methods() -> dict[str, str | bytes]:
    from bitwright import binarize

    lines = [
        "# Binarization methods",
        "",
        "Generated from the registry; `bitwright methods` prints the same facts.",
        "",
    ]
    lines += ["| name | paper | year | learned | packable |", "|---|---|---|---|---|"]
    infos = binarize.list_methods()
    lines += [
        f"| [`{i.name}`](#{i.name}) | {i.title} | {i.year} | {', '.join(i.learned) or '—'} | {i.packable} |"
        for i in infos
    ]
    for info in infos:
        marks = "; ".join(f"{part}: {mark}" for part, mark in info.provenance.items())
        venue = info.venue if str(info.year) in info.venue else f"{info.venue} {info.year}"
        arxiv = f", arXiv {info.arxiv}" if info.arxiv else ""
        lines += [
            "",
            f"## {info.name}",
            "",
            f"{info.authors}: *{info.title}*, {venue}{arxiv}.",
            "",
            info.summary,
            "",
        ]
        lines += [f"- Binarizes: {', '.join(info.binarizes)}", f"- Weight scale: {info.weight_scale}"]
        lines += [f"- Stages: {' → '.join(info.stages)}", f"- Where each part is known from: {marks}"]
        lines += [f"- Options: `{binarize.method_options(info.name)}`"]
        lines += [f"- Notes: {info.notes}"] if info.notes else []
    lines += [
        "",
        "## Estimators",
        "",
        "Forward is always the sign (0 and −0.0 give +1, NaN −1); the backward factor is a separate choice.",
        "",
    ]
    result: dict[str, str | bytes] = {}
    for estimator in binarize.list_estimators():
        image = f"assets/estimator-{estimator.name}.png"
        result[image] = _plot(estimator.name)
        lines += [f"### {estimator.name}", "", estimator.summary, "", f"d(x) = {estimator.formula}", ""]
        lines += [
            f"Source: {estimator.source} ({estimator.provenance}).",
            "",
            f"![forward and backward of {estimator.name}]({image})",
            "",
        ]
    result["methods.md"] = "\n".join(lines)
    return result


def _plot(name: str) -> bytes:
    """Forward and backward of the real function, as PNG bytes."""
    import numpy as np
    import torch

    from bitwright import binarize, report

    estimator = binarize.get_estimator(name).eval()

    def forward(x: np.ndarray) -> np.ndarray:
        return estimator(torch.from_numpy(x)).detach().numpy()

    def backward(x: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(x).requires_grad_()
        estimator(tensor).sum().backward()
        assert tensor.grad is not None
        return tensor.grad.numpy()

    buffer = io.BytesIO()
    report.estimator_plot(forward, backward).savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def _models() -> str:
    from bitwright import models

    lines = ["# Networks", "", "Generated from the registry; `bitwright models` prints the same facts.", ""]
    lines += ["| name | summary | paper | year |", "|---|---|---|---|"]
    lines += [
        f"| `{i.name}` | {i.summary} | {i.paper} | {i.year} |" for i in map(models.model_info, models.list_models())
    ]
    return "\n".join(lines)


def _cli() -> str:
    from contextlib import redirect_stdout

    from bitwright import cli

    lines = ["# Command line", "", "```text", cli.usage(), "```"]
    for verb in cli.VERBS:
        buffer = io.StringIO()
        with redirect_stdout(buffer):
            cli.main([verb, "--help"])
        lines += ["", f"## {verb}", "", "```text", buffer.getvalue().rstrip(), "```"]
    return "\n".join(lines)
