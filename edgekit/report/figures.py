"""The figures of a report and of the notebooks, each a `Chart` (a matplotlib Figure that shows itself).

Titles carry the label of the power source, so that an emulated or unknown one is said wherever a figure
goes. Lines stop where a log has a gap.
"""

from __future__ import annotations

from edgekit.report.bars import bars, pareto
from edgekit.report.over_time import Span, loads, power_over_time, rails, temperatures
from edgekit.report.speed import fps_and_drops, latency_histogram, latency_percentiles
from edgekit.report.stages import energy_per_frame, energy_per_stage, stage_shares

__all__ = [
    "Span",
    "bars",
    "energy_per_frame",
    "energy_per_stage",
    "fps_and_drops",
    "latency_histogram",
    "latency_percentiles",
    "loads",
    "pareto",
    "power_over_time",
    "rails",
    "stage_shares",
    "temperatures",
]
