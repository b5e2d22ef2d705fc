"""The kiosk's unit and its installer: what systemd says of the unit, and what must not be in it."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.cli import main
from edgekit.runlog import FRAMES, SAMPLES

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "setup/systemd"


def unit() -> dict[str, list[str]]:
    """Each key of the unit with its values, sections together."""
    found: dict[str, list[str]] = {}
    for line in (FOLDER / "edgekit-kiosk.service").read_text().splitlines():
        if line and line[0] not in "#[":
            key, equals, value = line.partition("=")
            assert equals, line
            found.setdefault(key, []).append(value)
    return found


def settings() -> dict[str, str]:
    """/etc/default/edgekit-kiosk as systemd reads it."""
    lines = (FOLDER / "edgekit-kiosk.default").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and line[0] != "#")


def installed(tmp_path: Path) -> tuple[subprocess.CompletedProcess[str], Path]:
    """install.sh in a root of its own, with stand-ins for what changes the system."""
    stubs, root, kit = tmp_path / "stubs", tmp_path / "root", tmp_path / "kit"
    stubs.mkdir()
    for name, code in {
        "id": "echo 0",
        "getent": '[ "$1" = group ] && [ "$2" != jtop ]',
        "useradd": "exit 0",
        "runuser": "exit 0",
        "systemctl": f'echo "$@" >>{shlex.quote(str(tmp_path / "systemctl"))}',
    }.items():
        (stubs / name).write_text(f"#!/bin/sh\n{code}\n")
        (stubs / name).chmod(0o755)
    shutil.copytree(ROOT / "setup", kit / "setup")
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    environment = {
        **os.environ,
        "PATH": f"{stubs}:{os.environ['PATH']}",
        "EDGEKIT_VENV": str(tmp_path / "venv"),
        "EDGEKIT_ROOTFS": str(root),
    }
    script = kit / "setup/systemd/install.sh"
    done = subprocess.run(["bash", script], capture_output=True, text=True, check=False, env=environment)
    return done, root


def test_what_is_installed_satisfies_systemd(tmp_path: Path) -> None:
    done, root = installed(tmp_path)
    assert done.returncode == 0, done.stderr
    file = root / "etc/systemd/system/edgekit-kiosk.service"
    text = file.read_text()
    assert "@" not in text
    assert f"ExecStart={tmp_path}/venv/bin/python -m edgekit run $TASK" in text
    # jtop's group is absent there; a unit that names it would not start
    assert (
        "SupplementaryGroups=video render\n"
        in (root / "etc/systemd/system/edgekit-kiosk.service.d/groups.conf").read_text()
    )
    assert (root / "etc/default/edgekit-kiosk").exists()
    assert (tmp_path / "systemctl").read_text().splitlines() == [
        "daemon-reload",
        "try-restart systemd-journald.service",
        "enable --now edgekit-kiosk.service",
    ]
    if analyze := shutil.which("systemd-analyze"):  # not on a machine without systemd
        done = subprocess.run(
            [analyze, "verify", "--man=no", file], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_settings_are_kept_and_everything_else_written_anew(tmp_path: Path) -> None:
    (tmp_path / "root/etc/default").mkdir(parents=True)
    (tmp_path / "root/etc/default/edgekit-kiosk").write_text("TASK=alphapose\n")
    done, root = installed(tmp_path)
    assert done.returncode == 0, done.stderr
    assert (root / "etc/default/edgekit-kiosk").read_text() == "TASK=alphapose\n"


def test_a_dry_run_and_no_root_change_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "EDGEKIT_VENV": str(Path(sys.prefix)), "EDGEKIT_ROOTFS": str(tmp_path)}
    script = FOLDER / "install.sh"
    done = subprocess.run([script, "--dry-run"], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "systemctl enable --now edgekit-kiosk.service" in done.stdout
    assert list(tmp_path.iterdir()) == []
    done = subprocess.run([script, "--what"], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert "--remove" in done.stdout


def test_camera_and_gpu_stay_in_reach() -> None:
    """Each of these would lock out /dev/video*, /dev/nv*, nvargus-daemon's socket in /tmp or CUDA's compiler.

    systemd.exec(5): ProtectClock= implies DeviceAllow=char-rtc, and with any DeviceAllow= the policy "auto"
    allows nothing else.
    """
    keys = unit()
    for key in ("PrivateDevices", "PrivateTmp", "ProtectClock", "DeviceAllow", "MemoryDenyWriteExecute"):
        assert key not in keys
    assert {"video", "render"} <= set(keys["SupplementaryGroups"][0].split())
    assert "@" not in keys["After"][0]
    assert {"jtop.service", "nvargus-daemon.service"} <= set(keys["After"][0].split())


def test_it_is_hardened_watched_and_limited() -> None:
    keys = unit()
    for key in ("NoNewPrivileges", "ProtectKernelTunables", "ProtectControlGroups", "RestrictSUIDSGID"):
        assert keys[key] == ["yes"]
    assert keys["ProtectSystem"] == ["strict"]
    assert keys["CapabilityBoundingSet"] == [""]
    assert keys["User"] == ["edgekit"]
    assert keys["Type"] == ["notify"]
    assert int(keys["WatchdogSec"][0]) >= 30
    assert keys["Restart"] == ["on-failure"]
    assert int(keys["StartLimitBurst"][0]) <= 5
    # a restart every RestartSec must be able to reach the limit within its interval
    assert int(keys["StartLimitBurst"][0]) * int(keys["RestartSec"][0]) < 600
    assert keys["StartLimitIntervalSec"] == ["10min"]


def test_the_command_is_one_that_edgekit_knows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The unit's line with its own settings and with those of /etc/default, through the real parser."""
    seen = []
    monkeypatch.setattr("edgekit.run_cli.run_yolo", lambda args: seen.append(args) or 0)
    keys = unit()
    own = dict(pair.split("=", 1) for pair in shlex.split(keys["Environment"][0]))
    for values in (own, settings()):
        line = keys["ExecStart"][0]
        for name, value in values.items():
            line = line.replace(f"${name}", value)
        words = line.split()
        assert words[1:3] == ["-m", "edgekit"]
        assert "$" not in line
        assert main(words[3:]) == 0
        assert (seen[-1].no_video, seen[-1].quiet, str(seen[-1].out)) == (
            True,
            True,
            "/var/lib/edgekit/kiosk",
        )
    for task in re.findall(
        r"\w+", (FOLDER / "edgekit-kiosk.default").read_text().splitlines()[2].split("(")[0]
    ):
        with pytest.raises(SystemExit):
            main(["run", task, "--help"])
        assert f"run {task}" in capsys.readouterr().out


def test_logs_are_turned_over() -> None:
    text = (FOLDER / "edgekit-kiosk.logrotate").read_text()
    assert all(Path(name).match("*.jsonl") for name in (FRAMES, SAMPLES, "results.jsonl"))
    assert unit()["ExecStart"][0].split("--out ")[1].split()[0] + "/*.jsonl {" in text
    for word in (
        "rotate 7",
        "compress",
        "maxsize 500M",
        "su edgekit edgekit",
        "try-restart edgekit-kiosk.service",
    ):
        assert word in text
    journal = configparser.ConfigParser()
    journal.read(FOLDER / "edgekit-journald.conf")
    assert journal.get("Journal", "systemmaxuse") == "200M"
