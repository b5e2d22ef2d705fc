"""The doctor's checks of what is installed: Python, CUDA, TensorRT and the packages.

Each looks at one thing and returns (status, what was found, cure). "bad" is kept for what stops
the kit on this machine: a laptop without GPU or camera is healthy.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.device import Device, installed, library_version
from edgekit.errors import EdgekitError
from edgekit.limits import read_text

if TYPE_CHECKING:
    from edgekit.doctor import Finding

SHIPPED_MODEL = "edgekit-person"


def try_python(code: str, timeout: float = 20.0) -> tuple[bool, str]:
    """Run `code` in a Python of its own, where a crash stays: whether it worked, and its last line."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return False, f"no answer in {timeout:g} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1] if lines else f"exit code {done.returncode}"


def sees_system_packages() -> bool:
    """Whether this Python imports the system's packages: no virtual environment, or one that lets them in."""
    if sys.prefix == sys.base_prefix:
        return True
    text = read_text(Path(sys.prefix) / "pyvenv.cfg") or ""
    return re.search(r"include-system-site-packages\s*=\s*true", text, re.IGNORECASE) is not None


def python(device: Device, root: Path) -> Finding:
    found = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if not (3, 10) <= sys.version_info[:2] < (3, 14):
        return (
            "bad",
            f"{device.python}; the kit needs 3.10 to 3.13",
            "EDGEKIT_PYTHON=/path/to/python3.12 ./setup/demo.sh",
        )
    wanted = {"6": "3.10", "7": "3.12"}.get((device.jetpack or "")[:1], found)
    if wanted != found:
        return (
            "bad",
            f"{device.python}; JetPack's TensorRT is made for {wanted}",
            "make the environment with /usr/bin/python3",
        )
    return "ok", f"{device.python} in {sys.prefix}", ""


def cuda(device: Device, root: Path) -> Finding:
    if device.cuda:
        return "ok", device.cuda + ("" if device.gpu else ", not used: there is no GPU"), ""
    if device.is_jetson:
        return "bad", "no /usr/local/cuda", "sudo apt install nvidia-jetpack"
    if device.gpu:
        return (
            "warning",
            "no /usr/local/cuda: pycuda cannot be compiled",
            "install the CUDA toolkit of your driver's version",
        )
    return "ok", "none, and no GPU to use it", ""


def tensorrt(device: Device, root: Path) -> Finding:
    if not device.gpu:
        rtx = installed("tensorrt-rtx-cu13")
        also = f"; TensorRT-RTX {rtx} builds plans for RTX GPUs" if rtx else ""
        return "ok", f"{device.tensorrt or 'none'}: without a GPU, models run on ONNX Runtime{also}", ""
    if device.tensorrt_path is None:
        if not device.is_jetson:
            return "warning", "none: models run on ONNX Runtime", 'pip install -e ".[tensorrt]"'
        if device.tensorrt is None:
            return "bad", "JetPack's TensorRT is not installed", "sudo apt install nvidia-jetpack"
        if not sees_system_packages():
            return (
                "bad",
                f"{device.tensorrt} is on the system, and this virtual environment does not see it",
                f"rm -r {sys.prefix}, then ./setup/jetson.sh (it uses --system-site-packages)",
            )
        return "bad", f"{device.tensorrt}, without its Python module", "sudo apt install python3-libnvinfer"
    library = library_version(root)
    major_minor = [".".join((v or "").split(".")[:2]) for v in (library, device.tensorrt)]
    if device.is_jetson and library and major_minor[0] != major_minor[1]:
        return (
            "bad",
            f"the Python module is {device.tensorrt} ({device.tensorrt_path}), JetPack's is {library}",
            "pip uninstall tensorrt: a wheel hides JetPack's own",
        )
    works, words = try_python("import tensorrt; print(tensorrt.__version__)")
    if not works:
        return (
            "bad",
            f"{device.tensorrt} does not import: {words}",
            "reinstall it: sudo apt install --reinstall python3-libnvinfer",
        )
    return "ok", f"{words} ({device.tensorrt_path})", ""


