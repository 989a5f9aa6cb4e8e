"""The driver calls, against the names and argument counts of the real bindings: all that can be said without a GPU."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
import pytest

from bitwright.tune import TuneError
from bitwright.tune.cuda import devices, gpu
from bitwright.tune.cuda.compiler import Compiled
from bitwright.tune.cuda.families import Build
from bitwright.tune.cuda.gpu import Gpu

real = pytest.importorskip("cuda.bindings.driver")
BUILD = Build("finish", (("conv", 0), ("out", 0), ("threads", 128)), 128, 2048, "and")
VALUES = {
    "cuMemAlloc": 4096,
    "cuEventElapsedTime": 8.0,
    "cuCtxGetCurrent": "before",
    "cuDevicePrimaryCtxRetain": "context",
}


def parameters(function: Any) -> int:
    """How many arguments a function of the bindings takes, from the first line of its text."""
    inside = function.__doc__.split("\n")[0].partition("(")[2].rstrip(")")
    depth, count = 0, int(bool(inside))
    for letter in inside:
        depth += (letter in "[(") - (letter in ")]")
        count += letter == "," and depth == 0
    return count


class Driver:
    """Answers every call that the real bindings have with success; keeps the calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.arguments: dict[str, tuple[Any, ...]] = {}
        self.failing = ""

    def __getattr__(self, name: str) -> Any:
        found = getattr(real, name)
        if not name.startswith("cu") or name.startswith("cuGetError"):
            return found  # an enumeration

        def call(*arguments: Any) -> tuple[Any, ...]:
            assert len(arguments) == parameters(found), name
            self.calls.append(name)
            self.arguments[name] = arguments
            status = real.CUresult.CUDA_ERROR_INVALID_IMAGE if name == self.failing else real.CUresult.CUDA_SUCCESS
            return status, VALUES.get(name, name)

        return call

    def cuGetErrorName(self, status: Any) -> tuple[int, bytes]:
        assert callable(real.cuGetErrorName)
        return 0, real.CUresult(status).name.encode()


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    fake = Driver()
    monkeypatch.setattr("cuda.bindings.driver", fake)
    monkeypatch.setattr(devices, "this_gpu", lambda ordinal: None)
    monkeypatch.setattr(gpu, "compile_build", lambda build, arch, folder: Compiled(build.kernel, arch, b"\x7fELF"))
    return fake


def test_every_call_exists_and_takes_these_arguments(driver: Driver) -> None:
    machine = Gpu(0, "sm_90a")
    assert machine.upload(np.zeros(3, np.int32)) == 4096
    machine.fill(4096, 0xA5, 12)
    machine.download(4096, np.zeros(3, np.int32))
    machine.prepare([BUILD])
    kernel = machine.load(BUILD)
    arguments = (ctypes.c_int * 4)()
    machine.launch(kernel, BUILD, (3, 2, 1), arguments)  # type: ignore[arg-type]
    launch = driver.arguments["cuLaunchKernel"]
    assert launch[:8] == ("cuModuleGetFunction", 3, 2, 1, 128, 1, 1, 2048)
    assert launch[8] == "cuStreamCreate"
    assert machine.seconds(lambda: None, None) == 8e-3
    assert driver.arguments["cuDevicePrimaryCtxRetain"] == ("cuDeviceGet",)
    assert driver.arguments["cuCtxSetCurrent"] == ("context",)
    machine.release()
    assert driver.arguments["cuCtxSetCurrent"] == ("before",), "the thread's device is what it was"
    assert {"cuMemFree", "cuModuleUnload", "cuModuleLoadData", "cuFuncSetAttribute"} <= set(driver.calls)
    assert driver.arguments["cuFuncSetAttribute"][2] == 2048


