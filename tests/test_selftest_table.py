"""README's table is what the command prints, names what exists, and is filled by files that are received."""

from __future__ import annotations

import fnmatch
import json
import re
from pathlib import Path
from typing import Any

import pytest

from edgekit import selftest_table
from edgekit.cli import main
from edgekit.errors import InputError
from edgekit.selftest_report import SCHEMA, read_report
from edgekit.selftest_steps import steps
from edgekit.selftest_table import COLUMNS, HEAD, put_into, read_verified, section

ROOT = Path(__file__).resolve().parent.parent
ORIN = {
    "name": "Orin Nano, JetPack 6.2",
    "board": "NVIDIA Jetson Orin Nano",
    "is_jetson": True,
    "gpu": "tegra234",
}


def received(folder: Path, *lines: tuple[str, str], name: str = "a.json", **more: Any) -> Path:
    """A file as a board would send it."""
    found: dict[str, Any] = {"schema": SCHEMA, "what": "edgekit selftest", "edgekit": "0.1.0"}
    found |= {"date": "2026-12-01 10:00 UTC", "asked": {"quick": False}, "emulated": False, "versions": {}}
    found |= {"device": {**ORIN, "jetpack": "6.2", "tensorrt": "10.3.0", "power_mode": "25W"}}
    found["steps"] = [{"step": step, "state": state, "words": f"{step} said"} for step, state in lines]
    path = folder / name
    path.write_text(json.dumps(found | more))
    return path


def row(text: str, name: str) -> dict[str, str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| [{name}]"))
    return dict(zip(COLUMNS, [cell.strip() for cell in line.split("|")[2:-1]], strict=True))


# --- what is in the repository -------------------------------------------------------------------


def test_readme_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", "--table"]) == 0
    printed = capsys.readouterr().out
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    begin = readme.index(HEAD + "\n")
    shown = readme[begin : readme.index("\n## ", begin)]
    assert shown == printed, "run: python -m edgekit selftest --table --into README.md"


def test_every_test_and_script_that_is_named_exists() -> None:
    about, features = read_verified()
    assert len(features) > 40
    for feature in features:
        for path in feature.shown:
            assert (ROOT / path).is_file(), f"{feature.name}: {path}"
    for path in re.findall(
        r"`((?:tests|edgekit|setup)/[\w./-]+)`", about + " ".join(f.note for f in features)
    ):
        assert (ROOT / path).exists(), path


def test_every_step_fills_a_row_and_every_pattern_fits_a_step(tmp_path: Path) -> None:
    (tmp_path / "video0").touch()
    names = {one.name for one in [*steps(tmp_path), *steps(tmp_path / "nothing")]}
    patterns = [pattern for feature in read_verified()[1] for pattern in feature.steps]
    for pattern in patterns:
        assert fnmatch.filter(names, pattern), pattern
    left = {name for name in names if not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)}
    assert left == {"state/before", "state/after"}


def test_a_row_that_a_jetson_can_fill_has_a_step_or_a_reason() -> None:
    without = [one.name for one in read_verified()[1] if one.cells["jetson"] == "not run" and not one.steps]
    assert len(without) < 12, without  # set-up and builds from files that do not ship


def test_nothing_claims_a_jetson_before_a_file_came() -> None:
    if not selftest_table.RECEIVED.is_dir():
        assert {one.cells["jetson"] for one in read_verified()[1]} <= {"not run", "-"}
        assert "Nothing here has run on a Jetson yet." in section()


# --- files that came -----------------------------------------------------------------------------


def test_a_received_file_fills_the_jetson_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [("doctor", "passed"), ("camera/csi", "failed"), ("power/jtop", "not here")]
    lines += [("build/edgekit-person/fp16", "passed"), ("build/edgekit-trtpose/fp16", "not here")]
    lines += [("task/yolo/cuda", "passed"), ("task/trtpose/cuda", "failed")]
    path = received(tmp_path, *lines)
    assert main(["selftest", "--table", str(path)]) == 0
    text = capsys.readouterr().out
    assert row(text, "doctor")["jetson"] == "✓ 2026-12-01 (a)"
    assert row(text, "CSI cameras: the pipeline")["jetson"] == "✗ 2026-12-01 (a)"
    assert row(text, "power and heat by jtop")["jetson"] == "not run", "what is not here proves nothing"
    assert row(text, "running a plan")["jetson"] == "✓ 2026-12-01 (a)"
    assert row(text, "TrtPose's steps as kernels")["jetson"] == "✗ 2026-12-01 (a)"
    for feature in read_verified()[1]:  # the other columns are as they were
        before, after = row(section(), feature.name), row(text, feature.name)
        assert {**before, "jetson": ""} == {**after, "jetson": ""}
    assert "Nothing here has run on a Jetson yet." not in text
    told = "(a) 2026-12-01, NVIDIA Jetson Orin Nano, JetPack 6.2, TensorRT 10.3.0, mode 25W: "
    assert f"- {told}3 passed, 2 failed, 2 not here; camera/csi: camera/csi said; task/trtpose" in text


