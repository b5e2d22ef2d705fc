"""The page needs nothing beside it, runs nothing, and shows what it is given as text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.figure import Figure

from edgekit.report.chart import COLOURS, Chart
from edgekit.report.page import Part, page
from edgekit.report.tables import Absent

#: Attributes by which a page loads or runs something.
LOADING = ("src", "href", "xlink:href", "data", "action", "poster", "srcset", "background", "formaction")


class Reader(HTMLParser):
    """Tags, the attributes that load, ids and the visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self.pieces: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [str(value) for name, value in attrs if name in LOADING]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.ids += [str(value) for name, value in attrs if name == "id"]

    def handle_data(self, data: str) -> None:
        self.words += data
        self.pieces += data.split() if self.tags[-1:] != ["style"] else []


def chart(points: int = 5, source: str = "emulated Orin Nano, no measurement") -> Chart:
    made = Chart("Power over time", source, alt="Power rises from 5 W to 9 W.")
    made.axis().plot(np.arange(points), np.linspace(5, 9, points), color=COLOURS[0])
    return made


def test_a_page_loads_nothing_and_runs_nothing() -> None:
    html = page("Report", [Part("Power", figure=chart()), Part("Many", figure=chart(30_000))])
    read = Reader(html)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(read.tags)
    assert not read.handlers
    assert all(load.startswith(("#", "data:image/png;base64,")) for load in read.loads)
    assert "http:" not in html
    assert "https:" not in html
    assert not re.search(r"@import|url\((?!#)", html)
    assert "Content-Security-Policy" in html
    assert "default-src 'none'" in html


def test_what_is_given_stays_text() -> None:
    bad = "<script>alert(1)</script>\"'&"
    drawn = Chart(bad, bad, alt=bad)
    drawn.axis().set_xlabel(bad)
    parts = [
        Part(bad, text=bad, alarms=[bad], tiles=[(bad, bad, bad)], table=[[bad], [bad], [Absent(bad)]]),
        Part(figure=drawn, note=bad),
    ]
    html = page(bad, parts, subtitle=bad)
    assert "<script" not in html
    read = Reader(html)
    assert read.words.count(bad) == 17, "each is shown as it was given (the axis label in two widths)"


def test_each_figure_has_a_text_alternative_and_ids_of_its_own() -> None:
    plain = Figure()
    plain.add_subplot().plot([1, 2])
    html = page(
        "Report", [Part("A", figure=chart()), Part("B", figure=chart()), Part("C", figure=plain, alt="C!")]
    )
    labels = re.findall(r'<svg role="img" aria-label="([^"]*)"', html)
    assert labels == ["Power rises from 5 W to 9 W."] * 4 + ["C!"] * 2
    read = Reader(html)
    assert len(set(read.ids)) == len(read.ids)
    assert {load[1:] for load in read.loads if load.startswith("#")} <= set(read.ids)
    assert set(re.findall(r"url\(#([^)]*)\)", html)) <= set(read.ids)


def test_colours_follow_the_page() -> None:
    html = page("Report", [Part("A", figure=chart())])
    body = html[html.index("<body") :]
    assert "stroke: var(--c0)" in body
    assert not re.search(r"#[0-9a-f]{6}\b", body), "no colour is fixed, or it would be lost in the dark"


def test_a_heavy_figure_is_a_picture() -> None:
    light, heavy = page("a", [Part(figure=chart(20_000))]), page("a", [Part(figure=chart(20_001))])
    assert "<img" not in light
    assert '<img alt="Power rises from 5 W to 9 W." src="data:image/png' in heavy
    assert "<svg" not in heavy


def test_the_figure_comes_back_as_it_was() -> None:
    drawn = chart()
    before = drawn.get_suptitle(), tuple(drawn.get_size_inches())
    html = page("a", [Part(figure=drawn)])
    assert (drawn.get_suptitle(), tuple(drawn.get_size_inches())) == before
    assert "emulated" in before[0]
    assert Reader(html).words.count("emulated Orin Nano, no measurement") == 1, "said once, by the page"


def test_numbers_stand_to_the_right_and_reasons_below() -> None:
    table = [["stage", "ms"], ["infer", 12.25], ["post", None], ["draw", Absent("nothing was drawn")]]
    html = page("a", [Part("Stages", table=table)])
    assert html.count('class="number"') == 4
    assert '<td class="number">12.2</td>' in html
    assert "– nothing was drawn" in html


def test_a_chart_shows_itself_in_a_notebook_without_pyplot() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from edgekit.report.chart import Chart; c = Chart('a', 'b'); c.axis().plot([1, 2])\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shown = InteractiveShell.instance().display_formatter.format(c)[0]\n"
        "assert shown['image/png'][:4] == b'\\x89PNG', shown.keys()\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("parts", [[], [Part()], [Part("Only words", text="One.\n\nTwo.")]])
def test_an_almost_empty_page_is_whole(parts: list[Part]) -> None:
    html = page("a", parts)
    assert html.startswith("<!DOCTYPE html>")
    assert html.endswith("</html>")
    assert html.count("<p>") == (2 if parts and parts[0].text else 0)
