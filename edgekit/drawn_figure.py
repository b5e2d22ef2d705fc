"""Drawn people: a body of round limbs in clothes, from a pose, seen by a camera."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.drawn_moves import SIDES, Array, Pose

#: Points of a unit circle; a limb is the hull of two of them.
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 14, endpoint=False)) for f in (np.cos, np.sin)], axis=1)
_PART = 1 << 4  # OpenCV draws at sixteenths of a pixel
#: BGR, of skin and of hair, from which a person's are mixed.
_SKINS = np.array([(96, 126, 178), (150, 184, 232), (52, 74, 118), (120, 156, 208), (70, 98, 150)], float)
_HAIRS = np.array([(26, 26, 30), (40, 62, 96), (90, 150, 196), (140, 140, 144), (32, 44, 110)], float)


@dataclass(frozen=True)
class Body:
    """What a person looks like: lengths in metres, colours BGR from 0 to 255.

    Attributes:
        leg, trunk, arm: from hip to ankle, from hip to shoulder, from shoulder to wrist.
        head: its radius.
        shoulders, hips: half their widths.
        limb: the radius of an upper arm.
        long_sleeves, long_trousers, skirt, long_hair: what they wear.
    """

    leg: float
    trunk: float
    arm: float
    head: float
    shoulders: float
    hips: float
    limb: float
    skin: Array
    hair: Array
    top: Array
    bottom: Array
    shoes: Array
    long_sleeves: bool
    long_trousers: bool
    skirt: bool
    long_hair: bool


@dataclass(frozen=True)
class View:
    """A camera before the scene.

    Attributes:
        distance, height: of the camera from the place where people stand, and over the floor, in metres.
        aim: height that it looks at, in metres.
        aside: metres by which it looks to the right.
        focal: pixels a metre at one metre's distance.
        centre: (x, y) of the picture's middle in pixels.
    """

    distance: float
    height: float
    aim: float
    aside: float
    focal: float
    centre: tuple[float, float]

    def project(self, points: Array) -> tuple[Array, Array]:
        """Points [N, 3] in metres (right, up, to the camera) as pixels [N, 2]; pixels a metre there, [N]."""
        far = np.hypot(self.distance, self.height - self.aim)
        cos, sin = self.distance / far, (self.height - self.aim) / far
        up, near = points[:, 1] - self.aim, points[:, 2]
        depth = far - near * cos - up * sin
        scale = self.focal / np.maximum(depth, 0.3)
        x = self.centre[0] + scale * (points[:, 0] - self.aside)
        y = self.centre[1] - scale * (up * cos - near * sin)
        return np.stack([x, y], axis=1), scale


def body_of(rng: np.random.Generator) -> Body:
    """A person by chance."""

    def cloth(bright: tuple[float, float] = (0.2, 0.95)) -> Array:
        red, green, blue = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.1, 0.85), rng.uniform(*bright))
        return 255 * np.array([blue, green, red])

    def mixed(choices: Array) -> Array:
        first, second = choices[rng.choice(len(choices), 2, replace=False)]
        return np.asarray(first + rng.uniform(0, 0.5) * (second - first))

    tall, stout = rng.uniform(1.35, 1.95), rng.uniform(0.85, 1.3)
    leg_share = rng.uniform(0.43, 0.49)
    return Body(
        leg=leg_share * tall,
        trunk=(0.755 - leg_share) * tall,
        arm=rng.uniform(0.33, 0.38) * tall,
        head=rng.uniform(0.062, 0.072) * (0.5 * tall + 0.85),
        shoulders=rng.uniform(0.095, 0.115) * tall * stout**0.5,
        hips=rng.uniform(0.055, 0.075) * tall * stout**0.5,
        limb=rng.uniform(0.024, 0.03) * tall * stout,
        skin=mixed(_SKINS),
        hair=mixed(_HAIRS),
        top=cloth(),
        bottom=cloth((0.12, 0.6)),
        shoes=cloth((0.1, 0.9)),
        long_sleeves=bool(rng.uniform() < 0.5),
        long_trousers=bool(rng.uniform() < 0.7),
        skirt=bool(rng.uniform() < 0.2),
        long_hair=bool(rng.uniform() < 0.4),
    )


def _bent(start: Array, end: Array, length: float, pole: Array) -> tuple[Array, Array]:
    """The middle joint and the end of a limb of two equal halves that reaches for `end`, bent to `pole`."""
    along = end - start
    far = float(np.linalg.norm(along))
    along /= max(far, 1e-9)
    far = min(far, 0.995 * length)
    aside = pole - along * float(pole @ along)
    aside /= max(float(np.linalg.norm(aside)), 1e-9)
    out = float(np.sqrt(max(0.0, (length / 2) ** 2 - (far / 2) ** 2)))
    return start + along * far / 2 + aside * out, start + along * far


def joints(body: Body, pose: Pose) -> dict[str, Array]:
    """Where the joints are, in metres (right, up, to the camera): [2, 3] of what comes in pairs, else [3]."""
    cos, sin = np.cos(pose.yaw), np.sin(pose.yaw)
    turn = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
    floor = body.leg * np.array([pose.place[0], pose.lift, pose.place[1]])
    ankle_high = 0.09 * body.leg
    pelvis = np.array([0.0, ankle_high + body.leg * (1 - pose.dip), -0.35 * body.trunk * np.sin(pose.lean)])
    spine = np.array([0.0, np.cos(pose.lean), np.sin(pose.lean)])
    chest = pelvis + body.trunk * spine
    aside = np.stack([SIDES, [0.0, 0.0], [0.0, 0.0]], axis=1)
    shoulders = chest + body.shoulders * aside
    hips = pelvis + body.hips * aside
    face = np.array([0.0, -0.3 * np.sin(pose.lean), 1.0])
    found = {"chest": chest, "pelvis": pelvis, "shoulders": shoulders, "hips": hips}
    found["head"] = chest + (1.75 * body.head) * spine + 0.15 * body.head * face
    found["eyes"] = found["head"] + body.head * (0.9 * face + np.array([[-0.35, 0.1, 0], [0.35, 0.1, 0]]))
    elbows, hands, knees, ankles = [], [], [], []
    for n, side in enumerate(SIDES):
        reach = shoulders[n] + body.arm * pose.hands[n]
        elbow, hand = _bent(shoulders[n], reach, body.arm, np.array([0.6 * side, -0.7, -0.5]))
        foot = body.leg * pose.feet[n] + [0.0, ankle_high, 0.0]
        knee, ankle = _bent(hips[n], foot, 1.01 * body.leg, np.array([0.25 * side, 0.0, 1.0]))
        elbows.append(elbow)
        hands.append(hand)
        knees.append(knee)
        ankles.append(ankle)
    toes = np.array(ankles) + body.leg * np.array([[0.06 * s, -0.05, 0.2] for s in SIDES])
    both = {"elbows": elbows, "hands": hands, "knees": knees, "ankles": ankles, "toes": toes}
    found.update({name: np.array(points) for name, points in both.items()})
    return {name: points @ turn.T + floor for name, points in found.items()}


class _Part(NamedTuple):
    """A part of a body: the hull of balls.

    Attributes:
        points, radii: of the balls, [N, 3] and [N], in metres.
        colour: BGR.
        nearer: metres by which it counts as nearer to the camera than it is.
        rim: it has a dark rim, to part it from what is behind.
    """

    points: Array
    radii: list[float]
    colour: Array
    nearer: float = 0.0
    rim: bool = True


def _parts(body: Body, at: dict[str, Array]) -> list[_Part]:
    """A body's parts from its joints."""
    thick, ball = body.limb, body.head
    lower_arm = body.top if body.long_sleeves else body.skin
    lower_leg = body.bottom if body.long_trousers and not body.skirt else body.skin
    hips, knees, head = at["hips"], at["knees"], at["head"][None]
    front = (at["eyes"].mean(axis=0) - head) / np.array([1.0, 2.0, 1.0])
    up = np.array([0.0, ball, 0.0])
    parts = []

    def limb(start: str, end: str, thicknesses: list[float], colour: Array, nearer: float = 0.0) -> None:
        for n, shade in enumerate((0.93, 1.0)):
            pair = np.stack([at[start][n], at[end][n]])
            parts.append(_Part(pair, [thick * each for each in thicknesses], shade * colour, nearer))

    limb("hips", "knees", [1.75, 1.25], body.bottom)
    limb("knees", "ankles", [1.2, 0.85], lower_leg)
    limb("ankles", "toes", [1.0, 0.8], body.shoes, 0.02)
    limb("shoulders", "elbows", [1.25, 0.95], body.top, 0.03)
    limb("elbows", "hands", [0.9, 0.7], lower_arm, 0.05)
    limb("hands", "hands", [1.15, 1.15], body.skin, 0.06)
    trunk = np.concatenate([at["shoulders"], hips, at["pelvis"][None]])
    parts.append(_Part(trunk, [1.3 * thick] * 2 + [1.7 * thick] * 3, body.top))
    parts.append(_Part(hips, [1.8 * thick] * 2, body.bottom, -0.01))
    if body.skirt:
        hem = np.concatenate([hips, 0.3 * hips + 0.7 * knees])
        parts.append(_Part(hem, [1.8 * thick] * 4, body.bottom, 0.02))
    parts.append(_Part(np.concatenate([at["chest"][None], head]), [0.8 * thick] * 2, body.skin, 0.01))
    parts.append(_Part(head, [ball], body.skin, 0.05))
    parts.append(_Part(head + 0.42 * up - 0.35 * front, [0.86 * ball], body.hair, 0.04, False))
    parts.append(_Part(head + 0.74 * up + 0.15 * front, [0.5 * ball], body.hair, 0.07, False))
    parts.append(_Part(head - 0.45 * front, [0.8 * ball], body.hair))
    if body.long_hair:
        low = 0.45 * head + 0.55 * at["chest"] - 0.6 * front
        falls = np.concatenate([head - 0.4 * front, low])
        parts.append(_Part(falls, [0.95 * ball, 0.7 * ball], body.hair, -0.02))
    return parts


