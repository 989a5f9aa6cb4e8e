"""Every registered method in a small network does what its facts say about deployment (`MethodInfo.packable`):

"yes": freeze, export, onnxruntime, compile and run agree; "onnx only": the engine with parts in onnxruntime; "no":
freezing is refused.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import bitwright as bw
from bitwright.binarize import initialize_from_data, list_methods, method_info, set_progress
from bitwright.export import freeze, to_onnx
from bitwright.nn import BinaryConv2d, BinaryLayer, BinaryLinear
from bitwright.runtime import Session

from .oracles import scramble

METHODS = [i.name for i in list_methods() if not {"conv", "linear"} & set(i.refuses)]


def network(method: str) -> nn.Module:
    torch.manual_seed(3)
    sized = {"output_size": (8, 8)} if "output size" in method_info(method).requires else {}
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        BinaryConv2d(12, 16, 3, padding=1, method=method, **sized),  # type: ignore[arg-type]
        nn.BatchNorm2d(16),
        nn.MaxPool2d(2),
        nn.Flatten(),
        BinaryLinear(256, 10, bias=True, method=method),
    )
    for module in net:
        if isinstance(module, BinaryLayer):
            with torch.no_grad():
                for part in (module.activation, module.output):
                    for parameter in () if part is None else part.parameters():
                        parameter.add_(0.3 * torch.rand_like(parameter))
        else:
            scramble(module)
    set_progress(net, epoch=1, epochs=3)
    initialize_from_data(net, torch.randn(16, 3, 8, 8))
    return net.eval()


@pytest.mark.parametrize("method", METHODS)
def test_a_packable_method_runs_everywhere(method: str, tmp_path: Path) -> None:
    net = network(method)
    x = torch.randn(5, 3, 8, 8)
    packable = method_info(method).packable
    assert packable.startswith(("yes", "onnx only: ", "no: "))
    if packable.startswith("no"):
        with pytest.raises(bw.nn.NotPackableError, match=f"method {method}") as error:
            freeze(net)
        assert packable.removeprefix("no: ") in str(error.value)
        return
    frozen = freeze(net)
    with torch.no_grad():
        wanted = net(x)
        assert torch.equal(frozen(x), wanted)
    to_onnx(frozen, x[:2], tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    got = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    np.testing.assert_allclose(got, wanted.numpy(), rtol=1e-4, atol=1e-4)
    alone = not packable.startswith("onnx only")
    if not alone:  # what the engine lacks runs in onnxruntime
        with pytest.raises(bw.compiler.UnsupportedModelError):
            bw.compiler.compile(tmp_path / "net.onnx", tmp_path / "net.bwm", native_only=True)
    bw.compiler.compile(tmp_path / "net.onnx", tmp_path / "net.bwm", native_only=alone)
    np.testing.assert_allclose(Session(tmp_path / "net.bwm").run(x.numpy()), wanted.numpy(), rtol=1e-4, atol=1e-4)
