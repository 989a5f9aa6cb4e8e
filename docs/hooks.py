"""mkdocs hook: pages that are generated from the code itself, so that they cannot disagree with it."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
BAR = "\\|"  # in a table's cell a bar would end the cell


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


def _trained() -> list[str]:
    """The table and the plot that `benchmarks/methods.py` writes; nothing where it was not run."""
    table = ROOT / "results/methods_fashion.csv"
    if not table.exists():
        return []
    with table.open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: -float(row["accuracy"]))
    lines = [
        "",
        "## Trained on the same small budget",
        "",
        f"The same network (0.1 M binary weights), {rows[0]['images']} images of Fashion-MNIST,",
        f"{rows[0]['epochs']} epochs, {rows[0]['seeds']} seeds, for every method: it says whether a method works and",
        "what a step costs, **not** which one is best after the long training of its paper. Nothing of a paper's",
        "recipe is used besides schedules, losses and data-driven starts; `left out` names what its paper has beyond",
        "that. Step times are those of one thread on a busy machine, relative to the float network in turn.",
        f"(`{rows[0]['command']}`)",
        "",
        "![test accuracy of every method](images/methods-fashion.png)",
        "",
        "| method | bits W/A | test accuracy, % | untrained | a step, times float | state, kB | left out |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        name = row["method"] if row["method"] == "float" else f"[{row['method']}](#{row['method']})"
        lines.append(
            f"| {name} | {row['bits'].replace('|', BAR)} | {row['accuracy']} ± {row['std']} | {row['untrained']} "
            f"| {row['step_times_float']} | {row['state_kb']} | {row['left_out'] or '—'} |"
        )
    return [*lines, ""]


def _methods() -> dict[str, str | bytes]:
    from bitwright import binarize

    infos = binarize.list_methods()
    lines = [
        "# Binarization methods",
        "",
        "Generated from the registry; `bitwright methods` prints the same facts, `bitwright methods NAME` one in full.",
        "`g` is the gradient that arrives. The plots are drawn from the functions that train: left the value, right",
        "the gradient for `g = 1`, of 801 weights (or inputs) from -2 to 2 at the start of training.",
        "",
        "| name | year | bits W/A | learned | needs | at inference |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| [`{i.name}`](#{i.name}) | {i.year} | {i.weight_bits} / {i.activation_bits} "
        f"| {', '.join(i.learned).replace('|', BAR) or '—'} "
        f"| {', '.join([*(['epoch'] if i.needs_epoch else []), *i.requires]) or '—'} "
        f"| {i.packable.replace('|', BAR)} |"
        for i in infos
    ]
    lines += _trained()
    result: dict[str, str | bytes] = {}
    for info in infos:
        lines += _method(info)
        for part, image in _method_plots(info).items():
            path = f"assets/method-{info.name}-{part}.png"
            result[path] = image
            lines += ["", f"![{part} of {info.name}: forward and backward]({path})"]
    lines += [
        "",
        "## Estimators",
        "",
        "Forward is always the sign (0 and −0.0 give +1, NaN −1); the backward factor is a separate choice.",
        "",
    ]
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


def _method(info: Any) -> list[str]:
    """The section of one method, without its plots."""
    from bitwright import binarize

    marks = "; ".join(f"{part}: {mark}" for part, mark in info.provenance.items())
    venue = info.venue if str(info.year) in info.venue else f"{info.venue} {info.year}"
    arxiv = f", arXiv {info.arxiv}" if info.arxiv else ""
    lines = ["", f"## {info.name}", "", f"{info.authors}: *{info.title}*, {venue}{arxiv}.", "", info.summary, ""]
    if info.formula:
        lines += ["| what | formula |", "|---|---|"]
        lines += [f"| {what} | `{text}` |" for what, text in _cells(info.formula)]
        lines += [""]
    lines += [f"- Binarizes: {', '.join(info.binarizes)}", f"- Weight scale: {info.weight_scale}"]
    lines += [f"- At inference: {info.packable}"]
    lines += [f"- Learned: {', '.join(info.learned)}"] if info.learned else []
    lines += [f"- Extra loss: {info.regularizer}"] if info.regularizer else []
    lines += [f"- Stages: {' → '.join(info.stages)}"]
    lines += [f"- Block: {info.block}"] if info.block else []
    lines += [f"- Needs {what}: {why}" for what, why in info.requires.items()]
    lines += [f"- `{option}` reproduces a defect of the authors' code: {what}" for option, what in info.compat.items()]
    lines += [f"- No {kind} layers: {why}" for kind, why in info.refuses.items()]
    lines += [f"- Options: `{binarize.method_options(info.name)}`"]
    lines += [f"- Where each part is known from: {marks}"]
    return [*lines, *([f"- Notes: {info.notes}"] if info.notes else [])]


def _cells(formula: Any) -> list[tuple[str, str]]:
    """Formulas for table cells."""
    return [(what, text.replace("|", BAR)) for what, text in formula.items()]


def _method_plots(info: Any) -> dict[str, bytes]:
    """PNG bytes of "weights" and "activations", where the method has them for one filter or input of 801 numbers."""
    import torch

    from bitwright import binarize, nn

    if "linear" in info.refuses:
        return {}
    torch.manual_seed(0)
    layer = nn.BinaryLinear(801, 1, method=info.name)
    x = torch.linspace(-2, 2, 801).view(1, 801)
    binarize.set_progress(layer, epoch=0, epochs=100)
    weights = layer.weight_binarizer
    plots = {}
    if weights.trainable and not weights.per_sample and tuple(weights.latent_shape()) == (1, 801):
        layer.set_latent(x)
        plots["weights"] = _curves(weights)
    if layer.activation is not None:
        with torch.no_grad():
            for part in layer.activation.modules():
                if isinstance(part, binarize.Part) and part.needs_data:
                    part.initialize_from(x)
        plots["activations"] = _curves(layer.activation)
    return plots


def _curves(part: Any) -> bytes:
    """Value and gradient of a binarizer over -2 ... 2 as PNG bytes."""
    import numpy as np
    import torch

    from bitwright import report

    def gradient(x: np.ndarray) -> np.ndarray:
        tensor = torch.from_numpy(x).float().view(1, -1).requires_grad_()
        part(tensor).sum().backward()
        assert tensor.grad is not None
        return tensor.grad.view(-1).numpy()

    def value(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return part(torch.from_numpy(x).float().view(1, -1)).view(-1).numpy()

    buffer = io.BytesIO()
    report.estimator_plot(value, gradient).savefig(buffer, format="png", dpi=80)
    return buffer.getvalue()


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
