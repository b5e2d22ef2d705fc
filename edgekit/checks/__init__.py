"""The self-checks of the course's exercises: right, or what is wrong with the answer given.

An answer not given yet (None or empty, as the notebooks come) is told so and is no error.
"""

from edgekit.checks.budget import within_budget
from edgekit.checks.crossing import crossing_found
from edgekit.checks.energy import half_the_energy
from edgekit.checks.limb import own_limb_score
from edgekit.checks.own_action import own_action
from edgekit.checks.skeleton import longer_skeleton
from edgekit.checks.start import csi_camera, csi_stopper, dynamic_batch, fresh_picture, own_nms
from edgekit.checks.stride_width import latency_predicted
from edgekit.checks.verdict import Verdict

__all__ = [
    "Verdict",
    "crossing_found",
    "csi_camera",
    "csi_stopper",
    "dynamic_batch",
    "fresh_picture",
    "half_the_energy",
    "latency_predicted",
    "longer_skeleton",
    "own_action",
    "own_limb_score",
    "own_nms",
    "within_budget",
]