def test_a_graph_times_what_it_captured(driver: Driver) -> None:
    machine = Gpu(0, "sm_90a")
    order: list[str] = []
    driver.calls.clear()
    replay = machine.graph(lambda: order.append("work"), lambda: order.append("flush"), 4)
    assert order == ["flush", *["work"] * 4]
    assert driver.calls == [
        "cuStreamBeginCapture",
        "cuEventRecordWithFlags",
        "cuEventRecordWithFlags",
        "cuStreamEndCapture",
        "cuGraphInstantiate",
        "cuGraphDestroy",
    ]
    assert replay() == 2e-3
    assert driver.calls[6:] == ["cuGraphLaunch", "cuStreamSynchronize", "cuEventElapsedTime"]
    machine.release()
    assert "cuGraphExecDestroy" in driver.calls


def test_an_error_of_the_driver_has_its_name(driver: Driver) -> None:
    machine = Gpu(0, "sm_90a")
    driver.failing = "cuModuleLoadData"
    with pytest.raises(TuneError, match="the CUDA driver says CUDA_ERROR_INVALID_IMAGE"):
        machine.load(BUILD)


def test_the_facts_of_a_gpu_exist() -> None:
    from cuda.core import Device

    properties = sys.modules[Device.__module__].DeviceProperties
    for name in (
        "compute_capability_major",
        "compute_capability_minor",
        "multiprocessor_count",
        "l2_cache_size",
        "max_shared_memory_per_block_optin",
        "max_shared_memory_per_multiprocessor",
        "max_threads_per_multiprocessor",
    ):
        assert hasattr(properties, name), name
    assert hasattr(Device, "name")
    assert hasattr(Device, "set_current")
    assert parameters(real.cuDriverGetVersion) == 0


def test_a_shipped_kernel_that_the_driver_refuses_is_compiled(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def compiled(build: Build, arch: str, folder: str | None, shipped: bool = True) -> Compiled:
        asked.append(shipped)
        driver.failing = "cuModuleLoadData" if shipped else ""
        return Compiled(build.kernel, arch, b"", shipped)

    monkeypatch.setattr(gpu, "compile_build", compiled)
    assert Gpu(0, "sm_80").load(BUILD) == "cuModuleGetFunction"
    assert asked == [True, False]


class Properties:
    """Of a Hopper GPU."""

    compute_capability_major, compute_capability_minor = 9, 0
    multiprocessor_count, l2_cache_size = 132, 50 << 20
    max_shared_memory_per_block_optin, max_shared_memory_per_multiprocessor = 227 << 10, 228 << 10
    max_threads_per_multiprocessor = 2048


class FakeDevice:
    """In cuda.core's place."""

    name, properties, made = "NVIDIA H100", Properties(), 0

    def __init__(self, ordinal: int) -> None:
        if ordinal > 0:
            raise ValueError(f"device_id must be 0, got {ordinal}")

    def set_current(self) -> None:
        FakeDevice.made += 1


def test_the_gpu_at_hand_is_read_and_the_thread_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Driver()
    monkeypatch.setattr("cuda.bindings.driver", fake)
    monkeypatch.setattr("cuda.core.Device", FakeDevice)
    monkeypatch.setitem(VALUES, "cuDriverGetVersion", 13000)
    monkeypatch.setattr(devices, "nvrtc_version", lambda: "nvrtc 13.5")
    found = devices.this_gpu()
    table = devices.model("h100")
    assert [(k, found[k]) for k, _ in table.facts] == list(table.facts)
    assert found.environment.endswith(" | driver 13, nvrtc 13.5")
    assert fake.calls == ["cuCtxGetCurrent", "cuCtxSetCurrent", "cuDriverGetVersion"]
    assert fake.arguments["cuCtxSetCurrent"] == ("before",)
    with pytest.raises(TuneError, match="no CUDA device 3 can be used: device_id must be 0, got 3"):
        devices.this_gpu(3)
    monkeypatch.setitem(VALUES, "cuDriverGetVersion", 12040)
    with pytest.raises(TuneError, match="update the driver"):
        devices.this_gpu()
