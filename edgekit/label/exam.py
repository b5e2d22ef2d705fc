"""How near the poses of a network come to labels, without pycocotools: one figure for a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.label.labeller import Labels
from edgekit.label.views import AREA, nearness, pair
from edgekit.results import Poses
from edgekit.topology import Topology

#: A keypoint of this OKS or more is found; COCO's AP50 asks the same of a whole person.
FOUND = 0.5


@dataclass(frozen=True)
class Marks:
    """What an exam gave.

    Attributes:
        oks: mean over all keypoints asked, 0 to 1; one that was not found counts 0.
        found: keypoints of OKS 0.5 or more.
        asked: sure keypoints of the labels that the network knows by name.
    """

    oks: float
    found: int
    asked: int

    def __str__(self) -> str:
        return f"{self.found} of {self.asked} keypoints found, mean OKS {self.oks:.2f}"


def exam(
    found: Sequence[Poses], wanted: Sequence[Labels], topology: Topology, only: Sequence[str] = ()
) -> Marks:
    """Compare the poses of some pictures with their labels.

    Each labelled person goes with one pose at most, so that the sum over all is best. Keypoints that are not
    sure, regions that are ignored, and keypoints that the network has no name for are not asked.

    Args:
        found: one a picture.
        wanted: one a picture.
        topology: of the labels.
        only: ask for these keypoints alone, so that networks of different skeletons can be compared.
    """
    near = [np.zeros(0)]
    for poses, labels in zip(found, wanted, strict=True):
        shared = [n for n in topology.keypoints if n in poses.names and (not only or n in only)]
        own, theirs = [poses.names.index(name) for name in shared], topology.index(shared)
        people = ~labels.crowd
        xyxy, sure = labels.xyxy[people], labels.sure[people][:, theirs]
        truth = labels.keypoints[people][:, theirs] * sure[..., None]
        sigmas, areas = topology.sigmas[theirs], AREA * (xyxy[:, 2:] - xyxy[:, :2]).prod(axis=1)
        partner, _ = pair(truth, poses.keypoints[:, own], xyxy, sigmas)
        near.append(nearness(truth, partner, areas, sigmas)[sure])
    oks = np.concatenate(near)
    return Marks(float(oks.mean()) if len(oks) else 0.0, int((oks >= FOUND).sum()), len(oks))
