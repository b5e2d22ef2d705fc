import json
from itertools import islice

import cv2
import pytest

from edgekit.camera import open_source
from edgekit.cli import main

TRUTH = "".join(f"{n},1,{10 * n},50,40,100,1,-1,-1,-1\n" for n in range(1, 6))


@pytest.fixture
def gt(tmp_path):
    path = tmp_path / "Square" / "gt" / "gt.txt"
    path.parent.mkdir(parents=True)
    path.write_text(TRUTH)
    (tmp_path / "Square" / "seqinfo.ini").write_text("[Sequence]\nname=Square\nseqLength=5\n")
    return path


def test_figures_of_a_file(gt, tmp_path, capsys):
    found = tmp_path / "tracks.txt"
    found.write_text(TRUTH.replace(",1,10,", ",9,10,"))  # the first frame has another number
    assert main(["evaluate", "track", "--gt", str(gt.parent.parent), "--found", str(found)]) == 0
    head, _, row, *_ = capsys.readouterr().out.splitlines()
    figures = dict(zip(head.split(), row.split(), strict=True))
    assert figures["sequence"] == "Square"
    assert float(figures["MOTA"]) == pytest.approx(0.8)
    assert figures["IDs"] == "1"


def test_a_tracker_that_found_nothing_is_scored_too(gt, tmp_path, capsys):
    (tmp_path / "tracks.txt").write_text("")
    assert (
        main(["evaluate", "track", "--gt", str(gt), "--found", str(tmp_path / "tracks.txt"), "--json"]) == 0
    )
    row = json.loads(capsys.readouterr().out)
    assert (row["MOTA"], row["HOTA"], row["precision"], row["FN"]) == (0.0, 0.0, None, 5)


def test_json_and_files(gt, tmp_path, capsys):
    arguments = ["--gt", str(gt), "--found", str(gt), "--json", "--out", str(tmp_path / "out")]
    assert main(["evaluate", "track", *arguments]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["HOTA"] == 1.0
    assert json.loads((tmp_path / "out" / "evaluate.json").read_text()) == row


@pytest.fixture
def pictures(tmp_path):
    """The first frames of the sample as a folder."""
    folder = tmp_path / "img1"
    folder.mkdir()
    with open_source("sample") as source:
        for frame in islice(source, 5):
            cv2.imwrite(str(folder / f"{frame.index + 1:06}.png"), frame.image)
    return folder


def test_a_video_is_tracked_and_scored(pictures, tmp_path, capsys):
    """Against its own tracks the sample's tracks are right."""
    run = ["run", "track", "--source", str(pictures), "--out", str(tmp_path / "run"), "--no-video", "--quiet"]
    assert main([*run, "--sampler", "none"]) == 0
    gt, out = tmp_path / "run" / "tracks.txt", tmp_path / "out"
    arguments = ["--gt", str(gt), "--source", str(pictures), "--out", str(out), "--json"]
    assert main(["evaluate", "track", *arguments]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["MOTA"] == row["HOTA"] == 1.0
    assert (row["model"], row["tracker"]) == ("edgekit-person", "bytetrack")
    assert (out / "tracks.txt").read_text() == gt.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--found", "absent.txt"], "absent.txt cannot be read"),
        (["--source", "sample", "--appearance", "histogram"], "--appearance is of --tracker deepsort"),
        (
            ["--source", "sample", "--tracker", "deepsort", "--track-thresh", ".4"],
            "is of --tracker bytetrack",
        ),
        (["--source", "absent.mp4"], "absent.mp4"),
    ],
)
def test_what_cannot_be_scored_is_said(gt, arguments, words, capsys):
    assert main(["evaluate", "track", "--gt", str(gt), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_tracks_of_a_longer_video_are_refused(gt, tmp_path, capsys):
    found = tmp_path / "tracks.txt"
    found.write_text(TRUTH + "6,1,60,50,40,100,1,-1,-1,-1\n")
    assert main(["evaluate", "track", "--gt", str(gt), "--found", str(found)]) == 2
    assert "tracks reach frame 6, but Square has 5 frames" in capsys.readouterr().err


def test_a_bad_line_of_the_truth_is_named(gt, capsys):
    gt.write_text(TRUTH + "6,1,oops,50,40,100,1,-1,-1,-1\n")
    assert main(["evaluate", "track", "--gt", str(gt), "--found", str(gt)]) == 2
    assert "gt.txt, line 6: 'oops' is no number" in capsys.readouterr().err


def test_the_last_runs_tracks_are_taken_where_nothing_is_said(gt, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "track", "--gt", str(gt)]) == 2
    assert "there is no out/track/tracks.txt; give --found" in capsys.readouterr().err
    (tmp_path / "out" / "track").mkdir(parents=True)
    (tmp_path / "out" / "track" / "tracks.txt").write_text(TRUTH)
    assert main(["evaluate", "track", "--gt", str(gt), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["found"] == "out/track/tracks.txt"


def test_tracks_are_read_or_found_not_both(gt, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "track", "--gt", str(gt), "--found", "a.txt", "--source", "sample"])
    assert "not allowed with" in capsys.readouterr().err


def test_models_are_evaluated_as_before(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "edgekit-person"])
    assert "--dataset" in capsys.readouterr().err
