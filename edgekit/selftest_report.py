"""The file of a self-test: one JSON, whole at every moment, with nothing personal in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgekit import __version__
from edgekit.device import Device, describe, device_key
from edgekit.errors import InputError
from edgekit.files import atomic_write
from edgekit.selftest_privacy import clean

SCHEMA = 1
STATES = ("passed", "failed", "not here")
#: State of a step that is under way; a file that keeps it is of a run that was cut off there.
RUNNING = "running"
#: What is told of the machine; the rest of `Device` names folders or is of no use.
FIELDS = (
    "machine", "board", "soc", "is_jetson", "l4t", "jetpack", "cuda", "tensorrt", "gpu", "sm",
    "memory_total", "cpu", "cores", "power_mode", "python", "os",
)  # fmt: skip


class Report:
    """What is found, kept in a file after each step.

    Args:
        path: the file; its folder is made.
        asked: the options, to be noted.
        root: folder that holds etc, proc, sys and so on; another one than / is an emulated machine.

    Attributes:
        path: as given.
        found: what stands in the file.
    """

    def __init__(self, path: Path, asked: Mapping[str, Any], root: Path = Path("/")) -> None:
        from edgekit.runlog import where_and_what

        self.path, self._root = path, root
        device, about = describe(root), where_and_what()
        told = {"name": str(device), **{name: getattr(device, name) for name in FIELDS}}
        versions = {
            "l4t": device.l4t,
            "cuda": device.cuda,
            "tensorrt": device.tensorrt,
        }  # may look like an IP
        self.found: dict[str, Any] = {
            "schema": SCHEMA,
            "what": "edgekit selftest",
            "edgekit": __version__,
            "revision": about["git"],
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "asked": dict(asked),
            "emulated": str(root) != "/",
            "device": {**clean(told, root), **versions},
            "versions": about["versions"],
            "steps": [],
        }
        self.save()

    def begin(self, name: str) -> None:
        """A step begins: the file says so, should it be the last thing this machine does."""
        self.found["steps"].append({"step": name, "state": RUNNING})
        self.save()

    def end(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """The step that began last has ended; returns its line as it stands in the file."""
        line = {**self.found["steps"][-1], **result}
        if line["state"] == "passed":
            line.pop("log", None)  # the end of what was printed is for what went wrong
        kept = {"step": line["step"], "state": line["state"]}
        self.found["steps"][-1] = {**clean(line, self._root), **kept}
        self.save()
        return dict(self.found["steps"][-1])

    def count(self, state: str) -> int:
        return sum(step["state"] == state for step in self.found["steps"])

    def save(self) -> None:
        """Write the file: aside, synced to the disk, renamed.

        Raises:
            InputError: it cannot be written.
        """
        try:
            with atomic_write(self.path) as scratch:
                text = json.dumps(self.found, indent=1, ensure_ascii=False)
                scratch.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror or error}.") from error


def default_path(device: Device | None = None) -> Path:
    """`selftest-<device>-<day>.json` in this folder, or in `out/` where there is one."""
    day = datetime.now(timezone.utc).strftime("%Y-%m-%d")
    folder = Path("out" if Path("out").is_dir() else ".")
    return folder / f"selftest-{device_key(device)}-{day}.json"


def read_report(path: Path | str) -> dict[str, Any]:
    """A file of a self-test; a step that was under way has failed.

    Raises:
        InputError: it is no such file, or of a newer edgekit.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    if not isinstance(found, dict) or found.get("what") != "edgekit selftest":
        raise InputError(f"{path} was not written by `edgekit selftest`.")
    if found.get("schema") != SCHEMA:
        raise InputError(f"{path} was written by another edgekit ({found.get('edgekit')}); upgrade this one.")
    try:
        steps = [_checked(step) for step in found["steps"]]
        device = {str(key): value for key, value in found["device"].items()}
        return {
            **found,
            "steps": steps,
            "device": device,
            "date": str(found["date"]),
            "asked": dict(found["asked"]),
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__} {error}.") from error


def _checked(step: Mapping[str, Any]) -> dict[str, Any]:
    state = step["state"]
    if state == RUNNING:
        return {**step, "state": "failed", "words": "the program or the machine ended during it"}
    if state not in STATES:
        raise KeyError(f"state {state!r}")
    return {"words": "", "figures": {}, **step, "step": str(step["step"])}
