"""Drawn people: the same numbers are the same clip, people differ, and each action moves its own way."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.drawn_actions import (
    ACTIONS,
    FPS,
    LENGTH,
    SPARE,
    DrawnActor,
    DrawnCamera,
    clip_name,
    draw_clip,
    write_drawn_set,
)
from edgekit.drawn_figure import View, body_of, joints
from edgekit.drawn_moves import MOVES, Style
from edgekit.errors import InputError

SMALL = (64, 48)
STYLE = Style(tempo=1.0, reach=1.0, hand=1, phase=0.0, yaw=0.0, manner=(0.5, 0.5, 0.5, 0.5), turn=1)
BODY = body_of(np.random.default_rng(0))


def film(action: str, seconds: float = 4.0, style: Style = STYLE) -> dict[str, np.ndarray]:
    """The joints of one body over time: [T, …]."""
    found = [joints(BODY, MOVES[action](style, t)) for t in np.arange(0, seconds, 1 / 30)]
    return {name: np.array([one[name] for one in found]) for name in found[0]}


@pytest.mark.parametrize("action", [*ACTIONS, SPARE, "stand"])
def test_a_clip_is_the_same_again_and_well_formed(action: str) -> None:
    clip = draw_clip(action, 3, 1, length=5, size=SMALL)
    assert [picture.shape for picture in clip] == [(48, 64, 3)] * 5
    assert all(picture.dtype == np.uint8 and 10 < picture.mean() < 245 for picture in clip)
    for one, again in zip(clip, draw_clip(action, 3, 1, length=5, size=SMALL), strict=True):
        np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(clip[:3], draw_clip(action, 3, 1, length=3, size=SMALL))


def test_the_usual_clip_is_two_seconds() -> None:
    assert len(draw_clip("wave", size=SMALL)) == LENGTH == 2 * FPS


def test_every_person_take_and_action_is_another_clip() -> None:
    numbers = itertools.product((*ACTIONS, SPARE), range(2), range(2))
    clips = [draw_clip(*which, length=2, size=SMALL)[1].astype(float) for which in numbers]
    for one, other in itertools.combinations(clips, 2):
        assert np.abs(one - other).mean() > 2


def test_a_person_keeps_body_and_room_and_others_have_their_own() -> None:
    """Two takes are alike where nobody stands, but for light and the camera's place; people are not."""

    def look(person: int, take: int) -> np.ndarray:
        corner = draw_clip("stand", person, take, length=1, size=(128, 96))[0][:40, :36].astype(float)
        return np.asarray(
            cv2.cvtColor((corner / corner.max()).astype(np.float32), cv2.COLOR_BGR2Lab)[..., 1:]
        )

    own = [np.abs(look(p, 0).mean((0, 1)) - look(p, 1).mean((0, 1))).max() for p in range(6)]
    others = [np.abs(look(p, 0).mean((0, 1)) - look(p + 1, 0).mean((0, 1))).max() for p in range(6)]
    assert np.median(own) < np.median(others)
    bodies = [body_of(np.random.default_rng(seed)) for seed in range(8)]
    assert len({round(body.leg + body.trunk, 3) for body in bodies}) == 8


def test_limbs_keep_their_length_and_feet_the_floor() -> None:
    for action in MOVES:
        at = film(action)
        for root, middle, end, length in (
            ("shoulders", "elbows", "hands", BODY.arm),
            ("hips", "knees", "ankles", 1.01 * BODY.leg),
        ):
            for a, b in ((root, middle), (middle, end)):
                far = np.linalg.norm(at[a] - at[b], axis=-1)
                np.testing.assert_allclose(far, length / 2, rtol=0.01, err_msg=f"{action}: {a} to {b}")
        low = at["ankles"][..., 1].min(axis=1)
        assert low.min() > 0.05 * BODY.leg, action
        if action != "jump":
            assert low.max() < 0.13 * BODY.leg, f"{action}: one foot is always on the floor"


