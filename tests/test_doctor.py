"""The doctor on healthy and on broken machines."""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import types
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from boards import make_board, make_pc, write

from edgekit import doctor, doctor_machine, doctor_python
from edgekit.device import describe
from edgekit.doctor import Check, Checks, checks
from edgekit.errors import MissingError
from edgekit.telemetry import choose
from edgekit.telemetry.boards import BoardTree, find_board


@pytest.fixture(autouse=True)
def fresh():
    describe.cache_clear()
    yield
    describe.cache_clear()


@pytest.fixture
def plain_user(monkeypatch: pytest.MonkeyPatch):
    """Files and sockets are what the test says they are, whoever runs it."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.fixture
def on_python(monkeypatch: pytest.MonkeyPatch):
    return lambda *version: monkeypatch.setattr(sys, "version_info", (*version, 0, "final", 0))


def line(root: Path, name: str) -> Check:
    return next(check for check in checks(root) if check.name == name)


# --- the report ---------------------------------------------------------------------------------


def test_this_machine_is_not_called_ill_for_not_being_a_jetson() -> None:
    found = checks()
    assert [check.name for check in found] == list(doctor.CHECKS)
    assert not any("could not be checked" in check.value for check in found)
    for name in (
        "board",
        "JetPack",
        "Python",
        "system",
        "ONNX Runtime",
        "video files",
        "jtop",
        "power mode",
        "clock",
    ):
        assert next(check for check in found if check.name == name).status == "ok", name
    assert [check for check in found if check.status == "bad"] == []


def test_every_line_that_is_bad_has_a_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_python, "try_python", lambda code: (False, "boom"))
    for name in ("orin-nano", "xavier-nx", "nano", "thor"):
        describe.cache_clear()
        for check in checks(make_board(tmp_path / name, name)):
            assert check.status != "bad" or check.cure, check


def test_a_check_that_fails_is_a_line_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(device: object, root: Path) -> tuple[str, str, str]:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setitem(doctor.CHECKS, "disk", broken)
    found = {check.name: check for check in checks()}
    assert found["disk"].status == "warning"
    assert "RuntimeError: the disk is on fire" in found["disk"].value
    assert found["memory"].status in ("ok", "warning")


@pytest.mark.parametrize("name", ["orin-nano", "thor", "nano"])
def test_a_machine_with_unreadable_files(tmp_path: Path, name: str) -> None:
    root = make_board(tmp_path, name)
    for file in [p for p in root.rglob("*") if p.is_file()]:
        file.unlink()
        file.mkdir()
    assert len(checks(root)) == len(doctor.CHECKS)


def test_exit_code_and_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    args = parser.parse_args(["doctor", "--json"])
    monkeypatch.setattr(
        doctor, "CHECKS", {"a": lambda d, r: ("ok", "1", ""), "b": lambda d, r: ("warning", "2", "c")}
    )
    assert args.run(args) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"] is True
    assert report["checks"][1] == {"name": "b", "status": "warning", "value": "2", "cure": "c"}
    assert report["device"]["machine"] == describe().machine
    monkeypatch.setitem(doctor.CHECKS, "c", lambda d, r: ("bad", "3", "d"))
    assert args.run(args) == 1


def test_text_with_and_without_rich(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Checks([Check("cv2", "bad", "[red]not[/red] markup", "pip install x"), Check("b", "ok", "fine")])
    doctor.render(found)
    rich = capsys.readouterr().out
    for name in [n for n in sys.modules if n.split(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    doctor.render(found)
    plain = capsys.readouterr().out
    for text in (rich, plain):
        for words in (
            "cv2",
            "bad",
            "[red]not[/red] markup",
            "cure: pip install x",
            "1 ok, 0 warnings, 1 bad",
        ):
            assert words in text


def test_notebook_table() -> None:
    class Reader(HTMLParser):
        cells: list[str] = []  # noqa: RUF012
        tags: list[str] = []  # noqa: RUF012

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.tags.append(tag)

        def handle_data(self, data: str) -> None:
            self.cells.append(data)

    reader = Reader()
    reader.feed(Checks([Check("a<b>", "warning", "<script>alert(1)</script>", "x & y")])._repr_html_())
    assert "script" not in reader.tags
    assert reader.cells[-5:-1] == ["a<b>", "warning", "<script>alert(1)</script>", "x & y"]
    assert reader.cells[-1] == "0 ok, 1 warning, 0 bad"


# --- boards -------------------------------------------------------------------------------------


def test_orin_nano(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_python) -> None:
    on_python(3, 10)
    monkeypatch.setattr(doctor_python, "try_python", lambda code: (True, "10.3.0"))
    root = make_board(tmp_path, "orin-nano")
    found = {check.name: check for check in checks(root)}
    for name in ("board", "JetPack", "Python", "GPU", "CUDA", "TensorRT", "GStreamer", "power mode"):
        assert found[name].status == "ok", found[name]
    assert found["JetPack"].value == "6.2 (L4T 36.4.3)"
    assert found["memory"].status == "warning"  # 8 GB and no swap
    assert "swap" in found["memory"].cure
    assert found["jtop"].status == "warning"
    assert found["cameras"].status == "warning"


@pytest.mark.parametrize(("name", "cure"), [("xavier-nx", "Orin or Thor"), ("nano", "Orin or Thor")])
def test_too_old_a_jetpack(tmp_path: Path, name: str, cure: str) -> None:
    found = line(make_board(tmp_path, name), "JetPack")
    assert found.status == "bad"
    assert "too old" in found.value
    assert cure in found.cure


def test_an_orin_on_jetpack_5_can_be_flashed(tmp_path: Path) -> None:
    root = make_board(tmp_path, "orin-nano")
    write(root, "etc/nv_tegra_release", "# R35 (release), REVISION: 3.1, GCID: 1")
    found = line(root, "JetPack")
    assert (found.status, found.cure) == ("bad", "flash JetPack 6 or 7")


@pytest.mark.parametrize(
    ("board", "python", "status"),
    [
        ("orin-nano", (3, 10), "ok"),
        ("orin-nano", (3, 12), "bad"),
        ("thor", (3, 12), "ok"),
        ("thor", (3, 10), "bad"),
    ],
)
def test_python_must_be_jetpacks(
    tmp_path: Path, on_python, board: str, python: tuple[int, int], status: str
) -> None:
    on_python(*python)
    assert line(make_board(tmp_path, board), "Python").status == status


def test_python_too_old_or_too_new(tmp_path: Path, on_python) -> None:
    for version in ((3, 9), (3, 14)):
        on_python(*version)
        assert line(make_pc(tmp_path), "Python").status == "bad"


# --- TensorRT, pycuda ---------------------------------------------------------------------------


def test_virtual_environment_that_hides_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_board(tmp_path, "orin-nano")
    device = replace(describe(root), tensorrt_path=None)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    config = write(tmp_path, "venv/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
    status, value, cure = doctor_python.tensorrt(device, root)
    assert status == "bad"
    assert "does not see it" in value
    assert "--system-site-packages" in cure
    config.write_text("include-system-site-packages = true\n")
    status, _, cure = doctor_python.tensorrt(device, root)
    assert (status, cure) == ("bad", "sudo apt install python3-libnvinfer")


def test_wheel_over_jetpacks_tensorrt(tmp_path: Path) -> None:
    root = make_board(tmp_path, "orin-nano")
    status, value, cure = doctor_python.tensorrt(replace(describe(root), tensorrt="11.4.0.106"), root)
    assert status == "bad"
    assert "11.4.0.106" in value
    assert "10.3.0" in value
    assert "pip uninstall tensorrt" in cure


def test_tensorrt_that_does_not_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = write(
        tmp_path / "broken",
        "tensorrt.py",
        "raise OSError('libnvinfer.so.10: cannot open shared object file')",
    )
    monkeypatch.setenv("PYTHONPATH", str(module.parent))
    root = make_board(tmp_path, "orin-nano")
    status, value, _ = doctor_python.tensorrt(describe(root), root)
    assert status == "bad"
    assert "libnvinfer.so.10: cannot open" in value


def test_tensorrt_that_crashes_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = write(tmp_path / "broken", "tensorrt.py", "import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(module.parent))
    root = make_board(tmp_path, "orin-nano")
    assert doctor_python.tensorrt(describe(root), root)[0] == "bad"


def test_a_probe_that_hangs_is_ended() -> None:
    assert doctor_python.try_python("import time; time.sleep(60); print('late')", 0.3) == (
        False,
        "no answer in 0.3 s",
    )


def test_no_tensorrt(tmp_path: Path) -> None:
    root = make_board(tmp_path, "orin-nano")
    device = describe(root)
    assert doctor_python.tensorrt(replace(device, tensorrt=None, tensorrt_path=None), root)[0] == "bad"
    pc = replace(device, is_jetson=False, tensorrt=None, tensorrt_path=None)
    assert doctor_python.tensorrt(pc, root)[0] == "warning"
    assert doctor_python.tensorrt(replace(pc, gpu=None), root)[0] == "ok"


def test_pycuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_board(tmp_path, "orin-nano")
    monkeypatch.setattr(doctor_python.importlib.util, "find_spec", lambda name: None)
    assert doctor_python.pycuda(describe(root), root)[0] == "bad"
    assert doctor_python.pycuda(replace(describe(root), is_jetson=False), root)[0] == "warning"
    monkeypatch.setattr(doctor_python.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(doctor_python, "try_python", lambda code: (False, "LogicError: cuInit failed"))
    status, value, _ = doctor_python.pycuda(describe(root), root)
    assert status == "bad"
    assert "cuInit failed" in value


def test_cuda(tmp_path: Path) -> None:
    root = make_board(tmp_path, "orin-nano")
    device = replace(describe(root), cuda=None)
    assert doctor_python.cuda(device, root)[0] == "bad"
    assert doctor_python.cuda(replace(device, is_jetson=False), root)[0] == "warning"
    assert doctor_python.cuda(replace(device, is_jetson=False, gpu=None), root)[0] == "ok"


# --- packages -----------------------------------------------------------------------------------


def fake_cv2(file: str, gstreamer: str) -> types.SimpleNamespace:
    text = f"Video I/O:\n    FFMPEG:                      YES\n    GStreamer:                   {gstreamer}\n"
    return types.SimpleNamespace(__version__="4.8.0", __file__=file, getBuildInformation=lambda: text)


def test_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_board(tmp_path, "orin-nano")
    system = root / "usr/lib/python3.10/dist-packages/cv2"
    monkeypatch.setitem(sys.modules, "cv2", fake_cv2(str(system / "__init__.py"), "YES (1.20.3)"))
    assert doctor_python.opencv(describe(root), root)[0] == "ok"
    system.mkdir()
    monkeypatch.setattr(doctor_python, "sees_system_packages", lambda: True)
    monkeypatch.setitem(sys.modules, "cv2", fake_cv2("/home/me/.venv/lib/cv2/__init__.py", "NO"))
    status, value, cure = doctor_python.opencv(describe(root), root)
    assert status == "warning"
    assert "hides JetPack's" in value
    assert "pip uninstall opencv-python" in cure
    pc = make_pc(tmp_path / "pc")
    status, value, cure = doctor_python.opencv(describe(pc), pc)
    assert status == "warning"
    assert "CSI" in value


def test_opencv_compiled_for_another_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise AttributeError("_ARRAY_API not found")

    monkeypatch.setattr(doctor_python.importlib, "import_module", fail)
    root = make_board(tmp_path, "orin-nano")
    status, value, cure = doctor_python.opencv(describe(root), root)
    assert status == "bad"
    assert "_ARRAY_API" in value
    assert "numpy<2" in cure


def test_the_real_opencv() -> None:
    import cv2

    words = [row.split() for row in cv2.getBuildInformation().splitlines() if "GStreamer:" in row]
    value = doctor_python.opencv(describe(), Path("/"))[1]
    assert cv2.__version__ in value
    assert f"GStreamer {words[0][1]}" in value


@pytest.mark.parametrize(
    ("ipykernel", "status"),
    [("7.0.1", "bad"), ("7.0.0", "bad"), ("7.1.0", "ok"), ("6.30.0", "ok"), (None, "warning")],
)
def test_ipykernel(monkeypatch: pytest.MonkeyPatch, ipykernel: str | None, status: str) -> None:
    monkeypatch.setattr(doctor_python, "installed", lambda name: ipykernel if name == "ipykernel" else "8.1")
    found = doctor_python.jupyter(describe(), Path("/"))
    assert found[0] == status
    assert "ipykernel" in found[2] or status == "ok"


def test_installed_is_none_for_what_is_not() -> None:
    from edgekit.device import installed

    assert installed("numpy")
    assert installed("no-such-package-of-that-name") is None


def test_onnxruntime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = replace(describe(make_pc(tmp_path)), gpu="NVIDIA H200", sm="sm90")
    status, value, cure = doctor_python.onnxruntime(device, tmp_path)
    assert (status, "onnxruntime-gpu" in cure) == ("warning", True)
    assert "CPU" in value
    monkeypatch.setattr(doctor_python.importlib.util, "find_spec", lambda name: None)
    assert doctor_python.onnxruntime(device, tmp_path)[0] == "bad"


def test_video_without_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        sys.modules, "av", types.SimpleNamespace(__version__="18", codecs_available={"h264", "mpeg4"})
    )
    device = describe()
    monkeypatch.setattr(doctor_python.importlib.util, "find_spec", lambda name: object())
    assert doctor_python.video(device, Path("/"))[0] == "warning"


def test_shipped_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edgekit.errors import InputError

    def damaged(name: str) -> Path:
        raise InputError(f"{name}.onnx is not the file of the shelf; its SHA-256 differs.")

    monkeypatch.setitem(sys.modules, "edgekit.models", types.SimpleNamespace(find=damaged))
    status, value, cure = doctor_python.shipped_model(describe(), tmp_path)
    assert (status, "SHA-256" in value, bool(cure)) == ("bad", True, True)


# --- the machine --------------------------------------------------------------------------------


def camera(root: Path, number: int, name: str, index: int = 0) -> Path:
    write(root, f"sys/class/video4linux/video{number}/name", name + "\n")
    write(root, f"sys/class/video4linux/video{number}/index", f"{index}\n")
    return write(root, f"dev/video{number}")


def test_cameras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_board(tmp_path, "orin-nano")
    found = line(root, "cameras")
    assert found.status == "warning"
    assert "USB camera, or a CSI camera with the board switched off" in found.cure
    camera(root, 0, "vi-output, imx219 9-0010")
    camera(root, 10, "HD Pro Webcam C920")
    camera(root, 11, "HD Pro Webcam C920", index=1)
    found = line(root, "cameras")
    assert found.status == "ok"
    assert (
        found.value
        == "/dev/video0: vi-output, imx219 9-0010 (CSI); /dev/video10: HD Pro Webcam C920 (USB or other)"
    )
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("video10"))
    found = line(root, "cameras")
    assert found.status == "bad"
    assert "no permission for /dev/video10;" in found.value
    assert "video" in found.cure


def test_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain_user: None) -> None:
    import grp
    import pwd

    root = make_board(tmp_path, "orin-nano")
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: types.SimpleNamespace(pw_name="ada"))
    monkeypatch.setattr(os, "getgroups", lambda: [1000, 44])
    entries = [
        types.SimpleNamespace(gr_name="video", gr_gid=44),
        types.SimpleNamespace(gr_name="render", gr_gid=109),
    ]
    monkeypatch.setattr(grp, "getgrall", lambda: entries)
    found = line(root, "groups")
    assert found.status == "warning"
    assert found.value == "ada is not in render"
    assert "usermod -aG render ada" in found.cure
    write(root, "etc/group", "video:x:44:ada\nrender:x:109:bob,ada\n")
    assert "has not logged in since" in line(root, "groups").value
    entries.pop()
    monkeypatch.setattr(os, "getgroups", lambda: [44, 109])
    write(root, "etc/group", "video:x:44:ada\n")  # a system without that group needs none
    assert line(root, "groups").status == "ok"


def test_jtop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_board(tmp_path, "orin-nano")
    assert "systemctl" in line(root, "jtop").cure
    (root / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(root / "run")  # the path of a Unix socket must be short
        server.bind("jtop.sock")
        assert line(root, "jtop").status == "ok"
        monkeypatch.setattr(os, "access", lambda path, mode: "jtop" not in str(path))
        assert "usermod -aG jtop" in line(root, "jtop").cure


def test_gstreamer(tmp_path: Path) -> None:
    root = make_board(tmp_path, "orin-nano")
    (root / "usr/lib/aarch64-linux-gnu/gstreamer-1.0/libgstnvarguscamerasrc.so").unlink()
    assert "nvidia-l4t-camera" in line(root, "GStreamer").cure
    (root / "usr/bin/gst-launch-1.0").unlink()
    assert "gstreamer1.0-tools" in line(root, "GStreamer").cure


@pytest.mark.parametrize(("free", "status"), [(50.0, "ok"), (1.5, "warning"), (0.1, "bad")])
def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: float, status: str) -> None:
    usage = types.SimpleNamespace(free=int(free * (1 << 30)))
    monkeypatch.setattr(doctor_machine.shutil, "disk_usage", lambda folder: usage)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert doctor_machine.disk(describe(), Path("/"))[0] == status


def test_little_memory(tmp_path: Path) -> None:
    root = make_pc(tmp_path)
    write(root, "proc/meminfo", "MemTotal: 4000000 kB\nMemAvailable: 500000 kB\nSwapTotal: 1048576 kB\n")
    found = line(root, "memory")
    assert found.status == "warning"
    assert found.value.startswith("0.5 of 3.8 GiB free, 1.0 GiB swap")


def test_power_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver(interval: float, root: Path) -> None:
        raise MissingError("no NVIDIA driver")

    monkeypatch.setitem(choose._OPENERS, "nvml", no_driver)
    root = make_board(tmp_path / "orin", "orin-nano")
    found = line(root, "power meter")
    assert found.status == "warning"
    assert "joules stay unknown" in found.value
    assert "/sys:/sys" in found.cure
    BoardTree(root, find_board("orin-nano"))
    assert re.fullmatch(r"\d+\.\d W now: VDD_IN, by sysfs", line(root, "power meter").value)
    assert "emulated board" in line(make_pc(tmp_path / "pc"), "power meter").cure


def test_power_mode_unknown(tmp_path: Path) -> None:
    root = make_board(tmp_path, "orin-nano")
    (root / "var/lib/nvpmodel/status").unlink()
    found = line(root, "power mode")
    assert (found.status, found.cure) == ("warning", "sudo nvpmodel -q")


def test_clock_of_a_board_without_battery(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(time, "gmtime", lambda: time.struct_time((1970, 1, 1, 0, 0, 0, 3, 1, 0)))
    assert doctor_machine.clock(describe(), Path("/"))[0] == "bad"


def test_it_runs_where_no_package_is_installed(tmp_path: Path) -> None:
    """Python alone: no NumPy, no OpenCV, no rich."""
    code = (
        "import sys\n"
        f"sys.path.insert(0, {str(Path(doctor.__file__).parents[1])!r})\n"
        "from edgekit.doctor import checks, render\n"
        "render(checks())\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "bad     ONNX Runtime: not installed" in done.stdout
    assert "bad     OpenCV: does not import: No module named 'cv2'" in done.stdout
