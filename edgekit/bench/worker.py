"""One case in a process of its own: `python -m edgekit.bench.worker`, case in and figures out as JSON.

Nothing but the answer goes to standard output. The process ends when the pipe given by EDGEKIT_BENCH_ALIVE
is closed, so that it does not outlive a sweep that was killed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.limits import read_text, usable_cores
from edgekit.telemetry.sample import boot_clock

#: Name of the variable that holds the number of the pipe's reading end.
ALIVE = "EDGEKIT_BENCH_ALIVE"
#: Times kept of a case; of more, the rest counts in the figures all the same.
KEPT = 5000


def main() -> int:
    """Read a case from standard input, measure it, and write the answer to standard output."""
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries that print do not spoil the answer
    if ALIVE in os.environ:
        threading.Thread(target=_die_with, args=(int(os.environ[ALIVE]),), daemon=True).start()
    case = json.loads(sys.stdin.read())
    try:
        found = measure(case)
    except (InputError, MissingError) as error:
        found = {"refused": str(error)}
    except EdgekitError as error:
        found = {"failed": str(error)}
    except MemoryError:
        found = {"failed": "out of memory"}
    answer.write(json.dumps(found) + "\n")
    answer.close()
    return 0


def _die_with(pipe: int) -> None:
    os.read(pipe, 1)  # returns when the other end is closed
    os._exit(1)


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """The figures of a case.

    Args:
        case: the fields of a `Case`; "part" may also be "prepare", which only makes the files.
    """
    from edgekit.bench import calls
    from edgekit.engine.exact import open_exact

    with ExitStack() as stack:
        engine = stack.enter_context(
            open_exact(
                case["model"],
                case["precision"],
                case["backend"],
                batch=case["batch"],
                calibration=case["calibration"] or None,
            )
        )
        about = {
            "backend": engine.backend,
            "precision": engine.precision,
            "on": engine.device,
            "why": engine.why,
            "file": str(getattr(engine, "path", "")),
        }
        if case["part"] == "prepare":
            if case.get("detector"):
                stack.enter_context(calls.open_detector(engine, case))
            return about
        if case["part"] == "accuracy":
            return (
                calls.accuracy(stack, engine, case) | about
            )  # whose "precision" is of numbers, not of boxes
        call, stages = calls.to_time(stack, engine, case)
        found = timed(call, stages, case["seconds"], case["iterations"], case["warm_up"])
        return about | found | _memory(engine)


def timed(
    call: Callable[[], Any],
    stages: Callable[[], dict[str, float]],
    seconds: float,
    iterations: int,
    warm_up: float,
) -> dict[str, Any]:
    """Times of `call`: so many and for so long at least, after warming up.

    Returns:
        Milliseconds, `start_s` and `end_s` on the boot clock, medians of the stages, and how busy this
        process kept the cores it may use.
    """
    until, warmed = time.perf_counter() + warm_up, 0
    while warmed < 2 or time.perf_counter() < until:
        call()
        warmed += 1
    times: list[float] = []
    parts: dict[str, list[float]] = {}
    start, busy = boot_clock(), time.process_time()
    before = begun = time.perf_counter()
    while len(times) < iterations or before - begun < seconds:
        call()
        now = time.perf_counter()
        times.append(now - before)
        for name, value in stages().items():
            parts.setdefault(name, []).append(value)
        before = time.perf_counter()
    end, busy = boot_clock(), time.process_time() - busy
    ms = np.array(times) * 1000
    return {
        "latency_ms": float(np.median(ms)),
        "p95_ms": float(np.percentile(ms, 95)),
        "min_ms": float(ms.min()),
        "iterations": len(ms),
        "times_ms": [round(float(value), 4) for value in ms[:KEPT]],
        "stages_ms": {name: float(np.median(values)) * 1000 for name, values in parts.items()},
        "start_s": start,
        "end_s": end,
        "cpu_s": busy,
        "cpu_pct": 100 * busy / (end - start) / usable_cores(),
        "cpu_mhz": cpu_mhz(),
    }


def cpu_mhz() -> float | None:
    """Mean clock of the CPU's cores at this moment, None where the kernel does not say."""
    files = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
    khz = [int(text) for file in files if (text := read_text(file)) and text.isdigit()]
    if khz:
        return float(np.mean(khz)) / 1000
    lines = (read_text(Path("/proc/cpuinfo")) or "").splitlines()
    mhz = [float(line.partition(":")[2]) for line in lines if line.lower().startswith("cpu mhz")]
    return float(np.mean(mhz)) if mhz else None


def _memory(engine: Any) -> dict[str, Any]:
    """Peak resident memory of this process, and the GPU's as far as it can be told, in MB (10⁶ bytes)."""
    return {
        "memory_mb": peak_mb(),
        "gpu_memory_mb": _gpu_mb() if on_gpu_words(engine.backend, engine.device) else None,
    }


def on_gpu_words(backend: str, device: str) -> bool:
    """Whether a back end on a device (in words) computes on a GPU."""
    return backend in ("tensorrt", "onnxruntime-cuda") or (
        backend == "pytorch" and not device.startswith("CPU")
    )


def peak_mb() -> float | None:
    """The kernel's own high-water mark. Not `getrusage`, which begins with that of the parent."""
    for line in (read_text(Path("/proc/self/status")) or "").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return None


def _gpu_mb() -> float | None:
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            used = [
                process.usedGpuMemory
                for i in range(pynvml.nvmlDeviceGetCount())
                for process in pynvml.nvmlDeviceGetComputeRunningProcesses(
                    pynvml.nvmlDeviceGetHandleByIndex(i)
                )
                if process.pid == os.getpid() and process.usedGpuMemory
            ]
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # absent, or a board or container on which NVML does not tell
        return None
    return sum(used) / 1e6 if used else None


if __name__ == "__main__":
    sys.exit(main())
