"""What a sweep measures: the cases, and the key by which a finished one is known again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from edgekit.engine import PRECISIONS
from edgekit.engine.choose import BACKENDS, PLANS, tensorrt_missing
from edgekit.errors import InputError

#: The engine alone; a top-down pose network's and its detector's, one person a picture; with preparing and
#: decoding; AP on a data set.
PARTS = ("engine", "both", "pipeline", "accuracy")
#: Kinds of models whose accuracy is that of keypoints.
POSES = ("trtpose", "topdown")
#: Back ends that name one place to compute, the quickest first.
MEASURED = tuple(name for name in BACKENDS if name not in ("auto", "onnxruntime"))
#: Precisions measured where none is asked for: those a back end has without calibration.
USUAL = {"tensorrt": ("fp32", "fp16"), "onnxruntime-cuda": ("fp32", "fp16")}


@dataclass(frozen=True)
class Settings:
    """What to measure, and how.

    Attributes:
        models: names of the shelf, ONNX files or plans.
        precisions: None: fp32, and fp16 where the back end has it.
        batches: pictures at once.
        backends: None: those that are here.
        parts: of `PARTS`; "accuracy" goes with `dataset`.
        seconds, iterations: each case is timed for at least so long, and so many calls.
        warm_up: seconds before that, at least two calls.
        time_limit: seconds that a case may take, opening and building included.
        sampler, interval: who measures power and heat, and how often, in seconds.
        idle: seconds of idling measured before the sweep, where power can be measured.
        subtract_idle: leave the idle power out of watts and joules.
        detector: finds the people for a top-down pose network.
        dataset: data set for AP beside speed.
        calibration: folder of pictures for int8; None: frames of the sample clip.
        out: folder that keeps the rows, so that a second call goes on; None: nothing is kept.
        again: measure what is kept too.
        baseline: "BACKEND" or "BACKEND:PRECISION" that the others are compared with; "": PyTorch,
            else ONNX Runtime on the CPU, in fp32.
    """

    models: Sequence[str] = ("edgekit-person",)
    precisions: Sequence[str] | None = None
    batches: Sequence[int] = (1,)
    backends: Sequence[str] | None = None
    parts: Sequence[str] = ("engine", "pipeline")
    seconds: float = 3.0
    iterations: int = 20
    warm_up: float = 0.5
    time_limit: float = 1800.0
    sampler: str = "auto"
    interval: float = 0.25
    idle: float = 3.0
    subtract_idle: bool = False
    detector: str = "edgekit-person"
    dataset: str | None = None
    calibration: str | None = None
    out: Path | None = None
    again: bool = False
    baseline: str = ""

    def __post_init__(self) -> None:
        for words, values, known in (
            ("precision", self.precisions or (), PRECISIONS),
            ("back end", self.backends or (), MEASURED),
            ("part", self.parts, PARTS),
        ):
            if wrong := [value for value in values if value not in known]:
                raise InputError(f"{words} {wrong[0]!r} is unknown; choose of {', '.join(known)}.")
        if not self.models or not self.batches or not self.parts:
            raise InputError("there is nothing to measure: give a model, a batch and a part.")
        if min(self.batches) < 1:
            raise InputError(f"--batch {min(self.batches)}: a batch is 1 or more.")
        if not 0 < self.seconds <= 3600 or not 1 <= self.iterations <= 100_000 or self.warm_up < 0:
            raise InputError(
                "--seconds must be over 0 and up to 3600, --iterations 1 to 100000, --warm-up ≥ 0."
            )
        if self.time_limit <= 0:
            raise InputError(f"--time-limit {self.time_limit:g} must be more than 0 seconds.")


@dataclass(frozen=True)
class Case:
    """One row to be measured.

    Attributes:
        model, sha256: as given, and of its file.
        part, backend, precision, batch: what.
        seconds, iterations, warm_up, calibration: how; see `Settings`.
        detector, detector_sha256: for a top-down pose network in every part but "engine", else empty.
        dataset, dataset_digest: for the part "accuracy", else empty.
        sampler, subtract_idle: who measures power, and whether idling is left out.
        place: device, power mode and versions: figures of another place are another case's.
    """

    model: str
    sha256: str
    part: str
    backend: str
    precision: str
    batch: int
    seconds: float
    iterations: int
    warm_up: float
    calibration: str
    detector: str
    detector_sha256: str
    dataset: str
    dataset_digest: str
    sampler: str
    subtract_idle: bool
    place: tuple[tuple[str, str], ...]

    @cached_property
    def key(self) -> str:
        """Digest of everything on which the figures depend."""
        parts = asdict(self)
        for name in ("model", "detector", "dataset"):  # their digests count, not where they lie
            parts.pop(name)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        batch = "" if self.part == "accuracy" else f", batch {self.batch}"
        return f"{Path(self.model).name} {self.part}, {self.backend} {self.precision}{batch}"


def here() -> list[str]:
    """The back ends of this machine."""
    from edgekit.engine.onnxruntime import cuda_missing
    from edgekit.engine.pytorch import pytorch_missing

    missing = {
        "tensorrt": tensorrt_missing(),
        "onnxruntime-cuda": cuda_missing(),
        "pytorch": pytorch_missing(),
    }
    return [name for name in MEASURED if missing.get(name) is None]


def cases(settings: Settings) -> list[Case]:
    """Every case of a sweep: model by model, all of one back end and precision together.

    Raises:
        InputError: a model, the data set or the calibration folder cannot be used.
        MissingError: a model is not on this machine.
    """
    from edgekit.evaluate.data import read_data
    from edgekit.files import sha256
    from edgekit.models import find
    from edgekit.tasks.choose import ACTIONS, model_kind

    digests: dict[str, str] = {}
    parts = [part for part in PARTS if part in settings.parts and part != "accuracy"]
    parts += ["accuracy"] if settings.dataset else []
    backends = list(settings.backends or here())
    where = tuple(sorted(place().items()))
    found = []
    for model in dict.fromkeys(settings.models):
        path = find(model)
        kind = model_kind(model, path)
        finder = settings.detector if kind == "topdown" else ""
        finder_sha256 = sha256(find(finder)) if finder and set(parts) - {"engine"} else ""
        if settings.dataset and kind in ACTIONS:
            raise InputError(f"{Path(model).name} names actions; a set of pictures cannot score it.")
        if settings.dataset and kind not in digests:
            digests[kind] = read_data(settings.dataset, keypoints=kind in POSES).digest
        for backend, precision in _ways(path, backends, settings.precisions):
            for batch in sorted(set(settings.batches)):
                for part in parts:
                    scored = part == "accuracy"
                    if part == "both" and not finder:
                        raise InputError(
                            f"{Path(model).name} is no top-down pose network: it has no detector."
                        )
                    if scored and batch != min(settings.batches):
                        continue  # the batch does not change what is found
                    found.append(
                        Case(
                            model=str(model),
                            sha256=sha256(path),
                            part=part,
                            backend=backend,
                            precision=precision,
                            batch=1 if scored else batch,
                            seconds=settings.seconds,
                            iterations=settings.iterations,
                            warm_up=settings.warm_up,
                            calibration=settings.calibration or "",
                            detector=finder if part != "engine" else "",
                            detector_sha256=finder_sha256 if part != "engine" else "",
                            dataset=settings.dataset or "" if scored else "",
                            dataset_digest=digests[kind] if scored else "",
                            sampler=settings.sampler,
                            subtract_idle=settings.subtract_idle,
                            place=where,
                        )
                    )
    return found


def _ways(path: Path, backends: Sequence[str], precisions: Sequence[str] | None) -> list[tuple[str, str]]:
    """Back end and precision of each way to run a file; a plan has one."""
    if path.suffix in PLANS:
        from edgekit.engine.plan import read_sidecar

        return [("tensorrt", str(read_sidecar(path).get("precision") or (precisions or ["fp16"])[0]))]
    wanted = tuple(dict.fromkeys(precisions or ()))
    return [(b, p) for b in backends for p in wanted or USUAL.get(b, ("fp32",))]


def place() -> dict[str, str]:
    """Device, power mode and the versions that make the figures what they are."""
    from edgekit import __version__
    from edgekit.device import describe, device_key, installed

    device = describe()
    names = ("onnxruntime", "onnxruntime-gpu", "torch", "onnx2torch", "numpy")
    versions: dict[str, Any] = {name: installed(name) for name in names}
    versions |= {"edgekit": __version__, "python": device.python, "tensorrt": device.tensorrt}
    where = {"device": f"{device_key(device)}, {device.cpu}, {device.cores:g} cores"}
    where["power_mode"] = device.power_mode or ""
    return where | {name: version for name, version in versions.items() if version}
