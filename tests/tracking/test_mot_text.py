import numpy as np
import pytest
from walkers import boxes, frame, track_all, walkers

from edgekit.errors import InputError
from edgekit.results import Actions, Tracks
from edgekit.tracking import ByteTrack
from edgekit.tracking.mot import MotText, read_mot, read_sequence


def test_a_line_a_track(tmp_path):
    sink = MotText(tmp_path / "out" / "tracks.txt")
    one = Tracks([[10, 20.5, 40, 100.25]], [0.875], [0], ("person",), [7])
    sink.write(frame(0), one, None)
    sink.write(frame(1), Tracks(), None)
    sink.write(frame(4), one, None)
    assert sink.path.read_text() == (  # before it is closed: a killed run leaves whole lines
        "1,7,10.00,20.50,30.00,79.75,0.8750,-1,-1,-1\n5,7,10.00,20.50,30.00,79.75,0.8750,-1,-1,-1\n"
    )
    sink.close()


def test_what_is_written_is_read(tmp_path):
    world, path = walkers(8, 20, 3), tmp_path / "tracks.txt"
    sink, tracker = MotText(path), ByteTrack()
    for now, found in enumerate(world.found):
        sink.write(frame(now), tracker.update(found, frame(now)), None)
    sink.close()
    expected, read = track_all(ByteTrack(), world), read_mot(path)
    np.testing.assert_array_equal(read.frame, expected.frame)
    np.testing.assert_array_equal(read.track_id, expected.track_id)
    np.testing.assert_allclose(read.xyxy, expected.xyxy, atol=0.011)
    np.testing.assert_allclose(read.confidence, expected.confidence, atol=1e-4)


@pytest.mark.parametrize(
    "result", [boxes((0, 0, 9, 9)), Actions(np.zeros((1, 1)), ("walk",), [[0, 0, 9, 9]], [1])]
)
def test_only_tracks_are_written(tmp_path, result):
    sink = MotText(tmp_path / "tracks.txt")
    with pytest.raises(InputError, match=r"tracks\.txt wants tracks"):
        sink.write(frame(0), result, None)
    sink.close()


def write(tmp_path, *lines):
    path = tmp_path / "gt.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_mot15_has_places_and_mot16_has_classes(tmp_path):
    old = read_mot(write(tmp_path, "1,1,10,20,30,40,1,-14.2,5.5,0", "1,2,10,20,30,40,0,-1,-1,-1"))
    assert old.label is None
    assert old.confidence.tolist() == [1, 0]
    assert old.xyxy[0].tolist() == [10, 20, 40, 60]
    new = read_mot(write(tmp_path, "1,1,10,20,30,40,1,1,.5", "1,2,10,20,30,40,0,12,1"))
    assert new.label.tolist() == [1, 12]
    bare = read_mot(write(tmp_path, "1 3 10 20 30 40", "", "  ", "2.0, 3, 1, 2, 3, 4"))
    assert bare.frame.tolist() == [1, 2]
    assert bare.confidence.tolist() == [1, 1]


def test_an_empty_file_holds_nothing(tmp_path):
    assert len(read_mot(write(tmp_path))) == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2,1,5,5,10", "line 2 has 5 columns; frame, id, left"),
        ("2,1,5,5,10,10,1", "line 2 has 7 columns, the lines before have 10"),
        ("2,1,5,five,10,10,1,-1,-1,-1", "line 2: 'five' is no number"),
        ("2,1,5,nan,10,10,1,-1,-1,-1", "line 2: 'nan' is no number"),
        ("0,1,5,5,10,10,1,-1,-1,-1", "line 2: frame 0"),
        ("2.5,1,5,5,10,10,1,-1,-1,-1", "line 2: frame 2.5"),
        ("2,1.5,5,5,10,10,1,-1,-1,-1", "number 1.5"),
        ("2,1,5,5,-10,10,1,-1,-1,-1", "line 2: a box of -10×10"),
        ("1,1,5,5,10,10,1,-1,-1,-1", "line 2: frame 1 has the number 1 already, in line 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, words):
    path = write(tmp_path, "1,1,0,0,10,10,1,-1,-1,-1", line)
    with pytest.raises(InputError, match=words) as caught:
        read_mot(path)
    assert str(path) in str(caught.value)


def test_what_is_no_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_mot(tmp_path / "none.txt")
    (tmp_path / "picture.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(InputError, match="it is no text"):
        read_mot(tmp_path / "picture.txt")


def test_a_sequence_is_a_folder_or_its_file(tmp_path):
    (tmp_path / "Square" / "gt").mkdir(parents=True)
    write(tmp_path / "Square" / "gt", "1,1,0,0,10,10")
    info = tmp_path / "Square" / "seqinfo.ini"
    assert read_sequence(tmp_path / "Square").name == "Square"
    info.write_text("[Sequence]\nname=TUD-Square\nseqLength=25\n")
    for given in (tmp_path / "Square", tmp_path / "Square" / "gt" / "gt.txt"):
        sequence = read_sequence(given)
        assert (sequence.name, sequence.length, len(sequence.boxes)) == ("TUD-Square", 25, 1)
    info.write_text("[Sequence]\nseqLength=many\n")
    with pytest.raises(InputError, match=r"seqinfo\.ini"):
        read_sequence(tmp_path / "Square")


def test_ground_truth_without_a_box_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no box"):
        read_sequence(write(tmp_path))
