"""Skeletons: names, pairs, mirrored partners, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.topology import ANIMAL20, COCO17, HUMAN18, TOPOLOGIES, Topology, noted_topology, read_topology


def test_the_sigmas_of_people_are_those_of_pycocotools():
    from pycocotools.cocoeval import Params

    assert np.allclose(COCO17.sigmas, Params("keypoints").kpt_oks_sigmas, atol=1e-12)
    assert np.allclose(HUMAN18.sigmas[:17], COCO17.sigmas)


@pytest.mark.parametrize("topology", TOPOLOGIES.values(), ids=TOPOLOGIES)
def test_mirroring_swaps_left_and_right_and_twice_is_nothing(topology):
    flip = topology.flip
    assert (flip[flip] == np.arange(len(topology))).all()
    for k, name in enumerate(topology.keypoints):
        partner = topology.keypoints[flip[k]]
        assert partner == name.replace("left", "?").replace("right", "left").replace("?", "right")
    mirrored = {frozenset((flip[a], flip[b])) for a, b in topology.skeleton}
    assert mirrored == {frozenset(pair) for pair in topology.skeleton}, "a skeleton is the same in a mirror"


def test_trtpose_person_has_upstreams_channels():
    # counted from 1, as in trt_pose's tasks/human_pose/human_pose.json
    assert HUMAN18.to_category()["skeleton"][:3] == [[16, 14], [14, 12], [17, 15]]
    assert HUMAN18.to_category()["skeleton"][16:] == [[18, 1], [18, 6], [18, 7], [18, 12], [18, 13]]
    assert HUMAN18.links.shape == (21, 4)
    assert HUMAN18.links[20].tolist() == [40, 41, 17, 12]
    assert (len(COCO17), len(ANIMAL20)) == (17, 20)


@pytest.mark.parametrize(
    ("names", "flip"),
    [
        (("L_Eye", "R_Eye", "Nose"), [1, 0, 2]),
        (("left ear", "right ear"), [1, 0]),
        (("l-paw", "r-paw", "tail"), [1, 0, 2]),
        (("Left_F_Elbow", "Right_F_Elbow", "Left_B_Elbow"), [1, 0, 2]),
        (("bright", "a", "left_horn"), [0, 1, 2]),
    ],
)
def test_partners_are_told_by_whole_words(names, flip):
    assert Topology("x", names).flip.tolist() == flip


def test_written_and_read_again_it_is_the_same(tmp_path):
    file = tmp_path / "animal.json"
    file.write_text(json.dumps(ANIMAL20.to_category()))
    assert read_topology(file) == ANIMAL20
    file.write_text(json.dumps({"images": [], "annotations": [], "categories": [HUMAN18.to_category()]}))
    assert read_topology(file) == HUMAN18
    assert noted_topology({"topology": COCO17.note()}) == COCO17
    assert noted_topology({}) is None
    assert read_topology("animal20") is ANIMAL20


def test_five_species_with_one_skeleton_are_one(tmp_path):
    file = tmp_path / "keypoints.json"
    rows = [{**ANIMAL20.to_category(), "name": name, "id": n} for n, name in enumerate(("cow", "cat"), 1)]
    file.write_text(json.dumps({"categories": rows}))
    assert read_topology(file).keypoints == ANIMAL20.keypoints


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "no JSON"),
        ("[]", "no COCO category"),
        ('{"keypoints": "nose"}', "no list of names"),
        ('{"keypoints": ["a", "a"]}', "two keypoints 'a'"),
        ('{"keypoints": ["a", "b"], "skeleton": [[1, 3]]}', "joins keypoints 1 and 3"),
        ('{"keypoints": ["a", "b"], "skeleton": [[0, 1]]}', "counted from 1"),
        ('{"keypoints": ["a", "b"], "skeleton": [[1]]}', "no COCO category"),
        ('{"categories": []}', "0 categories"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, content, words):
    file = tmp_path / "skeleton.json"
    file.write_text(content)
    with pytest.raises(InputError, match=words):
        read_topology(file)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match="coco17, human18, animal20"):
        read_topology("human19")
    with pytest.raises(InputError, match="no keypoint 'tail'"):
        COCO17.index(["nose", "tail"])
