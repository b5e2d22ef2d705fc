"""NVML: what a driver may answer, by a double whose names are those of nvidia-ml-py; and a real GPU."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pynvml as real
import pytest

from edgekit.errors import MissingError
from edgekit.telemetry.choose import open_sampler
from edgekit.telemetry.energy import COUNTER, TRAPEZOID, energy
from edgekit.telemetry.log import Log
from edgekit.telemetry.nvml import REASONS, NvmlProbe, find_gpu, open_nvml
from edgekit.telemetry.sample import Sample
from edgekit.telemetry.sampler import ProbeError, Sampler


class Double:
    """A module like `pynvml`: a driver with GPUs, whose functions can be told to fail.

    Whatever it is asked that nvidia-ml-py does not have fails the test.
    """

    NVMLError = real.NVMLError

    def __init__(self, gpus: int = 1) -> None:
        self.gpus = gpus
        self.open = 0
        self.fails: dict[str, int] = {}
        self.energy = 1_000_000
        self.reasons = real.nvmlClocksThrottleReasonGpuIdle
        self.asked: list[str] = []
        self.instant = 61_500

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith(("nvml", "NVML")):
            return object.__getattribute__(self, name)
        genuine = getattr(real, name)  # AttributeError where the real module lacks it
        if not callable(genuine) or name == "NVMLError":
            return genuine

        def call(*args: Any) -> Any:
            self.asked.append(name)
            if name in self.fails:
                raise real.NVMLError(self.fails[name])
            if name not in ("nvmlInit", "nvmlShutdown") and not self.open:
                raise real.NVMLError(real.NVML_ERROR_UNINITIALIZED)
            return getattr(self, f"do_{name.removeprefix('nvml')}")(*args)

        return call

    def do_Init(self) -> None:  # noqa: N802
        self.open += 1

    def do_Shutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def do_DeviceGetCount(self) -> int:  # noqa: N802
        return self.gpus

    def do_DeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def do_DeviceGetHandleByUUID(self, uuid: bytes) -> str:  # noqa: N802
        return "slice"

    def do_DeviceGetDeviceHandleFromMigDeviceHandle(self, handle: str) -> int:  # noqa: N802
        assert handle == "slice"
        return 1

    def do_DeviceGetIndex(self, gpu: int) -> int:  # noqa: N802
        return gpu

    def do_DeviceGetUUID(self, gpu: int) -> bytes:  # noqa: N802
        return f"GPU-{gpu}{gpu}aa-bb".encode()

    def do_DeviceGetName(self, gpu: int) -> bytes:  # noqa: N802
        return b"NVIDIA RTX 9000"

    def do_SystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.159.04"

    def do_DeviceGetFieldValues(self, gpu: int, fields: list[int]) -> list[Any]:  # noqa: N802
        assert fields == [real.NVML_FI_DEV_POWER_INSTANT]
        code = real.NVML_SUCCESS if self.instant else real.NVML_ERROR_NOT_SUPPORTED
        return [SimpleNamespace(nvmlReturn=code, value=SimpleNamespace(uiVal=self.instant))]

    def do_DeviceGetPowerUsage(self, gpu: int) -> int:  # noqa: N802
        return 60_000

    def do_DeviceGetTotalEnergyConsumption(self, gpu: int) -> int:  # noqa: N802
        self.energy += 30_000
        return self.energy

    def do_DeviceGetTemperature(self, gpu: int, sensor: int) -> int:  # noqa: N802
        assert sensor == real.NVML_TEMPERATURE_GPU
        return 48

    def do_DeviceGetUtilizationRates(self, gpu: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=37, memory=12)

    def do_DeviceGetClockInfo(self, gpu: int, clock: int) -> int:  # noqa: N802
        assert clock == real.NVML_CLOCK_SM
        return 1980

    def do_DeviceGetCurrentClocksThrottleReasons(self, gpu: int) -> int:  # noqa: N802
        return self.reasons

    def do_DeviceGetFanSpeed(self, gpu: int) -> int:  # noqa: N802
        return 30


@pytest.fixture(autouse=True)
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)


@pytest.fixture
def nvml() -> Iterator[Double]:
    double = Double()
    yield double
    assert double.open == 0, "the library was not let go"


def opened(nvml: Double) -> NvmlProbe:
    return NvmlProbe(nvml)


def test_a_sample(nvml: Double) -> None:
    probe = opened(nvml)
    sample = probe.read()
    assert sample.source == "nvml 580.159.04"
    assert sample.power_total_mw == 61_500
    assert (sample.power_total_name, sample.power_total_kind) == ("gpu0", "gpu")
    assert sample.rails_mw == {"gpu0": 61_500}
    assert sample.energy_mj == {"gpu0": 1_030_000}
    assert sample.temps_c == {"gpu": 48}
    assert sample.gpu_load_pct == 37
    assert sample.gpu_freq_khz == 1_980_000
    assert sample.fan_pct == 30
    assert sample.ram_used_kb is not None
    assert sample.throttle == ()
    assert probe.why == "power of NVIDIA RTX 9000 (gpu0) by its driver"
    probe.close()
    probe.close()


def test_a_driver_without_power_of_the_moment_gives_its_mean(nvml: Double) -> None:
    probe = opened(nvml)
    nvml.instant = 0
    assert probe.read().power_total_mw == 60_000
    nvml.fails["nvmlDeviceGetFieldValues"] = real.NVML_ERROR_FUNCTION_NOT_FOUND
    assert probe.read().power_total_mw == 60_000
    probe.close()


def test_every_reason_of_throttling_is_told_and_no_other(nvml: Double) -> None:
    probe = opened(nvml)
    bits = {
        name: getattr(real, name)
        for name in dir(real)
        if name.startswith("nvmlClocksThrottleReason") and not name.endswith(("All", "None"))
    }
    for name, bit in bits.items():
        nvml.reasons = bit
        words = {REASONS[n] for n in REASONS if bits[n] == bit}
        assert set(probe.read().throttle) == words, name
    silent = {name.removeprefix("nvmlClocksThrottleReason") for name in bits} - {
        name.removeprefix("nvmlClocksThrottleReason") for name, bit in bits.items() if name in REASONS
    }
    assert {"GpuIdle", "ApplicationsClocksSetting", "UserDefinedClocks", "DisplayClockSetting"} <= silent
    nvml.reasons = (
        bits["nvmlClocksThrottleReasonHwSlowdown"] | bits["nvmlClocksThrottleReasonHwThermalSlowdown"]
    )
    assert probe.read().throttle == ("hardware slowdown", "thermal (hardware)")
    probe.close()


FIELDS = {
    "nvmlDeviceGetTotalEnergyConsumption": "energy_mj",
    "nvmlDeviceGetTemperature": "temps_c",
    "nvmlDeviceGetUtilizationRates": "gpu_load_pct",
    "nvmlDeviceGetClockInfo": "gpu_freq_khz",
    "nvmlDeviceGetFanSpeed": "fan_pct",
    "nvmlDeviceGetCurrentClocksThrottleReasons": "throttle",
    "nvmlDeviceGetPowerUsage": "power_total_mw",
}


@pytest.mark.parametrize("function", FIELDS)
def test_what_is_not_supported_is_missing_and_the_rest_is_there(nvml: Double, function: str) -> None:
    probe = opened(nvml)
    nvml.instant = 0
    nvml.fails[function] = real.NVML_ERROR_NOT_SUPPORTED
    sample = probe.read()
    field = FIELDS[function]
    assert not getattr(sample, field)
    assert sample.missing[field] == "NVML: Not Supported"
    assert [name for name in FIELDS.values() if name in sample.missing] == [field]
    probe.close()


def test_every_function_it_calls_is_tested_to_fail(nvml: Double) -> None:
    probe = opened(nvml)
    nvml.instant = 0
    nvml.asked.clear()
    probe.read()
    assert set(nvml.asked) == {*FIELDS, "nvmlDeviceGetFieldValues"}
    probe.close()


def test_a_gpu_that_tells_no_power_is_left_to_other_samplers(nvml: Double) -> None:
    """As a Jetson Orin's."""
    nvml.instant = 0
    nvml.fails["nvmlDeviceGetPowerUsage"] = real.NVML_ERROR_NOT_SUPPORTED
    with pytest.raises(MissingError, match=r"RTX 9000 \(gpu0\) does not tell its power .*Not Supported"):
        opened(nvml)


