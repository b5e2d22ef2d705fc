"""Which sampler measures here, and the sentence that says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgekit.errors import InputError, MissingError
from edgekit.telemetry.sampler import Probe, Sampler

#: In the order in which they are tried. Each opener raises MissingError with the reason where it cannot.
SAMPLERS = ("jtop", "sysfs", "nvml", "host", "none")


def open_sampler(
    name: str = "auto", interval: float = 0.5, *, otherwise: str = "", root: Path | str = "/"
) -> Sampler:
    """A sampler, not started yet (`with` starts it).

    Args:
        name: "auto", one of `SAMPLERS`, or "emulated:BOARD" (an emulated board, labelled so everywhere).
        interval: seconds between samples.
        otherwise: what to open where "auto" finds nothing that measures power.
        root: the folder that holds sys, proc and var of the board.

    Raises:
        InputError: no such sampler, or an interval that is none.
        MissingError: the one asked for by name cannot measure here; the message says why.
    """
    probe = open_probe(name, interval, root)
    if otherwise and name == "auto" and not measures_power(probe):
        why = probe.why
        probe.close()
        probe = open_probe(otherwise, interval, root)
        probe.why = f"{probe.why} ({why})"
    try:
        return Sampler(probe, interval)
    except BaseException:
        probe.close()
        raise


def open_probe(name: str, interval: float, root: Path | str = "/") -> Probe:
    """The probe of `open_sampler`."""
    root = Path(root)
    if name.startswith("emulated"):
        from edgekit.telemetry.emulated import open_emulated

        return open_emulated(name.partition(":")[2] or "orin-nano")
    if name != "auto":
        if name not in SAMPLERS:
            raise InputError(
                f"there is no sampler {name!r}; there are auto, {', '.join(SAMPLERS)}, emulated:BOARD."
            )
        return _OPENERS[name](interval, root)
    reasons = []
    for candidate in SAMPLERS:
        try:
            probe = _OPENERS[candidate](interval, root)
        except MissingError as error:
            reasons.append(f"no {candidate}: {str(error).rstrip('.')}")
            continue
        probe.why = "; ".join([probe.why, *reasons])
        return probe
    raise AssertionError("the sampler none always opens")


def measures_power(probe: Probe) -> bool:
    """Whether a first reading has a total power."""
    from edgekit.telemetry.sampler import ProbeError

    try:
        return probe.read().power_total_mw is not None
    except ProbeError:
        return False


def _jtop(interval: float, root: Path) -> Probe:
    from edgekit.telemetry.jtop import open_jtop

    return open_jtop(interval, root)


def _sysfs(interval: float, root: Path) -> Probe:
    from edgekit.telemetry.sysfs import open_sysfs

    return open_sysfs(root)


def _nvml(interval: float, root: Path) -> Probe:
    from edgekit.telemetry.nvml import open_nvml

    return open_nvml()


def _host(interval: float, root: Path) -> Probe:
    from edgekit.telemetry.host import open_host

    return open_host(root)


def _none(interval: float, root: Path) -> Probe:
    from edgekit.telemetry.host import NoProbe

    return NoProbe()


_OPENERS: dict[str, Callable[[float, Path], Probe]] = {
    "jtop": _jtop,
    "sysfs": _sysfs,
    "nvml": _nvml,
    "host": _host,
    "none": _none,
}
