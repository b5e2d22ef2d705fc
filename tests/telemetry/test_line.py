from __future__ import annotations

from probes import sample

from edgekit.telemetry.line import heat, line_of


def test_a_board_in_one_line():
    one = sample(
        watts=5.312,
        temps_c={"cpu-thermal": 48.4, "gpu-thermal": 47.6, "tj-thermal": 51.2},
        gpu_load_pct=36.4,
        cpu_load_pct=80.0,
        throttle=("thermal",),
        power_mode="15W",
    )
    assert line_of(one) == (
        "5.31 W (VDD_IN) · CPU 48 °C · GPU 48 °C · tj-thermal 51 °C · GPU load 36 % · "
        "throttled: thermal · mode 15W · test"
    )


def test_what_is_unknown_says_why_and_what_is_emulated_says_so():
    one = sample(watts=None, cpu_load_pct=12.0, missing={"power_total_mw": "no meter in this machine"})
    assert line_of(one) == "power unknown: no meter in this machine · CPU load 12 % · test"
    assert line_of(sample(emulated=True)).startswith("emulated, no measurement · 5.00 W")


def test_zones_of_every_board():
    assert heat({"CPU-therm": 40, "GPU-therm": 41, "AO-therm": 39}) == {"CPU": 40, "GPU": 41}
    assert heat({"A0-therm": 45.0}) == {"A0-therm": 45.0}
    assert heat({"cpu0": 40, "cpu1": 43}) == {"CPU": 43}
    assert heat({}) == {}