def test_two_boards_and_a_kept_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    received(kept, ("doctor", "passed"))
    monkeypatch.setattr(selftest_table, "RECEIVED", kept)
    assert row(section(), "doctor")["jetson"] == "✓ 2026-12-01 (a)"
    later = received(tmp_path, ("doctor", "failed"), date="2026-12-05 10:00 UTC")
    text = section([read_report(later)])
    assert row(text, "doctor")["jetson"] == "✓ 2026-12-01 (a), ✗ 2026-12-05 (b)"


def test_which_column_a_file_fills(tmp_path: Path) -> None:
    def cells(**more: Any) -> dict[str, str]:
        return row(section([read_report(received(tmp_path, ("doctor", "passed"), **more))]), "doctor")

    plain = row(section(), "doctor")
    assert cells(emulated=True)["board"] == f"{plain['board']}, ✓ 2026-12-01 (a)"
    assert cells(device={**ORIN, "is_jetson": False, "gpu": "NVIDIA H200"})["h200"] == "✓ 2026-12-01 (a)"
    assert cells(device={"name": "RTX 4070", "is_jetson": False, "gpu": "RTX 4070"}) == plain
    assert cells(asked={"quick": True}) == plain, "a quick one builds no plan: it fills nothing"


def test_what_others_wrote_stays_text(tmp_path: Path) -> None:
    device = {**ORIN, "board": "x | y](http://evil) <script> `a`\n## Licence"}
    path = received(tmp_path, ("doctor", "failed"), device=device)
    text = section([read_report(path)])
    told = next(line for line in text.splitlines() if line.startswith("- (a)"))
    assert "<script>" not in told
    assert re.search(r"(?<!\\)[|<>`\]]", told) is None
    assert text.count("\n## ") == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "cannot be read"),
        ("[]", "not written by"),
        ('{"what": "edgekit selftest", "schema": 99, "edgekit": "9.0"}', "upgrade"),
        ('{"what": "edgekit selftest", "schema": 1}', "damaged"),
        (
            '{"what": "edgekit selftest", "schema": 1, "steps": [{"step": "a", "state": "perfect"}]}',
            "damaged",
        ),
    ],
)
def test_a_file_that_is_none(
    tmp_path: Path, content: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    assert main(["selftest", "--table", str(path)]) == 2
    assert words in capsys.readouterr().err


# --- the file behind it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('cpu = "2026-11-22"', 'cpu = "yes"', "'yes' is neither a day"),
        ('cpu = "2026-11-22"', "", "'cpu'"),
        ('cpu = "2026-11-22"', 'cpu = "-"\ncloud = "-"', "unknown key 'cloud'"),
        ("[[feature]]", "[[feature", "TOMLDecodeError"),
    ],
)
def test_a_cell_that_makes_no_sense(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "verified.toml"
    path.write_text(
        selftest_table.VERIFIED.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8"
    )
    with pytest.raises(InputError, match=re.escape(words)):
        read_verified(path)


def test_putting_it_into_a_readme(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Title\n\n{HEAD}\n\nold\n\n## Licence\n\nfree\n", encoding="utf-8")
    assert main(["selftest", "--table", "--into", str(readme)]) == 0
    assert readme.read_text(encoding="utf-8") == f"# Title\n\n{section()}\n## Licence\n\nfree\n"
    (tmp_path / "other.md").write_text("# nothing\n")
    with pytest.raises(InputError, match="has no section"):
        put_into(tmp_path / "other.md", section())
    assert (tmp_path / "other.md").read_text() == "# nothing\n"
