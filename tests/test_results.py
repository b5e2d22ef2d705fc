from __future__ import annotations

import json

import numpy as np
import pytest

from edgekit import Actions, Detections, Frame, InputError, Poses, Tracks


def detections(n: int = 3, track: bool = False) -> Detections:
    rng = np.random.default_rng(n)
    corner = rng.uniform(0, 100, (n, 2))
    xyxy = np.hstack([corner, corner + rng.uniform(1, 50, (n, 2))])
    ids = np.arange(n) + 7 if track else None
    return Detections(xyxy, rng.uniform(0, 1, n), rng.integers(0, 2, n), ("person", "dog"), ids)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        [[1]],
    ],
)
def test_a_frame_that_is_no_bgr_picture_is_refused(image):
    with pytest.raises(InputError, match=r"frame"):
        Frame(image)


def test_frame_says_its_size():
    frame = Frame(np.zeros((4, 6, 3), np.uint8))
    assert (frame.height, frame.width) == (4, 6)


@pytest.mark.parametrize("track", [False, True])
def test_detections_survive_json(track):
    before = detections(5, track)
    after = Detections.from_dict(json.loads(json.dumps(before.to_dict())), before.names)
    np.testing.assert_allclose(after.xyxy, before.xyxy, atol=0.006)
    np.testing.assert_allclose(after.score, before.score, atol=6e-5)
    np.testing.assert_array_equal(after.label, before.label)
    assert after.names == before.names
    assert (after.track_id is None) == (not track)


def test_empty_detections_survive_json():
    assert Detections.from_dict(Detections().to_dict()).xyxy.shape == (0, 4)


def test_dtypes_and_contiguity_are_made_at_construction():
    found = Detections(np.zeros((4, 2), np.float64).T.repeat(2, 1)[:, ::2], [0.5, 0.5], [0, 1])
    assert found.xyxy.dtype == np.float32
    assert found.xyxy.flags.c_contiguous
    assert found.label.dtype == np.int64


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"xyxy": np.zeros((2, 5))}, "xyxy"),
        ({"xyxy": [[5, 5, 1, 1]] * 3}, "right or bottom"),
        ({"xyxy": [[0, 0, np.nan, 1]] * 3}, "NaN"),
        ({"score": [0.1]}, "score has 1 rows, the boxes have 3"),
        ({"label": [-1, 0, 0]}, "negative"),
        ({"track_id": [1]}, "track_id"),
        ({"score": ["a", "b", "c"]}, "score"),
    ],
)
def test_detections_that_do_not_fit_are_refused_by_name(change, word):
    fields = {"xyxy": [[0, 0, 1, 1]] * 3, "score": [0.1] * 3, "label": [0] * 3} | change
    with pytest.raises(InputError, match=word):
        Detections(**fields)


@pytest.mark.parametrize("rows", [slice(1, None), [2, 0], np.array([True, False, True])])
def test_a_selection_keeps_rows_together(rows):
    whole = detections(3, track=True)
    part = whole[rows]
    np.testing.assert_array_equal(part.xyxy, whole.xyxy[rows])
    np.testing.assert_array_equal(part.track_id, whole.track_id[rows])
    assert whole[1].xyxy.shape == (1, 4)


def test_a_label_past_the_names_still_has_one():
    assert Detections([[0, 0, 1, 1]], [1], [7], ("a",)).name(0) == "class7"


def test_supervision_there_and_back():
    supervision = pytest.importorskip("supervision")
    before = detections(4, track=True)
    sv = before.to_supervision()
    assert isinstance(sv, supervision.Detections)
    assert list(sv.data["class_name"]) == [before.name(i) for i in range(4)]
    after = Detections.from_supervision(sv, before.names)
    for name in ("xyxy", "score", "label", "track_id"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert len(Detections.from_supervision(supervision.Detections.empty())) == 0
    assert Detections.from_supervision(sv).name(2) == before.name(2)


def test_poses_survive_json():
    points = np.random.default_rng(0).uniform(0, 1, (2, 3, 3))
    before = Poses(points, [0.5, 0.4], ("a", "b", "c"), ((0, 1), (1, 2)), [[0, 0, 1, 1]] * 2)
    after = Poses.from_dict(json.loads(json.dumps(before.to_dict())), before.names, before.skeleton)
    np.testing.assert_allclose(after.keypoints, before.keypoints, atol=0.006)
    np.testing.assert_array_equal(after.xyxy, before.xyxy)


def test_no_poses_survive_json():
    none = Poses(np.zeros((0, 2, 3)), [], ("a", "b"))
    assert Poses.from_dict(none.to_dict(), ("a", "b")).keypoints.shape == (0, 2, 3)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"keypoints": np.zeros((1, 2, 2)), "score": [1]}, "keypoints"),
        ({"keypoints": np.zeros((1, 2, 3)), "score": [1], "names": ("a",)}, "names"),
        ({"keypoints": np.zeros((1, 2, 3)), "score": [1], "skeleton": ((0, 2),)}, "skeleton"),
        ({"keypoints": np.zeros((1, 2, 3)), "score": []}, "score"),
    ],
)
def test_poses_that_do_not_fit_are_refused(fields, word):
    with pytest.raises(InputError, match=word):
        Poses(**fields)


