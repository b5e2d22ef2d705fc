"""The steps of `edgekit selftest`: what each runs, with what, and for how long at most."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.camera.v4l2_find import DEV, nodes
from edgekit.errors import InputError

#: The networks that ship, and the task of each.
MODELS = {
    "yolo": "edgekit-person",
    "trtpose": "edgekit-trtpose",
    "alphapose": "edgekit-fastpose",
    "slowfast": "edgekit-slowfast",
    "action": "edgekit-action",
    "track": "edgekit-person",
}
#: Tasks whose steps can live inside the network's graph.
GRAFTED = ("yolo", "trtpose", "alphapose", "track")
KERNELS = ("letterbox", "yolo", "crops", "heatmaps", "paf", "clip", "roi_align")
METERS = ("jtop", "sysfs", "nvml")
#: Seconds that building a plan may take on the smallest board.
BUILD_S = 900.0


@dataclass(frozen=True)
class Step:
    """One step, which runs in a process of its own.

    Attributes:
        name: as `--only` takes it, "build/edgekit-person/fp16".
        run: its function, as "module:function"; see `edgekit.selftest_worker`.
        limit_s: seconds after which it has failed.
        given: arguments of the function.
        quick: it is one of `--quick` too.
    """

    name: str
    run: str
    limit_s: float = 60.0
    given: Mapping[str, Any] = field(default_factory=dict)
    quick: bool = True


def steps(dev: Path = DEV) -> list[Step]:
    """All steps, in the order in which they run: what is quick and cannot harm comes first.

    Args:
        dev: folder of the camera nodes.
    """
    machine, cameras = "edgekit.selftest_machine:", "edgekit.selftest_cameras:"
    engines, tasks = "edgekit.selftest_engines:", "edgekit.selftest_tasks:"
    found = [
        Step("state/before", machine + "state"),
        Step("doctor", machine + "doctor", 120.0),
        Step("power/mode", machine + "power_mode"),
        *[Step(f"power/{name}", machine + "meter", given={"name": name}) for name in METERS],
        Step("power/throttling", machine + "throttling"),
        Step("video/pyav", cameras + "pyav"),
        Step("video/gstreamer", cameras + "gstreamer", 120.0),
        Step("video/nvv4l2decoder", cameras + "decoder", 120.0),
        Step("camera/csi", cameras + "csi", 90.0),
    ]
    usb = [Step(f"camera/{n.name}", cameras + "usb", given={"node": str(n)}) for n in nodes(dev)]
    found += usb or [Step("camera/usb", cameras + "usb", given={"node": None})]
    found.append(Step("live", machine + "live_view", 120.0))
    found += [Step(f"kernel/{k}", "edgekit.selftest_kernels:twin", 240.0, {"name": k}) for k in KERNELS]
    ways = [(model, "fp16") for model in dict.fromkeys(MODELS.values())] + [("edgekit-person", "int8")]
    for model, precision in ways:
        given = {"model": model, "precision": precision}
        found.append(Step(f"build/{model}/{precision}", engines + "plan", BUILD_S, given, quick=False))
    found += [
        Step("build/edgekit-person/dla", engines + "dla", BUILD_S, quick=False),
        Step("engine/zero-copy", engines + "zero_copy", BUILD_S, quick=False),
        Step("engine/cuda-graph", engines + "cuda_graph", BUILD_S, quick=False),
        Step("engine/onnxruntime-cuda", engines + "onnxruntime_cuda", 180.0),
    ]
    for task in MODELS:
        for ops in ("host", "cuda", "graft")[: 3 if task in GRAFTED else 2]:
            given = {"task": task, "ops": ops}
            found.append(Step(f"task/{task}/{ops}", tasks + "task", BUILD_S, given, quick=ops == "host"))
    found += [
        Step("power/joules", tasks + "joules", 300.0),
        Step("bench", tasks + "bench", BUILD_S),
        Step("state/after", machine + "state"),
    ]
    return found


def choose(every: Sequence[Step], only: Sequence[str] = (), quick: bool = False) -> list[Step]:
    """The steps asked for.

    Args:
        only: names, beginnings of names ("build"), or patterns ("task/*/host").
        quick: leave out what takes minutes.

    Raises:
        InputError: a word of `only` fits no step.
    """
    chosen = [step for step in every if step.quick or not quick or only]
    for word in only:
        if not any(_fits(step.name, word) for step in chosen):
            raise InputError(f"no step is called {word!r}; `edgekit selftest --list` names them.")
    return [step for step in chosen if not only or any(_fits(step.name, word) for word in only)]


def _fits(name: str, word: str) -> bool:
    return name.startswith(f"{word.rstrip('/')}/") or fnmatch.fnmatchcase(name, word)
