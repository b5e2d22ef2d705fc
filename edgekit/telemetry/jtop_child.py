"""The one part that imports jetson-stats (AGPL-3.0); it runs in its own process and is never imported.

Started as `PYTHON jtop_child.py INTERVAL PARENT`, maybe by an older Python (3.8) that has no edgekit. It
writes JSON lines: first {"version", "interval"}, then samples, and {"error", "text"} before it ends. It ends
with its parent, however that one ends, since its standard input ends then.
"""

from __future__ import annotations

import os
import sys

# This folder holds a jtop.py of its own, which is not the one that is meant.
_HERE = os.path.dirname(os.path.realpath(__file__))  # noqa: PTH120
sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder or ".") != _HERE]

import importlib  # noqa: E402
import json  # noqa: E402
import queue  # noqa: E402
import select  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
from typing import Any, Callable, Dict  # noqa: E402, UP035

#: Older than so many intervals, a reading is stale.
STALE = 3.0
#: A service that is silent for so long, in seconds, and for that many intervals, has died or hangs.
PATIENCE_S = 2.0
#: What the service's or the client's own words mean; anything else is a connection that was lost.
KINDS = {
    "not active": "inactive",
    "can't access": "forbidden",
    "Mismatch": "mismatch",
    "Authentication": "mismatch",
}

Row = Dict[str, Any]  # noqa: UP006


def main(interval: float, parent: int) -> None:
    """Send samples until something fails, and then what it was."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints does not belong among the lines
    threading.Thread(target=end_with_parent, args=(parent,), daemon=True).start()

    def send(row: Row) -> None:
        out.write(json.dumps(row, default=str) + "\n")
        out.flush()

    try:
        package: Any = importlib.import_module("jtop")
    except ImportError as error:
        send({"error": "absent", "text": str(error)})
        return
    try:
        work(package, interval, send)
    except BaseException as error:  # a dead service shows as nearly anything: EOFError, OSError, KeyError, …
        kind = next((kind for words, kind in KINDS.items() if words in str(error)), "lost")
        send({"error": kind, "text": f"{type(error).__name__}: {error}"})


def work(package: Any, interval: float, send: Callable[[Row], None]) -> None:
    """Connect, and send each new sample; ends by an exception only."""

    class Client(package.jtop):  # type: ignore[misc]
        def _load_jetson_libraries(self) -> None:
            """Not needed: it starts five programs to ask for versions of libraries."""

    client = Client(interval)
    rows: queue.Queue[Row] = queue.Queue()
    client.attach(lambda client: rows.put(row_of(client)))
    client.start()
    # The first client of a service sets the pace, for all others too.
    pace = max(interval, client.interval)
    send({"version": package.__version__, "interval": client.interval})
    last = sent = 0.0
    heard = time.monotonic()
    while True:
        # Not by ok() alone, which gives up where another client made the service slower than was asked here.
        client.ok(spin=True)  # throws what the client's thread died of
        try:
            row = rows.get(timeout=0.1)
        except queue.Empty:
            row = {"uptime": 0.0}
        if row["uptime"] > last:
            last, heard = row["uptime"], time.monotonic()
            age = time.clock_gettime(time.CLOCK_BOOTTIME) - last
            # Left out: what lay there from before, and what came early for a faster client.
            if age <= STALE * pace and last - sent >= 0.9 * interval:
                if not sent:
                    row["cpus"] = []  # a service that has just woken counts from boot
                sent = last
                send(row)
        elif time.monotonic() - heard > max(PATIENCE_S, STALE * pace):
            raise TimeoutError(f"no new sample for {time.monotonic() - heard:.1f} s")


def row_of(client: Any) -> Row:
    """What a sample needs of the client, as plain values."""
    cores = client.cpu.get("cpu", [])
    return {
        "uptime": client.uptime.total_seconds(),
        "power": client.power,
        "temperature": client.temperature,
        "gpu": {name: dict(gpu) for name, gpu in client.gpu.items()},
        "fan": {name: dict(fan) for name, fan in client.fan.items()},
        # not its "total": of that, every second figure is the load since boot (4.3.2 and 7.2.2)
        "cpus": [
            core["user"] + core["nice"] + core["system"] for core in cores if core.get("idle") is not None
        ],
        "ram": client.memory.get("RAM", {}).get("used"),
        "mode": None if client.nvpmodel is None else str(client.nvpmodel),
        "clocks": None if client.jetson_clocks is None else bool(client.jetson_clocks),
    }


def end_with_parent(parent: int) -> None:
    """Leave at once when the parent has gone, also where a fork of it still holds the pipe open."""
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], 1.0)
        if readable and not os.read(0, 1):
            break
    os._exit(0)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
    os._exit(0)  # at once: the client's threads would wait for a service that is dead
