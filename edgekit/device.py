"""What this machine is: board, JetPack, CUDA, TensorRT, GPU, memory, cores, power mode.

Read from files, which is quick and cannot hang; only the GPU of a PC is asked through a program,
with a time limit. Every function takes `root`, so that the tests can show it another machine.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgekit.limits import memory, read_text, usable_cores

#: L4T → JetPack (https://developer.nvidia.com/embedded/jetpack-archive). The longest matching start counts.
JETPACK = {
    "32.7": "4.6", "35.1": "5.0.2", "35.2": "5.1", "35.3": "5.1.1", "35.4": "5.1.2", "35.5": "5.1.3",
    "35.6": "5.1.4", "36.2": "6.0 preview", "36.3": "6.0", "36.4.0": "6.1", "36.4.3": "6.2",
    "36.4.4": "6.2.1", "36.4.7": "6.2.1", "36.5": "6.2.2", "38.2": "7.0", "38.4": "7.1", "39.2": "7.2",
    "32": "4.x", "34": "5.0 preview", "35": "5.x", "36": "6.x", "38": "7.x", "39": "7.x",
}  # fmt: skip

#: Tegra chip → compute capability of its GPU (https://developer.nvidia.com/cuda-gpus and its page of
#: legacy GPUs). Thor is sm_110 from CUDA 13, which is what JetPack 7 brings.
TEGRA = {
    "tegra210": ("Maxwell", "sm53"),
    "tegra186": ("Pascal", "sm62"),
    "tegra194": ("Volta", "sm72"),
    "tegra234": ("Ampere", "sm87"),
    "tegra264": ("Blackwell", "sm110"),
}

#: Families as their words stand in /proc/device-tree/model, the more special before the more general.
FAMILIES = (
    "AGX Orin",
    "Orin NX",
    "Orin Nano",
    "AGX Thor",
    "Thor",
    "AGX Xavier",
    "Xavier NX",
    "TX2",
    "TX1",
    "Nano",
)

_ASK_CUDA = """
import ctypes
cuda = ctypes.CDLL("libcuda.so.1")
name, major, minor = ctypes.create_string_buffer(100), ctypes.c_int(), ctypes.c_int()
if cuda.cuInit(0) or cuda.cuDeviceGetName(name, 100, 0):
    raise SystemExit(1)
cuda.cuDeviceGetAttribute(ctypes.byref(major), 75, 0)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
cuda.cuDeviceGetAttribute(ctypes.byref(minor), 76, 0)
print(name.value.decode() + ", " + f"{major.value}.{minor.value}")
"""


@dataclass(frozen=True)
class Device:
    """One machine, as far as it can be known without root. Absent is None, with the reason in `missing`.

    Attributes:
        machine: "aarch64", "x86_64", …
        board: the board's own name, for example "NVIDIA Jetson Orin Nano Developer Kit".
        soc: "tegra234" and so on; None on a PC.
        is_jetson: whether it is a Jetson.
        l4t, jetpack: "36.4.3" and "6.2".
        cuda, tensorrt: versions of the CUDA toolkit or run time and of TensorRT.
        tensorrt_path: folder of the Python module `tensorrt` that this interpreter imports.
        gpu, sm: name of the GPU and its compute capability as "sm87".
        memory_total, memory_available: bytes, of the cgroup where it allows less than the machine has.
        cpu, cores: model and the number of cores this process may use (a container may allow 1.5).
        power_mode: the nvpmodel mode, for example "15W".
        python, os: versions.
        missing: why a field is None, by its name.
    """

    machine: str
    board: str | None
    soc: str | None
    is_jetson: bool
    l4t: str | None
    jetpack: str | None
    cuda: str | None
    tensorrt: str | None
    tensorrt_path: str | None
    gpu: str | None
    sm: str | None
    memory_total: int
    memory_available: int
    cpu: str
    cores: float
    power_mode: str | None
    python: str
    os: str
    missing: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """As in the caption of a table: "Orin Nano, JetPack 6.2" or "x86_64 CPU, 2 cores"."""
        if self.is_jetson:
            return f"{family(self.board) or 'Jetson'}, JetPack {self.jetpack or 'unknown'}"
        return self.gpu or f"{self.machine} CPU, {self.cores:g} cores"


def find_l4t(root: Path) -> str | None:
    """L4T version ("36.4.3") from /etc/nv_tegra_release, or from dpkg's list (in a container)."""
    text = read_text(root / "etc/nv_tegra_release") or ""
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", text)
    if found:
        return f"{found[1]}.{found[2]}"
    listed = read_text(root / "var/lib/dpkg/status") or ""
    stanza = r"^Package: nvidia-l4t-core\nStatus: \S+ \S+ installed\n(?:.+\n)*?Version: ([\d.]+)"
    package = re.search(stanza, listed, re.MULTILINE)
    return package[1] if package else None