@pytest.mark.parametrize(
    ("function", "code"),
    [
        ("nvmlInit", real.NVML_ERROR_LIBRARY_NOT_FOUND),
        ("nvmlInit", real.NVML_ERROR_DRIVER_NOT_LOADED),
        ("nvmlInit", real.NVML_ERROR_LIB_RM_VERSION_MISMATCH),
        ("nvmlDeviceGetCount", real.NVML_ERROR_NO_PERMISSION),
        ("nvmlDeviceGetHandleByIndex", real.NVML_ERROR_GPU_IS_LOST),
    ],
)
def test_no_driver(nvml: Double, function: str, code: int) -> None:
    nvml.fails[function] = code
    with pytest.raises(MissingError, match=str(real.NVMLError(code))):
        opened(nvml)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MissingError, match="pip install nvidia-ml-py"):
        open_nvml()


def test_a_driver_that_dies_and_comes_back(nvml: Double) -> None:
    with Sampler(opened(nvml), 0.1) as sampler:
        assert sampler.wait(2)
        for name in FIELDS:
            nvml.fails[name] = real.NVML_ERROR_GPU_IS_LOST
        nvml.fails["nvmlDeviceGetFieldValues"] = real.NVML_ERROR_GPU_IS_LOST
        until = time.monotonic() + 5
        while not sampler.note and time.monotonic() < until:
            time.sleep(0.01)
        assert "gives no figure any more" in sampler.note
        nvml.fails.clear()
        assert sampler.wait(2, timeout=5)
        assert sampler.note == ""