def test_each_action_moves_its_own_way() -> None:
    films = {action: film(action) for action in (*ACTIONS, SPARE, "stand")}
    span = {
        action: {name: np.ptp(at[name].reshape(len(at[name]), -1), axis=0).reshape(-1, 3) for name in at}
        for action, at in films.items()
    }
    airborne = {action: films[action]["ankles"][..., 1].min(axis=1).max() for action in films}
    assert airborne["jump"] > 0.25 * BODY.leg
    assert span["walk"]["pelvis"][0, 0] > 0.8, "walks through the picture"
    assert max(span[a]["pelvis"][0, 0] for a in films if a != "walk") < 0.1
    assert span["squat"]["pelvis"][0, 1] > 0.3 * BODY.leg
    hands = films["wave"]["hands"]
    assert (hands[:, 1, 1] > films["wave"]["shoulders"][:, 1, 1]).all(), "the hand is above the shoulder"
    assert span["wave"]["hands"][1, 0] > 0.3 * BODY.arm
    assert span["wave"]["hands"][0].max() < 0.1 * BODY.arm, "the other one is still"
    assert (span["push"]["hands"][:, 2] > 0.5 * BODY.arm).all(), "both go to the front"
    gap = np.linalg.norm(films[SPARE]["hands"][:, 0] - films[SPARE]["hands"][:, 1], axis=1)
    assert gap.min() < 0.12
    assert gap.max() > 0.25
    assert max(span["stand"][name].max() for name in span["stand"]) < 0.1


def test_steps_do_not_slide() -> None:
    """The foot that carries stays where it is, as well as round an ellipse it can."""
    at = film("walk", 3.0)
    steps = np.linalg.norm(np.diff(at["ankles"][..., [0, 2]], axis=0), axis=-1)
    carries = at["ankles"][1:, :, 1].argmin(axis=1)
    body = np.linalg.norm(np.diff(at["pelvis"][:, [0, 2]], axis=0), axis=-1)
    assert np.median(steps[np.arange(len(steps)), carries]) < 0.5 * np.median(body)


def test_the_camera_puts_points_where_a_pinhole_would() -> None:
    view = View(distance=3.0, height=1.0, aim=1.0, aside=0.5, focal=100.0, centre=(64.0, 48.0))
    flat, scale = view.project(np.array([[0.5, 1.0, 0.0], [1.5, 2.0, 1.0], [0.5, 0.0, 0.0]]))
    np.testing.assert_allclose(flat, [[64, 48], [64 + 50, 48 - 50], [64, 48 + 100 / 3]])
    np.testing.assert_allclose(scale, [100 / 3, 50, 100 / 3])


def test_the_set_is_in_the_documented_form(tmp_path: Path) -> None:
    from edgekit.prepare.action_folders import count_classes, read_actions

    options = {"takes": [2], "actions": ("walk", SPARE), "length": 3, "size": SMALL}
    written = write_drawn_set(tmp_path, [0, 7], **options)
    assert [str(path.relative_to(tmp_path)) for path in written] == [
        "walk/drawn00_002",
        f"{SPARE}/drawn00_002",
        "walk/drawn07_002",
        f"{SPARE}/drawn07_002",
    ]
    assert count_classes(tmp_path) == {"walk": 2, SPARE: 2}
    clips = read_actions(tmp_path)
    assert {(clip.label, clip.name) for clip in clips} >= {("walk", clip_name(7, 2))}
    for image, clip in zip(
        draw_clip("walk", 7, 2, length=3, size=SMALL), written[2].glob("rgb/*.png"), strict=False
    ):
        assert cv2.imread(str(clip)).shape == image.shape
    np.testing.assert_array_equal(
        cv2.imread(str(written[2] / "rgb/000001.png")), draw_clip("walk", 7, 2, length=3, size=SMALL)[1]
    )
    before = (written[0] / "rgb/000000.png").stat().st_mtime_ns
    assert write_drawn_set(tmp_path, [0, 7], **options) == written
    assert (written[0] / "rgb/000000.png").stat().st_mtime_ns == before


