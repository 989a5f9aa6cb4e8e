"""The quantization report as text, from its JSON: `compile` prints it, and `inspect` prints what META holds."""

from __future__ import annotations

from typing import Any

from .tables import table


def text(report: dict[str, Any]) -> str:
    """Tables of layers and streams, then the accuracy. A report that another version wrote gives a remark instead."""
    try:
        return _text(report)
    except (KeyError, TypeError, ValueError) as error:
        return f"Quantized; the report in the file cannot be shown ({type(error).__name__}: {error})"


def _text(report: dict[str, Any]) -> str:
    lines = []
    done = [r for r in report["layers"] if r["quantized"]]
    if report["float_layers"] == "int8":
        columns = ["layer", "weights", ">weight error", ">scale", ">zero", "range", "seen", ">clipped"]
        rows = [
            [
                r["name"],
                r["weights"],
                f"{100 * r['weight_error']:.2f} %",
                f"{r['scale']:.4g}",
                str(r["zero"]),
                f"{r['low']:.4g} .. {r['high']:.4g}",
                f"{r['seen_low']:.4g} .. {r['seen_high']:.4g}",
                f"{100 * r['clipped']:.3f} %",
            ]
            for r in done
        ]
        title = f"int8 layers, calibrated on {report['samples']:,} samples (scale, zero and range are of the input)"
        lines.append(table(title, columns, rows) if rows else "int8 layers: none")
        lines += [f"  {r['name']} stays fp32: {r['why']}" for r in report["layers"] if not r["quantized"]]
    if report["residual"] == "int16":
        lines.append(_streams(report["streams"]))
    lines.append(accuracy(report["accuracy"]))
    return "\n".join(lines)


def _streams(streams: list[dict[str, Any]]) -> str:
    if not streams:
        return "int16 residual: no shortcut is added to a binary convolution in a way that fits; the stream stays fp32"
    columns = [">maps", ">integer layers", ">scale", ">holds", ">seen", ">error bound", ">measured", ">bits proven"]
    rows = [
        [
            str(s["maps"]),
            str(s["layers"]),
            f"{s['scale']:.4g}",
            f"±{s['reach']:.4g}",
            f"{s['largest']:.4g}",
            f"{s['bound']:.3g} = {s['bound'] / s['scale']:.1f} units",
            f"{s['measured']:.3g}",
            f"{100 * s['certain']:.3f} %",
        ]
        for s in streams
    ]
    kept = [f"  {name} keeps a float chain: {why}" for s in streams for name, why in s["kept"].items()]
    return "\n".join([table("int16 residual streams", columns, rows), *kept])


def accuracy(a: dict[str, Any]) -> str:
    """One line."""
    if not a["samples"]:
        return "Accuracy: not measured, there are no held-out samples"
    parts = []
    if a["top1"] is not None:
        change = 100 * (a["top1"] - a["top1_fp32"])
        parts.append(f"top-1 {100 * a['top1']:.2f} %, fp32 {100 * a['top1_fp32']:.2f} % ({change:+.2f})")
    if a["agreement"] is not None:
        parts.append(f"same class on {100 * a['agreement']:.2f} %")
    parts.append(f"output error {100 * a['rms_error']:.2f} % (rms), largest {100 * a['max_error']:.2f} % of the spread")
    return f"Against fp32 on {a['samples']:,} held-out samples: " + "; ".join(parts)


__all__ = ["accuracy", "text"]