def test_closing_ends_the_readings(nvml: Double) -> None:
    probe = opened(nvml)
    errors = []

    def read_on() -> None:
        try:
            while True:
                probe.read()
        except ProbeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=read_on)
    thread.start()
    time.sleep(0.05)
    probe.close()
    thread.join(2)
    assert errors == ["it is closed"]


@pytest.mark.parametrize(
    ("visible", "meter"),
    [
        (None, "gpu0"),
        ("2", "gpu2"),
        ("1,0", "gpu1"),
        (" 3 ", "gpu3"),
        ("GPU-22aa", "gpu2"),
        ("GPU-11aa-bb,0", "gpu1"),
        ("MIG-1234", "gpu1"),
    ],
)
def test_the_gpu_is_the_one_that_cuda_sees_first(visible: str | None, meter: str) -> None:
    nvml = Double(gpus=4)
    nvml.nvmlInit()
    assert find_gpu(nvml, visible)[1] == meter


@pytest.mark.parametrize("visible", ["", "-1", "4", "GPU-55", "NoDevFiles"])
def test_a_choice_that_names_no_gpu(nvml: Double, monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    nvml.gpus = 4
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(MissingError, match=f"CUDA_VISIBLE_DEVICES='{visible}' names none of the 4 GPUs"):
        opened(nvml)


def test_several_gpus_whose_order_may_be_another(nvml: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml.gpus = 2
    probe = opened(nvml)
    assert "which may not be CUDA's" in probe.why
    probe.close()
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    probe = opened(nvml)
    assert "CUDA's" not in probe.why
    probe.close()


def both_ways(samples: list[Sample]) -> tuple[float, float]:
    """Joules by the hardware's counter and by the trapezoid, over the same seconds."""
    log = Log.of(samples, 0.1)
    start, end = float(log.t[5]), float(log.t[-5])
    counted = energy(log, start, end)
    summed = energy(Log.of([replace(one, energy_mj={}) for one in samples], 0.1), start, end)
    assert (counted.method, summed.method) == (COUNTER, TRAPEZOID)
    assert counted.joules is not None
    assert summed.joules is not None
    return counted.joules, summed.joules


@pytest.mark.gpu
def test_the_counter_and_the_trapezoid_of_an_idle_gpu_agree() -> None:
    """Ten seconds at 10 Hz; the figures come from the same meter by two ways."""
    with open_sampler("nvml", 0.1) as sampler:
        assert sampler.wait(100, timeout=30)
        samples = list(sampler.samples)
    counted, summed = both_ways(samples)
    assert counted == pytest.approx(summed, rel=0.05)
    last = samples[-1]
    assert last.power_total_mw is not None
    assert last.power_total_mw > 5_000
    assert 15 < last.temps_c["gpu"] < 100
    assert last.gpu_freq_khz is not None
    assert 100_000 < last.gpu_freq_khz < 4_000_000


@pytest.mark.gpu
@pytest.mark.train
def test_the_counter_and_the_trapezoid_of_a_gpu_in_bursts_agree() -> None:
    """Work for 0.7 s, rest for 0.4 s: the power jumps, and the samples see it."""
    import torch

    square = torch.randn(8192, 8192, device="cuda", dtype=torch.float16)
    with open_sampler("nvml", 0.1) as sampler:
        end = time.monotonic() + 12
        while time.monotonic() < end:
            burst = time.monotonic() + 0.7
            while time.monotonic() < burst:
                for _ in range(5):
                    square @ square
                torch.cuda.synchronize()
            time.sleep(0.4)
        samples = list(sampler.samples)
    powers = [one.power_total_mw or 0.0 for one in samples]
    assert max(powers) > 1.5 * min(powers)
    counted, summed = both_ways(samples)
    sys.stdout.write(f"bursts: counter {counted:.1f} J, trapezoid {summed:.1f} J\n")
    assert counted == pytest.approx(summed, rel=0.1)
