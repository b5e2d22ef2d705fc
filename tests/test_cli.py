"""The command line end to end, as a user runs it: a process, its files, its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import make_video, moving_square

from edgekit import open_source
from edgekit.cli import COMMANDS
from edgekit.sinks import read_lines


def edgekit(*words: str | Path, **kwargs) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgekit", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        **kwargs,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Path, str]:
    """The main job, once."""
    out = tmp_path_factory.mktemp("demo")
    done = edgekit("run", "yolo", "--source", "sample", "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_the_main_job_leaves_every_file_and_says_where(demo):
    out, words = demo
    for name in ("annotated.mp4", "results.jsonl", "table.txt"):
        assert (out / name).stat().st_size > 100
        assert str(out / name) in words
    for stage in ("capture", "pre", "infer", "post", "draw", "encode", "FPS", "back end", "edgekit-person"):
        assert stage in words


def test_the_main_job_finds_people_in_every_frame(demo):
    rows = read_lines(demo[0] / "results.jsonl")
    assert [row["index"] for row in rows] == list(range(80))
    for row in rows:
        assert (row["width"], row["height"]) == (768, 576)
        assert len(row["detections"]) >= 3
        for found in row["detections"]:
            assert found["name"] == "person"
            left, top, right, bottom = found["xyxy"]
            assert 0 <= left < right <= 768
            assert 0 <= top < bottom <= 576
            assert 0.25 <= found["score"] <= 1


def test_the_annotated_video_is_the_clip_with_boxes(demo):
    with open_source(demo[0] / "annotated.mp4") as drawn, open_source("sample") as clip:
        for new, old in zip(drawn, clip, strict=True):
            assert new.image.shape == old.image.shape
            assert (np.abs(new.image.astype(int) - old.image) > 60).mean() > 0.002


def test_the_summary_is_json_with_every_stage(demo):
    summary = json.loads((demo[0] / "summary.json").read_text())
    assert summary["frames"] == 80
    assert sum(row.get("share", 0) for row in summary["stages"].values()) == pytest.approx(1)
    assert summary["backend"]
    assert summary["why"]


def test_a_folder_of_odd_pictures(tmp_path):
    sample = cv2.imread(str(Path("edgekit/samples/people.jpg")))
    pictures = tmp_path / "in"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "1-odd.png"), sample[:575, :767])
    cv2.imwrite(str(pictures / "2-grey.png"), cv2.cvtColor(sample, cv2.COLOR_BGR2GRAY))
    cv2.imwrite(str(pictures / "3-deep.png"), sample.astype(np.uint16) * 257)
    cv2.imwrite(str(pictures / "4-alpha.png"), np.dstack([sample, np.full(sample.shape[:2], 255, np.uint8)]))
    cv2.imwrite(str(pictures / "5-tiny.png"), sample[:1, :1])
    done = edgekit("run", "yolo", "--source", pictures, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    rows = read_lines(tmp_path / "out" / "results.jsonl")
    counts = [len(row["detections"]) for row in rows]
    assert min(counts[:4]) >= 3
    assert counts[4] == 0
    assert {p.name for p in (tmp_path / "out" / "annotated").iterdir()} == {
        f"{p.stem}.jpg" for p in pictures.iterdir()
    }


def test_a_cut_video_is_done_as_far_as_it_goes_and_told_by_the_exit_code(tmp_path):
    whole = make_video(tmp_path / "a.mp4", moving_square(40, 240, 320), movflags="faststart")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    done = edgekit("run", "yolo", "--source", cut, "--out", tmp_path / "out")
    assert done.returncode == 4
    assert "of 40 frames" in done.stderr or "damaged" in done.stderr
    assert 0 < len(read_lines(tmp_path / "out" / "results.jsonl")) < 40


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "yolo", "--source", "nothing.mp4"], 2, "nothing.mp4 is not there"),
        (["run", "yolo", "--model", "yolov99"], 2, "yolov99"),
        (["run", "yolo", "--source", "/dev/video77"], 3, "video77"),
        (["run", "yolo", "--source", "sample", "--set", "speed=3"], 2, "it takes realtime, loop"),
        (["run", "yolo", "--source", "sample", "--set", "speed"], 2, "OPTION=VALUE"),
        (["run", "yolo", "--policy", "newest"], 2, "latest"),
        (["run", "yolo", "--score", "2"], 2, "between 0 and 1"),
        (["run", "yolo", "--classes", "zebra"], 2, "zebra"),
        (["run", "yolo", "--backend", "abacus"], 2, "abacus"),
        (["run"], 2, "TASK"),
        (["fly"], 2, "fly"),
        ([], 2, "COMMAND"),
    ],
)
def test_bad_words_are_one_clear_error_and_leave_nothing(tmp_path, words, code, message):
    out = ["--out", tmp_path / "out"] if words[:1] == ["run"] and len(words) > 1 else []
    done = edgekit(*words, *out)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_empty_file_and_a_file_for_a_folder(tmp_path):
    empty = tmp_path / "empty.mp4"
    empty.touch()
    done = edgekit("run", "yolo", "--source", empty, "--out", tmp_path / "out")
    assert (done.returncode, "empty.mp4 is empty" in done.stderr) == (2, True)
    done = edgekit("run", "yolo", "--source", "sample", "--out", empty)
    assert (done.returncode, "is a file; give a folder" in done.stderr) == (2, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_whole_files(tmp_path, number):
    clip = make_video(tmp_path / "long.mp4", moving_square(3000, 240, 320))
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "edgekit", "run", "yolo", "--source", clip, "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = out / "results.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (lines.exists() and lines.read_text().count("\n") > 20):
        time.sleep(0.1)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    rows = read_lines(lines)
    assert 20 < len(rows) < 3000
    with open_source(out / "annotated.mp4") as video:
        assert len(list(video)) == len(rows)
    assert "stopped before the source ended" in stdout


def test_options_reach_the_task(tmp_path):
    few, all_ = tmp_path / "few", tmp_path / "all"
    assert (
        edgekit("run", "yolo", "--score", "0.6", "--frames", "5", "--no-video", "--out", few).returncode == 0
    )
    assert (
        edgekit("run", "yolo", "--score", "0.05", "--frames", "5", "--no-video", "--out", all_).returncode
        == 0
    )
    strict, loose = (read_lines(p / "results.jsonl") for p in (few, all_))
    assert len(strict) == len(loose) == 5
    assert sum(len(r["detections"]) for r in strict) < sum(len(r["detections"]) for r in loose)
    assert all(d["score"] >= 0.6 for r in strict for d in r["detections"])
    assert not (few / "annotated.mp4").exists()


def test_bench_measures_the_engine_and_the_pipeline_and_prints_json():
    quick = ["--seconds", "0.2", "--iterations", "3", "--warm-up", "0", "--backend", "onnxruntime-cpu"]
    done = edgekit("bench", *quick, "--json")
    assert done.returncode == 0, done.stderr
    engine, pipeline = json.loads(done.stdout)["rows"]
    assert set(pipeline["stages_ms"]) == {"pre", "infer", "post"}
    for row in (engine, pipeline):
        assert (row["model"], row["precision"], row["batch"]) == ("edgekit-person", "fp32", 1)
        assert row["throughput"] == pytest.approx(1000 / row["latency_ms"])


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "train"])
def test_every_command_has_help(command):
    done = edgekit(command, "--help")
    assert done.returncode == 0, done.stderr
    assert "usage: edgekit" in done.stdout


def test_help_and_version_need_no_heavy_package():
    code = "import sys; from edgekit.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "heavy = {'cv2', 'onnx', 'onnxruntime', 'av', 'torch', 'matplotlib', 'scipy', 'rich'}\n"
    code += "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert command in done.stdout
    assert edgekit("--version").stdout.startswith("edgekit 0.")


def test_importing_edgekit_needs_only_numpy():
    code = "import sys, edgekit; heavy = {'cv2', 'onnx', 'onnxruntime', 'av'} & set(sys.modules)"
    code += "; sys.exit(', '.join(heavy) or 0)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_reader_that_goes_away_is_no_error():
    done = subprocess.run(  # noqa: S602 - the pipe is what is tested
        f"{sys.executable} -m edgekit models | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert "Traceback" not in done.stderr
