"""`edgekit selftest`: steps that crash, hang or lack something become lines; the file is always whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from boards import make_board

from edgekit.cli import main
from edgekit.errors import InputError
from edgekit.selftest import selftest
from edgekit.selftest_report import Report, read_report
from edgekit.selftest_steps import Step, choose, steps
from edgekit.selftest_table import section
from edgekit.telemetry.boards import BoardTree, find_board

ROOT = Path(__file__).resolve().parent.parent
BAD = """
import ctypes, os, subprocess, sys, time
from edgekit.errors import EdgekitError, MissingError

def good(case, number=1): print("to standard output"); return f"it is {number}", {"number": number}
def ends(case): print("my last words", file=sys.stderr); sys.stderr.flush(); os._exit(7)
def segfault(case): ctypes.string_at(0)
def raises(case): raise ZeroDivisionError("by nought")
def wrong(case): raise EdgekitError("the plan is of another device.")
def unequal(case): raise AssertionError("3 pixels differ")
def lacks(case): raise MissingError("there is no such thing here.")
def eats(case): raise MemoryError
def killed(case): os.kill(os.getpid(), 9)
def victim(case): return open("/proc/self/oom_score_adj").read(), {}
def later(case):
    import atexit
    atexit.register(os._exit, 3)
    return "done", {}
def hangs(case, pid):
    child = subprocess.Popen(["sleep", "600"])
    open(pid, "w").write(f"{os.getpid()} {child.pid}")
    print("waiting for the driver", file=sys.stderr)
    time.sleep(600)
def leaves(case):
    open(case.scratch / "plan", "w").write("x" * 10)
    return str(case.scratch), {}
