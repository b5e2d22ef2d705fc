"""The wheel carries the shelf, the network that ships and the samples, and works from anywhere."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    made = subprocess.run(
        [sys.executable, "-m", "uv", "build", "--wheel", "--out-dir", str(out), str(ROOT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, (
        f"the wheel was not built (is the package registry reachable?)\n{made.stderr}"
    )
    return next(out.glob("*.whl"))


def test_the_wheel_holds_what_the_kit_needs_and_nothing_that_was_made_here(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in (
        "edgekit/_engines/models.toml",
        "edgekit/_engines/edgekit-person.onnx",
        "edgekit/_engines/edgekit-trtpose.onnx",
        "edgekit/_engines/edgekit-trtpose.md",
        "edgekit/_engines/edgekit-fastpose.onnx",
        "edgekit/_engines/edgekit-fastpose.md",
        "edgekit/_engines/edgekit-slowfast.onnx",
        "edgekit/_engines/edgekit-slowfast.md",
        "edgekit/_engines/edgekit-action.onnx",
        "edgekit/_engines/edgekit-action.md",
        "edgekit/_engines/edgekit-action-confusion.png",
        "edgekit/data/ava80.txt",
        "edgekit/data/kinetics400.txt",
        "edgekit/data/verified.toml",
        "edgekit/samples/people.mp4",
        "edgekit/samples/people.jpg",
        "edgekit/cli.py",
        *(f"edgekit/ops/{source.name}" for source in (ROOT / "edgekit" / "ops").glob("*.cu")),
        "edgekit/live/picture.js",
        "edgekit/live/picture.css",
    ):
        assert name in names
    assert not [n for n in names if "built" in n or "downloads" in n or n.startswith("tests/")]


def test_an_unpacked_wheel_runs_the_main_job_far_from_the_checkout(wheel, tmp_path):
    site, cache = tmp_path / "site", tmp_path / "cache"
    zipfile.ZipFile(wheel).extractall(site)
    done = subprocess.run(
        [sys.executable, "-m", "edgekit", "run", "yolo", "--frames", "3", "--out", str(tmp_path / "out")],
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(site),
            "PATH": "/usr/bin:/bin",
            "XDG_CACHE_HOME": str(cache),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "annotated.mp4").stat().st_size > 1000
