"""The command itself: help, errors, and how a typed function becomes options."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bitwright import cli
from bitwright.cli._command import normalise, run_command


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in cli.VERBS)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"bitwright {verb}" in text.split("example", 1)[1], "the help ends with a real command line"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import bitwright

    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"bitwright {bitwright.__version__}"


def test_unknown_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["complie"]) == 2
    error = capsys.readouterr().err
    assert "unknown verb 'complie'" in error
    assert "Did you mean 'compile'?" in error


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["inspect", "no-such.bwm"], "no-such.bwm"),
        (["compile", "no-such.onnx", "--output", "x.bwm"], "no-such.onnx"),
        (["run", "no-such.bwm", "a.png"], "no-such.bwm"),
        (["export", "no-such.ckpt", "--output", "x.onnx"], "no-such.ckpt"),
        (["evaluate", "--ckpt_path", "no-such.ckpt"], "no-such.ckpt"),
        (["profile", "no-such.bwm", "--threads", "two"], "two"),
        (["compile", "net.onnx"], "output"),
    ],
)
def test_bad_arguments_give_one_clear_error(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(argv) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_module_runs_as_a_command() -> None:
    result = subprocess.run([sys.executable, "-m", "bitwright", "kernels", "--json"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert any(row["default"] for row in rows)
    assert {"portable"} <= {row["isa"] for row in rows}


def test_normalise() -> None:
    assert normalise(["--data-root", "a-b", "--json", "x", "--n-m=1"], ["json"]) == [
        "--data_root",
        "a-b",
        "--json=true",
        "x",
        "--n_m=1",
    ]
    assert normalise(["--json", "false"], ["json"]) == ["--json", "false"]


def test_run_command_collects_positional_lists() -> None:
    seen: list[object] = []

    def verb(model: str, inputs: list[str], *, top: int = 1, json: bool = False) -> int:
        """Do it.

        Args:
            model: a file.
            inputs: more files.
        """
        seen.extend([model, inputs, top, json])
        return 3

    assert run_command(verb, ["m", "a", "b", "--top", "2", "--json"], "  bitwright verb m a") == 3
    assert seen == ["m", ["a", "b"], 2, True]


def test_methods_and_models_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["methods", "--json"]) == 0
    names = {entry["name"] for entry in json.loads(capsys.readouterr().out)}
    assert {"bnn", "xnornet", "dorefa", "bireal", "irnet", "reactnet"} <= names
    assert cli.main(["methods", "irnet", "--json"]) == 0
    irnet = json.loads(capsys.readouterr().out)
    assert irnet["name"] == "irnet"
    assert irnet["options"] == {"t_min": 0.1, "t_max": 10.0}
    assert irnet["formula"]["weight"].startswith("2^s")
    assert cli.main(["models", "--json"]) == 0
    assert {"vgg_small", "resnet20"} <= {entry["name"] for entry in json.loads(capsys.readouterr().out)}


def test_table_and_page_of_methods(capsys: pytest.CaptureFixture[str]) -> None:
    from bitwright import binarize

    assert cli.main(["methods"]) == 0
    table = capsys.readouterr().out
    for info in binarize.list_methods():
        assert f"│ {info.name} " in table
        assert cli.main(["methods", info.name]) == 0
        page = capsys.readouterr().out
        for text in (info.title, info.packable, *info.formula.values(), *info.provenance, *info.departs.values()):
            assert text in page
        assert all(option in page for option in binarize.method_options(info.name))
    assert cli.main(["methods", "ir-net"]) == 2
    assert "Did you mean 'irnet'" in capsys.readouterr().err


def test_missing_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jsonargparse", None)  # as if it were not installed
    assert cli.main(["kernels"]) == 2
    error = capsys.readouterr().err
    assert "needs the package 'jsonargparse'" in error
    assert 'pip install ".[cli]"' in error
