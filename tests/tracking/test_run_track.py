import json

import pytest

from edgekit.cli import main
from edgekit.run_track import TRACKERS
from edgekit.tracking import TRACKERS as KNOWN
from edgekit.tracking.mot import read_mot


@pytest.mark.parametrize("tracker", TRACKERS)
def test_run_track_writes_numbers_text_and_video(tracker, tmp_path, capsys):
    arguments = ["--frames", "6", "--sampler", "none", "--out", str(tmp_path), "--tracker", tracker]
    assert main(["run", "track", *arguments]) == 0
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    text = read_mot(tmp_path / "tracks.txt")
    numbered = [(line["index"] + 1, row["track_id"]) for line in lines for row in line["detections"]]
    assert list(zip(text.frame.tolist(), text.track_id.tolist(), strict=True)) == numbered
    assert numbered
    assert (tmp_path / "annotated.mp4").stat().st_size > 1000
    assert f"tracks     {tmp_path / 'tracks.txt'}" in capsys.readouterr().out


def test_the_help_knows_all_trackers():
    assert tuple(KNOWN) == TRACKERS


def test_an_appearance_that_is_absent_is_named(tmp_path, capsys):
    arguments = ["--tracker", "deepsort", "--appearance", "absent.onnx", "--out", str(tmp_path)]
    assert main(["run", "track", *arguments]) == 2
    assert "absent.onnx" in capsys.readouterr().err
    assert not (tmp_path / "tracks.txt").exists()
