from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from clips import moving_square

from edgekit import Detections, Frame, InputError, open_source
from edgekit.errors import EdgekitError
from edgekit.sinks import JsonLines, PictureFolder, Video, read_lines

FOUND = Detections([[1, 2, 30, 40]], [0.5], [0], ("person",))


def write_video(path, frames, fps=10.0, times=None):
    sink = Video(path, fps)
    for i, image in enumerate(frames):
        frame = Frame(image, i, times[i] if times else i / fps, "x")
        sink.write(frame, FOUND, image)
    sink.close()
    return sink


def read(path):
    with open_source(path) as source:
        return list(source)


@pytest.mark.parametrize("size", [(120, 160), (119, 159), (2, 2), (1, 1), (33, 1000)])
def test_a_video_holds_its_frames_at_their_times(tmp_path, size):
    frames = [cv2.resize(f, size[::-1]) for f in moving_square(12)]
    write_video(tmp_path / "v.mp4", frames)
    back = read(tmp_path / "v.mp4")
    assert len(back) == 12
    np.testing.assert_allclose([f.t for f in back], np.arange(12) / 10, atol=1e-3)
    h, w = size
    assert np.abs(back[5].image[:h, :w].astype(int) - frames[5]).mean() < 8


def test_the_video_is_h264_420_in_mp4_as_browsers_want_it(tmp_path):
    import av

    write_video(tmp_path / "v.mp4", moving_square(5))
    with av.open(str(tmp_path / "v.mp4")) as container:
        stream = container.streams.video[0]
        assert "mp4" in container.format.name
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")


def test_frames_of_other_sizes_are_fitted_into_the_first(tmp_path):
    frames = [np.full(s, 200, np.uint8) for s in ((120, 160, 3), (60, 80, 3), (200, 100, 3))]
    write_video(tmp_path / "v.mp4", frames)
    assert [f.image.shape for f in read(tmp_path / "v.mp4")] == [(120, 160, 3)] * 3


def test_a_clock_that_stands_or_runs_back_still_gives_every_frame(tmp_path):
    write_video(tmp_path / "v.mp4", moving_square(4), times=[5.0, 5.0, 4.0, 5.2])
    assert len(read(tmp_path / "v.mp4")) == 4


def test_a_video_without_frames_leaves_no_file_and_closing_twice_is_fine(tmp_path):
    sink = Video(tmp_path / "v.mp4", 10.0)
    sink.close()
    sink.close()
    assert not (tmp_path / "v.mp4").exists()


KILLED = """
import os, sys, numpy as np
sys.path.insert(0, "tests")
from clips import moving_square
from edgekit import Detections, Frame
from edgekit.sinks import JsonLines, Video
from pathlib import Path
out = Path(sys.argv[1])
video, lines = Video(out / "v.mp4", 10.0), JsonLines(out / "r.jsonl")
for i, image in enumerate(moving_square(200)):
    for sink in (video, lines):
        sink.write(Frame(image, i, i / 10, "x"), Detections(), image)
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_run_wrote_can_be_read(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert len(read_lines(tmp_path / "r.jsonl")) == 200
    assert len(read(tmp_path / "v.mp4")) > 100  # all but the last fragments still in the encoder


FULL = """
import resource, signal, sys
sys.path.insert(0, "tests")
from clips import moving_square
from edgekit import Detections, Frame
from edgekit.errors import EdgekitError
from edgekit.sinks import JsonLines, Video
from pathlib import Path
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writes past the limit then fail as on a full disk
sink = {"video": Video, "json": JsonLines}[sys.argv[2]](Path(sys.argv[1]) / "f.mp4")
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    for i, image in enumerate(moving_square(3000)):
        sink.write(Frame(image, i, i / 10, "x"), Detections(), image)
except EdgekitError as error:
    sys.exit(f"told: {error}")
"""


@pytest.mark.parametrize("kind", ["video", "json"])
def test_a_full_disk_is_one_clear_error(tmp_path, kind):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), kind], capture_output=True, text=True, check=False
    )
    assert "told: " in done.stderr
    assert "f.mp4 cannot be written" in done.stderr


def test_json_lines_have_the_documented_schema(tmp_path):
    sink = JsonLines(tmp_path / "deep" / "r.jsonl")
    sink.write(Frame(np.zeros((50, 60, 3), np.uint8), 3, 0.3, "clip.mp4"), FOUND, None)
    written = (tmp_path / "deep" / "r.jsonl").read_text()  # before close: each line is flushed
    sink.close()
    assert json.loads(written) == {
        "source": "clip.mp4",
        "index": 3,
        "t": 0.3,
        "width": 60,
        "height": 50,
        "detections": [{"xyxy": [1.0, 2.0, 30.0, 40.0], "score": 0.5, "label": 0, "name": "person"}],
    }


def test_a_cut_last_line_is_left_out_and_a_bad_middle_one_is_refused(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text('{"index": 0}\n{"index": 1}\n{"ind')
    assert [row["index"] for row in read_lines(path)] == [0, 1]
    path.write_text('{"index": 0}\n{"ind\n{"index": 2}\n')
    with pytest.raises(InputError, match="line 2"):
        read_lines(path)


@pytest.mark.parametrize("kind", [JsonLines, Video])
def test_an_out_folder_that_cannot_be_made_is_named(tmp_path, kind):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/out.*choose another"):
        kind(tmp_path / "file" / "out")


def test_pictures_of_one_name_do_not_overwrite_each_other(tmp_path):
    sink = PictureFolder(tmp_path / "a")
    image = np.zeros((8, 8, 3), np.uint8)
    for i, source in enumerate(("x/p.png", "y/p.png", "z/q.png")):
        sink.write(Frame(image, i, 0, source), FOUND, image)
    assert sorted(p.name for p in sink.path.iterdir()) == ["p-1.jpg", "p.jpg", "q.jpg"]


def test_a_picture_that_cannot_be_written_is_named(tmp_path):
    sink = PictureFolder(tmp_path / "a")
    (tmp_path / "a" / "p.jpg").mkdir()
    with pytest.raises(EdgekitError, match=r"p\.jpg"):
        sink.write(Frame(np.zeros((8, 8, 3), np.uint8), 0, 0, "p.png"), FOUND, np.zeros((8, 8, 3), np.uint8))
