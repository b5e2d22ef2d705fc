"""Steps of the self-test about the machine: doctor, power, heat, what is left of it, and the live view."""

from __future__ import annotations

import os
import shutil
import time
from typing import Any

from edgekit.errors import EdgekitError, MissingError
from edgekit.selftest_worker import Case, Found, must, say

#: Watts that a total can have: of a Jetson (a Nano idles at 1 W, a Thor draws 130), of a graphics card or
#: server. Beyond them a meter is read in the wrong unit.
JETSON_W, OTHER_W = (0.5, 150.0), (0.5, 2000.0)
#: Degrees Celsius of a running machine.
TEMPERATURES_C = (-20.0, 125.0)


def state(case: Case) -> Found:
    """What is left: memory, disk, and how warm it is."""
    from edgekit.files import data_dir
    from edgekit.limits import memory

    total, free = memory(case.root)
    disk = shutil.disk_usage(data_dir()).free
    warm = _temperatures(case)
    figures: dict[str, Any] = {"memory_total": total, "memory_free": free, "disk_free": disk, "temps_c": warm}
    figures["load_1min"] = round(os.getloadavg()[0], 2)
    hottest = max(warm, key=lambda zone: warm[zone]) if warm else ""
    heat = f"{hottest} {warm[hottest]:.0f} °C" if hottest else "no temperature is told"
    return f"{free / 2**30:.1f} GiB of memory and {disk / 2**30:.0f} GiB of disk free; {heat}", figures


def _temperatures(case: Case) -> dict[str, float]:
    sample = _read("sysfs", case) or _read("nvml", case) or _read("host", case)
    return {name: round(degrees, 1) for name, degrees in (sample.temps_c if sample else {}).items()}


def _read(name: str, case: Case) -> Any:
    """A sample of one meter, or None where it is not here."""
    from edgekit.telemetry.choose import open_probe

    try:
        probe = open_probe(name, 0.2, case.root)
    except MissingError:
        return None
    try:
        return probe.read()
    except EdgekitError:
        return None
    finally:
        probe.close()


def doctor(case: Case) -> Found:
    """Every line of the doctor; a bad one is a failure."""
    from edgekit.doctor import checks

    found = checks(case.root)
    lines = [{"name": one.name, "status": one.status, "value": one.value} for one in found]
    bad = [f"{one.name}: {one.value}" for one in found if one.status == "bad"]
    must(not bad, f"{'; '.join(bad)} (`edgekit doctor` names the cure)")
    return found.summary(), {"lines": lines}


def power_mode(case: Case) -> Found:
    """Power mode, clocks and fan of a Jetson."""
    from edgekit.telemetry.power import read_power

    power = read_power(case.root)
    if power.mode is None:
        raise EdgekitError(f"the power mode is not told: {power.missing['mode']}")
    clocks = {name: {"now": c.now, "low": c.low, "high": c.high} for name, c in power.clocks.items()}
    figures = {"mode": power.mode.name, "modes": [mode.name for mode in power.modes], "clocks_hz": clocks}
    held = bool(clocks) and all(clock.held for clock in power.clocks.values())
    words = f"{power.mode.name}, of {', '.join(mode.name for mode in power.modes)}; clocks "
    words += "not told" if not clocks else "held" if held else "follow the load"
    fan = "" if power.fan_pct is None else f"; fan {power.fan_pct:.0f} %"
    return words + fan, {**figures, "fan_pct": power.fan_pct, "missing": power.missing}


def meter(case: Case, name: str) -> Found:
    """Some samples of one meter: they come, and their watts and degrees can be true."""
    from edgekit.device import describe
    from edgekit.telemetry.choose import open_sampler

    with open_sampler(name, 0.5, root=case.root) as sampler:
        wanted = case.frames(6)
        sampler.wait(wanted, timeout=wanted * 0.5 + 15)
        samples = list(sampler.samples)
        must(samples, f"no sample came in time ({sampler.note or sampler.why})")
    latest = samples[-1]
    watts = [sample.power_total_mw / 1e3 for sample in samples if sample.power_total_mw is not None]
    if not watts:
        raise MissingError(
            f"{name} tells no power: {latest.missing.get('power_total_mw', 'it does not say why')}"
        )
    low, high = JETSON_W if describe(case.root).is_jetson else OTHER_W
    told = f"{min(watts):.3g} to {max(watts):.3g} W of {latest.power_total_name}"
    must(low <= min(watts) and max(watts) <= high, f"{told} cannot be true here")
    cold, hot = TEMPERATURES_C
    wrong = [f"{zone} {degrees:g} °C" for zone, degrees in latest.temps_c.items() if not cold < degrees < hot]
    must(not wrong, f"{', '.join(wrong)} cannot be true")
    figures: dict[str, Any] = {
        "watts": [round(value, 3) for value in watts],
        "total": latest.power_total_name,
    }
    figures |= {"rails_mw": dict(latest.rails_mw), "temps_c": dict(latest.temps_c), "why": sampler.why}
    figures |= {"gpu_load_pct": latest.gpu_load_pct, "missing": dict(latest.missing)}
    warmest = f", {max(latest.temps_c.values()):.0f} °C at most" if latest.temps_c else ""
    return f"{watts[-1]:.1f} W of {latest.power_total_name}, {len(samples)} samples{warmest}", figures


def throttling(case: Case) -> Found:
    """The counters and alerts by which throttling is told can be read."""
    from edgekit.report.clean import throttling_unknown
    from edgekit.telemetry.log import Log

    reasons = []
    for name in ("sysfs", "nvml"):
        sample = _read(name, case)
        if sample is None:
            reasons.append(f"no {name}")
        elif why := throttling_unknown(Log.of([sample], 0.5)):
            reasons.append(f"{name}: {why}")
        else:
            counts = ", ".join(f"{key} {count}" for key, count in sample.oc_events.items())
            now = ", ".join(sample.throttle) or "none now"
            words = f"by {name}: {now}" + (f"; counted: {counts}" if counts else "")
            return words, {"events": dict(sample.oc_events), "now": list(sample.throttle), "by": name}
    raise MissingError(f"nothing tells of throttling here: {'; '.join(reasons)}")


def live_view(case: Case) -> Found:
    """The live view, built and run without a browser, and closed again."""
    from edgekit.live import live
    from edgekit.run import Session
    from edgekit.tasks.yolo import open_yolo

    def task(model: str = "edgekit-person", precision: str = "fp32") -> Any:
        return open_yolo(model, precision, "onnxruntime-cpu")

    wanted = case.frames(10)
    say("building the view")
    view = live(Session("sample", task, model="edgekit-person"), open_task=task, power=None)
    try:
        view.session.start()
        begun = time.monotonic()
        while (stats := view.session.stats()).frames < wanted and stats.running:
            must(time.monotonic() - begun < 60, f"{stats.frames} frames in a minute")
            time.sleep(0.05)
        must(stats.frames >= wanted, f"it ended after {stats.frames} frames: {stats.error}")
        fps = stats.fps
    finally:
        view.close()
    must(not view.session.running, "the session runs on after the view was closed")
    return f"{stats.frames} frames through the widget, {fps:.1f} FPS on ONNX Runtime's CPU", {"fps": fps}
