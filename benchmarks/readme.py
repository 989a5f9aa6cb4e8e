"""Puts the figures of results/*.csv between the README's markers, so that nobody types them in.

python benchmarks/readme.py            # rewrite README.md
python benchmarks/readme.py --check    # exit status 1 if it is not up to date
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
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


def main() -> int:
    text = README.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"README.md has no section between '{BEGIN}' and '{END}'")
    fresh = pattern.sub(lambda _: f"{BEGIN}\n{figures()}\n{END}", text)
    if "--check" in sys.argv[1:]:
        return int(fresh != text)
    README.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
