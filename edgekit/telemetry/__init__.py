"""Power, heat and load of Jetson boards, NVIDIA GPUs and any other machine: one schema, one clock."""

from edgekit.telemetry.choose import open_sampler
from edgekit.telemetry.sample import Event, Sample, boot_clock
from edgekit.telemetry.sampler import Sampler

__all__ = ["Event", "Sample", "Sampler", "boot_clock", "open_sampler"]
