from __future__ import annotations

import numpy as np
import pytest

from edgekit.clocks import AGES, STAGES, StageClock


def test_the_table_is_numpys_percentiles_of_the_times_given():
    clock = StageClock()
    rng = np.random.default_rng(0)
    times = rng.uniform(0, 1, (50, 4))
    for row in times:
        clock.add(dict(zip(("pre", "infer", "post", "latency"), row, strict=True)))
    table = clock.table()
    assert set(table) == {*STAGES, *AGES}
    kept = times[1:] * 1e3  # the first frame is warm-up
    assert table["infer"]["median_ms"] == pytest.approx(np.median(kept[:, 1]))
    assert table["infer"]["p95_ms"] == pytest.approx(np.percentile(kept[:, 1], 95))
    assert table["post"]["share"] == pytest.approx(kept[:, 2].sum() / kept[:, :3].sum())
    assert sum(row.get("share", 0) for row in table.values()) == pytest.approx(1)
    assert table["latency"]["median_ms"] == pytest.approx(np.median(kept[:, 3]))
    assert "share" not in table["latency"]  # it overlaps the stages


def test_the_rate_is_of_the_last_two_seconds(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("edgekit.clocks.time.monotonic", lambda: now[0])
    clock = StageClock()
    assert clock.now() == (0.0, {})
    for _ in range(30):  # three seconds at 10 FPS, then one second at 40
        now[0] += 0.1
        clock.add({"infer": 0.1})
    assert clock.now()[0] == pytest.approx(10)
    for _ in range(40):
        now[0] += 0.025
        clock.add({"infer": 0.01})
    fps, medians = clock.now()
    assert fps == pytest.approx(49 / 1.9)  # 9 steps of a tenth, 40 of a fortieth
    assert medians["infer"] == pytest.approx(10)
    now[0] += 3
    assert clock.now() == (0.0, {})  # a standing picture has no rate


def test_an_empty_clock_has_an_empty_table():
    assert StageClock().table() == {}
