"""Which names each TensorRT has: makes and reads `tensorrt_names.json`.

    python tests/engine/tensorrt_names.py DUMP.json > tests/engine/tensorrt_names.json

DUMP.json is `{version: collect(module)}`, read off the bindings in NVIDIA's wheels of each version, which
import without a GPU when small stub libraries stand in for libnvinfer. The result keeps facts only: for
each class ("" is the module itself) and each pattern of versions, such as "011110" (one digit a version,
oldest first), the names found in just those.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

NAMES = Path(__file__).with_name("tensorrt_names.json")
VERSIONS = ("8.6.1", "10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0", "rtx1.7")
#: What Python, not TensorRT, put into the RTX package.
FOREIGN = {
    "os",
    "sys",
    "ctypes",
    "warnings",
    "attr",
    "value",
    "common_enter",
    "common_exit",
    "tensorrt_rtx",
    "tensorrt_rtx_libs",
}


def collect(module: Any) -> dict[str, Any]:
    """{class: its public members}, and {name: ""} for what is no class."""
    found: dict[str, Any] = {}
    for name in dir(module):
        member = getattr(module, name)
        if isinstance(member, type):
            found[name] = [item for item in dir(member) if not item.startswith("_")]
        elif not name.startswith("_") and name not in FOREIGN and not hasattr(member, "__path__"):
            found[name] = ""
    return found


def compact(dump: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    where: dict[tuple[str, str], set[str]] = defaultdict(set)
    for version, names in dump.items():
        for name, members in names.items():
            if name.startswith("_") or name in FOREIGN:
                continue
            where["", name].add(version)
            for member in members or ():
                if not member.startswith("_"):
                    where[name, member].add(version)
    table: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for (owner, name), versions in sorted(where.items()):
        table[owner]["".join("01"[version in versions] for version in VERSIONS)].append(name)
    return {owner: {mask: " ".join(names) for mask, names in masks.items()} for owner, masks in table.items()}


def read() -> dict[str, dict[str, frozenset[str]]]:
    """{class: {member: the versions that have it}}; the module's own names are under ""."""
    return {
        owner: {
            name: frozenset(v for v, has in zip(VERSIONS, mask, strict=True) if has == "1")
            for mask, names in masks.items()
            for name in names.split()
        }
        for owner, masks in json.loads(NAMES.read_text()).items()
    }


if __name__ == "__main__":
    table = compact(json.loads(Path(sys.argv[1]).read_text()))
    lines = (f"{json.dumps(owner)}: {json.dumps(masks)}" for owner, masks in table.items())
    sys.stdout.write("{\n" + ",\n".join(lines) + "\n}\n")
