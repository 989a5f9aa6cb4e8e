"""The table of GPUs, and the errors of the real one."""

from __future__ import annotations

import importlib.util

import pytest

from bitwright.tune import TuneError
from bitwright.tune.cuda import model, models, this_gpu
from bitwright.tune.cuda.devices import ARCHITECTURES, architecture_of, why_not_loaded


def test_every_model_has_sound_limits() -> None:
    for name in models():
        gpu = model(name)
        assert gpu.kind == "cuda"
        assert 48 << 10 < gpu.number("smem") <= gpu.number("smem_sm") <= 256 << 10
        assert 10 <= gpu.number("sms") <= 256
        assert gpu.number("l2") >= 4 << 20
        assert gpu.number("threads_sm") in (1024, 1536, 2048)
    assert {model(name).number("cc") for name in models()} == set(ARCHITECTURES)


def test_environments_differ() -> None:
    environments = {model(name).environment for name in models()}
    assert len(environments) == len(models())


def test_what_is_native() -> None:
    by_cc = {cc: a.b1 for cc, a in ARCHITECTURES.items()}
    assert by_cc[75] == "xor"
    assert {by_cc[cc] for cc in (80, 86, 87, 89)} == {"and+xor"}
    assert by_cc[90] == "and"
    assert {by_cc[cc] for cc in (100, 103, 120)} == {"none"}
    assert [a.target for a in ARCHITECTURES.values() if a.wgmma] == ["sm_90a"]


def test_unknown_ones() -> None:
    assert architecture_of(121).b1 == "none"
    assert architecture_of(121).target == "sm_121"
    with pytest.raises(TuneError, match=r"7\.0 is not supported; supported are 7\.5"):
        architecture_of(70)
    with pytest.raises(TuneError, match="unknown GPU 'h1000'; known are t4"):
        model("h1000")


def test_without_a_gpu_the_error_says_what_is_missing() -> None:
    if importlib.util.find_spec("cuda") is None:
        with pytest.raises(TuneError, match=r"pip install 'bitwright\[cuda\]'"):
            this_gpu()
        return
    try:
        found, problem = this_gpu(), ""
    except TuneError as error:
        found, problem = None, str(error)
    if found is None:
        assert "no CUDA device 0 can be used" in problem or "bitwright[cuda]" in problem
    else:
        assert found.number("cc") >= 75


def test_kernels_of_a_newer_cuda_than_the_driver() -> None:
    assert why_not_loaded(13000, "nvrtc 13.5") is None
    assert why_not_loaded(13050, "nvrtc 12.9") is None
    why = why_not_loaded(12080, "nvrtc 13.5")
    assert why is not None
    assert "the driver is of CUDA 12.8 and does not load kernels of nvrtc 13.5" in why
    assert "'cuda-bindings<13' with NVRTC 12" in why
