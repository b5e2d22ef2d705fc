"""What the set-up scripts ask of a board's Python: JetPack's own modules, before and after an installation.

    python board.py jetpack 36.4.3     "6.2"; empty for an L4T that is not in the table of edgekit.device
    python board.py facts              TensorRT, cv2 and NumPy as this interpreter imports them, as JSON
    python board.py compare BEFORE     the same again beside BEFORE (the JSON of `facts`); exit code 1,
                                       and what went wrong with its cure, where something was taken away

Run by the system's Python and by the environment's; needs nothing but the standard library.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

MODULES = ("tensorrt", "cv2", "numpy")
ROOT = Path(__file__).resolve().parents[1]

#: Run in an interpreter of its own, which a module may crash.
_LOOK = """
import importlib, json, re, sys
for name in sys.argv[1:]:
    try:
        module = importlib.import_module(name)
        fact = {"version": module.__version__, "path": module.__file__}
        if name == "cv2":
            fact["gstreamer"] = bool(re.search(r"GStreamer:\\s+YES", module.getBuildInformation()))
    except Exception as error:
        fact = {"error": f"{type(error).__name__}: {error}"}
    print("FACT", json.dumps([name, fact]), flush=True)
"""


def facts(options: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """Version and path of each module; {"error": why} where it does not import."""
    found: dict[str, dict[str, Any]] = {}
    while names := [name for name in MODULES if name not in found]:
        done = subprocess.run(
            [sys.executable, *options, "-c", _LOOK, *names], capture_output=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        lines = [line[5:] for line in done.stdout.splitlines() if line.startswith("FACT ")]
        found.update(map(json.loads, lines))
        if len(lines) < len(names):
            found[names[len(lines)]] = {"error": f"it crashes the interpreter (exit code {done.returncode})"}
    return found


def words(name: str, found: dict[str, Any]) -> str:
    """One line for a reader."""
    if "error" in found:
        return f"{name}: none ({found['error']})"
    streams = {True: ", with GStreamer", False: ", without GStreamer", None: ""}[found.get("gstreamer")]
    return f"{name}: {found['version']}{streams} ({found['path']})"


def undo(name: str, path: str) -> str:
    """How to take away the module at `path` that hides JetPack's."""
    package = {"cv2": "opencv-python"}.get(name, name)
    if path.startswith(sys.prefix):
        return f"{sys.executable} -m pip uninstall {package}"
    if "/.local/" in path:
        return f"/usr/bin/python3 -m pip uninstall {package} (it was installed with pip --user)"
    return f"find out what brought {path}, and remove it"


def complaints(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """(what went wrong, cure) for each thing of JetPack that `before` had and `after` lacks."""
    found = []
    for name in MODULES:
        old, new = before[name], after[name]
        if "error" in new:
            if "error" not in old or name != "tensorrt":
                found.append((f"{name} does not import: {new['error']}", "start anew, as below"))
            continue
        if "error" in old:
            continue
        major = int(old["version"].split(".")[0])
        if name == "tensorrt" and (old["version"], old["path"]) != (new["version"], new["path"]):
            what = f"TensorRT is {new['version']} ({new['path']}), JetPack's {old['version']} ({old['path']})"
            found.append((what, undo(name, new["path"])))
        elif name == "cv2" and old["gstreamer"] and not new["gstreamer"]:
            what = f"{new['path']}, which has no GStreamer, hides JetPack's {old['path']}"
            found.append((what, undo(name, new["path"])))
        elif name == "numpy" and not new["version"].startswith(f"{major}."):
            what = f"NumPy is {new['version']}, and JetPack's cv2 and TensorRT are made for {old['version']}"
            found.append((what, f"{sys.executable} -m pip install 'numpy<{major + 1}'"))
    return found


def jetpack(l4t: str) -> str:
    """The JetPack of an L4T version, by the kit's one table; empty where that does not know it."""
    sys.path.insert(0, str(ROOT))
    from edgekit.device import find_jetpack

    return find_jetpack(l4t) or ""


def main(words_given: list[str]) -> int:
    verb, *rest = words_given
    if verb == "jetpack":
        sys.stdout.write(jetpack(rest[0]) + "\n")
    elif verb == "facts":
        # -s: without ~/.local, which is no part of JetPack
        sys.stdout.write(json.dumps(facts(("-s",))) + "\n")
    else:
        after = facts()
        for name, found in after.items():
            sys.stdout.write(f"  {words(name, found)}\n")
        wrong = complaints(json.loads(rest[0]), after)
        for what, cure in wrong:
            sys.stderr.write(f"edgekit: {what}\n         cure: {cure}\n")
        return bool(wrong)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
