"""The course's notebooks as files: clean, of one structure, short cells, named in the index, links that lead.

`.ci/run` executes them; here they are only read.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest

from edgekit.cli import COMMANDS

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
INDEX = (FOLDER / "README.md").read_text(encoding="utf-8")
Cell = dict[str, Any]

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def cells(path: Path, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in read(path)["cells"] if cell["cell_type"] == kind]


def code_lines(source: str) -> list[str]:
    return [line for line in source.splitlines() if line.strip()]


def test_the_chapters_are_here() -> None:
    assert [path.stem[:2] for path in NOTEBOOKS] == [
        "00",
        "01",
        "02",
        "03",
        "04",
        "05",
        "06",
        "07",
        "08",
        "09",
        "10",
    ]


def test_no_outputs_are_stored() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nbstripout", "--verify", *map(str, NOTEBOOKS)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@each
def test_the_file_is_sane(path: Path) -> None:
    notebook = read(path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))
    for cell in notebook["cells"]:
        assert cell["cell_type"] in ("markdown", "code")
        assert cell["metadata"] == {}
        assert "".join(cell["source"]).strip(), f"cell {cell['id']} is empty"


@each
def test_it_begins_as_the_course_does(path: Path) -> None:
    head = cells(path, "markdown")[0]
    assert read(path)["cells"][0]["cell_type"] == "markdown"
    assert re.match(rf"# {path.stem[:2]} · \w", head), "the title has the chapter's number"
    assert re.search(r"^\*\*\d+ minutes · .+\*\*$", head, re.MULTILINE), "minutes and hardware"
    assert "You will be able to\n\n- " in head
    first = cells(path, "code")[0]
    assert first.startswith('SOURCE = "sample"'), "the one line to change is the first"


@each
def test_it_ends_with_an_exercise_its_check_and_three_ways_on(path: Path) -> None:
    shown = read(path)["cells"]
    titles = [i for i, cell in enumerate(shown) if "".join(cell["source"]).startswith("## Exercise")]
    assert len(titles) == 1
    kinds = [cell["cell_type"] for cell in shown[titles[0] :]]
    assert kinds == ["markdown", "code", "code", "markdown"], "exercise, answer, self-check, where next"
    answer, check, onward = ("".join(cell["source"]) for cell in shown[titles[0] + 1 :])
    assert "←" in answer, "the place to write is marked"
    imported = re.search(r"from edgekit\.checks import (\w+)", check)
    assert imported, "the check is the package's, and tested there"
    assert re.search(rf"\b{imported[1]}\(", check.split("import", 1)[1])
    assert onward.startswith("## Where next\n\n- ")
    assert len(re.findall(r"^- ", onward, re.MULTILINE)) == 3


@each
def test_cells_are_short_and_fit_the_screen(path: Path) -> None:
    for source in cells(path, "code"):
        assert len(code_lines(source)) <= 15, source
        for line in source.splitlines():
            assert len(line) <= 100, line


@each
def test_a_cell_that_computes_shows_something(path: Path) -> None:
    """It ends with a value, prints, or draws; only definitions and answers to fill in are silent."""
    for source in cells(path, "code"):
        tree = ast.parse(source)
        silent = all(
            isinstance(node, ast.FunctionDef | ast.Assign | ast.Import | ast.ImportFrom) for node in tree.body
        )
        assert silent or isinstance(tree.body[-1], ast.Expr) or re.search(r"print\(|axis\.", source), source
        if silent:
            assert "←" in source or isinstance(tree.body[-1], ast.FunctionDef), source


@each
def test_everything_imported_exists(path: Path) -> None:
    """Also what only an `else` of this machine would reach."""
    from importlib import import_module

    for source in cells(path, "code"):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgekit"):
                module = import_module(str(node.module))
                for name in node.names:
                    if not hasattr(module, name.name):
                        import_module(f"{node.module}.{name.name}")


def parse(command: str) -> None:
    """Parse `edgekit …` as the command line would; a word it does not know ends the test."""
    words = shlex.split(command)
    assert words[0] in COMMANDS, command
    if len(words) == 1:  # the command is only mentioned
        return
    parser = argparse.ArgumentParser()
    resolve_name(COMMANDS[words[0]][0])(parser.add_subparsers())
    parser.parse_args(words)


@each
def test_commands_and_files_shown_exist(path: Path) -> None:
    for text in cells(path, "markdown"):
        for command in re.findall(r"`edgekit (\w[^`]*)`", text):
            parse(command)
        for file in re.findall(r"`(edgekit/[\w/]+\.py)`", text):
            assert (FOLDER.parent / file).is_file(), file


@each
def test_the_index_names_it_with_its_minutes(path: Path) -> None:
    minutes = re.search(r"\*\*(\d+) minutes", cells(path, "markdown")[0])
    assert minutes
    rows = [line for line in INDEX.splitlines() if f"({path.name})" in line]
    assert len(rows) == 1
    assert f"| {minutes[1]} |" in rows[0]


def links(text: str) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


@pytest.mark.parametrize("path", [*NOTEBOOKS, *sorted(FOLDER.glob("*.md"))], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = "\n".join(cells(path, "markdown")) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
    for link in links(text):
        assert (FOLDER / link.split("#")[0]).exists(), link


def test_each_chapter_leads_to_the_next() -> None:
    for path, following in pairwise(NOTEBOOKS):
        assert following.name in links(cells(path, "markdown")[-1]), path.name


def test_only_two_chapters_train_and_only_by_commands() -> None:
    """So that all of them run where PyTorch is not; there 08 and 10 say so, and train nothing."""
    training = [path for path in NOTEBOOKS if path.stem[:2] in ("08", "10")]
    for path in NOTEBOOKS:
        for source in cells(path, "code"):
            assert not re.search(r"(import|from) (torch|lightning|edgekit\.train)", source), path.name
            assert path in training or not re.search(r"\btrain ", source), path.name
    for path in training:
        first = cells(path, "code")[0]
        assert "find_spec" in first
        assert "pip install -e '.[train]'" in first
        trains = [one for one in cells(path, "code") if re.search(r'main\(f"(train|evaluate|export) ', one)]
        assert len(trains) == (3 if path.stem.startswith("08") else 2)
        assert all("if missing:" in source or "if not missing:" in source for source in trains)


def test_the_teachers_page_is_one_page() -> None:
    """62 lines of 120 characters, a heading counted as three, are one page of A4 at 9 points in a browser."""
    page = (FOLDER / "TEACHER.md").read_text(encoding="utf-8").splitlines()
    assert sum(3 if line.startswith("#") else -(-len(line) // 120) for line in page) <= 62


def test_what_the_teacher_is_told_to_type_exists() -> None:
    page = (FOLDER / "TEACHER.md").read_text(encoding="utf-8")
    commands = re.findall(r"edgekit ((?:doctor|run|build|models|log|power) ?[^`#\n]*)", page)
    assert len(commands) > 4
    for command in commands:
        parse(command)
    for path in re.findall(r"(?<!\w)(setup/[\w.-]+|requirements\.txt)", page):
        assert (FOLDER.parent / path).is_file(), path
    for name in re.findall(r"\*\*(\d\d[^*]*)\*\*", page):
        assert (FOLDER / f"{name}.ipynb").exists()