def test_actions_survive_json_and_drop_what_is_below_the_threshold():
    before = Actions([[0.9, 0.1]], ("walk", "fall"), [[0, 0, 1, 1]], [3], threshold=0.3)
    data = json.loads(json.dumps(before.to_dict()))
    assert data == {"actions": [{"xyxy": [0.0, 0.0, 1.0, 1.0], "track_id": 3, "scores": {"walk": 0.9}}]}
    after = Actions.from_dict(data, before.names)
    np.testing.assert_allclose(after.scores, [[0.9, 0.0]], atol=1e-6)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({}, "detections"),
        ({"detections": [{"score": 1}]}, "xyxy"),
        (
            {
                "detections": [
                    {"xyxy": [0, 0, 1, 1], "score": 1, "label": 0, "track_id": 1},
                    {"xyxy": [0, 0, 1, 1], "score": 1, "label": 0},
                ]
            },
            "some",
        ),
    ],
)
def test_json_that_is_no_result_is_refused(data, word):
    with pytest.raises(InputError, match=word):
        Detections.from_dict(data)


def poses(n: int = 3) -> Poses:
    rng = np.random.default_rng(n)
    points = np.concatenate([rng.uniform(1, 99, (n, 4, 2)), rng.uniform(0.1, 1, (n, 4, 1))], axis=2)
    points[0, 3] = 0
    return Poses(points, rng.uniform(0, 1, n), tuple("abcd"), ((0, 1), (2, 3)), track_id=np.arange(n) + 3)


def test_poses_survive_json_with_their_tracks():
    before = poses()
    data = json.loads(json.dumps(before.to_dict()))
    after = Poses.from_dict(data, before.names, before.skeleton)
    np.testing.assert_allclose(after.keypoints, before.keypoints, atol=0.006)
    np.testing.assert_array_equal(after.track_id, [3, 4, 5])
    del data["poses"][1]["track_id"]
    with pytest.raises(InputError, match="some rows have 'track_id'"):
        Poses.from_dict(data)


def test_some_of_the_poses_keep_everything_else():
    before = poses()
    some = before[before.score < before.score.max()]
    assert len(some) == 2
    assert (some.names, some.skeleton) == (before.names, before.skeleton)
    np.testing.assert_array_equal(before[1].track_id, [4])
    assert len(before[:0]) == 0
    assert before[[2, 0]].keypoints.tolist() == before.keypoints[[2, 0]].tolist()


def test_poses_go_to_supervision_and_back():
    supervision = pytest.importorskip("supervision")
    before = poses()
    sv = before.to_supervision()
    assert isinstance(sv, supervision.KeyPoints)
    np.testing.assert_array_equal(sv.xy, before.keypoints[..., :2])
    after = Poses.from_supervision(sv, before.names, before.skeleton)
    np.testing.assert_array_equal(after.keypoints, before.keypoints)
    np.testing.assert_array_equal(after.score, before.score)
    # it draws: the joint that was not found, at (0, 0), is left out
    scene = np.zeros((100, 100, 3), np.uint8)
    supervision.VertexAnnotator(radius=1).annotate(scene, sv)
    assert scene[:3, :3].sum() == 0
    assert scene.any()
    bare = supervision.KeyPoints(xy=before.keypoints[..., :2])
    assert Poses.from_supervision(bare).keypoints[0, :, 2].tolist() == [1, 1, 1, 0]
    assert len(Poses.from_supervision(supervision.KeyPoints.empty())) == 0


def test_tracks_are_detections_with_numbers() -> None:
    tracks = Tracks([[0, 0, 4, 8], [2, 2, 6, 9]], [0.9, 0.8], [0, 0], ("person",), [7, 3])
    assert isinstance(tracks[tracks.track_id == 3], Tracks)
    assert tracks[[1]].track_id.tolist() == [3]
    assert Tracks.from_dict(tracks.to_dict()).track_id.tolist() == [7, 3]
    assert Tracks().track_id.shape == (0,)
    with pytest.raises(InputError, match="track_id has 0 rows"):
        Tracks([[0, 0, 4, 8]], [0.9], [0])


def test_a_person_without_scores_yet_says_so() -> None:
    boxes = [[0, 0, 4, 8], [2, 2, 6, 9]]
    before = Actions([[0.2, 0.6], [0, 0]], ("walk", "fall"), boxes, [3, 4], 0.3, [True, False])
    data = json.loads(json.dumps(before.to_dict()))
    assert [row["scores"] for row in data["actions"]] == [{"fall": 0.6}, None]
    after = Actions.from_dict(data, before.names)
    assert after.known.tolist() == [True, False]
    assert before.best(0) == [("fall", pytest.approx(0.6))]
    assert before.best(1) == []
    assert before[before.known].track_id.tolist() == [3]
    assert Actions([[0.2]], ("walk",)).known.tolist() == [True]
