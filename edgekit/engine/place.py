"""Where a plan will run: this machine's GPU, or a target TensorRT-RTX builds ahead for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from edgekit.engine.builder import targets
from edgekit.engine.trt_module import load_tensorrt
from edgekit.errors import InputError, MissingError

#: What the targets of TensorRT-RTX are (https://developer.nvidia.com/cuda-gpus).
TARGET_CARDS = {
    "sm75": "GeForce RTX 20 and GTX 16, T4",
    "sm80": "A100",
    "sm86": "GeForce RTX 30, A10, A40",
    "sm89": "GeForce RTX 40, L4, L40",
    "sm120": "GeForce RTX 50",
    "sm121": "DGX Spark",
}
JETSONS = {
    "sm53": "Jetson Nano",
    "sm62": "Jetson TX2",
    "sm72": "Jetson Xavier",
    "sm87": "Jetson Orin",
    "sm101": "Jetson Thor",
    "sm110": "Jetson Thor",
}
#: Share of the free memory a build may use as workspace: the weights, the runtime and the desktop want some.
WORKSPACE_SHARE = 0.5
MIB = 1 << 20


@dataclass(frozen=True)
class Place:
    """The TensorRT module and the device a plan is for.

    Attributes:
        trt: the module `tensorrt` or `tensorrt_rtx`.
        key: folder of its plans: "orin-nano_sm87_trt10.3.0", "rtx1.7_sm86".
        gpu, sm, cuda: name of the GPU, compute capability, CUDA version of this machine or None.
        target: the target of a build ahead, else None.
    """

    trt: Any
    key: str
    gpu: str
    sm: str
    cuda: str | None
    target: str | None

    @property
    def module(self) -> str:
        return str(self.trt.__name__)

    @property
    def is_rtx(self) -> bool:
        return self.module == "tensorrt_rtx"


def find_place(target: str | None = None) -> Place:
    """The place to build for.

    Raises:
        InputError: the target is unknown, or one that TensorRT-RTX does not build for.
        MissingError: no TensorRT, or no target and no GPU here.
    """
    return _ahead(target) if target is not None else _here()


def best_place(nearest: str = "sm86") -> tuple[Place | None, str]:
    """Where a plan can be built from here, and why there, in words; None and the cure where nowhere.

    Args:
        nearest: target to build ahead for where this machine has no GPU that will do. The default is the
            nearest relative of a Jetson Orin (sm87).
    """
    try:
        place = find_place()
        return place, f"{_title(place)} builds for this machine's {place.gpu}, {place.sm}."
    except MissingError as error:
        here = str(error).split(". ")[0].removesuffix(".")
    try:
        place = find_place(nearest)
    except MissingError:
        return None, (
            f"No plan can be built here: {here}. On a PC `pip install tensorrt-rtx-cu13` builds ahead, "
            "without a GPU; on a Jetson TensorRT comes with JetPack; `edgekit doctor` looks for it."
        )
    return place, (
        f"{here[:1].upper()}{here[1:]}. So {_title(place)} builds ahead for {place.sm} ({place.gpu}): the "
        "plan is real, and runs on such a card only."
    )


def _title(place: Place) -> str:
    return f"{place.module} {place.trt.__version__}"


def _ahead(target: str) -> Place:
    name = target.lower().replace("_", "")
    if name in JETSONS:
        raise InputError(
            f"{name} is {JETSONS[name]}, and TensorRT-RTX builds for RTX cards only: a plan for a Jetson "
            "must be built on the Jetson (`edgekit build MODEL` there). --target sm86, the nearest "
            "relative, shows that the model can be built at all."
        )
    try:
        trt = load_tensorrt("tensorrt_rtx", fallback=False)
    except MissingError as error:
        raise MissingError(
            "--target needs TensorRT-RTX, which builds without a GPU: full TensorRT builds only for the "
            "GPU it runs on. Install it with `pip install tensorrt-rtx-cu13`, or leave --target out and "
            "build on the machine that will run the plan."
        ) from error
    known = targets(trt)
    if name not in known:
        listed = ", ".join(f"{key} ({TARGET_CARDS.get(key, 'newer card')})" for key in known)
        raise InputError(f"the target {target!r} is unknown; TensorRT-RTX {trt.__version__} knows {listed}.")
    return Place(trt, f"{_rtx(trt)}_{name}", TARGET_CARDS.get(name, name), name, None, name)


def _here() -> Place:
    from edgekit.device import describe, device_key

    device = describe()
    trt = load_tensorrt()
    if device.gpu is None:
        reason = device.missing.get("gpu", "no NVIDIA GPU")
        raise MissingError(
            f"there is no GPU to build for ({reason}). --target sm86 builds ahead with TensorRT-RTX, and "
            "without a plan every model runs on ONNX Runtime (--backend onnxruntime)."
        )
    sm = device.sm or "unknown"
    if trt.__name__ == "tensorrt_rtx":
        if sm not in targets(trt):
            raise MissingError(
                f"TensorRT-RTX does not build for {device.gpu} ({sm}); it knows {', '.join(targets(trt))}. "
                "Install full TensorRT, or use --backend onnxruntime."
            )
        key = f"{device_key(replace(device, tensorrt=None))}_{_rtx(trt)}"
    else:
        key = device_key(device)
    return Place(trt, key, device.gpu, sm, device.cuda, None)


def _rtx(trt: Any) -> str:
    return "rtx" + ".".join(trt.__version__.split(".")[:2])


def workspace_limit(place: Place, asked: int | None) -> tuple[int | None, str]:
    """Workspace in bytes and, in words, where the number comes from.

    Args:
        place: where the plan runs.
        asked: MiB, or None to take half of the memory that is free now.

    Raises:
        InputError: fewer than 1 MiB were asked for.
    """
    if asked is not None:
        if asked < 1:
            raise InputError(f"the workspace must be at least 1 MiB, not {asked}.")
        return asked * MIB, f"{asked} MiB, as asked for"
    if place.target is not None:
        return None, "TensorRT's own limit (the memory of another machine is unknown)"
    free, whose = free_memory()
    limit = max(64, int(free * WORKSPACE_SHARE) // MIB)
    return limit * MIB, f"{limit} MiB, half of the {free // MIB} MiB free in the {whose}'s memory"


def free_memory() -> tuple[int, str]:
    """Bytes free for a build, and whose: the GPU's own memory on a PC, the machine's on a Jetson."""
    import shutil

    from edgekit.device import ask, describe
    from edgekit.limits import memory

    program = None if describe().is_jetson else shutil.which("nvidia-smi")
    if program:
        answer = ask([program, "--query-gpu=memory.free", "--format=csv,noheader,nounits"])
        if answer and answer.strip().isdigit():
            return int(answer) * MIB, "GPU"
    return memory()[1], "machine"
