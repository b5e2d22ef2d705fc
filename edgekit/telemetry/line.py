"""One sample as one line of text, for the live view and the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.telemetry.sample import Sample


def line_of(sample: Sample) -> str:
    """ "5.31 W (VDD_IN) · CPU 48 °C · GPU 47 °C · GPU load 36 % · sysfs"; what is unknown says why."""
    parts = ["emulated, no measurement"] if sample.emulated else []
    if sample.power_total_mw is None:
        parts.append(f"power unknown: {sample.missing.get('power_total_mw', f'{sample.source} has none')}")
    else:
        parts.append(f"{sample.power_total_mw / 1e3:.2f} W ({sample.power_total_name})")
    parts += [f"{name} {value:.0f} °C" for name, value in heat(sample.temps_c).items()]
    if sample.gpu_load_pct is not None:
        parts.append(f"GPU load {sample.gpu_load_pct:.0f} %")
    elif sample.cpu_load_pct is not None:
        parts.append(f"CPU load {sample.cpu_load_pct:.0f} %")
    if sample.throttle:
        parts.append(f"throttled: {', '.join(sample.throttle)}")
    if sample.power_mode:
        parts.append(f"mode {sample.power_mode}")
    parts.append(sample.source)
    return " · ".join(parts)


def heat(temps_c: Mapping[str, float]) -> dict[str, float]:
    """CPU, GPU and the hottest zone beside them, in °C. Boards differ in how they name their zones."""
    shown: dict[str, float] = {}
    used = set()
    for word in ("CPU", "GPU"):
        zones = [name for name in temps_c if name.lower().startswith(word.lower())]
        if zones:
            used.update(zones)
            shown[word] = max(temps_c[name] for name in zones)
    others = {name: value for name, value in temps_c.items() if name not in used}
    if others:
        hottest = max(others, key=others.__getitem__)
        if others[hottest] > max(shown.values(), default=-273.15):
            shown[hottest] = others[hottest]
    return shown
