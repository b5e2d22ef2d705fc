"""Tables say what they hold: digits, dashes, order, and text that stays text."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from edgekit.report.tables import Absent, figure, of_mappings, texts, to_csv, to_markdown, to_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (123456.7, "123457"),
        (123.4, "123"),
        (12.34, "12.3"),
        (1.234, "1.23"),
        (0.01234, "0.0123"),
        (-0.5, "-0.500"),
        (0.0, "0"),
        (7, "7"),
        (np.float32(2.5), "2.50"),
        (np.int64(12345), "12345"),
        (None, "–"),
        (float("nan"), "–"),
        (np.float32("nan"), "–"),
        (Absent("no meter"), "–"),
        (True, "yes"),
        ("two\nlines", "two lines"),
    ],
)
def test_a_figure_has_the_digits_a_reader_can_use(value: object, shown: str) -> None:
    assert figure(value) == shown


def test_a_column_has_the_same_decimals() -> None:
    rows = [["a", 104.0, 1], ["b", 4.123, 20], ["c", 0.0213, 300]]
    assert texts(rows) == [["a", "104.00", "1"], ["b", "4.12", "20"], ["c", "0.02", "300"]]
    assert [row[0] for row in texts([[0.5], [0.25], [None]])] == ["0.500", "0.250", "–"]
    assert texts([]) == []


def test_text_for_the_terminal_is_aligned() -> None:
    text = to_text(
        ["model", "ms"], [["small", 4.0], ["a longer name", 12.5], ["cut", Absent("it was killed")]]
    )
    assert text.splitlines() == [
        "model            ms",
        "-------------  ----",
        "small           4.0",
        "a longer name  12.5",
        "cut               –",
        "– it was killed",
    ]


def test_markdown_keeps_what_would_break_it() -> None:
    text = to_markdown(["model|x", "ms"], [["<script>*a*_b_`c`", 1.5], ["no\npower", None]])
    lines = text.splitlines()
    assert lines[0] == r"| model\|x | ms |"
    assert lines[1] == "|---|---:|"
    assert lines[2] == r"| &lt;script&gt;\*a\*\_b\_\`c\` | 1.50 |"
    assert lines[3] == "| no power | – |"
    assert "– why" not in text
    assert to_markdown(["a"], [[Absent("no meter")], [Absent("no meter")]]).count("no meter") == 1


def test_csv_is_whole_exact_and_read_back(tmp_path: Path) -> None:
    path = to_csv(tmp_path / "t.csv", ["name", "J"], [['a,b\n"c"', 1 / 3], ["d", None], ["e", Absent("why")]])
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["name", "J"], ['a,b\n"c"', str(1 / 3)], ["d", ""], ["e", ""]]
    assert float(rows[1][1]) == 1 / 3
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"], "nothing half written is left"


def test_a_csv_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = to_csv(tmp_path / "t.csv", ["name"], [["old"]])
    with pytest.raises(UnicodeEncodeError):
        to_csv(path, ["name"], [["\ud800"]])
    assert path.read_text() == "name\nold\n"
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_rows_of_mappings_keep_the_order_of_first_appearance() -> None:
    assert of_mappings([{"a": 1}, {"b": 2, "a": 3}]) == (["a", "b"], [[1, None], [3, 2]])
