"""Which keypoints a skeleton has, and which of them are joined: of people, animals, anything.

A topology is what COCO calls a category with keypoints: `{"name", "keypoints", "skeleton"}`. In files
the skeleton counts from 1, as COCO does; in Python from 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

#: Half-widths of OKS by the keypoint's name without its side (COCO's keypoint evaluation, `sigmas` of
#: pycocotools' Params). AnimalPose's joints take those of the joint they are like.
SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
    "neck": 0.079,
    "earbase": 0.035,
    "throat": 0.079,
    "withers": 0.107,
    "tailbase": 0.107,
    "paw": 0.089,
}
SIGMA = 0.08  # of a keypoint nobody has measured: near the mean of COCO's joints
SIDES = (("left", "right"), ("l", "r"))
#: Most of each; more is a damaged file.
MOST = 1000


@dataclass(frozen=True)
class Topology:
    """A skeleton.

    Attributes:
        name: of the category, "person".
        keypoints: names of the K keypoints.
        skeleton: pairs of keypoint numbers from 0, in the order of the part-affinity channels.

    Raises:
        InputError: a name is double, or a pair names a keypoint that does not exist.
    """

    name: str
    keypoints: tuple[str, ...]
    skeleton: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "keypoints", tuple(str(name) for name in self.keypoints))
        put(self, "skeleton", tuple((int(a), int(b)) for a, b in self.skeleton))
        count = len(self.keypoints)
        if not 0 < count <= MOST or len(self.skeleton) > MOST:
            raise InputError(
                f"the skeleton {self.name!r} has {count} keypoints and {len(self.skeleton)} limbs."
            )
        if len(set(self.keypoints)) < count:
            double = next(n for n in self.keypoints if self.keypoints.count(n) > 1)
            raise InputError(f"the skeleton {self.name!r} has two keypoints {double!r}.")
        for a, b in self.skeleton:
            if not (0 <= a < count and 0 <= b < count) or a == b:
                raise InputError(
                    f"the skeleton {self.name!r} joins keypoints {a + 1} and {b + 1} (counted from 1); "
                    f"it has {count}."
                )

    def __len__(self) -> int:
        return len(self.keypoints)

    @cached_property
    def links(self) -> NDArray[np.int64]:
        """int64 [L, 4]: part-affinity channels of y and x, then the two keypoints, as TrtPose has them."""
        rows = [(2 * k, 2 * k + 1, a, b) for k, (a, b) in enumerate(self.skeleton)]
        return np.array(rows, np.int64).reshape(-1, 4)

    @cached_property
    def flip(self) -> NDArray[np.int64]:
        """int64 [K]: which keypoint each becomes in a mirrored picture: left in its name is right."""
        number = {name.lower(): k for k, name in enumerate(self.keypoints)}
        return np.array([number.get(_mirrored(name), k) for k, name in enumerate(self.keypoints)], np.int64)

    @cached_property
    def sigmas(self) -> NDArray[np.float64]:
        """float64 [K]: the half-widths of OKS."""
        return np.array([SIGMAS.get(_joint(name), SIGMA) for name in self.keypoints])

    def index(self, names: Sequence[str]) -> list[int]:
        """Numbers of keypoints by name.

        Raises:
            InputError: there is no such keypoint.
        """
        known = {name: k for k, name in enumerate(self.keypoints)}
        if missing := [name for name in names if name not in known]:
            raise InputError(
                f"the skeleton {self.name!r} has no keypoint {missing[0]!r}; it has {', '.join(known)}."
            )
        return [known[name] for name in names]

    def to_category(self) -> dict[str, Any]:
        """As a COCO category; its skeleton counts from 1."""
        pairs = [[a + 1, b + 1] for a, b in self.skeleton]
        keypoints = list(self.keypoints)
        return {
            "supercategory": self.name,
            "id": 1,
            "name": self.name,
            "keypoints": keypoints,
            "skeleton": pairs,
        }

    @classmethod
    def from_category(cls, data: Mapping[str, Any], where: str = "the category") -> Topology:
        """From a COCO category.

        Raises:
            InputError: it has no keypoints, or its skeleton does not fit them.
        """
        try:
            pairs = tuple((int(a) - 1, int(b) - 1) for a, b in data.get("skeleton") or ())
            keypoints = data["keypoints"]
            if not isinstance(keypoints, list | tuple) or not keypoints:
                raise TypeError("keypoints is no list of names")
            name = str(data.get("name", "object"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{where} is no COCO category with keypoints and skeleton: {error!r}; "
                "it needs name, keypoints (a list of names) and skeleton (pairs counted from 1)."
            ) from error
        return cls(name, tuple(keypoints), pairs)

    def note(self) -> str:
        """The text under which a model file keeps it (ONNX metadata "topology")."""
        return json.dumps(self.to_category(), separators=(",", ":"))


def read_topology(which: str | Path | Topology) -> Topology:
    """A topology by name ("coco17", "human18", "animal20") or from a file.

    A file is a COCO category in JSON, or an annotation file whose one category with keypoints is taken.

    Raises:
        InputError: there is no such name or file, or the file holds no category with keypoints.
    """
    if isinstance(which, Topology):
        return which
    if str(which) in TOPOLOGIES:
        return TOPOLOGIES[str(which)]
    path = Path(which).expanduser()
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        known = ", ".join(TOPOLOGIES)
        raise InputError(
            f"there is no skeleton {str(which)!r} ({error.strerror}); give a COCO-category JSON or {known}."
        ) from error
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}.") from error
    if isinstance(data, Mapping) and "categories" in data:
        rows = data["categories"]
        with_points = [row for row in rows if isinstance(row, Mapping) and row.get("keypoints")]
        if len({json.dumps(row.get("keypoints")) for row in with_points}) != 1:
            raise InputError(
                f"{path} has {len(with_points)} categories with keypoints of their own; give one."
            )
        data = with_points[0]
    if not isinstance(data, Mapping):
        raise InputError(f"{path} is no COCO category with keypoints and skeleton.")
    return Topology.from_category(data, str(path))


def noted_topology(metadata: Mapping[str, str]) -> Topology | None:
    """The topology that a model file notes under "topology", or None.

    Raises:
        InputError: the note cannot be read.
    """
    if not metadata.get("topology"):
        return None
    try:
        data = json.loads(metadata["topology"])
    except ValueError as error:
        raise InputError(f"the model's note 'topology' is no JSON ({error}); give topology=.") from error
    return Topology.from_category(data if isinstance(data, Mapping) else {}, "the model's note 'topology'")


def _parts(name: str) -> list[str]:
    """Lower-case words of a keypoint's name: "L_F_elbow" → l, f, elbow."""
    return name.lower().replace("-", "_").replace(" ", "_").split("_")


