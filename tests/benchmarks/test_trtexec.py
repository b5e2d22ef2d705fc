"""trtexec's own figures, read from what TensorRT 7 to 10 print, and from a stand-in that prints it."""
# ruff: noqa: E501 - the lines are as trtexec prints them

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.bench.trtexec import find_trtexec, parse, run_trtexec

# Lines as in public reports (NVIDIA/TensorRT issues 1221, 3747 and 4177), with other figures.
OLD = """\
[06/23/2021-13:24:48] [I] Average on 10 runs - GPU latency: 6.1 ms - Host latency: 6.2 ms (end to end 6.3 ms, enqueue 2.6 ms)
[06/23/2021-13:24:48] [I] === Performance summary ===
[06/23/2021-13:24:48] [I] Throughput: 157.184 qps
[06/23/2021-13:24:48] [I] Latency: min = 6.1 ms, max = 8.2 ms, mean = 6.5 ms, median = 6.25 ms, percentile(99%) = 8.1 ms
[06/23/2021-13:24:48] [I] End-to-End Host Latency: min = 9 ms, max = 9 ms, mean = 9 ms, median = 9 ms, percentile(99%) = 9 ms
"""
NEW = """\
&&&& RUNNING TensorRT.trtexec [TensorRT v{tag}] # trtexec --loadEngine=a.plan
[10/03/2024-10:47:52] [I] TensorRT version: {version}
[10/03/2024-10:47:59] [I] === Performance summary ===
[10/03/2024-10:47:59] [I] Throughput: 1302.98 qps
[10/03/2024-10:47:59] [I] Latency: min = 0.71 ms, max = 1.3 ms, mean = 0.76 ms, median = 0.752 ms, percentile(90%) = 0.8 ms, percentile(95%) = 0.86 ms, percentile(99%) = 1.29 ms
[10/03/2024-10:47:59] [I] Enqueue Time: min = 2.7 ms, max = 15.0 ms, mean = 7.6 ms, median = 7.8 ms, percentile(90%) = 10.1 ms, percentile(95%) = 11.7 ms, percentile(99%) = 14.1 ms
[10/03/2024-10:47:59] [I] H2D Latency: min = 0.006 ms, max = 0.06 ms, mean = 0.01 ms, median = 0.008 ms, percentile(90%) = 0.02 ms, percentile(95%) = 0.02 ms, percentile(99%) = 0.05 ms
[10/03/2024-10:47:59] [I] GPU Compute Time: min = 5.3 ms, max = 13.3 ms, mean = 7.5 ms, median = 7.1 ms, percentile(90%) = 10.2 ms, percentile(95%) = 10.8 ms, percentile(99%) = 12.9 ms
[10/03/2024-10:47:59] [I] Total Host Walltime: 3.00082 s
&&&& PASSED TensorRT.trtexec [TensorRT v{tag}] # trtexec --loadEngine=a.plan
"""
V8, V10 = NEW.format(tag="8603", version="8.6.3"), NEW.format(tag="100300", version="10.3.0")


@pytest.mark.parametrize(
    ("text", "median", "p95", "qps", "version"),
    [
        (OLD, 6.25, None, 157.184, None),
        (V8, 0.752, 0.86, 1302.98, "8.6.3"),
        (V10, 0.752, 0.86, 1302.98, "10.3.0"),
    ],
)
def test_the_latency_line_is_read_and_no_other(text, median, p95, qps, version) -> None:
    assert parse(text) == {
        "trtexec_ms": median,
        "trtexec_p95_ms": p95,
        "trtexec_qps": qps,
        "trtexec_version": version,
    }


@pytest.mark.parametrize(
    "text", ["", "&&&& FAILED", "[I] Latency: min = 1 ms", "[I] H2D Latency: median = 1 ms"]
)
def test_output_without_a_median_has_no_figures(text: str) -> None:
    assert parse(text) == {}


def stand_in(folder: Path, text: str, code: int = 0, wait: float = 0) -> str:
    """A program called trtexec that notes its words and prints `text`."""
    (folder / "said.txt").write_text(text)
    program = folder / "trtexec"
    program.write_text(
        f'#!/bin/sh\necho "$@" > {folder}/words.txt\nsleep {wait}\ncat {folder}/said.txt\nexit {code}\n'
    )
    program.chmod(0o755)
    return str(program)


def test_it_is_found_in_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = stand_in(tmp_path, V10)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_trtexec() == program


def test_a_plan_is_loaded_and_an_onnx_file_is_built(tmp_path: Path) -> None:
    program = stand_in(tmp_path, V10)
    found = run_trtexec(program, Path("a.plan"), "fp16", {}, 3.0, 30)
    assert found["trtexec_ms"] == 0.752
    assert (tmp_path / "words.txt").read_text().split() == [
        "--duration=3",
        "--warmUp=500",
        "--loadEngine=a.plan",
    ]
    shapes = {"images": (4, 3, 64, 64)}
    run_trtexec(program, Path("a.onnx"), "fp16", shapes, 0.2, 30)
    words = (tmp_path / "words.txt").read_text().split()
    assert words[0] == "--duration=1"
    assert words[2:] == ["--onnx=a.onnx", "--fp16", "--shapes=images:4x3x64x64"]


@pytest.mark.parametrize(
    ("text", "code", "wait", "words"),
    [
        ("[E] Error[1]: no GPU\n&&&& FAILED TensorRT.trtexec", 1, 0, "no GPU"),
        (V10, 1, 0, "code 1"),
        ("nothing", 0, 0, "no latency printed"),
        (V10, 0, 20, "did not run to its end"),
    ],
)
def test_what_goes_wrong_is_told(tmp_path: Path, text: str, code: int, wait: float, words: str) -> None:
    found = run_trtexec(
        stand_in(tmp_path, text, code, wait), Path("a.plan"), "fp16", {}, 1, 1.0 if wait else 30
    )
    assert words in found["trtexec_failed"]
    assert "trtexec_ms" not in found
