"""The strip of power that grows under a cell: what it draws, and of which samples."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from edgekit.strip import Strip
from edgekit.telemetry.emulated import EmulatedProbe, open_emulated
from edgekit.telemetry.host import NoProbe
from edgekit.telemetry.sampler import Sampler

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def board() -> Iterator[EmulatedProbe]:
    probe = open_emulated("orin-nano")
    probe.load = 0.0
    yield probe
    probe.close()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What IPython was asked to show, in order."""
    pages: list[str] = []

    class Handle:
        def update(self, page) -> None:
            pages.append(page.data)

    def display(page, display_id: bool) -> Handle:
        assert display_id
        pages.append(page.data)
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    return pages


def parse(svg: str) -> ElementTree.Element:
    assert svg.startswith("<svg ")
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def words(svg: str) -> list[str]:
    return [element.text or "" for element in parse(svg).iter(f"{SVG}text")]


def heights(svg: str) -> list[list[float]]:
    """y of each point of each line."""
    lines = parse(svg).iter(f"{SVG}polyline")
    return [[float(point.split(",")[1]) for point in line.attrib["points"].split()] for line in lines]


def test_idle_and_load_are_named_and_seen(board: EmulatedProbe, shown: list[str]) -> None:
    with Sampler(board, 0.1) as sampler:
        strip = Strip(sampler)
        strip.watch(0.5, "idle")
        board.load = 1.0
        strip.watch(0.8, "load")
        watched = len(strip.log)
        sampler.wait(3)
        assert len(strip.log) == watched, "no sample is taken in after the watch"
    assert len(shown) >= 4
    said = words(shown[-1])
    assert {"idle", "load", "power in watts"} < set(said)
    assert any("emulated" in word for word in said)
    for name, watts in (("VDD_IN", "15.0"), ("VDD_CPU_GPU_CV", "8.0"), ("VDD_SOC", "3.2")):
        assert any(word.startswith(f"{name}  {watts}") for word in said), said
    for line in heights(shown[-1]):
        assert line[-1] < line[0], "more power is further up"
        assert all(58 <= y <= 226 for y in line)
    assert [name for _, _, name in strip.phases] == ["idle", "load"]
    assert strip.phases[0][1] == strip.phases[1][0], "nothing lies between"


def test_names_of_lines_that_end_together_do_not_overlap(board: EmulatedProbe, shown: list[str]) -> None:
    board.power_mw = 100.0  # all lines lie at the bottom
    with Sampler(board, 0.1) as sampler:
        Strip(sampler).watch(0.4)
    dots = sorted(float(dot.attrib["cy"]) for dot in parse(shown[-1]).iter(f"{SVG}circle"))
    assert len(dots) == 3
    assert min(b - a for a, b in pairwise(dots)) > 14


def test_without_power_it_says_so(shown: list[str]) -> None:
    with Sampler(NoProbe(), 0.1) as sampler:
        Strip(sampler).watch(0.3, "idle")
    assert any("power unknown" in word for word in words(shown[-1]))
    assert not heights(shown[-1])


def test_before_the_first_sample_there_is_a_strip(board: EmulatedProbe) -> None:
    sampler = Sampler(board, 0.1)
    assert parse(Strip(sampler).svg()) is not None
    sampler.stop()


def test_an_interrupt_ends_the_watch(
    board: EmulatedProbe, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with Sampler(board, 0.1) as sampler:
        strip = Strip(sampler)
        monkeypatch.setattr("edgekit.strip.time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            strip.watch(60, "idle")
        monkeypatch.undo()
        strip.watch(0.3, "again")
        assert strip.phases[1][1] - strip.phases[0][0] < 10
