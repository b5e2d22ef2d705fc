"""Machines to look at: folders that hold the files of a board (etc, proc, sys, usr, var, dev)."""

from __future__ import annotations

import json
from pathlib import Path

#: model, compatible, L4T line, CUDA, TensorRT, Python of the system, memory in KiB
BOARDS = {
    "orin-nano": (
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234",
        "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: 2025",
        "12.6.68",
        "10.3.0",
        "3.10",
        7_802_000,
    ),
    "agx-orin": (
        "NVIDIA Jetson AGX Orin Developer Kit",
        "nvidia,p3737-0000+p3701-0005\0nvidia,p3701-0005\0nvidia,tegra234",
        "# R36 (release), REVISION: 3.0, GCID: 36191598, BOARD: generic, EABI: aarch64, DATE: 2024",
        "12.2.140",
        "8.6.2",
        "3.10",
        64_300_000,
    ),
    "xavier-nx": (
        "NVIDIA Jetson Xavier NX Developer Kit",
        "nvidia,p3509-0000+p3668-0000\0nvidia,tegra194",
        "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64, DATE: 2023",
        "11.4.315",
        "8.5.2",
        "3.8",
        6_800_000,
    ),
    "thor": (
        "NVIDIA Jetson AGX Thor Developer Kit",
        "nvidia,p4071-0000+p3834-0008\0nvidia,p3834-0008\0nvidia,tegra264",
        "# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic, EABI: aarch64, DATE: 2025",
        "13.0.48",
        "10.13.3",
        "3.12",
        128_800_000,
    ),
    "nano": (
        "NVIDIA Jetson Nano Developer Kit",
        "nvidia,p3449-0000-b00+p3448-0000-b00\0nvidia,jetson-nano\0nvidia,tegra210",
        "# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64, DATE: 2022",
        "10.2.300",
        "8.2.1",
        "3.6",
        4_059_000,
    ),
}


def write(root: Path, path: str, text: str = "") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def make_pc(root: Path, memory_kib: int = 16_000_000) -> Path:
    """A PC without a GPU: 16 GB, no container."""
    write(
        root,
        "proc/meminfo",
        f"MemTotal: {memory_kib} kB\nMemFree: 100 kB\nMemAvailable: {memory_kib // 2} kB\nSwapTotal: 0 kB\n",
    )
    write(root, "proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n")
    write(root, "proc/self/cgroup", "0::/\n")
    write(root, "etc/os-release", 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"\n')
    write(root, "etc/group", "root:x:0:\nvideo:x:44:\nrender:x:109:\n")
    (root / "dev").mkdir(exist_ok=True)
    return root


def make_board(root: Path, name: str) -> Path:
    """A Jetson as JetPack leaves it, with no camera and without jetson-stats."""
    model, compatible, release, cuda, tensorrt, python, memory_kib = BOARDS[name]
    make_pc(root, memory_kib)
    write(root, "proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\n")
    write(root, "proc/device-tree/model", model + "\0")
    write(root, "proc/device-tree/compatible", compatible + "\0")
    write(root, "etc/nv_tegra_release", release + "\n")
    write(
        root,
        "etc/nvpmodel.conf",
        "< POWER_MODEL ID=0 NAME=15W >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=1 NAME=MODE_25W >\n",
    )
    write(root, "var/lib/nvpmodel/status", "pmode:0001")
    write(
        root,
        "usr/local/cuda/version.json",
        json.dumps(
            {"cuda": {"name": "CUDA SDK", "version": cuda}, "cuda_cudart": {"version": "0.0.1"}}, indent=3
        ),
    )
    packages = f"usr/lib/python{python}/dist-packages"
    write(root, f"{packages}/tensorrt/__init__.py", "import ctypes\n")
    write(root, f"{packages}/tensorrt-{tensorrt}.dist-info/METADATA", "Name: tensorrt\n")
    write(root, f"usr/lib/aarch64-linux-gnu/libnvinfer.so.{tensorrt}")
    write(root, "usr/bin/gst-launch-1.0")
    write(root, "usr/lib/aarch64-linux-gnu/gstreamer-1.0/libgstnvarguscamerasrc.so")
    return root