def pycuda(device: Device, root: Path) -> Finding:
    if not device.gpu:
        return "ok", f"{installed('pycuda') or 'none'}, not needed: there is no GPU", ""
    cure = "export PATH=/usr/local/cuda/bin:$PATH; pip install pycuda (compiles; needs python3-dev)"
    if device.is_jetson:
        cure = "./setup/jetson.sh compiles it (needs nvcc: sudo apt install nvidia-jetpack)"
    if importlib.util.find_spec("pycuda") is None:
        return "bad" if device.is_jetson else "warning", "none: TensorRT plans cannot run", cure
    works, words = try_python(
        "import pycuda, pycuda.driver as d; d.init(); print(pycuda.VERSION_TEXT, 'sees', d.Device(0).name())"
    )
    return (
        ("ok", words, "")
        if works
        else (
            "bad",
            f"does not work: {words}",
            f"pip install --force-reinstall --no-cache-dir pycuda, after {cure}",
        )
    )


def onnxruntime(device: Device, root: Path) -> Finding:
    if importlib.util.find_spec("onnxruntime") is None:
        return "bad", "not installed", "pip install onnxruntime"
    module = importlib.import_module("onnxruntime")
    providers = [
        p.removesuffix("ExecutionProvider") for p in module.get_available_providers() if "Azure" not in p
    ]
    found = f"{module.__version__} on {', '.join(providers)}"
    if device.gpu and not device.is_jetson and "CUDA" not in providers:
        return "warning", f"{found}: not on the GPU", "pip uninstall onnxruntime; pip install onnxruntime-gpu"
    return "ok", found, ""


def opencv(device: Device, root: Path) -> Finding:
    try:
        cv2 = importlib.import_module("cv2")
        words = cv2.getBuildInformation()
    except Exception as error:  # cv2 compiled for NumPy 1 under NumPy 2 raises more than ImportError
        held = (
            "pip install 'numpy<2' (JetPack's cv2 needs it)"
            if device.is_jetson
            else "pip install opencv-python"
        )
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "cannot open shared object" in why:  # pip's wheel on a system without a screen, or a container
            held = "sudo apt install libgl1 libglib2.0-0"
        return "bad", f"does not import: {why}", held
    streams = re.search(r"GStreamer:\s+YES", words) is not None
    found = f"{cv2.__version__}, GStreamer {'YES' if streams else 'NO'}"
    if streams:
        return "ok", f"{found} ({cv2.__file__})", ""
    if not device.is_jetson:
        return (
            "warning",
            f"{found}: cv2 cannot open a GStreamer pipeline, so no CSI camera through it",
            "nothing to do without a CSI camera",
        )
    hidden = [p for p in root.glob("usr/lib/python3*/dist-packages/cv2") if str(p) not in str(cv2.__file__)]
    if hidden and sees_system_packages():
        return (
            "warning",
            f"{found}: the wheel {cv2.__file__} hides JetPack's {hidden[0]}; CSI cameras fail in cv2",
            "pip uninstall opencv-python; then ./setup/jetson.sh",
        )
    return (
        "warning",
        f"{found}: CSI cameras fail in cv2",
        "use JetPack's cv2: sudo apt install python3-opencv nvidia-opencv; rm -r .venv; ./setup/jetson.sh",
    )


def video(device: Device, root: Path) -> Finding:
    if importlib.util.find_spec("av") is None:
        return "bad", "PyAV is not installed: no video file can be read or written", "pip install av"
    av = importlib.import_module("av")
    encoders = sorted(name for name in ("libx264", "libopenh264") if name in av.codecs_available)
    if not encoders:
        return (
            "warning",
            f"PyAV {av.__version__} cannot write H.264: a browser may not play the clips",
            "pip install --force-reinstall av",
        )
    return "ok", f"PyAV {av.__version__}, H.264 by {encoders[-1]}", ""


def jupyter(device: Device, root: Path) -> Finding:
    found = {name: installed(name) for name in ("jupyterlab", "ipywidgets", "ipykernel")}
    words = ", ".join(f"{name} {have}" for name, have in found.items() if have)
    absent = [name for name, have in found.items() if have is None]
    if absent:
        return (
            "warning",
            f"not installed: {', '.join(absent)}; the command line works",
            f"pip install {' '.join(absent)}",
        )
    if (found["ipykernel"] or "").startswith("7.0."):
        return (
            "bad",
            f"{words}: this ipykernel loses widget updates, live views stand still",
            "pip install 'ipykernel!=7.0.*'",
        )
    return "ok", words, ""


def shipped_model(device: Device, root: Path) -> Finding:
    models = importlib.import_module("edgekit.models")
    try:
        path = Path(models.find(SHIPPED_MODEL))
    except EdgekitError as error:
        return "bad", str(error), "bring the checkout back: git checkout engines"
    return "ok", f"{path.name}: its SHA-256 is right", ""
