"""The `bitwright` command: one verb, one file.

A verb's module is imported only when it is called, so `bitwright run` on a small device
needs numpy and jsonargparse alone.
To add a verb: add a file with `main(argv) -> int` and one line to `VERBS`.
"""

from __future__ import annotations

import importlib
import keyword
import os
import sys
from collections.abc import Sequence

VERBS: dict[str, str] = {
    "quickstart": "train, compile, run and compare a small 1-bit CNN on real images",
    "train": "train a network from a recipe (YAML) with typed overrides",
    "evaluate": "accuracy of a checkpoint on the test split",
    "export": "checkpoint -> frozen bits -> ONNX",
    "import": "another framework's binary model -> ONNX",
    "compile": "ONNX -> .bwm, the file that the engine runs",
    "run": "run a .bwm on images or .npy arrays",
    "inspect": "what a .bwm holds: layers, precision, shapes, bytes, MACs, kernels",
    "verify": "compare the engine with the reference, layer by layer, on real inputs",
    "profile": "time of each layer of a .bwm",
    "tune": "choose each layer's kernel by timing; keep, export and merge timings",
    "methods": "list the binarization methods",
    "models": "list the networks",
    "kernels": "list the native kernels and which of them this CPU runs",
}


def usage() -> str:
    """The text of `bitwright --help`."""
    width = max(map(len, VERBS))
    lines = ["usage: bitwright VERB [options]", "", "Train, compare, compile and run 1-bit neural networks.", ""]
    lines += [f"  {verb:<{width}}  {about}" for verb, about in VERBS.items()]
    lines += [
        "",
        "`bitwright VERB --help` gives a verb's options and an example. `bitwright --version` prints the version.",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns the exit status: 0, or 2 after one line that says what is wrong (1: the check failed).

    `BITWRIGHT_TRACEBACK=1` shows the whole traceback of an error instead of the line.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if args[0] in ("-V", "--version"):
        from bitwright import __version__

        print(f"bitwright {__version__}")
        return 0
    verb, rest = args[0], args[1:]
    if verb not in VERBS:
        import difflib

        close = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        print(f"bitwright: unknown verb '{verb}'.{hint} The verbs are: {', '.join(VERBS)}", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(f"bitwright.cli.{verb}{'_' if keyword.iskeyword(verb) else ''}")
        return int(module.main(rest) or 0)
    except SystemExit as stop:  # argument parsers stop this way, with their message already printed
        if stop.code is None or isinstance(stop.code, int):
            return int(stop.code or 0)
        print(f"bitwright {verb}: {stop.code}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"bitwright {verb}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `bitwright methods | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        if os.environ.get("BITWRIGHT_TRACEBACK") or (error.name or "").startswith("bitwright"):
            raise
        extra = {"jsonargparse": "cli", "PIL": "cli", "rich": "cli"}.get(error.name or "", "all")
        how = f'pip install "bitwright[{extra}]", or in a checkout: pip install ".[{extra}]"'
        print(f"bitwright {verb}: needs the package '{error.name}': {how}", file=sys.stderr)
        return 2
    except (ValueError, TypeError, OSError, RuntimeError, KeyError, ImportError) as error:
        if os.environ.get("BITWRIGHT_TRACEBACK"):
            raise
        text = str(error) if not isinstance(error, KeyError) else str(error.args[0] if error.args else error)
        print(f"bitwright {verb}: error: {text}", file=sys.stderr)
        return 2