"""
#: Of a program that runs steps.
BEGIN = """
from pathlib import Path
from edgekit.selftest import Step, selftest
from edgekit.selftest_report import Report
"""


@pytest.fixture
def bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of steps, of which most are broken."""
    (tmp_path / "bad_steps.py").write_text(BAD)
    paths = [str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return tmp_path


def step(name: str, limit_s: float = 30.0, **given: object) -> Step:
    return Step(name, f"bad_steps:{name}", limit_s, given)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def until(true, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def test_whatever_a_step_does_is_one_line_and_the_rest_goes_on(bad: Path) -> None:
    pid = bad / "pid"
    chosen = [
        *[step(name) for name in ("ends", "segfault", "raises", "wrong", "unequal", "lacks")],
        *[step(name) for name in ("eats", "killed", "victim", "later")],
        step("hangs", 6.0, pid=str(pid)),
        Step("nowhere", "bad_steps:nowhere"),
        step("leaves"),
        step("good", number=7),
    ]
    said: list[str] = []
    report = Report(bad / "out" / "file.json", {"quick": False})
    assert not selftest(chosen, report, say=said.append)
    found = {line["step"]: line for line in json.loads(report.path.read_text())["steps"]}
    assert list(found) == [one.name for one in chosen]
    words = {name: line["words"] for name, line in found.items()}
    assert words["ends"] == "the worker ended with code 7: my last words"
    assert words["segfault"].startswith("killed by SIGSEGV")
    assert "bad_steps.py" in found["segfault"]["log"], "where it was"
    assert words["raises"] == "ZeroDivisionError: by nought"
    assert "Traceback" in found["raises"]["log"]
    assert words["wrong"] == "the plan is of another device."
    assert words["unequal"] == "3 pixels differ"
    assert words["eats"] == "out of memory"
    assert words["killed"].startswith("killed by SIGKILL, as the kernel does when memory runs out")
    assert words["victim"].strip() == "1000", "the kernel is to end the step, not the self-test"
    assert words["later"].startswith("done, but then the worker ended with code 3")
    assert words["hangs"] == "not done after 6 s, and ended; its last words: waiting for the driver"
    assert "nowhere" in words["nowhere"]
    assert words["good"] == "it is 7"
    states = {name: line["state"] for name, line in found.items()}
    assert states == {
        **dict.fromkeys(states, "failed"),
        "lacks": "not here",
        "victim": "passed",
        "leaves": "passed",
        "good": "passed",
    }
    assert found["good"]["figures"] == {"number": 7}
    assert all(line["seconds"] < 60 for line in found.values())
    assert all(gone(int(number)) for number in pid.read_text().split()), "the step and its children are ended"
    assert not Path(words["leaves"]).exists()
    text = "".join(said)
    assert text.count("\n") == len(chosen)
    assert "[14/14] good" in text


def test_the_file_is_whole_when_the_parent_is_killed_and_the_step_dies_with_it(bad: Path) -> None:
    pid, out = bad / "pid", bad / "file.json"
    code = (
        BEGIN + "one = [Step('good', 'bad_steps:good'), Step('hangs', 'bad_steps:hangs', 60, {'pid': %r})]\n"
    )
    code += "selftest(one, Report(Path(%r), {}))"
    parent = subprocess.Popen([sys.executable, "-c", code % (str(pid), str(out))])
    try:
        until(lambda: pid.exists() and pid.read_text())
        found = json.loads(out.read_text())
        assert [(one["step"], one["state"]) for one in found["steps"]] == [
            ("good", "passed"),
            ("hangs", "running"),
        ]
    finally:
        parent.kill()
        parent.wait()
    assert [one["state"] for one in read_report(out)["steps"]] == ["passed", "failed"]
    assert "ended during it" in read_report(out)["steps"][1]["words"]
    until(lambda: all(gone(int(number)) for number in pid.read_text().split()))
    assert [path.name for path in bad.glob("*.json")] == ["file.json"], "nothing half-written beside it"


def test_an_emulated_board_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    root = make_board(tmp_path / "board", "orin-nano")
    BoardTree(root, find_board("orin-nano"))
    chosen = choose(steps(), ["state/before", "power/mode", "power/sysfs", "power/throttling", "power/jtop"])
    report = Report(tmp_path / "board.json", {"quick": False}, root)
    assert selftest(chosen, report, root=root)
    found = {one["step"]: one for one in read_report(report.path)["steps"]}
    states = {name: one["state"] for name, one in found.items()}
    assert states == {**dict.fromkeys(states, "passed"), "power/jtop": "not here"}
    assert found["state/before"]["figures"]["temps_c"]["tj"] == 45
    row = next(
        line for line in section([read_report(report.path)]).splitlines() if "heat from `/sys`" in line
    )
    assert "(a)" in row.split("|")[6], "it fills the column of emulated boards"
    assert "not run" in row.split("|")[7], "and not that of the Jetson"


def test_what_does_not_fit_the_minutes_is_said(bad: Path) -> None:
    report = Report(bad / "out.json", {})
    assert selftest([step("good"), step("leaves")], report, minutes=0.0)
    lines = read_report(bad / "out.json")["steps"]
    assert [line["state"] for line in lines] == ["not here"] * 2
    assert all("0 minutes were over; run it again" in line["words"] for line in lines)


def test_ctrl_c_ends_the_step_and_is_noted(bad: Path) -> None:
    pid, out = bad / "pid", bad / "file.json"
    code = BEGIN + "selftest([Step('hangs', 'bad_steps:hangs', 60, {'pid': %r})], Report(Path(%r), {}))"
    parent = subprocess.Popen([sys.executable, "-c", code % (str(pid), str(out))], stderr=subprocess.DEVNULL)
    until(lambda: pid.exists() and len(pid.read_text().split()) == 2)
    parent.send_signal(signal.SIGINT)
    assert parent.wait(20) != 0
    assert all(gone(int(number)) for number in pid.read_text().split())
    assert read_report(out)["steps"][0]["words"] == "interrupted"


# --- which steps ---------------------------------------------------------------------------------


def test_every_step_exists_and_has_a_name_of_its_own(tmp_path: Path) -> None:
    import importlib
    import inspect

    (tmp_path / "video0").touch()
    (tmp_path / "video3").touch()
    every = steps(tmp_path)
    names = [one.name for one in every]
    assert len(names) == len(set(names))
    assert {"camera/video0", "camera/video3"} <= set(names)
    assert "camera/usb" in [one.name for one in steps(tmp_path / "nothing")]
    for one in every:
        module, _, function = one.run.partition(":")
        signature = inspect.signature(getattr(importlib.import_module(module), function))
        signature.bind("case", **one.given)
        assert 0 < one.limit_s <= 900


def test_every_cuda_module_is_a_step() -> None:
    from edgekit.selftest_steps import KERNELS

    assert sorted(KERNELS) == sorted(
        path.stem[: -len("_cuda")] for path in (ROOT / "edgekit/ops").glob("*_cuda.py")
    )


def test_choosing() -> None:
    every = steps(Path("/nowhere"))
    names = lambda *words, quick=False: [one.name for one in choose(every, words, quick)]  # noqa: E731
    assert names("doctor") == ["doctor"]
    assert names("power") == [one.name for one in every if one.name.startswith("power/")]
    assert names("task/*/host", "live")[0] == "live"
    assert "build/edgekit-person/fp16" not in names(quick=True)
    assert names("build/edgekit-person/fp16", quick=True) == ["build/edgekit-person/fp16"]
    assert names() == [one.name for one in every]
    with pytest.raises(InputError, match=r"no step is called 'docto'; .* --list"):
        choose(every, ["docto"])


# --- the command ---------------------------------------------------------------------------------


def test_the_command_writes_one_file_and_says_what_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert (
        main(["selftest", "--quick", "--only", "state", "video/pyav", "camera/csi", "--out", "mine.json"])
        == 0
    )
    text = capsys.readouterr().out
    assert "3 passed, 0 failed, 1 not here" in text
    assert "The file to send: mine.json" in text
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]
    found = read_report("mine.json")
    assert [one["state"] for one in found["steps"]] == ["passed", "passed", "not here", "passed"]
    assert found["device"]["python"] == sys.version.split()[0]
    assert found["steps"][0]["figures"]["memory_free"] > 0
    assert all("log" not in one for one in found["steps"] if one["state"] == "passed")


def test_the_command_fails_where_a_step_does(
    tmp_path: Path, bad: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    from edgekit import selftest as command

    monkeypatch.setattr(command, "steps", lambda: [step("wrong"), step("good")])
    assert main(["selftest", "--out", str(tmp_path / "x.json")]) == 1
    text = capsys.readouterr().out
    assert "failed  wrong: the plan is of another device." in text
    assert "1 passed, 1 failed, 0 not here" in text


def test_list_names_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["selftest", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [one.name for one in steps()]


def test_a_file_that_cannot_be_written_is_said_before_anything_runs(tmp_path: Path, capsys) -> None:
    (tmp_path / "file").touch()
    assert main(["selftest", "--only", "doctor", "--out", str(tmp_path / "file" / "x.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_default_name_tells_the_device_and_the_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import re

    from edgekit.selftest_report import default_path

    monkeypatch.chdir(tmp_path)
    assert re.fullmatch(r"selftest-[a-z0-9._-]+-20\d\d-\d\d-\d\d\.json", str(default_path()))
    (tmp_path / "out").mkdir()
    assert default_path().parent == Path("out")


@pytest.mark.slow
def test_everything_quick_runs_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert main(["selftest", "--quick", "--out", str(tmp_path / "all.json")]) == 0, capsys.readouterr().out
    states = {one["step"]: one["state"] for one in read_report(tmp_path / "all.json")["steps"]}
    assert [states[name] for name in ("doctor", "video/pyav", "live", "task/yolo/host", "bench")] == [
        "passed"
    ] * 5