def draw_person(picture: NDArray[np.uint8], body: Body, pose: Pose, view: View, shake: Array) -> None:
    """Draw into uint8 [H, W, 3] BGR; `shake` [2, 3] moves the picture's points, as the camera's hand does."""
    at = joints(body, pose)
    _shadow(picture, at["ankles"], body, view, shake)
    parts = sorted(_parts(body, at), key=lambda part: float(part.points[:, 2].mean()) + part.nearer)
    flat, scale = _pixels(np.concatenate([part.points for part in parts]), view, shake)
    radii = np.concatenate([part.radii for part in parts]) * scale
    outer, inner = (
        np.rint(_PART * (flat[:, None] + (share * radii)[:, None, None] * _CIRCLE)).astype(np.int32)
        for share in (1.0, 0.85)
    )
    first = 0
    for part in parts:
        its = slice(first, first := first + len(part.radii))
        for rounds, shade in ((outer, 0.62), (inner, 1.0)) if part.rim else ((outer, 1.0),):
            hull = cv2.convexHull(rounds[its].reshape(-1, 2))
            cv2.fillConvexPoly(picture, hull, (shade * part.colour).tolist(), cv2.LINE_AA, 4)
    if at["eyes"][:, 2].mean() > at["head"][2] + 0.4 * body.head:
        _eyes(picture, at["eyes"], body, view, shake)


