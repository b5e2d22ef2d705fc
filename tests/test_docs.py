"""What the README shows works: its Python runs, its commands, scripts, links and pictures exist."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.cli import COMMANDS
from edgekit.sinks import line_of

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "notebooks").glob("*.md")),
    *sorted((ROOT / "engines").glob("*.md")),
]
README = PAGES[0].read_text(encoding="utf-8")


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", README, re.DOTALL))
def test_python_in_the_readme_runs_and_prints(code, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "person" in done.stdout or "print(" not in code


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_pictures_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_that_are_shown_exist(page):
    text = page.read_text(encoding="utf-8")
    for command in re.findall(r"^edgekit (\w+)|`edgekit (\w+)", text, re.MULTILINE):
        assert "".join(command) in COMMANDS
    for script in re.findall(r"\./(setup/\w+\.sh)", text):
        assert os.access(ROOT / script, os.X_OK), f"{script} cannot be run"


def test_the_map_and_the_verified_table_name_what_is_there():
    for path in re.findall(r"`((?:notebooks|edgekit|engines|setup|tests)/[\w./-]*)`", README):
        if not path.startswith("engines/built"):
            assert (ROOT / path).exists(), path


def test_the_json_line_shown_has_the_schema_that_is_written():
    import numpy as np

    from edgekit import Detections, Frame

    shown = json.loads(re.search(r"```json\n(.*?)```", README, re.DOTALL).group(1))
    real = line_of(Frame(np.zeros((4, 4, 3), np.uint8)), Detections([[0, 0, 1, 1]], [1], [0], ("person",)))
    assert shown.keys() == real.keys()
    assert shown["detections"][0].keys() == real["detections"][0].keys()


def test_the_exit_codes_shown_are_those_of_the_code():
    from edgekit.errors import EdgekitError, InputError, MissingError

    assert (EdgekitError.exit_code, InputError.exit_code, MissingError.exit_code) == (1, 2, 3)
    for code in (0, 1, 2, 3, 4, 130):
        assert re.search(rf"(^|· | ){code} ", README, re.MULTILINE)
