"""Golden figures of tracks by TrackEval, the evaluation of MOTChallenge (run by hand; not part of the tests).

    pip install --target /tmp/trackeval --no-deps trackeval==1.3.0 tabulate
    PYTHONPATH=.:/tmp/trackeval:tests/tracking python tests/golden/make_tracks.py

Writes tracks.json: figures of TrackEval's CLEAR, Identity and HOTA for what the plain ByteTrack of the tests
finds in made worlds.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from plain_bytetrack import plain_tracks
from trackeval.metrics import CLEAR, HOTA, Identity
from walkers import walkers

from edgekit.evaluate.track import frame_pairs

#: people, frames, seed, noise, missed: from clean to hopeless.
WORLDS = ((6, 40, 1, 0.01, 0.0), (12, 60, 2, 0.04, 0.1), (25, 40, 3, 0.06, 0.2), (15, 50, 4, 0.12, 0.4))


def golden(people: int, frames: int, seed: int, noise: float, missed: float) -> dict[str, float]:
    """TrackEval's figures of one world."""
    world = walkers(people, frames, seed, noise=noise, missed=missed)
    truth, found = world.true_boxes(), plain_tracks(world)
    pairs = frame_pairs(truth, found).values()
    (objects, truth_ids), (tracks, found_ids) = (
        np.unique(boxes.track_id, return_inverse=True) for boxes in (truth, found)
    )
    data = {
        "num_timesteps": len(pairs),
        "num_gt_ids": len(objects),
        "num_tracker_ids": len(tracks),
        "num_gt_dets": len(truth),
        "num_tracker_dets": len(found),
        "gt_ids": [truth_ids[rows] for rows, _, _ in pairs],
        "tracker_ids": [found_ids[rows] for _, rows, _ in pairs],
        "similarity_scores": [overlap for _, _, overlap in pairs],
    }
    quiet = {"PRINT_CONFIG": False}
    clear, identity = CLEAR(quiet).eval_sequence(data), Identity(quiet).eval_sequence(data)
    whole = {name: float(np.mean(value)) for name, value in HOTA().eval_sequence(data).items()}
    return {
        "MOTA": float(clear["MOTA"]),
        "IDs": int(clear["IDSW"]),
        "IDF1": float(identity["IDF1"]),
        **{name: whole[name] for name in ("HOTA", "DetA", "AssA")},
    }


if __name__ == "__main__":
    rows = [{"world": world, **golden(*world)} for world in WORLDS]
    Path(__file__).with_name("tracks.json").write_text(json.dumps(rows, indent=1) + "\n")