def find_jetpack(l4t: str | None) -> str | None:
    """JetPack of an L4T version; None for one newer than the table."""
    starts = [key for key in JETPACK if f"{l4t}.".startswith(f"{key}.")]
    return JETPACK[max(starts, key=len)] if starts else None


def family(board: str | None) -> str:
    """The family in a board's name: "Orin Nano" of "NVIDIA Jetson Orin Nano Developer Kit"; else empty."""
    words = (board or "").lower().split()
    return next((name for name in FAMILIES if all(word in words for word in name.lower().split())), "")


def find_cuda(root: Path) -> str | None:
    """CUDA version, from version.json, the run-time library's name or the folder that `cuda` points to."""
    cuda = root / "usr/local/cuda"
    found = re.search(
        r'"cuda"\s*:\s*\{[^}]*"version"\s*:\s*"([\d.]+)"', read_text(cuda / "version.json") or ""
    )
    if found:
        return found[1]
    names = [path.resolve().name for path in cuda.glob("lib64/libcudart.so*")] + [cuda.resolve().name]
    versions = [found[1] for name in names if (found := re.search(r"(?:so\.|cuda-)(\d+\.\d+)", name))]
    return versions[0] if versions else None


def find_tensorrt(root: Path) -> tuple[str | None, str | None]:
    """Version of TensorRT and the folder of its Python module, either None; the module is not imported."""
    if root == Path("/"):
        spec = importlib.util.find_spec("tensorrt")
        module = Path(spec.origin).parent if spec and spec.origin else None
    else:
        module = next(iter(sorted(root.glob("usr/lib/python3*/dist-packages/tensorrt"))), None)
    if module:
        found = re.search(r'__version__\s*=\s*[\'"]([\d.]+)', read_text(module / "__init__.py") or "")
        notes = [
            re.match(r"tensorrt-([\d.]+\d)", path.name) for path in module.parent.glob("tensorrt-*-info")
        ]
        for note in (found, *notes):
            if note:
                return note[1], str(module)
    return library_version(root), str(module) if module else None


def library_version(root: Path) -> str | None:
    """Version of the system's libnvinfer, from the name of its file."""
    libraries = [p.resolve() for p in root.glob("usr/lib/*-linux-gnu/libnvinfer.so.*")]
    versions = [re.search(r"so\.(\d+\.\d+[\d.]*)$", path.name) for path in libraries]
    return max((v[1] for v in versions if v), default=None)


def ask(command: list[str], timeout: float = 5.0) -> str | None:
    """First line a program prints; None where it is absent, fails, or takes longer than `timeout` seconds."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return None
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else None


def installed(package: str) -> str | None:
    """Version of an installed package, None where it is absent."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def find_gpu(root: Path, soc: str | None) -> tuple[str | None, str | None, str]:
    """Name of the GPU, its compute capability, and, where there is none, why."""
    if soc:
        architecture, sm = TEGRA.get(soc, (None, None))
        return f"{soc} {architecture or 'GPU'}", sm, "" if sm else f"{soc} is not in the table of Tegra chips"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not re.match(r"\s*(\d|GPU-|MIG-)", visible):
        return None, None, f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU"
    program = shutil.which("nvidia-smi")
    line = None
    if program:
        first = ["-i", visible.split(",")[0].strip()] if visible else []
        line = ask([program, *first, "--query-gpu=name,compute_cap", "--format=csv,noheader"])
    elif (
        any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
    ):  # a container without nvidia-smi
        line = ask([sys.executable, "-c", _ASK_CUDA])
    found = re.fullmatch(r"(.+), (\d+)\.(\d+)", line or "")
    if found:
        return found[1], f"sm{found[2]}{found[3]}", ""
    return None, None, "nvidia-smi gave no answer in 5 s" if program else "no NVIDIA GPU or driver"


