"""Drawn rooms: a wall, a floor and things, in some light; and the hand and the grain of the camera."""

from __future__ import annotations

import colorsys
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.drawn_moves import Array

#: How far the room goes on round the picture, as a share of its height: the camera's hand shakes.
MARGIN = 0.12


def _paint(rng: np.random.Generator, colourful: float, dark: float, light: float) -> Array:
    """A BGR colour by chance, float64 [3], 0 to 255."""
    red, green, blue = colorsys.hsv_to_rgb(
        rng.uniform(), rng.uniform(0.02, colourful), rng.uniform(dark, light)
    )
    return 255 * np.array([blue, green, red])


class Room:
    """What is behind a person, seen by a camera that somebody holds.

    Args:
        size: (width, height) of the picture in pixels.
        horizon: row at which the floor ends, as a share of the height.
        room: chance of the room: the same for all takes in it.
        take: chance of one take: light, shake, grain.
    """

    def __init__(
        self, size: tuple[int, int], horizon: float, room: np.random.Generator, take: np.random.Generator
    ) -> None:
        self._size, self._take = size, take
        self._margin = math.ceil(MARGIN * size[1]) + 1
        self._room = self._painted(horizon, room)
        self._light = self._lit(take)
        self._sway = take.uniform(0, 2 * np.pi, 6)
        self._steady = size[1] * take.uniform(0.0, 0.012)
        self._flicker = take.uniform(0, 0.03)
        grain = take.normal(0, take.uniform(1.0, 4.0), (size[1] + 32, size[0] + 32, 3))
        self._grain = np.clip(np.round(grain), -24, 24).astype(np.int16)

    def shake(self, t: float) -> Array:
        """[2, 3]: where the camera's hand moves the picture's points `t` seconds after it began."""
        a = self._sway
        x = self._steady * (math.sin(2.1 * t + a[0]) + 0.5 * math.sin(7.3 * t + a[1]))
        y = self._steady * (math.sin(1.7 * t + a[2]) + 0.5 * math.sin(6.1 * t + a[3]))
        turn = 0.3 * self._steady / self._size[1] * math.sin(1.3 * t + a[4])
        cx, cy = self._size[0] / 2, self._size[1] / 2
        return np.array([[1, -turn, x + turn * cy], [turn, 1, y - turn * cx]])

    def behind(self, shake: Array) -> NDArray[np.uint8]:
        """The empty room, uint8 [H, W, 3] BGR."""
        move = shake.copy()
        move[:, 2] -= shake[:, :2] @ [self._margin, self._margin]
        return cv2.warpAffine(self._room, move, self._size, flags=cv2.INTER_LINEAR)

    def filmed(self, picture: NDArray[np.uint8], t: float) -> NDArray[np.uint8]:
        """The picture in this room's light, with the camera's grain."""
        glow = self._light * (1 + self._flicker * math.sin(9.1 * t + self._sway[5]))
        y, x = self._take.integers(0, 32, 2)
        grain = self._grain[y : y + picture.shape[0], x : x + picture.shape[1]]
        return np.clip(picture * glow + grain, 0, 255).astype(np.uint8)

    def _painted(self, horizon: float, rng: np.random.Generator) -> NDArray[np.uint8]:
        width, height = (side + 2 * self._margin for side in self._size)
        line = round(self._margin + horizon * self._size[1])
        wall, floor = _paint(rng, 0.22, 0.5, 0.9), _paint(rng, 0.45, 0.25, 0.65)
        room = np.empty((height, width, 3), np.float32)
        room[:line] = wall * np.linspace(0.92, 1.04, line)[:, None, None]
        room[line:] = floor * np.linspace(0.75, 1.1, height - line)[:, None, None]
        picture = np.clip(room, 0, 255).astype(np.uint8)
        if rng.uniform() < 0.6:  # boards, which run to a point
            for x in np.linspace(-1.5, 2.5, 17) * width:
                ends = (int(width / 2 + 0.35 * (x - width / 2)), line), (int(x), height)
                cv2.line(picture, *ends, tuple(0.85 * floor), 1, cv2.LINE_AA)
        for _ in range(rng.integers(2, 5)):
            self._thing(picture, line, rng)
        skirting = tuple(0.6 * wall) if rng.uniform() < 0.5 else (225, 228, 230)
        cv2.line(picture, (0, line), (width, line), skirting, max(1, height // 60), cv2.LINE_AA)
        for _ in range(rng.integers(0, 3)):
            self._furniture(picture, line, rng)
        soft = max(0.4, height / 260)
        return cv2.GaussianBlur(picture, (0, 0), soft)

    @staticmethod
    def _thing(picture: NDArray[np.uint8], line: int, rng: np.random.Generator) -> None:
        """On the wall: a picture, a window or a door."""
        height, width = picture.shape[:2]
        kind, left = rng.integers(3), int(rng.uniform(-0.1, 0.9) * width)
        wide, high = int(rng.uniform(0.1, 0.26) * width), int(rng.uniform(0.12, 0.3) * height)
        top = int(rng.uniform(0.05, 0.75) * max(1, line - high))
        if kind == 2:  # a door
            top, high = int(0.2 * line), line - int(0.2 * line)
        inside = _paint(rng, 0.7, 0.2, 0.95) if kind != 1 else np.array([235.0, 222.0, 205.0])
        frame = _paint(rng, 0.4, 0.2, 0.9)
        corners = (left, top), (left + wide, top + high)
        cv2.rectangle(picture, *corners, tuple(inside), -1)
        cv2.rectangle(picture, *corners, tuple(frame), max(1, height // 70), cv2.LINE_AA)
        if kind == 1:
            cv2.line(picture, (left + wide // 2, top), (left + wide // 2, top + high), tuple(frame), 1)
            cv2.line(picture, (left, top + high // 2), (left + wide, top + high // 2), tuple(frame), 1)
        elif kind == 0:
            at = left + wide // 2, top + high // 2
            size = max(1, int(0.3 * wide)), max(1, int(0.3 * high))
            cv2.ellipse(picture, at, size, 0, 0, 360, tuple(_paint(rng, 0.8, 0.2, 1.0)), -1, cv2.LINE_AA)

    @staticmethod
    def _furniture(picture: NDArray[np.uint8], line: int, rng: np.random.Generator) -> None:
        """On the floor at the wall: a sideboard, or a plant."""
        height, width = picture.shape[:2]
        left, colour = int(rng.uniform(-0.05, 0.85) * width), _paint(rng, 0.6, 0.2, 0.8)
        wide, high = int(rng.uniform(0.12, 0.3) * width), int(rng.uniform(0.12, 0.28) * height)
        foot = line + int(rng.uniform(0.01, 0.06) * height)
        if rng.uniform() < 0.6:
            cv2.rectangle(picture, (left, foot - high), (left + wide, foot), tuple(colour), -1)
            cv2.rectangle(picture, (left, foot - high), (left + wide, foot), tuple(0.6 * colour), 1)
            middle = foot - high // 2
            cv2.line(picture, (left, middle), (left + wide, middle), tuple(0.6 * colour), 1)
            return
        pot = max(2, wide // 4)
        at = left + wide // 2
        for lean in rng.uniform(-1, 1, 9):
            tip = int(at + 0.5 * wide * lean), int(foot - pot - high * (1.1 - 0.5 * abs(lean)))
            leaf = (60 + 40 * rng.uniform(), 110 + 60 * rng.uniform(), 50.0)
            cv2.line(picture, (at, foot - pot), tip, leaf, max(1, height // 60), cv2.LINE_AA)
        cv2.rectangle(picture, (at - pot, foot - pot), (at + pot, foot), tuple(colour), -1)

    def _lit(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """[H, W, 3]: brighter towards a lamp, of its colour."""
        width, height = self._size
        y, x = np.mgrid[:height, :width].astype(np.float32)
        lamp = rng.uniform(-0.2, 1.2), rng.uniform(-0.4, 0.5)
        away = np.hypot(x / width - lamp[0], y / height - lamp[1])
        bright = rng.uniform(0.85, 1.1) + rng.uniform(0.05, 0.3) * (0.6 - away)
        tint = 1 + rng.uniform(-0.08, 0.08) * np.array([-1.0, 0.0, 1.0])
        return np.asarray(bright[..., None] * tint, np.float32)
