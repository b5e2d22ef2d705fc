"""Plans on disk: the plan, its JSON sidecar and its layer list, written together; when one may be reused."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, InputError
from edgekit.files import atomic_write, sha256

#: Fields of the sidecar that must still hold for a plan to be reused, with their names in a sentence.
MUST_MATCH = {
    "onnx_sha256": "the ONNX file",
    "module": "the TensorRT module",
    "tensorrt": "the TensorRT version",
    "cuda": "the CUDA version",
    "gpu": "the GPU",
    "sm": "the compute capability",
    "precision": "the precision",
    "shapes": "the shapes",
    "workspace_asked": "the workspace",
    "dla": "the DLA core",
    "calibration_sha256": "the calibration pictures or their preparation",
    "recipe": "the way edgekit builds",
    "by_hand": "the size or topology",
}
REBUILD = "Rebuild it on this machine with `edgekit build`."
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Plan:
    """A TensorRT plan on disk.

    Attributes:
        path: the plan; beside it `<plan>.json` (the sidecar) and `<plan>.layers.json`.
        sidecar: what it was built from and for.
        reused: it was there already and still fits.
        reason: one sentence: why it was built, or why not.
        precision: "fp32", "fp16" or "int8".
    """

    path: Path
    sidecar: dict[str, Any]
    reused: bool
    reason: str
    precision: str

    def layers(self) -> dict[str, Any]:
        """The saved layer information: {"kind", "what", "layers": [{"name", "type", …}]}.

        Raises:
            InputError: the file is missing or damaged.
        """
        path = layers_path(self.path)
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read; build again with --force.") from error
        return found

    def table(self) -> list[tuple[str, str]]:
        """What `edgekit build` shows, as (label, value)."""
        notes = self.sidecar
        kind = ".wts" if notes.get("by_hand") else "ONNX"
        if notes["target"]:
            device = f"{notes['sm']} ({notes['gpu']}), built ahead: it runs only on such a card"
        else:
            device = f"{notes['gpu']} ({notes['sm']})"
        rows = [
            ("model", f"{notes['model']}, {kind} SHA-256 {notes['onnx_sha256'][:12]}…"),
            ("precision", f"{self.precision}, {'strongly' if notes['strongly_typed'] else 'weakly'} typed"),
            ("device", device),
            ("library", f"{notes['module']} {notes['tensorrt']}"),
            ("shapes", notes["shapes"] or "static"),
            ("workspace", notes["workspace_from"]),
            ("size", f"{notes['plan_bytes'] / 1e6:.1f} MB"),
            ("layers", f"{notes['layers']} ({notes['layers_kind']})"),
            ("built in", f"{notes['seconds']:.1f} s, on {notes['date']}"),
            ("plan", str(self.path)),
            ("state", f"{'reused' if self.reused else 'built'}: {self.reason}"),
        ]
        if notes["calibration"]:
            rows.insert(2, ("calibration", notes["calibration"]))
        return rows + [("note", note) for note in notes["notes"]]


def sidecar_path(plan: Path) -> Path:
    """`<plan>.json`."""
    return plan.with_name(plan.name + ".json")


def layers_path(plan: Path) -> Path:
    """`<plan>.layers.json`."""
    return plan.with_name(plan.name + ".layers.json")


def read_sidecar(plan: Path) -> dict[str, Any]:
    """What `<plan>.json` says about a plan; empty if there is no such file.

    Raises:
        InputError: the file is not a JSON object.
    """
    path = sidecar_path(plan)
    if not path.is_file():
        return {}
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}). {REBUILD}") from error
    if not isinstance(notes, dict):
        raise InputError(f"{path} does not describe a plan. {REBUILD}")
    return notes


def why_stale(plan: Path, wanted: Mapping[str, Any]) -> str | None:
    """Why the plan at this place cannot be used for what is wanted; None if it can.

    Args:
        plan: where it would lie.
        wanted: the fields of `MUST_MATCH`. A calibration of None fits any: the plan brings its own.
    """
    if not plan.is_file():
        return "there was no plan yet"
    try:
        notes = read_sidecar(plan)
    except InputError:
        notes = {}
    if not notes:
        return "the plan's sidecar is missing or damaged"
    changes = [
        f"{words} changed: {_short(notes.get(key))} → {_short(wanted.get(key))}"
        for key, words in MUST_MATCH.items()
        if notes.get(key) != wanted.get(key) and not (key == "calibration_sha256" and wanted.get(key) is None)
    ]
    if changes:
        return "; ".join(changes)
    for name, digest in dict(notes.get("external") or {}).items():
        if not Path(name).is_file() or sha256(name) != digest:
            return f"the weights file {Path(name).name} changed"
    if plan.stat().st_size != notes.get("plan_bytes"):
        return f"the plan is damaged: {plan.stat().st_size} bytes instead of {notes.get('plan_bytes')}"
    if sha256(plan) != notes.get("plan_sha256"):
        return "the plan is damaged: its SHA-256 is not the one in its sidecar"
    return None


def _short(value: Any) -> str:
    text = "none" if value in (None, "") else str(value)
    return text[:12] + "…" if len(text) == 64 else text


def to_json(data: Any) -> bytes:
    """JSON as it is written beside a plan."""
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


def write_all(files: Mapping[Path, bytes | memoryview]) -> None:
    """Write several files so that they appear together or not at all.

    All bytes are on the disk before the first name is.

    Raises:
        EdgekitError: the disk is full or cannot be written to.
    """
    if not files:
        return
    first = next(iter(files))
    with disk_errors(first, sum(len(memoryview(data)) for data in files.values())), ExitStack() as stack:
        for path, data in files.items():
            scratch = stack.enter_context(atomic_write(path))
            with open(scratch, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())


@contextmanager
def disk_errors(path: Path, size: int) -> Iterator[None]:
    """Turn an OSError of writing into one clear error."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise EdgekitError(
                f"the disk is full: {path.name} needs {size / 1e6:.1f} MB in {path.parent}. "
                "Nothing was left there; free some space and build again."
            ) from error
        raise EdgekitError(
            f"{path} cannot be written ({error.strerror}). Make {path.parent} writable, or name another "
            "place with --out."
        ) from error