def _pixels(points: Array, view: View, shake: Array) -> tuple[Array, Array]:
    flat, scale = view.project(points)
    return flat @ shake[:, :2].T + shake[:, 2], scale


def _eyes(picture: NDArray[np.uint8], eyes: Array, body: Body, view: View, shake: Array) -> None:
    flat, scale = _pixels(eyes, view, shake)
    for (x, y), size in zip(flat, 0.11 * body.head * scale, strict=True):
        at = round(_PART * x), round(_PART * y)
        cv2.circle(picture, at, max(4, round(_PART * size)), (30, 30, 34), -1, cv2.LINE_AA, 4)


def _shadow(picture: NDArray[np.uint8], ankles: Array, body: Body, view: View, shake: Array) -> None:
    """A soft dark patch on the floor between the feet."""
    middle = ankles.mean(axis=0) * [1.0, 0.0, 1.0]
    flat, scale = _pixels(middle[None], view, shake)
    height, width = picture.shape[:2]
    wide = float(scale[0]) * (2.2 * body.hips + 0.5 * float(np.ptp(ankles[:, 0])))
    x, y = flat[0]
    left, right = max(0, int(x - 2 * wide)), min(width, int(x + 2 * wide) + 1)
    top, bottom = max(0, int(y - wide)), min(height, int(y + wide) + 1)
    if left < right and top < bottom:
        rows, columns = np.mgrid[top:bottom, left:right]
        away = ((columns - x) / wide) ** 2 + ((rows - y) / (0.35 * wide)) ** 2
        dark = 1 - 0.45 * np.exp(-0.8 * away)
        picture[top:bottom, left:right] = (picture[top:bottom, left:right] * dark[..., None]).astype(np.uint8)
