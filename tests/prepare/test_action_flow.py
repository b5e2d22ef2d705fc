"""The flow of clips that have none is found beside their pictures, and nothing else of them changes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.cli import main
from edgekit.errors import InputError
from edgekit.ops.flow import flow_to_grey, open_flow
from edgekit.prepare.action_flow import add_flow
from edgekit.prepare.action_folders import read_clip, write_clip


def sliding_square(count: int = 4) -> list[np.ndarray]:
    """A textured square that goes to the right by two pixels a picture."""
    texture = np.random.default_rng(0).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    pictures = []
    for n in range(count):
        picture = np.full((48, 64, 3), 90, np.uint8)
        picture[12:36, 10 + 2 * n : 34 + 2 * n] = texture
        pictures.append(picture)
    return pictures


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A split set: one clip as recorded, one that has its flow."""
    flow = open_flow("dis")
    write_clip(tmp_path / "train", "go", "anna_1", sliding_square(), fps=12, facts={"person": "anna"})
    write_clip(tmp_path / "test", "go", "ben_1", sliding_square(), fps=12, flow=flow)
    return tmp_path


def test_only_clips_without_flow_get_it(recorded: Path) -> None:
    there = recorded / "test/go/ben_1/u/000000.jpg"
    before, calls = there.stat().st_mtime_ns, []
    made = add_flow(recorded, open_flow("dis"), done=calls.append)
    assert made == [recorded / "train/go/anna_1"]
    assert calls == [4, 4]
    assert there.stat().st_mtime_ns == before
    assert add_flow(recorded, open_flow("dis")) == []


def test_pictures_and_note_stay_and_the_flow_is_of_neighbours(recorded: Path) -> None:
    folder = add_flow(recorded, open_flow("dis"))[0]
    clip = read_clip(folder, streams=("rgb", "of"))
    for path, picture in zip(clip.rgb, sliding_square(), strict=True):
        np.testing.assert_array_equal(cv2.imread(str(path)), picture)
    note = json.loads((folder / "clip.json").read_text(encoding="utf-8"))
    assert (note["person"], note["fps"], note["flow"], note["frames"]) == ("anna", 12, "dis", 4)
    pictures, flow = sliding_square(), open_flow("dis")
    assert len(clip.u) == len(clip.v) == 3
    for n in range(3):
        for path, grey in zip((clip.u[n], clip.v[n]), flow_to_grey(flow(*pictures[n : n + 2])), strict=True):
            found = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(int)
            assert np.abs(found - grey).mean() < 2, "JPEG, no more"
    assert cv2.imread(str(clip.u[0]), cv2.IMREAD_GRAYSCALE)[16:32, 16:28].mean() > 180, "it goes to the right"


def test_the_command_does_it_without_videos(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "actions", "--out", str(recorded), "--flow", "dis", "--quiet"]) == 0
    assert len(list(recorded.glob("train/go/anna_1/u/*.jpg"))) == 3
    assert sorted(path.name for path in recorded.iterdir()) == ["test", "train"]
    assert main(["prepare", "check-actions", str(recorded)]) == 0, capsys.readouterr().out


def test_a_broken_picture_is_named_and_the_clip_stays(recorded: Path) -> None:
    broken = recorded / "train/go/anna_1/rgb/000002.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"000002\.png is no picture"):
        add_flow(recorded, open_flow("dis"))
    assert sorted(path.name for path in broken.parents[1].iterdir()) == ["clip.json", "rgb"]
    assert sorted(path.name for path in (recorded / "train").iterdir()) == ["go"]
