"""Nothing of its owner leaves a machine in a self-test's file."""

from __future__ import annotations

import getpass
import json
import os
import pwd
import socket
import types
from pathlib import Path

import pytest
from boards import make_board, write

from edgekit.device import describe
from edgekit.selftest_privacy import clean, secrets
from edgekit.selftest_report import Report

MACHINE_ID = "3f2a9c1be7d04c5f8e6b7a1d2c3e4f50"
PLANTED = {
    "user": "Mariposa",
    "person": "Quetzalcoatl",
    "host": "klassenzimmer-17",
    "home": "/srv/schule/mariposa",
    "id": MACHINE_ID,
    "serial": "1421722015432",
    "mac": "48:b0:2d:5a:be:ef",
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A board that belongs to somebody."""
    root = make_board(tmp_path / "board", "orin-nano")
    write(root, "etc/machine-id", MACHINE_ID + "\n")
    write(root, "proc/device-tree/serial-number", PLANTED["serial"] + "\0")
    write(root, "sys/class/net/eth0/address", PLANTED["mac"] + "\n")
    entry = types.SimpleNamespace(
        pw_name=PLANTED["user"], pw_gecos=f"{PLANTED['person']},,,", pw_dir=PLANTED["home"]
    )
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: entry)
    monkeypatch.setattr(socket, "gethostname", lambda: PLANTED["host"] + ".schule.example")
    monkeypatch.setenv("USER", PLANTED["user"])
    describe.cache_clear()
    secrets.cache_clear()
    yield root
    describe.cache_clear()
    secrets.cache_clear()


def test_nothing_that_was_planted_is_in_the_file(machine: Path, tmp_path: Path) -> None:
    report = Report(tmp_path / "x.json", {"quick": False}, machine)
    report.begin("task/yolo/host")
    text = "{home}/plan is {user}'s, {person} at {host} ({host}.schule.example) {mac} {id} no. {serial}; "
    text = text.format(**PLANTED) + "10.1.2.3 fe80::4ab0:2dff:fe5a:beef 2001:db8:0:1:2:3:4:5 ada@example.org "
    text += (
        "rtsp://ada:secret@10.0.0.7/cam /home/ada/pictures/cat.jpg GPU-1f2e3d4c-aaaa-bbbb-cccc-0123456789ab "
    )
    text += "Serial Number: X1Y2Z3 /dev/v4l/by-id/usb-046d_C920_8F2C-index0 /media/ada/STICK"
    report.end({"state": "failed", "words": text, "log": text, "figures": {"a": [text, {"b": text}]}})
    report.begin("doctor")
    report.end({"state": "passed", "words": text, "log": text, "figures": {}})
    kept = report.path.read_text(encoding="utf-8")
    leaks = [*PLANTED.values(), "mariposa", "schule", "10.1.2.3", "10.0.0.7", "4ab0", "db8", "ada", "secret"]
    leaks += ["pictures", "1f2e3d4c", "X1Y2Z3", "8F2C", "STICK"]
    assert [leak for leak in leaks if leak.lower() in kept.lower()] == []
    assert json.loads(kept)["steps"][0]["figures"]["a"][0].startswith("~/plan is <name>'s, <name> at <name>")


def test_this_machine_is_not_in_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets.cache_clear()
    report = Report(tmp_path / "x.json", {})
    report.begin("doctor")
    words = f"{Path.home()}/a {Path.cwd()} {socket.gethostname()} {getpass.getuser()} {os.uname().nodename}"
    report.end({"state": "passed", "words": words, "figures": {}})
    kept = report.path.read_text()
    assert str(Path.home()) + "/" not in kept
    assert socket.gethostname() not in kept
    assert str(Path.cwd()) not in kept
    secrets.cache_clear()


def test_what_tells_the_machine_stays(machine: Path, tmp_path: Path) -> None:
    report = Report(tmp_path / "x.json", {}, machine)
    device = json.loads(report.path.read_text())["device"]
    assert device["board"].startswith("NVIDIA Jetson Orin Nano")
    assert (device["l4t"], device["jetpack"], device["tensorrt"]) == ("36.4.3", "6.2", "10.3.0")
    assert device["power_mode"] == "25W"
    assert json.loads(report.path.read_text())["emulated"] is True
    assert "tensorrt_path" not in device


@pytest.mark.parametrize(
    "text",
    [
        "TensorRT 10.3.0.30 runs edgekit-person.plan, as TensorRT-RTX 1.7.0.12 does",
        "12:34:56 to 23:59, 2026-11-22T04:14:59",
        "std::bad_alloc in nvinfer1::IBuilder::build",
        "CUDA 12.6.68, L4T 36.4.3, 1280x720 at 29.97 a second, 0.00034 off",
        "serialized 12 layers in 3.5 s",
        "/dev/video0: HD Pro Webcam C920",
        "nvidia-smi, nvpmodel -q and jetson_clocks; user root on ubuntu",
    ],
)
def test_what_is_nobodys_stays_as_it_is(machine: Path, text: str) -> None:
    assert clean(text, machine) == text


def test_names_of_steps_and_states_stay_whoever_the_user_is(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("passed", "task"):
        monkeypatch.setenv("USER", name)
        secrets.cache_clear()
        report = Report(tmp_path / "x.json", {}, machine)
        report.begin("task/action/host")
        report.end({"state": "passed", "words": "", "figures": {}})
        found = json.loads(report.path.read_text())["steps"][0]
        assert (found["step"], found["state"]) == ("task/action/host", "passed")


def test_a_user_without_a_name(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    secrets.cache_clear()
    assert clean(f"on {PLANTED['host']}", machine) == "on <name>"
