"""What a machine is, read from the files of boards that are not here."""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from boards import BOARDS, make_board, make_pc, write

from edgekit import device as module
from edgekit.device import describe, device_key, family, find_jetpack
from edgekit.limits import memory, usable_cores

EXPECTED = {  # jetpack, l4t, soc, sm, key, caption
    "orin-nano": ("6.2", "36.4.3", "tegra234", "sm87", "orin-nano_sm87_trt10.3.0", "Orin Nano, JetPack 6.2"),
    "agx-orin": ("6.0", "36.3.0", "tegra234", "sm87", "agx-orin_sm87_trt8.6.2", "AGX Orin, JetPack 6.0"),
    "xavier-nx": (
        "5.1.2",
        "35.4.1",
        "tegra194",
        "sm72",
        "xavier-nx_sm72_trt8.5.2",
        "Xavier NX, JetPack 5.1.2",
    ),
    "thor": ("7.0", "38.2.0", "tegra264", "sm110", "agx-thor_sm110_trt10.13.3", "AGX Thor, JetPack 7.0"),
    "nano": ("4.6", "32.7.1", "tegra210", "sm53", "nano_sm53_trt8.2.1", "Nano, JetPack 4.6"),
}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    describe.cache_clear()
    yield
    describe.cache_clear()


def program(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)


@pytest.mark.parametrize("name", BOARDS)
def test_boards(tmp_path: Path, name: str) -> None:
    found = describe(make_board(tmp_path, name))
    jetpack, l4t, soc, sm, key, caption = EXPECTED[name]
    assert (found.jetpack, found.l4t, found.soc, found.sm) == (jetpack, l4t, soc, sm)
    assert found.is_jetson
    assert found.board == BOARDS[name][0]
    assert found.cuda == BOARDS[name][3]
    assert found.tensorrt == BOARDS[name][4]
    assert found.power_mode == "25W"
    assert found.memory_total == BOARDS[name][6] * 1024
    assert device_key(found) == key
    assert str(found) == caption
    assert found.missing == {}


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        ("36.9.1", "6.x"),
        ("36.4.4", "6.2.1"),
        ("39.2.0", "7.2"),
        ("38.9.1", "7.x"),
        ("36.40.0", "6.x"),
        ("50.1", None),
        (None, None),
    ],
)
def test_a_release_past_the_table_is_not_invented(l4t: str | None, jetpack: str | None) -> None:
    assert find_jetpack(l4t) == jetpack


def test_family_takes_words_not_parts_of_words() -> None:
    assert family("NVIDIA Orin NX Developer Kit") == "Orin NX"
    assert family("Nanometre board") == ""
    assert family(None) == ""


def test_a_jetson_container_without_the_release_file(tmp_path: Path) -> None:
    root = make_board(tmp_path, "orin-nano")
    (root / "etc/nv_tegra_release").unlink()
    (root / "var/lib/nvpmodel/status").unlink()
    found = describe(root)
    assert found.is_jetson
    assert found.l4t is None
    assert "container" in found.missing["l4t"]
    assert "sudo nvpmodel -q" in found.missing["power_mode"]
    assert str(found) == "Orin Nano, JetPack unknown"


def test_library_without_python_module(tmp_path: Path) -> None:
    root = make_board(tmp_path, "orin-nano")
    (root / "usr/lib/python3.10/dist-packages/tensorrt/__init__.py").unlink()
    (root / "usr/lib/python3.10/dist-packages/tensorrt").rmdir()
    found = describe(root)
    assert (found.tensorrt, found.tensorrt_path) == ("10.3.0", None)


def test_cuda_from_the_names_of_files(tmp_path: Path) -> None:
    root = make_pc(tmp_path)
    assert describe(root).cuda is None
    describe.cache_clear()
    write(root, "usr/local/cuda-12.6/lib64/libcudart.so.12.6.77")
    (root / "usr/local/cuda").symlink_to("cuda-12.6")
    assert describe(root).cuda == "12.6"


