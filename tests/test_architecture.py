"""The house rules: who may import whom, and what `import bitwright` may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "bitwright"

# room -> rooms it may import. A dotted entry allows that module alone.
ALLOWED: dict[str, set[str]] = {
    "binarize": set(),
    "nn": {"binarize"},
    "models": {"nn", "binarize"},
    "optim": {"nn", "binarize"},
    "data": set(),
    "train": {"models", "nn", "binarize", "optim", "data"},
    "export": {"nn", "compiler.dialect", "runtime", "tune"},
    "compiler": {"runtime"},
    "importers": {"compiler.dialect"},
    "runtime": set(),
    "report": set(),
    "tune": {"runtime"},
    "bench": {"train", "models", "nn", "binarize", "data", "export", "compiler", "runtime", "report"},
}
# Packages a room may import from outside, beyond the standard library and numpy. None: any.
OUTSIDE: dict[str, set[str] | None] = {
    "runtime": set(),
    "binarize": {"torch"},
    "nn": {"torch", "rich"},
    "report": {"matplotlib"},
    "tune": {"cuda", "onnx"},
    "compiler": {"onnx", "onnx_ir", "onnxscript", "onnxruntime", "rich"},
    "importers": {"onnx", "google", "tflite", "flatbuffers"},
}
# Files that may import more: what the engine lacks operators for runs in onnxruntime, which this module alone imports,
# when a model with such parts is opened. torch's products are candidates of a GPU's tuner where torch is installed.
OUTSIDE_OF_FILES: dict[str, set[str]] = {"runtime/onnx_part.py": {"onnxruntime"}, "tune/cuda/library.py": {"torch"}}


def imports(path: Path) -> set[str]:
    """Absolute names of every module that a file imports, also inside functions."""
    found: set[str] = set()
    package = ["bitwright", *path.relative_to(SOURCE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            found.add(module)
            if module.startswith("bitwright"):
                found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def rooms() -> list[str]:
    return sorted(p.name for p in SOURCE.iterdir() if p.is_dir() and (p / "__init__.py").exists() and p.name != "cli")


def test_every_room_has_a_rule() -> None:
    assert set(rooms()) == set(ALLOWED)


@pytest.mark.parametrize("room", rooms())
def test_imports_between_rooms(room: str) -> None:
    wrong = []
    for path in sorted((SOURCE / room).rglob("*.py")):
        names = {name for name in imports(path) if name.startswith("bitwright.")}
        for name in sorted(names):
            other = name.split(".")[1]
            if other == room or other not in ALLOWED:
                continue  # itself, or an attribute of the package such as __version__
            entries = ALLOWED[room]
            dotted = {entry for entry in entries if "." in entry and entry.startswith(other + ".")}
            tail = name.removeprefix("bitwright.")
            fine = other in entries or any(tail == e or tail.startswith(e + ".") or e.startswith(tail) for e in dotted)
            if not fine:
                wrong.append(f"{path.relative_to(SOURCE)} imports {name}")
    assert not wrong, f"{room} may import only {sorted(ALLOWED[room])}:\n" + "\n".join(wrong)


@pytest.mark.parametrize("room", sorted(OUTSIDE))
def test_imports_from_outside(room: str) -> None:
    allowed = OUTSIDE[room]
    assert allowed is not None
    known = set(sys.stdlib_module_names) | {"numpy", "bitwright"} | allowed
    wrong = [
        f"{path.relative_to(SOURCE)} imports {name}"
        for path in sorted((SOURCE / room).rglob("*.py"))
        for name in sorted(imports(path))
        if name and name.split(".")[0] not in known | OUTSIDE_OF_FILES.get(path.relative_to(SOURCE).as_posix(), set())
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("statement", ["import bitwright", "import bitwright.runtime", "import bitwright.cli"])
def test_light_import(statement: str) -> None:
    """A device with numpy alone can import the package, its runtime and the command."""
    heavy = ["torch", "onnx", "onnx_ir", "onnxruntime", "lightning", "matplotlib", "rich", "jsonargparse"]
    code = f"{statement}\nimport sys\nprint([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_unknown_attribute_names_what_there_is() -> None:
    import bitwright

    with pytest.raises(AttributeError, match="runtime"):
        _ = bitwright.no_such_room
