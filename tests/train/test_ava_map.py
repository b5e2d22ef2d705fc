"""AVA's mAP against plain loops in Python's own floats, and on cases counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.train.ava_map import AvaRows, ava_map, rows_of_scores


def rows(entries: list[tuple]) -> AvaRows:
    """(video, second, box, action, score) → AvaRows."""
    return AvaRows(
        [(e[0], e[1]) for e in entries],
        np.array([e[2] for e in entries], float).reshape(-1, 4),
        np.array([e[3] for e in entries], int),
        np.array([e[4] for e in entries], float),
    )


def plain_map(truth: list[tuple], found: list[tuple], actions: list[int], excluded: set) -> dict[int, float]:
    """The protocol once more: one action, one key frame, one find after the other."""

    def area(box: tuple) -> float:
        return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])

    def iou(a: tuple, b: tuple) -> float:
        both = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
        union = area(a) + area(b) - both
        return both / union if union > 0 else 0.0

    result = {}
    for action in actions:
        labels = [e for e in truth if e[3] == action and (e[0], e[1]) not in excluded]
        finds = [e for e in found if e[3] == action and (e[0], e[1]) not in excluded]
        finds.sort(key=lambda e: -e[4])
        used, hits = set(), []
        for find in finds:
            best, where = 0.0, None
            for n, label in enumerate(labels):
                if label[:2] == find[:2] and (where is None or iou(find[2], label[2]) > best):
                    best, where = iou(find[2], label[2]), n
            hit = where is not None and best >= 0.5 and where not in used
            if hit:
                used.add(where)
            hits.append(hit)
        if not labels:
            result[action] = math.nan
            continue
        points = []
        for n in range(len(hits)):
            right = sum(hits[: n + 1])
            points.append((right / len(labels), right / (n + 1)))
        total, last = 0.0, 0.0
        for n, (recall, _) in enumerate(points):
            total += (recall - last) * max(p for _, p in points[n:])
            last = recall
        result[action] = total
    return result


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_plain_loops(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, found = [], []
    for video in ("a", "b", "c"):
        for second in range(902, 912):
            for _ in range(random.integers(0, 4)):
                x, y = random.uniform(0, 0.6, 2)
                box = (x, y, x + random.uniform(0.1, 0.4), y + random.uniform(0.1, 0.4))
                truth += [(video, second, box, int(a), 1.0) for a in set(random.integers(1, 6, 2))]
                for _ in range(random.integers(0, 3)):
                    near = tuple(np.array(box) + random.normal(0, 0.04, 4))
                    found += [(video, second, near, a, float(random.random())) for a in range(1, 7)]
    excluded = {("a", 903), ("b", 905)}
    actions = [1, 2, 3, 4, 6]  # 5 is labelled and does not count, 6 is never labelled
    want = plain_map(truth, found, actions, excluded)
    got = ava_map(rows(truth), rows(found), actions, excluded)
    assert math.isnan(got.ap[6])
    assert got.ap.keys() == want.keys()
    for action in actions[:-1]:
        assert got.ap[action] == pytest.approx(want[action], abs=1e-12)
    assert got.mean == pytest.approx(np.mean([want[a] for a in actions[:-1]]), abs=1e-12)
    assert 0.05 < got.mean < 0.95
    assert got.labelled[1] == sum(e[3] == 1 and e[:2] not in excluded for e in truth)


BOX, FAR = (0.1, 0.1, 0.5, 0.9), (0.6, 0.1, 0.9, 0.9)


def test_counted_by_hand() -> None:
    """Two labels; hit, miss, hit: precision 1, then 2/3 at full recall."""
    truth = rows([("v", 902, BOX, 1, 1), ("v", 903, BOX, 1, 1)])
    found = rows([("v", 902, BOX, 1, 0.9), ("v", 902, FAR, 1, 0.8), ("v", 903, BOX, 1, 0.7)])
    assert ava_map(truth, found, [1]).mean == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_a_label_counts_once_and_the_best_score_first() -> None:
    truth = rows([("v", 902, BOX, 1, 1)])
    near = (0.1, 0.1, 0.5, 0.8)
    found = rows([("v", 902, near, 1, 0.2), ("v", 902, BOX, 1, 0.9)])
    assert ava_map(truth, found, [1]).mean == 1.0
    swapped = rows([("v", 902, near, 1, 0.9), ("v", 902, BOX, 1, 0.2)])
    assert ava_map(truth, swapped, [1]).mean == 1.0
    twice = rows([("v", 902, BOX, 1, 1), ("v", 903, BOX, 1, 1)])
    assert ava_map(twice, found, [1]).mean == 0.5


def test_excluded_seconds_and_unknown_key_frames() -> None:
    truth = rows([("v", 902, BOX, 1, 1), ("v", 903, BOX, 1, 1)])
    found = rows([("v", 903, BOX, 1, 0.5), ("w", 902, BOX, 1, 0.9)])
    assert ava_map(truth, found, [1]).mean == pytest.approx(0.25)
    assert ava_map(truth, found, [1], {("w", 902), ("v", 902)}).mean == 1.0


def test_nothing_found_or_labelled() -> None:
    truth = rows([("v", 902, BOX, 1, 1)])
    assert ava_map(truth, rows([]), [1]).mean == 0.0
    assert math.isnan(ava_map(rows([]), truth, [1]).mean)


def test_rows_of_scores() -> None:
    made = rows_of_scores([("v", 902)], np.array([BOX]), np.array([[0.1, 0.2]]), np.array([3, 7]))
    assert made.keys == [("v", 902)] * 2
    assert made.actions.tolist() == [3, 7]
    assert made.scores.tolist() == [0.1, 0.2]
    with pytest.raises(InputError, match="scores is"):
        AvaRows([("v", 902)], np.array([BOX]), np.array([1]), np.zeros(2))
