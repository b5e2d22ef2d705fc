"""Whole sweeps, with real workers: resumed, killed, interrupted, hanging, refused, throttled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx import helper

from edgekit import MissingError
from edgekit.bench import Settings, sweep
from edgekit.telemetry import choose
from edgekit.telemetry.sample import Sample, boot_clock, wall_iso
from edgekit.telemetry.sampler import Sampler

QUICK = {"seconds": 0.1, "iterations": 3, "warm_up": 0.0, "sampler": "none", "idle": 0.1}
CPU = {"backends": ("onnxruntime-cpu",), **QUICK}


def command(*words: str | Path) -> list[str]:
    quick = ["--seconds", "0.1", "--iterations", "3", "--warm-up", "0", "--sampler", "none"]
    here = ["--backend", "onnxruntime-cpu", *quick]
    return [sys.executable, "-m", "edgekit", "bench", *map(str, words), *here]


def lines(folder: Path) -> list[dict]:
    file = folder / "rows.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.slow
def test_a_yolo_in_two_precisions_and_batches(yolo: Path, tmp_path: Path) -> None:
    from made_data import yolo_set

    data = str(yolo_set(tmp_path / "set", {"a": "0 .5 .5 .5 .5", "b": ""}))
    said: list[str] = []
    settings = Settings((str(yolo),), ("fp32", "int8", "fp16"), (1, 3), dataset=data, **CPU)
    found = sweep(settings, said.append)
    rows = {(r["part"], r["precision"], r["batch"]): r for r in found.rows}
    ways = {(p, q, b) for p in ("engine", "pipeline") for q in ("fp32", "int8") for b in (1, 3)}
    assert set(rows) == ways | {("accuracy", "fp32", 1), ("accuracy", "int8", 1)}
    assert not found.failed
    (note,) = found.notes
    assert "no fp16 kernels" in note
    for (part, precision, batch), row in rows.items():
        assert (row["backend"], row["precision"]) == ("onnxruntime-cpu", precision)
        if part == "accuracy":
            assert 0 <= row["AP"] <= 1
            assert row["pictures"] == 2
            continue
        assert row["throughput"] == pytest.approx(1000 / row["latency_ms"] * batch)
        assert row["iterations"] >= 3 == len(row["times_ms"][:3])
        assert set(row["stages_ms"]) == (
            {"pre", "infer", "post"} if part == "pipeline" else {"upload", "infer", "download"}
        )
        assert row["watts"] is None
        assert row["power_unknown"]
        assert 20 < row["memory_mb"] < 2000
    assert len(found.pareto()) == 2
    assert any("[1/" in line for line in said)
    text = found.text()
    assert "Accuracy × latency × joules" in text


def test_what_is_there_is_not_measured_again(yolo: Path, tmp_path: Path) -> None:
    settings = Settings((str(yolo),), ("fp32",), out=tmp_path, parts=("engine",), **CPU)
    first = sweep(settings)
    said: list[str] = []
    second = sweep(settings, said.append)
    assert second.rows == first.rows
    assert len(lines(tmp_path)) == 1
    assert said == [f"1 of 1 rows are in {tmp_path / 'rows.jsonl'} already (--again measures them anew)"]
    anew = sweep(Settings((str(yolo),), ("fp32",), out=tmp_path, parts=("engine",), again=True, **CPU))
    assert anew.rows[0]["date"] > first.rows[0]["date"]
    assert len(lines(tmp_path)) == 2
    more = Settings((str(yolo),), ("fp32",), (1, 2), out=tmp_path, parts=("engine",), **CPU)
    assert [r["batch"] for r in sweep(more).rows] == [1, 2]
    assert len(lines(tmp_path)) == 3


def test_no_yolo_and_a_batch_that_cannot_be_opened(net: Path, tmp_path: Path) -> None:
    model = onnx.load(net)
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(helper.make_node("Reshape", ["before", "shape"], ["output0"]))
    shape = onnx.numpy_helper.from_array(np.array([1, 16, 32, 32], np.int64), "shape")
    model.graph.initializer.append(shape)
    fixed = tmp_path / "fixed.onnx"
    onnx.save(model, fixed)
    found = sweep(Settings((str(fixed), str(net)), ("fp32",), (1, 2), **CPU))
    assert [(r["model"], r["part"], r["batch"]) for r in found.rows] == [
        ("fixed.onnx", "engine", 1),
        ("net.onnx", "engine", 1),
        ("net.onnx", "engine", 2),
    ]
    assert any("fixed.onnx holds its batch size inside" in note for note in found.notes)
    assert any("fixed.onnx is no YOLO" in note for note in found.notes)


def test_a_back_end_that_is_not_here_is_a_note(net: Path) -> None:
    from edgekit.engine.onnxruntime import cuda_missing

    if cuda_missing() is None:
        pytest.fail("this test is for a machine without CUDA: choose another back end that is absent")
    found = sweep(Settings((str(net),), backends=("onnxruntime-cuda",), parts=("engine",), **QUICK))
    assert found.rows == []
    assert "onnxruntime-gpu" in found.notes[0]


def test_a_worker_that_dies_is_one_failed_row_and_is_tried_again(yolo: Path, tmp_path: Path) -> None:
    """The worker kills itself at batch 2, as the kernel would."""
    code = "import io, json, os, sys; from edgekit.bench import worker\n"
    code += "case = json.loads(sys.stdin.read()); sys.stdin = io.StringIO(json.dumps(case))\n"
    code += "os.kill(os.getpid(), 9) if case['batch'] == 2 else sys.exit(worker.main())"
    settings = Settings((str(yolo),), ("fp32",), (1, 2, 3), out=tmp_path, parts=("engine",), **CPU)
    found = sweep(settings, command=[sys.executable, "-c", code])
    assert [("failed" in r, r["batch"]) for r in found.rows] == [(False, 1), (True, 2), (False, 3)]
    assert "SIGKILL" in found.failed[0]["failed"]
    assert "SIGKILL" in found.text()
    again = sweep(settings)
    assert not again.failed
    assert len(lines(tmp_path)) == 4


def test_a_worker_that_hangs_is_ended_by_the_limit(yolo: Path) -> None:
    code = "import time; time.sleep(60)"
    settings = Settings((str(yolo),), ("fp32",), parts=("engine", "pipeline"), time_limit=1.0, **CPU)
    begun = time.monotonic()
    found = sweep(settings, command=[sys.executable, "-c", code])
    assert time.monotonic() - begun < 30
    assert [r["failed"] for r in found.rows] == ["not done after 1 s (--time-limit), and ended"] * 2


class Hot:
    """A board that throttles."""

    name, why, emulated, paced = "hot", "it is hot", True, False

    def __init__(self, throttle: tuple[str, ...]) -> None:
        self.throttle = throttle

    def read(self) -> Sample:
        return Sample(
            boot_clock(),
            wall_iso(),
            "emulated board",
            emulated=True,
            power_total_mw=7000.0,
            power_total_name="VDD_IN",
            power_total_kind="input",
            temps_c={"cpu": 97.0},
            throttle=self.throttle,
        )

    def close(self) -> None:
        pass


@pytest.mark.parametrize("throttle", [("thermal",), ()])
def test_a_throttled_run_is_not_called_clean(
    yolo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, throttle: tuple[str, ...]
) -> None:
    monkeypatch.setattr(choose, "open_sampler", lambda name, interval: Sampler(Hot(throttle), 0.1))
    from edgekit.cli import main

    words = ["bench", str(yolo), "--engine", "--backend", "onnxruntime-cpu", "--iterations", "3"]
    words += ["--seconds", "0.5", "--warm-up", "0", "--strict", "--out", str(tmp_path)]
    assert main(words) == (1 if throttle else 0)
    (row,) = lines(tmp_path)
    assert bool(row["unclean"]) == bool(throttle)
    assert row["watts"] == pytest.approx(7)
    assert row["joules"] == pytest.approx(7 * (row["end_s"] - row["start_s"]), rel=1e-6)
    assert row["fps_per_w"] == pytest.approx(row["throughput"] / 7)
    assert row["temp_end_c"] == 97
    for name in ("bench.md", "bench.html", "bench.csv"):
        text = (tmp_path / name).read_text()
        assert ("held down" in text) == bool(throttle), name
        assert "emulated" in text


def test_trtexec_beside_ours(yolo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from test_trtexec import V10, stand_in

    stand_in(tmp_path, V10)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = sweep(Settings((str(yolo),), ("fp32",), (2,), parts=("engine",), **CPU))
    assert found.rows[0]["trtexec_ms"] == 0.752
    assert "--shapes=images:2x3x64x64" in (tmp_path / "words.txt").read_text()
    assert "trtexec ms" in found.text()


def test_a_sampler_that_is_not_there_is_said_before_anything_is_measured(yolo: Path) -> None:
    with pytest.raises(MissingError):
        sweep(Settings((str(yolo),), **{**CPU, "sampler": "jtop"}))


def wait_for_rows(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(lines(folder)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_killed_in_mid_sweep_and_gone_on_with(yolo: Path, tmp_path: Path) -> None:
    words = command(
        yolo, "--engine", "--precision", "fp32", "--batch", "1", "2", "3", "--out", tmp_path / "out"
    )
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_rows(process, tmp_path / "out", 1)
    deadline = time.monotonic() + 30
    while not (workers := psutil.Process(process.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    for worker in workers:
        worker.wait(timeout=15)
    with open(tmp_path / "out" / "rows.jsonl", "ab") as file:
        file.write(b'{"key": "cut')  # as a kill in mid-write would leave it
    before = len(lines_of_whole(tmp_path / "out"))
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"{before} of 3 rows are in" in done.stderr
    assert [row["batch"] for row in lines(tmp_path / "out")] == [1, 2, 3]


def lines_of_whole(folder: Path) -> list[str]:
    return [line for line in (folder / "rows.jsonl").read_text().splitlines(True) if line.endswith("\n")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_whole_rows_and_tables(yolo: Path, tmp_path: Path, number: int) -> None:
    out = tmp_path / "out"
    batches = [str(n) for n in range(1, 20)]
    words = command(yolo, "--engine", "--precision", "fp32", "--batch", *batches, "--out", out)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_rows(process, out, 1)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "interrupted" in stderr
    assert 1 <= len(lines(out)) < 19
    assert (out / "bench.md").is_file()
    assert "yolo.onnx" in stdout


def test_the_command_says_one_clear_thing(yolo: Path, tmp_path: Path) -> None:
    for words, code, message in (
        (["--batch", "0"], 2, "a batch is 1 or more"),
        (["nothing.onnx"], 2, "nothing.onnx"),
        (["--precision", "fp8"], 2, "fp8"),
        ([str(yolo), "--out", __file__], 2, "cannot be a folder"),
        ([str(yolo), "--dataset", str(tmp_path)], 2, "holds no data set"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "edgekit", "bench", *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
