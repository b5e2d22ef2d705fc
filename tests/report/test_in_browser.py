"""The page in Chromium: nothing is fetched, nothing is wrong, all is seen, on a phone and in the dark too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import make_run, samples

from edgekit.cli import main

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE, DESK = 390, 1280

#: Figures that the page shows at this width, each with its name and its size.
SEEN = """() => [...document.querySelectorAll('figure svg, figure img')]
    .map(e => [e, e.getBoundingClientRect()]).filter(([e, box]) => box.width > 0)
    .map(([e, box]) => ({name: e.getAttribute('aria-label'), role: e.getAttribute('role'),
        width: box.width, height: box.height, right: box.right,
        out: [...e.querySelectorAll('text')].filter(t => { const b = t.getBoundingClientRect();
            return b.left < box.left - 2 || b.right > box.right + 2 }).map(t => t.textContent)}))"""
#: Contrast of each piece of text on a figure against the page.
CONTRAST = """() => {
    const parts = c => c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const light = c => { const [r, g, b] = parts(c); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
    const page = light(getComputedStyle(document.body).backgroundColor);
    return [...document.querySelectorAll('figure svg text')]
        .filter(t => t.getBoundingClientRect().width > 0 && getComputedStyle(t).fill !== 'rgb(17, 17, 17)')
        .map(t => light(getComputedStyle(t).fill))
        .map(l => (Math.max(l, page) + 0.05) / (Math.min(l, page) + 0.05));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    assert path, "these tests need Chromium; cure: sudo apt-get install chromium"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A throttled run, three side by side, and one without power, as pages."""
    folder = tmp_path_factory.mktemp("pages")
    slow = np.random.default_rng(1).gamma(9, 0.005, 400)
    hot = samples(20, lambda t: 8 + t % 3, more=lambda t: {"throttle": ("thermal",) if 8 < t < 12 else ()})
    runs = [
        make_run(folder / "hot", latency=slow, taken=hot, dropped=lambda i: i // 9),
        make_run(folder / "a-run-with-a-rather-long-name-of-its-own", latency=slow / 2, fps=40),
        make_run(folder / "summed", latency=slow, taken=samples(20, kind="sum")),
        make_run(folder / "dark", latency=slow, taken=samples(20, lambda t: None)),
    ]
    given = {"one": runs[:1], "three": runs[:3], "unknown": runs[3:]}
    made = {name: folder / f"{name}.html" for name in given}
    for name, some in given.items():
        assert main(["report", *(str(run.folder) for run in some), "--html", str(made[name])]) == 0
    return made


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize(("name", "figures"), [("one", 8), ("three", 19), ("unknown", 5)])
def test_all_is_seen_and_nothing_is_fetched(
    browser: Any, pages: dict[str, Path], name: str, figures: int, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        page = context.new_page()
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(pages[name].as_uri())
        assert said == []
        assert asked == [pages[name].as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        seen = page.evaluate(SEEN)
        assert len(seen) == figures
        for figure in seen:
            assert len(figure["name"]) > 20, "each has a text alternative"
            assert figure["role"] == "img"
            assert figure["width"] > 0.85 * min(width, 700)
            assert figure["height"] > 40
            assert figure["right"] <= width
            assert figure["out"] == [], f"words cut off: {figure['name'][:40]}"
        assert min(page.evaluate(CONTRAST)) >= 4.5
    finally:
        context.close()


def test_letters_are_as_large_on_a_phone(browser: Any, pages: dict[str, Path]) -> None:
    context = browser.new_context(viewport={"width": PHONE, "height": 900})
    try:
        page = context.new_page()
        page.goto(pages["one"].as_uri())
        heights = page.evaluate(
            "() => [...document.querySelectorAll('.narrow svg text')].map(t => t.getBoundingClientRect())"
            ".filter(box => box.width > box.height).map(box => box.height)"
        )
        assert min(heights) >= 10, "pixels; smaller ones cannot be read"
    finally:
        context.close()


def test_it_can_be_printed(browser: Any, pages: dict[str, Path]) -> None:
    context = browser.new_context(color_scheme="dark")
    try:
        page = context.new_page()
        page.goto(pages["one"].as_uri())
        assert page.pdf()[:5] == b"%PDF-"
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    finally:
        context.close()
