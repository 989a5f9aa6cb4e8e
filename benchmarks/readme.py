"""Puts the figures of results/*.csv between the markers of README.md and docs/guide/performance.md.

python benchmarks/readme.py            # rewrite both
python benchmarks/readme.py --check    # exit status 1 if one is not up to date
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- figures: written by benchmarks/readme.py -->", "<!-- end of figures -->"


def rows(name: str) -> list[dict[str, str]]:
    """The rows of results/<name>.csv."""
    with (ROOT / "results" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(columns: list[str], body: list[list[str]]) -> list[str]:
    """A markdown table."""
    return [
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(r) + " |" for r in body),
    ]


def figures() -> str:
    """The README's section, from the results alone."""
    training, latency, verify = rows("training"), rows("latency"), rows("verify")
    lines = [
        "**Trained here**, `last.ckpt`, on the CPU ([results/training.csv](results/training.csv)):",
        "",
        *table(
            ["recipe", "data", "test accuracy", "engine", "minutes", "file"],
            [
                [
                    f"`{r['recipe']}`",
                    r["data"],
                    f"{100 * float(r['test_top1']):.2f} %",
                    f"{100 * float(r['engine_top1']):.2f} %",
                    r["minutes"],
                    f"{int(r['bwm_bytes']):,} bytes",
                ]
                for r in training
            ],
        ),
        "",
        "**Whole networks against onnxruntime on the same topology in float**, one image, one thread, in turn, medians "
        "([results/latency.csv](results/latency.csv)):",
        "",
        *table(
            ["network", "input", "engine", "onnxruntime, float", "faster", "smaller"],
            [
                [
                    f"`{r['network']}`",
                    r["input"],
                    f"{float(r['engine_us']):,.0f} µs",
                    f"{float(r['onnxruntime_float_us']):,.0f} µs",
                    f"{float(r['ratio']):.1f}x",
                    f"{int(r['float_onnx_bytes']) / int(r['bwm_bytes']):.1f}x",
                ]
                for r in latency
            ],
        ),
        "",
        "Stem, 1x1 shortcuts and classifier are still float, so the ratios are below those of one binary layer.",
        "",
        "**Engine against PyTorch eval** on the Fashion-MNIST test images, each layer on PyTorch's inputs "
        "([results/verify.csv](results/verify.csv)):",
        "",
        *table(["network", "images", "runs", "bits compared", "flips", "same class", "verdict"], _verify(verify)),
        "",
        "A flip is a bit whose value lies within 1e-5 of the layer's spread from its threshold; none lies farther.",
        "",
        f"Machine of these figures: {latency[0]['machine']}, {latency[0]['cores']} cores.",
    ]
    return "\n".join(lines)


def _verify(entries: list[dict[str, str]]) -> list[list[str]]:
    body = []
    for network in dict.fromkeys(r["network"] for r in entries):
        mine = [r for r in entries if r["network"] == network]
        body.append(
            [
                f"`{network}`",
                f"{int(mine[0]['images']):,}",
                f"{len(mine)} (kernel, threads, batch), {len({r['kernel'] for r in mine})} kernels",
                f"{sum(int(r['bits_compared']) for r in mine):,}",
                f"{sum(int(r['flips']) for r in mine):,}",
                f"{100 * min(float(r['argmax_equal']) for r in mine):.2f} %",
                "ok" if all(r["ok"] == "True" for r in mine) else "NOT ok",
            ]
        )
    return body


def networks() -> list[str]:
    """Bi-Real ResNet-18 at 224x224 and its rivals."""
    found = [r for r in rows("engine") if r["section"] == "networks"]
    names = list(dict.fromkeys(r["competitor"] for r in found))
    us = {(r["competitor"], r["threads"]): float(r["us"]) for r in found}
    relative = {r["competitor"]: float(r["times_engine"]) for r in found if r["threads"] == "1"}
    body = []
    for name in sorted(names, key=lambda n: us.get((n, "1"), float("inf"))):
        times = [us.get((name, t)) for t in ("1", "2")]
        ratio = relative[name]
        body.append([name, *(f"{t / 1000:.2f} ms" if t else "-" for t in times), f"{ratio:.1f}x"])
    return table(["ResNet-18, 224x224, one image", "1 thread", "2 threads", "time (1 thread)"], body)


def layers() -> list[str]:
    """Microseconds of the seven layers, one thread."""
    found = [r for r in rows("engine") if r["section"] == "layers" and r["threads"] == "1"]
    tasks = list(dict.fromkeys(r["task"] for r in found))
    names = list(dict.fromkeys(r["competitor"] for r in found))
    us = {(r["competitor"], r["task"]): float(r["us"]) for r in found}
    body = [[n, *(f"{us[n, t]:,.0f}" if (n, t) in us else "-" for t in tasks)] for n in names]
    return table(["µs", *tasks], body)


def targets() -> list[str]:
    """Our promises."""
    body = [
        [r["id"], r["what"], f"**{float(r['measured']):g}{r['unit']}**", r["good"], r["stretch"], r["reached"]]
        for r in rows("targets")
    ]
    return table(["", "what", "measured", "good", "stretch", "reached"], body)


def cold_start() -> list[str]:
    """Milliseconds from nothing to the first answer."""
    found = rows("cold_start")
    steps = ("load", "open", "session", "first")
    body = [
        [
            r["model"],
            r["threads"],
            *(f"{float(r[f'{step}_ms']):.1f}" for step in steps),
            f"**{float(r['total_ms']):.1f}**",
        ]
        for r in found
    ]
    return table(["ms", "threads", "load the library", "open the file", "session", "first run", "total"], body)


def performance() -> str:
    """The section of docs/guide/performance.md."""
    first = rows("engine")[0]
    lines = [
        "## Whole networks",
        "",
        *networks(),
        "",
        "## Targets",
        "",
        *targets(),
        "",
        "## Cold start",
        "",
        "Through the C interface, in a process without numpy, file in the page cache; medians.",
        "",
        *cold_start(),
        "",
        "## 3x3 layers of ResNet-18",
        "",
    ]
    lines += [*layers(), "", f"Machine: {first['machine']}, {first['cores']} cores."]
    return "\n".join(lines)


PAGES = {ROOT / "README.md": figures, ROOT / "docs/guide/performance.md": performance}


def main() -> int:
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    stale = 0
    for path, section in PAGES.items():
        text = path.read_text(encoding="utf-8")
        if not pattern.search(text):
            raise SystemExit(f"{path.name} has no section between '{BEGIN}' and '{END}'")
        fresh = pattern.sub(lambda _, section=section: f"{BEGIN}\n{section()}\n{END}", text)
        stale += fresh != text
        if "--check" not in sys.argv[1:]:
            path.write_text(fresh, encoding="utf-8")
    return int(stale > 0) if "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    raise SystemExit(main())
