"""The Dockerfiles and the compose file, read as Docker would: no Docker is needed."""

from __future__ import annotations

import os
import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from edgekit.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "setup/docker"
FILES = ("Dockerfile.jetpack6", "Dockerfile.jetpack7")
PYTHON_OF = {
    "Dockerfile.jetpack6": "constraints-jetpack6.txt",
    "Dockerfile.jetpack7": "constraints-jetpack7.txt",
}


def instructions(name: str) -> list[tuple[str, str]]:
    """(INSTRUCTION, its text), comments left out, continued lines joined."""
    text = "".join(line for line in (FOLDER / name).read_text().splitlines(keepends=True) if line[:1] != "#")
    joined = re.sub(r"\\\n\s*", "", text)
    return [(m[1], m[2].strip()) for m in re.finditer(r"^([A-Z]+) (.*)$", joined, re.MULTILINE)]


def said(name: str, instruction: str) -> list[str]:
    return [text for kind, text in instructions(name) if kind == instruction]


@pytest.mark.parametrize("name", FILES)
def test_the_base_has_a_version(name: str) -> None:
    base = dict(text.split("=", 1) for text in said(name, "ARG"))["BASE"]
    assert said(name, "FROM") == ["${BASE}"]
    assert re.fullmatch(r"nvcr\.io/nvidia/[a-z0-9-]+:[a-z0-9.-]*\d[a-z0-9.-]*", base)
    assert not base.endswith("latest")
    assert base in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize("name", FILES)
def test_nothing_runs_as_root(name: str) -> None:
    kinds = [kind for kind, _ in instructions(name)]
    assert said(name, "USER") == ["${USER_ID}"]
    assert dict(text.split("=", 1) for text in said(name, "ARG") if "USER" in text) == {"USER_ID": "1000"}
    assert kinds.index("USER") < kinds.index("ENTRYPOINT")
    assert not any("sudo" in text or "chmod 777" in text for _, text in instructions(name))
    # bash has a UID of its own, which is root's while the image is made
    assert not any("${UID}" in text or "$UID" in text for _, text in instructions(name))


@pytest.mark.parametrize("name", FILES)
def test_what_is_copied_exists_and_is_not_ignored(name: str) -> None:
    ignored = [
        line
        for line in (FOLDER / f"{name}.dockerignore").read_text().splitlines()
        if line and line[0] not in "#!"
    ]
    copies = [[word for word in text.split() if word[:2] != "--"] for text in said(name, "COPY")]
    assert len(copies) == 2
    for *sources, target in copies:
        assert target.startswith("/opt/edgekit")
        for source in sources:
            assert (ROOT / source).exists(), source
            assert not any(fnmatch(source, pattern.removeprefix("**/")) for pattern in ignored)
    assert f"setup/{PYTHON_OF[name]}" in copies[0]
    pips = [text for text in said(name, "RUN") if "pip install -c" in text]
    assert len(pips) == 2
    assert all(f"-c {PYTHON_OF[name]} " in text + " " for text in pips)
    entry = ROOT / "setup/docker/entry.sh"
    assert said(name, "ENTRYPOINT") == [f'["/opt/edgekit/{entry.relative_to(ROOT)}"]']
    assert os.access(entry, os.X_OK)


@pytest.mark.parametrize("name", FILES)
def test_no_secret_no_plan_and_no_result_gets_in(name: str) -> None:
    ignored = (FOLDER / f"{name}.dockerignore").read_text().splitlines()
    for pattern in (".git", ".venv*", "**/.env", "**/*.key", "**/*.pem", "engines/built", "**/out"):
        assert pattern in ignored
    for kind, text in instructions(name):
        assert not re.search(r"(?i)(token|password|secret|api_?key)\s*=", text), (kind, text)
        assert "--allow-root" not in text
        assert "--privileged" not in text


def test_both_differ_in_base_and_constraints_alone() -> None:
    six, seven = (instructions(name) for name in FILES)
    changed = [(a, b) for a, b in zip(six, seven, strict=True) if a != b]
    assert [(a[0], b[0]) for a, b in changed] == [
        ("ARG", "ARG"),
        ("COPY", "COPY"),
        ("RUN", "RUN"),
        ("RUN", "RUN"),
    ]
    for one, other in changed[1:]:
        assert one[1].replace("jetpack6", "jetpack7") == other[1]


def test_compose_reaches_what_the_readme_names() -> None:
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    readme = (FOLDER / "README.md").read_text()
    assert compose["services"]["lab"]["command"] == ["lab"]
    for service in compose["services"].values():
        assert service["runtime"] == "nvidia"
        assert service["network_mode"] == "host"
        assert "ports" not in service  # JupyterLab stays on 127.0.0.1
        assert service["cap_drop"] == ["ALL"]
        for volume in service["volumes"][1:]:
            assert f"-v {volume}" in readme
        build = (FOLDER / service["build"]["context"]).resolve()
        assert build == ROOT
        for number in (6, 7):
            assert (build / service["build"]["dockerfile"].replace("${JETPACK:-6}", str(number))).is_file()


def entry(tmp_path: Path, *words: str, **variables: str) -> list[str]:
    """What entry.sh executes: the stand-ins write their names and arguments."""
    for name in ("python", "edgekit", "bash-like"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", FOLDER / "entry.sh", *words], capture_output=True, text=True, check=True, cwd="/proc/self",
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **variables},
    )  # fmt: skip
    return done.stdout.split()


def test_the_entry_opens_the_lab_for_this_machine_alone(tmp_path: Path) -> None:
    lab = ["python", "-m", "jupyterlab", "--ip=127.0.0.1", "--no-browser"]
    assert entry(tmp_path) == lab == entry(tmp_path, "lab")
    assert entry(tmp_path, "lab", "--port", "8890") == [*lab, "--port", "8890"]
    assert not any("token" in word for word in lab)  # Jupyter makes one of its own


def test_the_entry_runs_commands(tmp_path: Path) -> None:
    words = re.search(r"^  (doctor[a-z |]*)\) exec edgekit", (FOLDER / "entry.sh").read_text(), re.MULTILINE)
    assert words
    for word in words[1].split(" | "):
        assert word in COMMANDS
        assert entry(tmp_path, word, "--help") == ["edgekit", word, "--help"]
    assert entry(tmp_path, "bash-like", "-c", "x") == ["bash-like", "-c", "x"]
