"""What the operating system lets this process have: memory and cores, a container's limits included.

Every function takes `root`, so that the tests can show it another machine.
"""

from __future__ import annotations

import os
import re
from pathlib import Path


def read_text(path: Path) -> str | None:
    """Text of a small file without NULs and outer white space; None where absent, unreadable or empty."""
    try:
        text = path.read_bytes().decode(errors="replace")
    except OSError:
        return None
    return text.replace("\0", " ").strip() or None


def _cgroups(root: Path, controller: str) -> list[Path]:
    """Folders of this process's cgroup and its parents for one controller, versions 1 and 2."""
    text = read_text(root / "proc/self/cgroup") or ""
    base = root / "sys/fs/cgroup"
    folders = [base, base / controller]
    for line in text.splitlines():
        if line.count(":") < 2:
            continue
        number, names, path = line.split(":", 2)
        if number == "0" or controller in names.split(","):
            top = base if number == "0" else base / controller
            steps = [part for part in path.split("/") if part and part != ".."]
            folders += [top.joinpath(*steps[: i + 1]) for i in range(len(steps))]
    return folders


def memory(root: Path | str = "/") -> tuple[int, int]:
    """Bytes of memory in all and free for use now; a cgroup's limit counts where it is lower."""
    root = Path(root)
    table: dict[str, str] = dict(
        re.findall(r"^(\w+):\s+(\d+) kB", read_text(root / "proc/meminfo") or "", re.MULTILINE)
    )
    if "MemTotal" in table:
        total = int(table["MemTotal"]) * 1024
        free = int(table.get("MemAvailable", table.get("MemFree", 0))) * 1024
    else:  # macOS
        total = free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for folder in _cgroups(root, "memory"):
        limit = read_text(folder / "memory.max") or read_text(folder / "memory.limit_in_bytes") or ""
        used = read_text(folder / "memory.current") or read_text(folder / "memory.usage_in_bytes") or "0"
        if limit.isdigit() and int(limit) < total:
            # pages of files that the kernel gives up on demand count as used, and are free all the same
            stat = read_text(folder / "memory.stat") or ""
            cache = re.search(r"^(?:total_)?inactive_file (\d+)", stat, re.MULTILINE)
            reclaimable = int(cache[1]) if cache else 0
            total = int(limit)
            free = min(free, max(0, total - int(used) + reclaimable))
    return total, free


def usable_cores(root: Path | str = "/") -> float:
    """Cores this process may use: its affinity, or the cgroup's quota where that is less."""
    root = Path(root)
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    for folder in _cgroups(root, "cpu"):
        quota, _, period = (read_text(folder / "cpu.max") or "").partition(" ")
        quota = quota or read_text(folder / "cpu.cfs_quota_us") or ""
        period = period or read_text(folder / "cpu.cfs_period_us") or ""
        if quota.isdigit() and period.isdigit() and int(period):
            cores = min(cores, round(int(quota) / int(period), 2))
    return cores
