"""Benchmarks: latency, throughput, watts, joules and memory of models, back ends, precisions and batches.

    found = sweep(Settings(models=("edgekit-person",), precisions=("fp32", "int8"), batches=(1, 4)))
    found.rows           # a dictionary for each case; see `edgekit.bench.sweep`
    print(found.text())  # the table of `edgekit bench`

Each case runs in a process of its own (`edgekit.bench.worker`), so that its memory is its own and its end is
not the sweep's.
"""

from __future__ import annotations

from edgekit.bench.cases import Settings
from edgekit.bench.sweep import Found, sweep

__all__ = ["Found", "Settings", "sweep"]
