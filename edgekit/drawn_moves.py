"""How drawn people move: a body's pose as a function of time, for each action and each person's way of it.

Lengths are shares of the person's own leg or arm, so that one move fits every body. In a body's frame x goes
to the right of the picture where it faces the camera, y up, z to where it faces; of two, the left one in such
a picture comes first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SIDES = np.array([-1.0, 1.0])


@dataclass(frozen=True)
class Style:
    """A person's way of moving, and what is by chance in one take.

    Attributes:
        tempo: so much faster than usual.
        reach: so much larger than usual.
        hand: 0 or 1: the arm that acts alone.
        phase: where in the cycle the take begins, 0 to 1.
        yaw: where the person faces, radians; 0 is the camera.
        manner: 0 to 1, four of them: which of an action's forms this person prefers.
        turn: 1 or -1: which way round they walk.
    """

    tempo: float
    reach: float
    hand: int
    phase: float
    yaw: float
    manner: tuple[float, float, float, float]
    turn: int


@dataclass(frozen=True)
class Pose:
    """One moment of a body.

    Attributes:
        place: [2] where on the floor, in legs, to the right and to the camera.
        yaw: radians; 0 faces the camera.
        dip: how much the hips are lowered, in legs.
        lift: how high the whole body is above the floor, in legs.
        lean: of the trunk, to the front, radians.
        hands: [2, 3] from the shoulder, in arms.
        feet: [2, 3] from the place on the floor, in legs.
    """

    place: Array
    yaw: float
    dip: float
    lift: float
    lean: float
    hands: Array
    feet: Array


def blend(a: Pose, b: Pose, share: float) -> Pose:
    """`share` of b (0 to 1), the rest of a."""
    soft = share * share * (3 - 2 * share)
    mixed = {f.name: (1 - soft) * getattr(a, f.name) + soft * getattr(b, f.name) for f in fields(Pose)}
    return Pose(**mixed)


def _pose(style: Style, t: float, **parts: float | Array) -> Pose:
    """A body that stands and breathes, but for `parts`."""
    sway = 0.02 * math.sin(1.7 * t + 6 * style.phase)
    at_sides = np.stack([0.10 * SIDES, [-0.93, -0.93], [0.08 + sway, 0.08 - sway]], axis=1)
    apart = np.stack([(0.14 + 0.1 * style.manner[3]) * SIDES, [0.0, 0.0], [0.0, 0.0]], axis=1)
    usual = {
        "place": np.array([sway, 0.0]),
        "yaw": style.yaw,
        "dip": 0.01 + 0.5 * abs(sway),
        "lift": 0.0,
        "lean": 0.02 + sway,
        "hands": at_sides,
        "feet": apart,
    }
    return Pose(**{**usual, **parts})  # type: ignore[arg-type]


def _cycle(style: Style, t: float, hertz: float) -> float:
    """Turns since the beginning, at a rate that is usual for this action."""
    return style.phase + hertz * style.tempo * t


def _there_and_back(turns: float) -> float:
    """0, 1, 0 in a turn, softly."""
    return 0.5 - 0.5 * math.cos(2 * math.pi * turns)


def stand(style: Style, t: float) -> Pose:
    """At rest, and never quite still."""
    return _pose(style, t)


def walk(style: Style, t: float) -> Pose:
    """Round and round on the floor, so that every side is seen."""
    hertz = 0.85
    step = 0.26 * style.reach
    turns = _cycle(style, t, hertz) + np.array([0.0, 0.5])
    angles = 2 * math.pi * turns
    carried = np.maximum(0, 2 * (turns % 1) - 1)  # 0 while the foot is on the floor, then 0 to 1
    along = np.where(carried > 0, -np.cos(math.pi * carried), 1 - 4 * (turns % 1))
    feet = np.stack([0.09 * SIDES, 0.16 * np.sin(math.pi * carried), step * along], axis=1)
    swing = (0.2 + 0.25 * style.manner[0]) * np.cos(angles + math.pi)
    hands = np.stack([0.12 * SIDES, -0.93 + 0.3 * np.abs(swing), swing + 0.05], axis=1)
    wide, deep = 0.7, 0.25 + 0.25 * style.manner[1]
    # A foot on the floor goes back by 2 steps in half a cycle; so fast goes the body.
    legs_a_second = 4 * step * hertz * style.tempo
    round_it = style.turn * (6 * style.yaw + legs_a_second / math.sqrt((wide**2 + deep**2) / 2) * t)
    place = np.array([wide * math.cos(round_it), deep * math.sin(round_it)])
    ahead = style.turn * np.array([-wide * math.sin(round_it), deep * math.cos(round_it)])
    heading = math.atan2(ahead[0], ahead[1])
    bounce = 0.03 + 0.02 * math.cos(2 * angles[0])
    return _pose(style, t, place=place, yaw=heading, dip=bounce, lean=0.06, hands=hands, feet=feet)


def jump(style: Style, t: float) -> Pose:
    """Crouch, up, land, again."""
    turn = _cycle(style, t, 0.8) % 1
    crouch, flight, landing = turn / 0.38, (turn - 0.38) / 0.37, (turn - 0.75) / 0.25
    high = (0.12 + 0.28 * style.manner[0]) * style.reach
    if crouch < 1:
        dip, lift, arms = (0.16 + 0.22 * style.manner[1]) * math.sin(math.pi * crouch), 0.0, 0.0
    elif flight < 1:
        dip, lift, arms = 0.0, 4 * high * flight * (1 - flight), math.sin(math.pi * flight)
    else:
        dip, lift, arms = 0.18 * math.sin(math.pi * landing), 0.0, 0.0
    up = arms * (0.5 + 1.2 * style.manner[2])  # to the shoulder, or over the head
    back = -0.4 * math.sin(math.pi * min(crouch, 1.0))
    hands = np.stack([(0.12 + 0.3 * arms) * SIDES, [-0.9 + up] * 2, [back + 0.3 * arms] * 2], axis=1)
    return _pose(style, t, dip=dip, lift=lift, lean=0.05 + 1.1 * dip, hands=hands)


def squat(style: Style, t: float) -> Pose:
    """Down and up with both feet on the floor; the arms to the front, or held before the chest."""
    down = _there_and_back(_cycle(style, t, 0.45))
    dip = (0.26 + 0.3 * style.manner[0]) * style.reach * down
    out = style.manner[1] > 0.4
    hands = _pose(style, t).hands
    front = np.array([[0.05, -0.1, 0.9], [0.05, -0.1, 0.9]]) if out else np.array([[0.2, -0.35, 0.3]] * 2)
    front[:, 0] *= -SIDES
    feet = np.stack([0.26 * SIDES, [0.0, 0.0], [0.0, 0.0]], axis=1)
    share = down if out else 1.0
    return _pose(style, t, dip=dip, lean=0.9 * dip, hands=(1 - share) * hands + share * front, feet=feet)


def wave(style: Style, t: float) -> Pose:
    """One hand beside the head, or as high as the shoulder for the shy, from side to side."""
    pose = _pose(style, t)
    swing = 0.24 * style.reach * math.sin(2 * math.pi * _cycle(style, t, 1.25))
    side, hands = SIDES[style.hand], pose.hands.copy()
    hands[style.hand] = side * (0.35 + swing), 0.15 + 0.6 * style.manner[0], 0.3
    if style.manner[2] > 0.75:  # with both
        hands[1 - style.hand] = -side * (0.35 + swing), 0.15 + 0.6 * style.manner[0], 0.3
    return _pose(style, t, hands=hands)


def push(style: Style, t: float) -> Pose:
    """Both hands from the chest to the front, the trunk behind them."""
    out = _there_and_back(_cycle(style, t, 0.75))
    high = -0.25 + 0.35 * style.manner[0]
    near = 0.28 + 0.62 * min(1.0, style.reach) * out
    hands = np.stack([-(0.06 + 0.12 * (1 - out)) * SIDES, [high] * 2, [near] * 2], axis=1)
    feet = _pose(style, t).feet.copy()
    feet[style.hand, 2], feet[1 - style.hand, 2] = 0.14, -0.18
    lean = 0.02 + (0.1 + 0.25 * style.manner[1]) * out
    return _pose(style, t, place=np.array([0.0, 0.05 * out]), dip=0.05, lean=lean, hands=hands, feet=feet)


def clap(style: Style, t: float) -> Pose:
    """The hands meet before the chest, or over the head."""
    apart = _there_and_back(_cycle(style, t, 1.3))
    high, near = (0.75, 0.2) if style.manner[0] > 0.8 else (-0.3 + 0.3 * style.manner[1], 0.5)
    across = -0.27 + (0.25 + 0.25 * style.manner[2]) * style.reach * apart
    hands = np.stack([across * SIDES, [high] * 2, [near] * 2], axis=1)
    return _pose(style, t, hands=hands)


#: Every move by its name.
MOVES: dict[str, Callable[[Style, float], Pose]] = {
    move.__name__: move for move in (walk, jump, squat, wave, push, clap, stand)
}