def _mirrored(name: str) -> str:
    words = _parts(name)
    for left, right in SIDES:
        swap = {left: right, right: left}
        if any(word in swap for word in words):
            mirrored = "_".join(swap.get(word, word) for word in words)
            return mirrored if "_" in name else mirrored.replace("_", " " if " " in name else "-")
    return name.lower()


def _joint(name: str) -> str:
    """The joint without its side and its place: "L_F_elbow" → "elbow", "left ear base" → "earbase"."""
    places = {"left", "right", "l", "r", "f", "b", "front", "back", "hind"}
    return "".join(word for word in _parts(name) if word not in places)


#: COCO's 17 keypoints and their joints, in the order of COCO's own category "person".
COCO17 = Topology(
    "person",
    (
        *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
        *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
        *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
    ),
    (
        *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6)),
        *((5, 7), (6, 8), (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
    ),
)
#: TrtPose's person: COCO's 17 and the neck, joined as in its tasks/human_pose/human_pose.json.
HUMAN18 = Topology(
    "person",
    (*COCO17.keypoints, "neck"),
    (
        *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 7), (6, 8), (7, 9), (8, 10)),
        *((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
        *((17, 0), (17, 5), (17, 6), (17, 11), (17, 12)),
    ),
)
#: AnimalPose's 20 keypoints (cow, sheep, horse, cat, dog) in the order of its keypoints.json.
ANIMAL20 = Topology(
    "animal",
    (
        *("left_eye", "right_eye", "nose", "left_earbase", "right_earbase"),
        *("left_front_elbow", "right_front_elbow", "left_back_elbow", "right_back_elbow"),
        *("left_front_knee", "right_front_knee", "left_back_knee", "right_back_knee"),
        *("left_front_paw", "right_front_paw", "left_back_paw", "right_back_paw"),
        *("throat", "withers", "tailbase"),
    ),
    (
        *((0, 1), (0, 2), (1, 2), (0, 3), (1, 4), (2, 17), (17, 18), (18, 19)),
        *((5, 9), (6, 10), (7, 11), (8, 12), (9, 13), (10, 14), (11, 15), (12, 16)),
        *((17, 5), (17, 6), (19, 7), (19, 8)),
    ),
)
TOPOLOGIES = {"coco17": COCO17, "human18": HUMAN18, "animal20": ANIMAL20}
