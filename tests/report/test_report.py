"""`edgekit report`: pages, Markdown and text of runs as they are: whole, killed, throttled, unmeasured."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from made_runs import START, make_run, samples
from test_page import Reader

from edgekit.cli import main
from edgekit.runlog import Run


def html_of(tmp_path: Path, *runs: Run | Path) -> str:
    """The page of some runs, made by the command."""
    out = tmp_path / "out.html"
    folders = [str(run.folder if isinstance(run, Run) else run) for run in runs]
    assert main(["report", *folders, "--html", str(out)]) == 0
    return out.read_text(encoding="utf-8")


def text(html: str) -> str:
    return " ".join(Reader(html).pieces)


def test_one_run_says_what_matters_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    html = html_of(tmp_path, make_run(tmp_path / "yolo"))
    assert capsys.readouterr().out.strip() == str(tmp_path / "out.html")
    words = text(html)
    top = words[words.index("Speed 20.0") : words.index("What was run")]
    for figure in (
        "Speed 20.0 FPS 200 frames in 10.0 s",
        "Latency, median 40.0 ms 95 % within 40.0 ms",
        "Energy per frame 400 mJ by trapezoid",
        "Efficiency 2.50 FPS/W",
        "Power, mean 8.00 W VDD_IN",
        "Hottest 50.0 °C cpu",
        "Throttling none seen",
        "Clean yes",
        "coverage 100%",
        "VDD_IN is the input: it holds the other rails, and is never added to them.",
        "infer 30.0 30.0 75.0 300",
        "cpu 50.0 50.0",
    ):
        assert figure in top, figure
    assert "not known" not in words
    for row in (
        "device Jetson Orin Nano",
        "JetPack 6.2",
        "power mode 15W",
        "revision 0123abc",
        "edgekit run yolo",
    ):
        assert row in words[words.index("What was run") :], row
    assert len(html) < 2_000_000


def test_the_page_of_a_run_needs_no_network(tmp_path: Path) -> None:
    html = html_of(tmp_path, make_run(tmp_path / "a", model="<script>x</script>"), make_run(tmp_path / "b"))
    read = Reader(html)
    assert all(load.startswith(("#", "data:image/")) for load in read.loads)
    assert not {"script", "link", "iframe"} & set(read.tags)
    assert not re.search(r"https?:|@import|url\((?!#)", html)
    assert len(set(read.ids)) == len(read.ids)
    assert "<script>x</script>" in read.words


def test_three_runs_stand_side_by_side_with_ratios(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "fp32", fps=10),
        make_run(tmp_path / "fp16", fps=20, taken=samples(10, lambda t: 4.0)),
        make_run(tmp_path / "none", fps=20, taken=samples(10, lambda t: None)),
    ]
    words = text(html_of(tmp_path, *runs))
    for row in (
        "fp32 fp16 none",
        "frames 200 200 200",
        "FPS 10.0 20.0 (×2.00) 20.0 (×2.00)",
        "power, W 8.00 4.00 (×0.50) –",
        "mJ per frame 800 200 (×0.25) –",
        "FPS/W 1.25 5.00 (×4.00) –",
        "clean yes yes no",
        "power unknown: there is no meter",
    ):
        assert row in words, row
    assert words.index("Side by side") < words.index("Latency percentiles") < words.index("Power by rail")
    assert "none: energy is not known: there is no meter." in words


def test_unknown_power_is_a_reason_and_neither_zero_nor_an_empty_plot(tmp_path: Path) -> None:
    html = html_of(tmp_path, make_run(tmp_path / "a", taken=samples(10, lambda t: None, temps_c={})))
    words = text(html)
    assert "Power is not known: there is no meter." in words
    assert "Energy per frame – there is no meter" in words
    assert "Temperatures are not known" in words
    assert not re.search(r"\b0(\.0+)? (W|J|mJ)\b", words)
    assert "Power by rail" not in words
    assert "Energy of one frame" not in words
    table = [row for row in re.findall(r"<tr>.*?</tr>", html) if ">infer<" in row]
    assert "–" in table[0]
    assert "energy is not known: there is no meter" in words


def test_waiting_for_a_camera_is_given_no_joules(tmp_path: Path) -> None:
    words = text(html_of(tmp_path, make_run(tmp_path / "a", live=True)))
    assert re.search(r"capture 2\.0 2\.0 5\.0 – pre ", words)
    assert "– capture of a live source waits for pictures" in words


def test_a_killed_run_is_told_with_what_is_there(tmp_path: Path) -> None:
    run = make_run(tmp_path / "cut", killed=True)
    with open(run.folder / "frames.jsonl", "a", encoding="utf-8") as file:
        file.write('{"index": 200, "t_bo')  # what a kill leaves of a line
    words = text(html_of(tmp_path, run))
    assert "Not clean: the run has no end: it was killed, or it goes on" in words
    assert "Speed 20.0 FPS 200 frames" in words
    assert "Clean no" in words
    assert "edgekit-person fp16 · tensorrt · Jetson Orin Nano" in words


def test_what_became_of_a_setting_is_told_beside_what_was_asked(tmp_path: Path) -> None:
    words = text(html_of(tmp_path, make_run(tmp_path / "a", summary={"precision": "fp32"})))
    assert "precision fp32 (fp16 was asked for) back end tensorrt" in words


def test_a_throttled_run_is_not_clean(tmp_path: Path) -> None:
    hot = samples(
        10, more=lambda t: {"throttle": ("thermal",) if t > 5 else (), "oc_events": {"oc3": int(t > 7)}}
    )
    words = text(html_of(tmp_path, make_run(tmp_path / "hot", taken=hot)))
    assert "Not clean: clocks were held down for about 5.0 s: thermal." in words
    assert "Not clean: 1 over-current event more (oc3)." in words
    assert "Throttling yes" in words


def test_a_gap_voids_the_energy_and_says_so(tmp_path: Path) -> None:
    broken = [s for s in samples(10) if not START + 3 < s.t_boot_s < START + 8]
    words = text(html_of(tmp_path, make_run(tmp_path / "a", taken=broken)))
    assert "Energy is void: no sample for 5.0 s" in words
    assert "Energy per frame – no sample for" in words
    assert "Power by rail" in words, "what is there is drawn"


def test_an_emulated_board_is_said_at_the_top_and_at_each_figure(tmp_path: Path) -> None:
    emulated = samples(10, source="emulated Orin Nano (sysfs)", emulated=True)
    html = html_of(tmp_path, make_run(tmp_path / "a", taken=emulated, emulated=True))
    words = text(html)
    assert words.index("come from an emulated board") < words.index("Speed")
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html)
    assert len(captions) == 8
    assert all("emulated" in caption for caption in captions)
    for figure in (
        "Power, mean 8.00 W emulated, VDD_IN",
        "Energy per frame 400 mJ emulated, by trapezoid",
        "FPS/W emulated, frames a joule",
        "Hottest 50.0 °C emulated, cpu",
        "mJ per frame, emulated",
        "Emulated, no measurement. Energy by trapezoid",
    ):
        assert figure in words, figure
    assert words.count("Emulated, no measurement.") == 2, "below the tables of power and of heat"


def test_a_bare_log_is_its_power_part(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    words = text(html_of(tmp_path, run.folder / "samples.jsonl"))
    assert "Power, mean 8.00 W" in words
    assert "Temperatures" in words
    assert "Latency" not in words
    assert "What was run" not in words


def test_markdown_and_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(tmp_path / "a_1"), make_run(tmp_path / "b")]
    out = tmp_path / "out.md"
    assert main(["report", *(str(run.folder) for run in runs), "--markdown", str(out)]) == 0
    written = out.read_text()
    assert written.startswith("# a\\_1 · b\n")
    assert "| FPS | 20.0 | 20.0 (×1.00) |" in written
    assert "| --- |" not in written.split("\n")[0]
    capsys.readouterr()
    assert main(["report", str(runs[0].folder)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^Energy per frame +400 mJ +by trapezoid$", shown, re.MULTILINE)
    assert re.search(r"^infer +30\.0 +30\.0 +75\.0 +300$", shown, re.MULTILINE)
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p / "absent", "does not exist; give the folder that `edgekit run` wrote"),
        (lambda p: (p / "empty").mkdir() or p / "empty", "holds no run.json"),
        (lambda p: (p / "x.jsonl").write_text('{"a": 1}\n') and p / "x.jsonl", "header of a log"),
    ],
)
def test_what_is_no_run_is_named_with_the_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, said: str
) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    assert main(["report", str(path), "--html", str(tmp_path / "o.html")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert path.name in error
    assert not (tmp_path / "o.html").exists()


def test_a_log_beside_a_run_and_a_page_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "a")
    assert main(["report", str(run.folder), str(run.folder / "samples.jsonl")]) == 2
    assert "give it by itself" in capsys.readouterr().err
    assert main(["report", str(run.folder), "--html", str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["report", str(run.folder), "--html", str(tmp_path / "file" / "o.html")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_damaged_run_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "a")
    (run.folder / "run.json").write_text("{")
    assert main(["report", str(run.folder)]) == 2
    assert "run.json" in capsys.readouterr().err


def test_a_run_without_frames_or_with_one(tmp_path: Path) -> None:
    words = text(html_of(tmp_path, make_run(tmp_path / "none", latency=np.array([]))))
    assert "Not clean: the run has no frames." in words
    assert "Latency" not in words
    assert "FPS 200" not in text(html_of(tmp_path, make_run(tmp_path / "one", latency=np.array([0.02]))))


def test_runs_of_the_same_name_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(Path("before/yolo"))
    make_run(Path("after/yolo"))
    assert main(["report", "before/yolo", "after/yolo"]) == 0
    assert re.search(r"before/yolo +after/yolo", capsys.readouterr().out)
    monkeypatch.chdir(tmp_path / "after" / "yolo")
    assert main(["report", ".", "--html", "here.html"]) == 0
    assert "<h1>yolo</h1>" in Path("here.html").read_text()


def test_a_log_without_samples_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", taken=[])
    words = text(html_of(tmp_path, run))
    assert "Power is not known: there are no samples." in words
    assert "Not clean: energy is not known: there are no samples." in words
    assert "Throttling – there are no samples" in words
    assert "The log holds no sample." in text(html_of(tmp_path, run.folder / "samples.jsonl"))


@pytest.mark.slow
def test_a_real_run_with_an_emulated_board(tmp_path: Path) -> None:
    """The kit's own command, its real network and clip, its emulated board; then the report of it."""
    folder = tmp_path / "yolo"
    command = [sys.executable, "-m", "edgekit"]
    options = [
        "--sampler",
        "emulated:orin-nano",
        "--interval",
        "0.2",
        "--frames",
        "40",
        "--quiet",
        "--no-video",
    ]
    subprocess.run([*command, "run", "yolo", "--out", str(folder), *options], check=True, timeout=300)
    out = tmp_path / "out.html"
    subprocess.run([*command, "report", str(folder), "--html", str(out)], check=True, timeout=120)
    words = text(out.read_text(encoding="utf-8"))
    assert "40 frames" in words
    assert "emulated Orin Nano" in words
    assert "VDD_CPU_GPU_CV" in words
    assert out.stat().st_size < 2_000_000