def test_a_set_is_drawn_in_the_room_that_is_asked_for(tmp_path: Path) -> None:
    options = {"length": 2, "size": SMALL}
    for room in (0, 3):
        (folder,) = write_drawn_set(tmp_path / str(room), [1], [0], ["wave"], room=room, **options)
        for index, picture in enumerate(draw_clip("wave", 1, 0, room=room, **options)):
            np.testing.assert_array_equal(cv2.imread(str(folder / f"rgb/{index:06}.png")), picture)
    here, there = (cv2.imread(str(tmp_path / f"{room}/wave/drawn01_000/rgb/000000.png")) for room in (0, 3))
    assert np.abs(here.astype(float) - there).mean() > 2


def test_the_camera_acts_in_turn() -> None:
    with DrawnCamera(1, ("walk", "wave"), seconds=0.5, size=SMALL, realtime=False, frames=24) as camera:
        frames, actions = zip(*((frame, camera.action) for frame in camera), strict=True)
    assert actions == ("walk",) * 6 + ("wave",) * 6 + ("walk",) * 6 + ("wave",) * 6
    assert [frame.index for frame in frames] == list(range(24))
    np.testing.assert_allclose([frame.t for frame in frames], np.arange(24) / FPS)
    assert camera.size == SMALL
    assert frames[0].image.shape == (48, 64, 3)


def test_the_camera_does_as_it_is_told() -> None:
    camera = DrawnCamera(1, ("stand",), size=SMALL, realtime=False)
    frames = iter(camera)
    next(frames)
    camera.act("jump")
    assert [(next(frames), camera.action)[1] for _ in range(8)] == ["jump"] * 8
    camera.act(None)
    next(frames)
    assert camera.action == "stand"
    with pytest.raises(InputError, match="nobody can draw 'dance'"):
        camera.act("dance")
    camera.close()
    assert next(frames, None) is None


def test_an_actor_stays_the_same_before_one_camera_after_the_other() -> None:
    actor = DrawnActor(4, size=SMALL, realtime=False)
    actor.act("wave")
    with actor() as first:
        shown = next(iter(first)).image
        assert (first.action, actor.action) == ("wave", "wave")
    with actor() as second:
        assert first._pace.stopped
        np.testing.assert_array_equal(next(iter(second)).image, shown)
        actor.act("squat")
        next(iter(second))
        assert actor.action == "squat"
    with pytest.raises(InputError, match="nobody can draw"):
        actor.act("sing")
    with pytest.raises(InputError, match="too small"):
        DrawnActor(size=(8, 8))


def test_the_camera_keeps_its_pace_and_stops_from_another_thread() -> None:
    with DrawnCamera(2, fps=40, size=SMALL) as camera:
        assert camera.live
        threading.Timer(0.5, camera.close).start()
        begun = time.monotonic()
        count = sum(1 for _ in camera)
    assert 10 <= count <= 21
    assert time.monotonic() - begun < 1.5


def test_actions_run_into_each_other() -> None:
    """No joint leaps where one action follows another."""
    camera = DrawnCamera(3, ACTIONS, seconds=1.0, size=SMALL, fps=30, realtime=False)
    poses = [camera._pose(n / 30) for n in range(150)]
    hands = np.array([pose.hands for pose in poses])
    places = np.array([pose.place for pose in poses])
    assert np.linalg.norm(np.diff(hands, axis=0), axis=-1).max() < 0.45
    assert np.linalg.norm(np.diff(places, axis=0), axis=-1).max() < 0.25


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"action": "fly"}, "nobody can draw 'fly'; there are walk, jump"),
        ({"action": "walk", "length": 0}, "length=0"),
        ({"action": "walk", "fps": 0}, "fps=0"),
        ({"action": "walk", "size": (16, 16)}, "size 16×16 is too small"),
        ({"action": "walk", "person": -1}, "person -1"),
        ({"action": "walk", "room": -1}, "room -1"),
    ],
)
def test_what_cannot_be_drawn_is_said(options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        draw_clip(**options)
    with pytest.raises(InputError, match="0 actions"):
        DrawnCamera(actions=())