def cpu_model(root: Path) -> str:
    """ "Intel(R) Xeon(R) …"; on Arm, where the kernel gives no name, the architecture."""
    found = re.search(r"^model name\s*:\s*(.+)$", read_text(root / "proc/cpuinfo") or "", re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def find_power_mode(root: Path) -> tuple[str | None, str]:
    """The nvpmodel mode and, where it cannot be told, why. Needs no root: the mode is noted in a file."""
    names = dict(
        re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)", read_text(root / "etc/nvpmodel.conf") or "")
    )
    found = re.search(r"pmode:(\d+)", read_text(root / "var/lib/nvpmodel/status") or "")
    if not found:
        return None, "/var/lib/nvpmodel/status does not say; sudo nvpmodel -q does"
    number = str(int(found[1]))
    return names.get(number, f"mode {number}").removeprefix("MODE_"), ""


@lru_cache(maxsize=8)
def describe(root: Path | str = "/") -> Device:
    """What this machine is. Read once and kept; `memory()` gives the free memory of the moment.

    Args:
        root: folder that holds etc, proc, sys, usr and var of the machine.
    """
    root = Path(root)
    tree = root / "proc/device-tree"
    chip = re.search(r"tegra\d+", read_text(tree / "compatible") or "")
    l4t = find_l4t(root)
    soc = chip[0] if chip else None
    is_jetson = bool(soc or l4t)
    tensorrt, tensorrt_path = find_tensorrt(root)
    gpu, sm, no_gpu = find_gpu(root, soc)
    power_mode, no_mode = find_power_mode(root) if is_jetson else (None, "not a Jetson")
    total, free = memory(root)
    fields = {
        "board": read_text(tree / "model") or read_text(root / "sys/class/dmi/id/product_name"),
        "soc": soc,
        "l4t": l4t,
        "jetpack": find_jetpack(l4t),
        "cuda": find_cuda(root),
        "tensorrt": tensorrt,
        "tensorrt_path": tensorrt_path,
        "gpu": gpu,
        "sm": sm,
        "power_mode": power_mode,
    }
    no_l4t = "/etc/nv_tegra_release is not here (in a container, mount it)" if is_jetson else "not a Jetson"
    reasons = {
        "board": "neither /proc/device-tree/model nor the DMI table names it",
        "soc": "not a Jetson",
        "l4t": no_l4t,
        "jetpack": f"L4T {l4t} is not in the table" if l4t else no_l4t,
        "cuda": "no /usr/local/cuda",
        "tensorrt": "neither the Python module nor libnvinfer is here",
        "tensorrt_path": "this Python has no module tensorrt",
        "gpu": no_gpu,
        "sm": no_gpu,
        "power_mode": no_mode,
    }
    release = re.search(r'^PRETTY_NAME="?([^"\n]+)', read_text(root / "etc/os-release") or "", re.MULTILINE)
    return Device(
        machine=platform.machine(),
        is_jetson=is_jetson,
        memory_total=total,
        memory_available=free,
        cpu=cpu_model(root),
        cores=usable_cores(root),
        python=platform.python_version(),
        os=release[1] if release else platform.platform(terse=True),
        missing={name: reasons[name] for name, value in fields.items() if value is None},
        **fields,  # type: ignore[arg-type]
    )


def device_key(device: Device | None = None) -> str:
    """A stable name, fit for a file, of what a plan runs on: "orin-nano_sm87_trt10.3.0", "cpu-x86_64"."""
    device = device or describe()
    if device.gpu is None:
        return f"cpu-{device.machine}"
    name = (device.is_jetson and (family(device.board) or device.soc)) or device.gpu
    short = re.sub(r"nvidia|geforce|tesla", "", name, flags=re.IGNORECASE)
    parts = [re.sub(r"[^a-z0-9.]+", "-", short.lower()).strip("-."), device.sm]
    if device.tensorrt:
        parts.append(f"trt{device.tensorrt}")
    return "_".join(part for part in parts if part)