def test_pc_with_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(
        tmp_path / "bin",
        "nvidia-smi",
        'echo "NVIDIA GeForce RTX 3060 Laptop GPU, 8.6"; echo "NVIDIA A2, 8.6"',
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    found = describe(make_pc(tmp_path))
    assert (found.gpu, found.sm) == ("NVIDIA GeForce RTX 3060 Laptop GPU", "sm86")
    assert device_key(found) == "rtx-3060-laptop-gpu_sm86"
    assert not found.is_jetson


def test_the_chosen_gpu_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", "nvidia-smi", '[ "$1 $2" = "-i 1" ] && echo "NVIDIA H200, 9.0"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert device_key(describe(make_pc(tmp_path))) == "h200_sm90"


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    program(tmp_path / "bin", "nvidia-smi", 'echo "NVIDIA H200, 9.0"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    found = describe(make_pc(tmp_path))
    assert found.gpu is None
    assert "CUDA_VISIBLE_DEVICES" in found.missing["gpu"]


@pytest.mark.parametrize(
    "body",
    [
        "exec sleep 60",
        "exit 9",
        "echo 'NVIDIA-SMI has failed because it could not communicate'",
        "printf '\\377\\376'",
    ],
)
def test_broken_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    program(tmp_path / "bin", "nvidia-smi", body)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    real = module.ask
    monkeypatch.setattr(module, "ask", lambda command: real(command, timeout=0.3))
    found = describe(make_pc(tmp_path))
    assert found.gpu is None
    assert "nvidia-smi" in found.missing["gpu"]
    assert device_key(found) == f"cpu-{platform.machine()}"


def test_an_empty_root(tmp_path: Path) -> None:
    found = describe(tmp_path)
    assert not found.is_jetson
    assert found.memory_total > 0
    assert {"board", "l4t", "cuda", "tensorrt"} <= set(found.missing)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    root = make_board(tmp_path, "orin-nano")
    for path in ("etc/nvpmodel.conf", "usr/local/cuda/version.json", "proc/device-tree/model"):
        (root / path).unlink()
        (root / path).mkdir()  # reading a folder fails for root too
    (root / "etc/nv_tegra_release").write_bytes(b"\xff\xfe garbage")
    found = describe(root)
    assert found.power_mode == "mode 1"
    assert found.l4t is None
    assert found.board is None
    assert found.cuda is None
    assert device_key(found).startswith("tegra234_sm87")


@pytest.mark.parametrize(
    ("cgroup", "files", "total", "free", "cores"),
    [
        ("0::/", {"memory.max": "max", "cpu.max": "max 100000"}, 16_000_000, 8_000_000, None),
        (
            "0::/",
            {"memory.max": str(4_000_000 * 1024), "memory.current": str(3_000_000 * 1024)},
            4_000_000,
            1_000_000,
            None,
        ),
        (
            "0::/a/b",
            {
                "a/memory.max": str(2_000_000 * 1024),
                "a/memory.current": str(1_500_000 * 1024),
                "a/memory.stat": f"anon 1\ninactive_file {500_000 * 1024}\n",
                "a/b/memory.max": "max",
                "a/b/cpu.max": "50000 100000",
            },
            2_000_000,
            1_000_000,
            0.5,
        ),
        (
            "4:memory:/x\n3:cpu,cpuacct:/x",
            {
                "memory/x/memory.limit_in_bytes": str(1_000_000 * 1024),
                "memory/x/memory.usage_in_bytes": str(400_000 * 1024),
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "cpu/x/cpu.cfs_quota_us": "25000",
                "cpu/x/cpu.cfs_period_us": "100000",
            },
            1_000_000,
            600_000,
            0.25,
        ),
        ("nonsense", {"cpu.max": "1 0"}, 16_000_000, 8_000_000, None),
    ],
)
def test_container_limits(
    tmp_path: Path, cgroup: str, files: dict[str, str], total: int, free: int, cores: float | None
) -> None:
    root = make_pc(tmp_path)
    write(root, "proc/self/cgroup", cgroup + "\n")
    for path, text in files.items():
        write(root, f"sys/fs/cgroup/{path}", text + "\n")
    assert memory(root) == (total * 1024, free * 1024)
    assert usable_cores(root) == (cores or len(os.sched_getaffinity(0)))


@pytest.mark.parametrize("name", [*BOARDS, None])
def test_a_key_names_a_file(tmp_path: Path, name: str | None) -> None:
    key = device_key(describe(make_board(tmp_path, name) if name else "/"))
    assert re.fullmatch(r"[A-Za-z0-9._-]+", key)
    (tmp_path / key).mkdir()


def test_this_machine() -> None:
    psutil = pytest.importorskip("psutil")
    found = describe()
    assert describe() is found  # read once
    assert found.memory_total <= psutil.virtual_memory().total
    assert 0 < found.memory_available <= found.memory_total
    assert 0 < found.cores <= (os.cpu_count() or 1)
    assert found.python == platform.python_version()
    assert set(found.missing) == {name for name, value in asdict(found).items() if value is None}


def test_importing_it_needs_no_numpy() -> None:
    works = module.ask(
        [sys.executable, "-c", "import edgekit.device, sys; print('numpy' in sys.modules)"], 30
    )
    assert works == "False"


def test_programs_are_not_run_for_ever(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60); print('late')"]
    assert module.ask(command, timeout=0.2) is None
