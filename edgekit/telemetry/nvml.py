"""NVIDIA GPUs of a PC or server: power, energy, heat, load and what holds the clocks down, by NVML."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from edgekit.errors import MissingError
from edgekit.telemetry.sample import Sample, boot_clock, wall_iso
from edgekit.telemetry.sampler import ProbeError
from edgekit.telemetry.sysfs import CpuLoad

#: Bits of NVML's clock event reasons that mean throttling, and our words. Idle, clocks that the user set and
#: display clocks are none (https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html).
REASONS = {
    "nvmlClocksThrottleReasonSwPowerCap": "power cap",
    "nvmlClocksThrottleReasonHwSlowdown": "hardware slowdown",
    "nvmlClocksThrottleReasonSwThermalSlowdown": "thermal (driver)",
    "nvmlClocksThrottleReasonHwThermalSlowdown": "thermal (hardware)",
    "nvmlClocksThrottleReasonHwPowerBrakeSlowdown": "power brake",
}
_NO_MODE = dict.fromkeys(("power_mode", "jetson_clocks", "oc_events"), "not a Jetson")


def open_nvml() -> NvmlProbe:
    """A probe of the GPU that CUDA_VISIBLE_DEVICES names first, or of GPU 0.

    Raises:
        MissingError: no NVIDIA driver, no nvidia-ml-py, no GPU to be seen, or one that does not tell its
            power, as a Jetson Orin's.
    """
    try:
        import pynvml
    except ImportError as error:
        raise MissingError("nvidia-ml-py is not installed; cure: pip install nvidia-ml-py") from error
    return NvmlProbe(pynvml)


class NvmlProbe:
    """A `Probe`.

    Args:
        nvml: the module `pynvml` of nvidia-ml-py.
    """

    name, emulated, paced = "nvml", False, False

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._lock = threading.Lock()
        self._closed = False
        self._gpu: Any = None
        self._cpu = CpuLoad()
        self._begin()
        try:
            self._power()
        except nvml.NVMLError as error:
            self.close()
            raise MissingError(f"{self._title} does not tell its power through NVML ({error})") from error
        self.why = f"power of {self._title} by its driver"

    def _begin(self) -> None:
        """Open the library and find the GPU."""
        nvml = self._nvml
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            raise MissingError(f"no NVIDIA driver answers here ({error})") from error
        try:
            self._gpu, self._meter, note = find_gpu(nvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
            self._title = f"{text(nvml.nvmlDeviceGetName(self._gpu))} ({self._meter}){note}"
            self._source = f"nvml {text(nvml.nvmlSystemGetDriverVersion())}"
        except nvml.NVMLError as error:
            self._end()
            raise MissingError(f"NVML shows no GPU ({error})") from error
        except MissingError:
            self._end()
            raise

    def _end(self) -> None:
        self._gpu = None
        with suppress(self._nvml.NVMLError):  # where the driver went first
            self._nvml.nvmlShutdown()

    def read(self) -> Sample:
        """One reading; ProbeError where the GPU answers nothing any more."""
        with self._lock:
            return self._read()

    def _read(self) -> Sample:
        import psutil

        if self._closed:
            raise ProbeError("it is closed")
        if self._gpu is None:
            try:
                self._begin()
            except MissingError as error:
                raise ProbeError(str(error)) from error
        nvml, gpu, missing = self._nvml, self._gpu, dict(_NO_MODE)

        def ask(field: str, function: Callable[..., Any], *args: Any) -> Any:
            try:
                return function(*args)
            except nvml.NVMLError as error:
                missing[field] = f"NVML: {error}"
                return None

        t_boot_s, t_wall_iso = boot_clock(), wall_iso()
        power = ask("power_total_mw", self._power)
        energy = ask("energy_mj", nvml.nvmlDeviceGetTotalEnergyConsumption, gpu)
        heat = ask("temps_c", nvml.nvmlDeviceGetTemperature, gpu, nvml.NVML_TEMPERATURE_GPU)
        if power is None and energy is None and heat is None:
            self._end()  # the next reading begins anew
            raise ProbeError(f"{self._title} gives no figure any more: {missing['power_total_mw']}")
        load = ask("gpu_load_pct", nvml.nvmlDeviceGetUtilizationRates, gpu)
        clock = ask("gpu_freq_khz", nvml.nvmlDeviceGetClockInfo, gpu, nvml.NVML_CLOCK_SM)
        held = ask("throttle", nvml.nvmlDeviceGetCurrentClocksThrottleReasons, gpu)
        cpu_load = self._cpu.read()
        if cpu_load is None:
            missing["cpu_load_pct"] = "too little time since the last reading"
        memory = psutil.virtual_memory()
        return Sample(
            t_boot_s=t_boot_s,
            t_wall_iso=t_wall_iso,
            source=self._source,
            power_total_mw=power,
            power_total_name=self._meter,
            power_total_kind="gpu",
            rails_mw={} if power is None else {self._meter: power},
            energy_mj={} if energy is None else {self._meter: energy},
            temps_c={} if heat is None else {"gpu": heat},
            gpu_load_pct=None if load is None else load.gpu,
            gpu_freq_khz=None if clock is None else clock * 1000,
            cpu_load_pct=None if cpu_load is None else round(cpu_load, 2),
            ram_used_kb=(memory.total - memory.available) // 1024,
            fan_pct=ask("fan_pct", nvml.nvmlDeviceGetFanSpeed, gpu),
            throttle=tuple(words for bit, words in REASONS.items() if (held or 0) & getattr(nvml, bit)),
            missing=missing,
        )

    def _power(self) -> float:
        """mW of this moment; where the driver has no such figure, its mean over the last second."""
        nvml = self._nvml
        with suppress(nvml.NVMLError):
            (value,) = nvml.nvmlDeviceGetFieldValues(self._gpu, [nvml.NVML_FI_DEV_POWER_INSTANT])
            if value.nvmlReturn == nvml.NVML_SUCCESS and value.value.uiVal:
                return float(value.value.uiVal)
        return float(nvml.nvmlDeviceGetPowerUsage(self._gpu))

    def close(self) -> None:
        """Let go of the library; waits for a reading that is under way."""
        with self._lock:
            if not self._closed:
                self._closed = True
                if self._gpu is not None:
                    self._end()


def find_gpu(nvml: Any, visible: str | None) -> tuple[Any, str, str]:
    """Handle, name of the meter ("gpu0") and a note for `why`, of the GPU that CUDA would take first.

    Args:
        nvml: the module, initialised.
        visible: CUDA_VISIBLE_DEVICES; None: not set.

    Raises:
        MissingError: no such GPU.
    """
    count = nvml.nvmlDeviceGetCount()
    first = "0" if visible is None else visible.split(",")[0].strip()
    hint = f"CUDA_VISIBLE_DEVICES={visible!r} names none of the {count} GPUs here"
    if first.isdigit():
        if int(first) >= count:
            raise MissingError("NVML shows no GPU" if visible is None else hint)
        note = ""
        if count > 1 and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
            note = f", the {int(first) + 1}. of {count} in the order of their slots, which may not be CUDA's"
        return nvml.nvmlDeviceGetHandleByIndex(int(first)), f"gpu{int(first)}", note
    if first.startswith("MIG-"):
        part = nvml.nvmlDeviceGetHandleByUUID(first.encode())
        gpu = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(part)
        return gpu, f"gpu{nvml.nvmlDeviceGetIndex(gpu)}", ", all of it and not the MIG slice alone"
    for index in range(count):
        gpu = nvml.nvmlDeviceGetHandleByIndex(index)
        if first and text(nvml.nvmlDeviceGetUUID(gpu)).startswith(first):
            return gpu, f"gpu{index}", ""
    raise MissingError(hint)


def text(value: str | bytes) -> str:
    """Older versions of nvidia-ml-py give bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
