"""Timing, and how a worker's end is told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgekit.bench.child import run_worker
from edgekit.bench.worker import KEPT, peak_mb, timed
from edgekit.telemetry.sample import boot_clock


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_times_are_those_of_the_calls() -> None:
    calls: list[float] = []

    def call() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.02 if len(calls) % 10 else 0.1)

    before = boot_clock()
    found = timed(call, lambda: {"infer": 0.005}, seconds=0.05, iterations=20, warm_up=0)
    assert found["iterations"] == 20 == len(found["times_ms"])
    assert len(calls) == 22, "two calls to warm up"
    ms = np.array(found["times_ms"])
    assert found["latency_ms"] == pytest.approx(np.median(ms), abs=1e-3)
    assert found["p95_ms"] == pytest.approx(np.percentile(ms, 95), abs=1e-3)
    assert 20 <= found["latency_ms"] < 60
    assert found["p95_ms"] >= 100
    assert found["stages_ms"] == {"infer": pytest.approx(5)}
    assert before <= found["start_s"] < found["end_s"] <= boot_clock()
    assert found["end_s"] - found["start_s"] >= ms.sum() / 1000 * 0.99
    assert found["cpu_pct"] < 50


def test_it_goes_on_until_the_seconds_are_over_and_keeps_only_so_many_times() -> None:
    found = timed(lambda: None, dict, seconds=0.2, iterations=1, warm_up=0.01)
    assert found["iterations"] > KEPT == len(found["times_ms"])
    assert found["end_s"] - found["start_s"] >= 0.2


def test_peak_memory_is_the_processes_own() -> None:
    """A parent of 300 MB does not count, an array of 200 MB that is gone again does."""
    parent = np.ones(300_000_000 // 8)
    code = "import numpy as np; from edgekit.bench.worker import peak_mb; a = peak_mb(); "
    code += "np.ones(200_000_000 // 8).sum(); print(a, peak_mb())"
    before, after = map(float, subprocess.check_output(python(code), text=True).split())
    assert parent[0] == 1
    assert peak_mb() > 300
    assert before < 200 < 200 + 0.5 * before < after < 200 + 2 * before


def test_an_answer_and_what_libraries_print(net: Path) -> None:
    case = {
        **{"model": str(net), "precision": "fp32", "backend": "onnxruntime-cpu", "batch": 2},
        **{"calibration": "", "part": "engine", "seconds": 0.05, "iterations": 3, "warm_up": 0},
    }
    found = run_worker(case, 60)
    assert (found["backend"], found["precision"]) == ("onnxruntime-cpu", "fp32")
    assert found["iterations"] >= 3
    assert set(found["stages_ms"]) == {"upload", "infer", "download"}
    assert 20 < found["memory_mb"] < 2000
    assert found["gpu_memory_mb"] is None
    assert "no YOLO" in run_worker({**case, "part": "pipeline"}, 60)["refused"]
    assert "runs in fp32, not in fp16" in run_worker({**case, "precision": "fp16"}, 60)["refused"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL, as the kernel does when memory runs out"),
        ("import os; os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("raise RuntimeError('no such layer')", "ended with code 1: RuntimeError: no such layer"),
        ("print('nothing of use')", "ended with code 0"),
        ("print('{\"latency_ms\": 1}'); raise SystemExit(3)", "ended with code 3"),
    ],
)
def test_a_worker_that_dies_says_why(code: str, words: str) -> None:
    assert words in run_worker({}, 30, python(code))["failed"]


def test_a_worker_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    code = "import os, subprocess, sys, time; child = subprocess.Popen(['sleep', '60']); "
    code += f"open({str(file)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}'); time.sleep(60)"
    begun = time.monotonic()
    assert "not done after 1.5 s" in run_worker({}, 1.5, python(code))["failed"]
    assert time.monotonic() - begun < 20
    for pid in map(int, file.read_text().split()):
        deadline = time.monotonic() + 5
        while _alive(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _alive(pid)


def test_a_worker_does_not_outlive_a_killed_parent() -> None:
    code = (
        "import sys; from edgekit.bench.child import run_worker\n"
        "inner = 'import os, threading, time; from edgekit.bench import worker; '\n"
        "inner += 'pipe = int(os.environ[worker.ALIVE]); '\n"
        "inner += 'threading.Thread(target=worker._die_with, args=(pipe,)).start(); '\n"
        "inner += 'print(os.getpid(), file=sys.stderr, flush=True); time.sleep(60)'\n"
        "run_worker({}, 60, [sys.executable, '-c', 'import sys; ' + inner])\n"
    )
    parent = subprocess.Popen(python(code))
    try:
        deadline = time.monotonic() + 30
        children: list[psutil.Process] = []
        while not children and time.monotonic() < deadline:
            time.sleep(0.1)
            children = psutil.Process(parent.pid).children()
        (child,) = children
        time.sleep(1.5)  # its imports
    finally:
        parent.kill()
        parent.wait()
    child.wait(timeout=10)


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_environment_of_the_parent_is_the_workers() -> None:
    os.environ["EDGEKIT_TEST_WORD"] = "abc"
    try:
        code = "import json, os; print(json.dumps({'word': os.environ['EDGEKIT_TEST_WORD']}))"
        assert run_worker({}, 30, python(code)) == {"word": "abc"}
    finally:
        del os.environ["EDGEKIT_TEST_WORD"]
