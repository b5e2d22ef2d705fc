"""Labels by models: what is sure is the model's answer, what the views disagree on is masked."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from edgekit.engine import TensorSpec
from edgekit.errors import InputError
from edgekit.evaluate.keypoints import keypoint_figures
from edgekit.label import Labeller, Labels, Limits
from edgekit.label.file import Sheet
from edgekit.label.views import AREA, around, known, pair, settle
from edgekit.results import Detections, Poses
from edgekit.tasks.topdown import TopDown
from edgekit.topology import COCO17, Topology

FACE = Topology("face", ("nose", "left_eye", "right_eye", "chin"), ((1, 2), (0, 3)))
#: RGB of nose, eyes and chin, and their places in a person's box; the left eye is at the picture's right.
COLOURS = {"nose": (255, 0, 0), "eye": (0, 0, 255), "chin": (0, 255, 0)}
PLACES = np.array([[0.5, 0.4], [0.75, 0.2], [0.25, 0.2], [0.5, 0.8]])


class Faces:
    """An engine of MoveNet's contract that finds coloured dots, and tells eyes apart by their sides.

    Args:
        stubborn: keypoints that it puts at a fixed place of its crop whatever it sees.
        scores: of each keypoint that is seen.
    """

    backend, precision, device, why = "fake", "fp32", "none", "a test"
    inputs = (TensorSpec("input", (1, 256, 256, 3), np.dtype(np.int32)),)
    outputs = (TensorSpec("output", (1, 1, 4, 3), np.dtype(np.float32)),)

    def __init__(
        self, stubborn: tuple[int, ...] = (), scores: tuple[float, ...] = (0.9, 0.8, 0.7, 0.6)
    ) -> None:
        self.metadata = {"topology": FACE.note()}
        self.times: dict[str, float] = {}
        self.stubborn, self.scores, self.calls = stubborn, scores, 0
        self.apart: list[float] = []  # between the eyes, in each crop

    def __call__(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.calls += 1
        image = feeds["input"][0]
        found = np.zeros((4, 3), np.float32)
        for name, rows in (("nose", [0]), ("eye", [2, 1]), ("chin", [3])):
            mask = (np.abs(image - np.array(COLOURS[name])).max(axis=2) < 90).astype(np.uint8)
            count, _, stats, centres = cv2.connectedComponentsWithStats(mask)
            blobs = [tuple(centres[i]) for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] >= 8]
            for row, (x, y) in zip(rows, sorted(blobs), strict=False):
                found[row] = (y + 0.5) / 256, (x + 0.5) / 256, self.scores[row]
        self.apart.append(float(found[1, 1] - found[2, 1]))
        for row in self.stubborn:
            found[row] = 0.5, 0.35, 0.9
        return {"output": found[None, None]}

    def close(self) -> None:
        pass


@dataclass
class Boxes:
    """A detector with a fixed answer."""

    xyxy: np.ndarray
    score: np.ndarray

    def __call__(self, image: np.ndarray) -> Detections:
        return Detections(self.xyxy, self.score, np.zeros(len(self.xyxy), np.int64), ("person",))


def drawing(boxes: np.ndarray, size: tuple[int, int] = (300, 500)) -> np.ndarray:
    """People as four dots each, BGR on grey."""
    image = np.full((*size, 3), 128, np.uint8)
    for box in boxes:
        for (x, y), name in zip(places(box), ("nose", "eye", "eye", "chin"), strict=True):
            cv2.circle(image, (round(float(x)), round(float(y))), 6, COLOURS[name][::-1], -1)
    return image


def places(box: np.ndarray) -> np.ndarray:
    return np.round(box[:2] + PLACES * (box[2:] - box[:2]))


def labeller(engine: Faces | None = None, detector: object = None, **settings: object) -> Labeller:
    return Labeller(TopDown(engine or Faces()), detector, **settings)  # type: ignore[arg-type]


TWO = np.array([[40, 40, 140, 220], [300, 50, 420, 250]], np.float32)


@pytest.mark.parametrize("views", [1, 2, 4, 6])
@pytest.mark.parametrize("margin", [None, 0.2])
def test_dots_are_found_where_they_were_drawn(views: int, margin: float | None) -> None:
    labels = labeller(views=views, margin=margin)(drawing(TWO), TWO)
    assert labels.sure.all()
    assert not labels.crowd.any()
    for found, box in zip(labels.keypoints, TWO, strict=True):
        np.testing.assert_allclose(found[:, :2], places(box), atol=0.6)
        assert found[0, 2] == pytest.approx(0.9)
    assert labels.agreement.min() > 0.9
    assert (labels.score == 1).all()


def test_one_view_is_the_models_own_answer() -> None:
    image = drawing(TWO)
    labels = labeller(views=1)(image, TWO)
    np.testing.assert_array_equal(labels.keypoints, TopDown(Faces())(image, TWO))


def test_what_the_mirror_image_puts_elsewhere_is_masked() -> None:
    image = drawing(TWO)
    told = labeller(Faces(stubborn=(3,)), views=2)(image, TWO)
    assert not told.sure[:, 3].any(), "the chin does not follow the mirror"
    assert told.sure[:, :3].all()
    assert not told.crowd.any()
    untold = labeller(Faces(stubborn=(3,)), views=1)(image, TWO)
    assert untold.sure[:, 3].any(), "one view cannot tell"


def test_a_weak_keypoint_is_masked_and_a_person_without_sure_ones_is_ignored() -> None:
    engine = Faces(scores=(0.9, 0.8, 0.7, 0.1))
    labels = labeller(engine)(drawing(TWO), TWO)
    assert labels.sure.tolist() == [[True, True, True, False]] * 2
    strict = labeller(engine, limits=Limits(sure=0.76))(drawing(TWO), TWO)
    assert strict.crowd.all()
    assert strict.sure.sum() == 2
    assert not labeller(engine, limits=Limits(sure=0.76, least=1))(drawing(TWO), TWO).crowd.any()


def test_a_keypoint_far_outside_of_its_box_belongs_to_somebody_else() -> None:
    narrow = TWO[:1].copy()
    narrow[0, 2] = 105  # the left eye at 115 is beside the box, by more than a tenth of it
    assert labeller()(drawing(TWO[:1]), narrow).sure.tolist() == [[True, False, True, True]]


def test_views_have_crops_of_their_sizes() -> None:
    engine = Faces()
    labeller(engine, views=6)(drawing(TWO[:1]), TWO[:1])
    sizes = np.array(engine.apart) / engine.apart[0]
    np.testing.assert_allclose(1 / sizes, [1, 1, 0.84, 0.84, 0.8, 0.8], atol=0.01)


def test_neighbours_are_blacked_out() -> None:
    near = np.array([[100, 50, 180, 230], [170, 50, 250, 230]], np.float32)
    image = drawing(near)
    seen = labeller(views=1)(image, near).keypoints
    np.testing.assert_allclose(
        seen[1, 2, :2], places(near[0])[2], atol=0.6
    )  # the other's eye, in this crop too
    alone = labeller(views=1, margin=0.0)(image, near)
    np.testing.assert_allclose(alone.keypoints[1, :, :2], places(near[1]), atol=0.6)
    assert alone.sure.all()


def test_weak_and_small_people_are_ignored_regions() -> None:
    boxes = np.concatenate([TWO, [[200, 200, 215, 230], [220, 20, 280, 140]]]).astype(np.float32)
    engine = Faces()
    detector = Boxes(boxes, np.array([0.9, 0.8, 0.9, 0.3], np.float32))
    labels = labeller(engine, detector)(drawing(TWO))
    assert engine.calls == 4, "two people, two views; nobody looks at the others"
    assert labels.crowd.tolist() == [False, False, True, True]
    np.testing.assert_array_equal(labels.xyxy, boxes)
    np.testing.assert_allclose(labels.score, [0.9, 0.8, 0.9, 0.3])
    assert not labels.sure[2:].any()
    assert not labels.keypoints[2:].any()


def test_beside_known_boxes_the_detector_only_shows_what_is_missing() -> None:
    boxes = np.array([[45, 45, 140, 215], [300, 50, 420, 250], [320, 60, 340, 90]], np.float32)
    labels = labeller(detector=Boxes(boxes, np.full(3, 0.9, np.float32)))(drawing(TWO), TWO[:1])
    np.testing.assert_array_equal(labels.xyxy, [TWO[0], boxes[1], boxes[2]])
    assert labels.crowd.tolist() == [False, True, True]


def test_nobody() -> None:
    empty = np.zeros((0, 4), np.float32)
    for labels in (
        labeller()(drawing(TWO), empty),
        labeller(detector=Boxes(empty, np.zeros(0, np.float32)), margin=0.1)(drawing(TWO)),
    ):
        assert len(labels) == 0
        assert labels.keypoints.shape == (0, 4, 3)
        assert labels.sure.shape == (0, 4)


def test_settling_views_against_plain_loops() -> None:
    random = np.random.default_rng(5)
    looks = np.concatenate([random.uniform(0, 40, (4, 3, 17, 2)), random.uniform(0, 1, (4, 3, 17, 1))], 3)
    looks[1:3, :, :9] = looks[:1, :, :9] + random.normal(0, 0.5, (2, 3, 9, 3)) * [1, 1, 0]
    looks[2, 0, 4, 2] = 0  # not found in one view
    looks = looks.astype(np.float32)
    xyxy = np.array([[0, 0, 40, 40], [0, 0, 30, 60], [5, 5, 45, 25]], np.float32)
    points, agreement = settle(looks, xyxy, COCO17.sigmas)
    for n in range(3):
        area = AREA * float(xyxy[n, 2] - xyxy[n, 0]) * float(xyxy[n, 3] - xyxy[n, 1])
        for k in range(17):
            p = looks[:, n, k].astype(float)
            spread = 2 * (2 * COCO17.sigmas[k]) ** 2 * area

            def oks(a, b, p=p, spread=spread):
                if p[a, 2] == 0 or p[b, 2] == 0:
                    return 0.0
                return float(np.exp(-((p[a, 0] - p[b, 0]) ** 2 + (p[a, 1] - p[b, 1]) ** 2) / spread))

            pairs = [oks(a, b) for a in range(4) for b in range(4) if a != b]
            assert agreement[n, k] == pytest.approx(sum(pairs) / 12, abs=1e-5)
            votes = [sum(oks(a, b) * p[b, 2] for b in range(4)) for a in range(4)]
            best = int(np.argmax(votes))
            weights = [oks(best, b) * p[b, 2] for b in range(4)]
            expected = sum(w * p[b, :2] for b, w in enumerate(weights)) / sum(weights)
            np.testing.assert_allclose(points[n, k, :2], expected, atol=1e-3)
            assert points[n, k, 2] == pytest.approx(p[:, 2].mean(), abs=1e-6)


def test_an_outlier_does_not_move_the_answer() -> None:
    looks = np.zeros((3, 1, 17, 3), np.float32)
    looks[..., 2] = 0.8
    looks[2, ..., :2] = 500
    points, agreement = settle(looks, np.array([[0, 0, 50, 100]], np.float32), COCO17.sigmas)
    np.testing.assert_allclose(points[..., :2], 0, atol=1e-6)
    np.testing.assert_allclose(agreement, 1 / 3, atol=1e-6)


def test_agreement_is_oks_as_pycocotools_has_it() -> None:
    """Two views whose points are all off by as much: AP at .5 flips where their agreement crosses .5."""
    from edgekit.evaluate.data import Picture

    box = np.array([[10, 20, 60, 140]], np.float32)
    points = np.random.default_rng(0).uniform([10, 20], [60, 140], (17, 2))
    for off in np.linspace(0.4, 3.0, 14):
        moved = points + (2 * COCO17.sigmas * off * np.sqrt(50 * 120 * AREA))[:, None] * [0.6, 0.8]
        looks = np.stack([points, moved])[:, None]
        looks = np.concatenate([looks, np.ones((2, 1, 17, 1))], 3).astype(np.float32)
        agreement = float(settle(looks, box, COCO17.sigmas)[1].mean())
        picture = Picture(
            path=None,  # type: ignore[arg-type]
            boxes=box / [200, 200, 200, 200],
            ignore=np.zeros(1, bool),
            areas=np.array([50 * 120 * AREA / 200**2]),
            keypoints=np.concatenate([points / 200, np.full((17, 1), 2)], 1)[None],
            num_keypoints=np.array([17]),
        )
        found = Poses(looks[1], np.ones(1), COCO17.keypoints)
        figures = keypoint_figures([picture], [(200, 200)], [found], COCO17)
        assert (figures["AP50"] == pytest.approx(1)) == (agreement >= 0.5), (off, agreement)


def test_pairing_poses_of_two_views() -> None:
    random = np.random.default_rng(1)
    a = np.concatenate([random.uniform(0, 300, (5, 17, 2)), np.ones((5, 17, 1))], 2).astype(np.float32)
    order = [3, 0, 4, 1]
    b = (a[[*order, 0]] + np.array([[0.5, 0.5, 0]] * 4 + [[2000, 0, 0]])[:, None]).astype(np.float32)
    partner, alone = pair(a, b, around(a, (300, 300)), COCO17.sigmas)
    assert alone.tolist() == [4]
    np.testing.assert_allclose(partner[[3, 0, 4, 1]], b[:4])
    assert not partner[2].any(), "nobody in the other view"
    none, alone = pair(a[:0], b, np.zeros((0, 4), np.float32), COCO17.sigmas)
    assert len(none) == 0
    assert alone.tolist() == [0, 1, 2, 3, 4]


def test_known_people() -> None:
    people = np.array([[0, 0, 100, 100]], np.float32)
    boxes = np.array([[10, 0, 110, 100], [20, 20, 40, 40], [90, 90, 130, 130], [60, 0, 160, 100]], np.float32)
    assert known(boxes, people).tolist() == [True, True, False, False]
    assert known(boxes, people[:0]).tolist() == [False] * 4
    assert known(boxes[:0], people).tolist() == []


class Skeletons:
    """What a Labeller wants of TrtPose: people of a picture, whose corner is marked, or of its mirror."""

    topology = FACE

    def __init__(self, plain: np.ndarray, mirrored: np.ndarray) -> None:
        self.plain, self.mirrored = plain, mirrored

    def __call__(self, image: np.ndarray) -> Poses:
        points = self.plain if image[0, 0, 0] == 7 else self.mirrored
        return Poses(points, np.ones(len(points)), FACE.keypoints, FACE.skeleton)


def marked() -> np.ndarray:
    image = np.zeros((300, 500, 3), np.uint8)
    image[0, 0] = 7
    return image


def turned(points: np.ndarray) -> np.ndarray:
    """As seen in the mirror image of a picture 500 wide: x from the other end, left and right swapped."""
    back = points[:, [0, 2, 1, 3]].copy()
    back[..., 0] = 499 - back[..., 0]
    return back


def faces(*boxes: list[float]) -> np.ndarray:
    rows = [np.concatenate([places(np.array(box)), np.full((4, 1), 0.8)], 1) for box in boxes]
    return np.array(rows, np.float32)


def test_bottom_up_people_are_paired_with_the_mirror_image() -> None:
    plain = faces([40, 40, 140, 220], [300, 50, 420, 250], [200, 20, 260, 120])
    other = faces([300, 50, 420, 250], [40, 40, 140, 220], [430, 200, 490, 290])
    other[1, 3, 0] += 80  # a chin elsewhere
    detector = Boxes(np.array([[0, 230, 60, 299], [301, 60, 415, 240]], np.float32), np.array([0.5, 0.9]))
    labels = Labeller(Skeletons(plain, turned(other)), detector)(marked())  # type: ignore[arg-type]
    assert labels.sure[:3].tolist() == [[True] * 3 + [False], [True] * 4, [False] * 4]
    np.testing.assert_allclose(labels.keypoints[1], plain[1], atol=1e-3)
    assert labels.crowd.tolist() == [False, False, True, True, True]
    left, top, right, bottom = labels.xyxy[3]
    assert left < 445 < right, "a person that only the mirror image shows"
    assert top < 220 < bottom
    np.testing.assert_array_equal(labels.xyxy[4], detector.xyxy[0])


def test_bottom_up_one_view_and_nobody() -> None:
    plain = faces([40, 40, 140, 220])
    labels = Labeller(Skeletons(plain, plain), views=1)(marked())  # type: ignore[arg-type]
    np.testing.assert_array_equal(labels.keypoints, plain)
    assert len(Labeller(Skeletons(plain[:0], plain[:0]))(marked())) == 0  # type: ignore[arg-type]
    only = Labeller(Skeletons(plain[:0], turned(plain)))(marked())  # type: ignore[arg-type]
    assert only.crowd.tolist() == [True]


def test_a_sheet_has_pictures_from_all_of_them(tmp_path) -> None:
    sheet = Sheet(5, side=40)
    for n in range(100):
        image = np.full((20, 40, 3), 2 * n, np.uint8)
        sheet.add(image, region([[0, 0, 1, 1]]) if n % 10 else region([]), FACE)
    assert sheet.write(tmp_path / "sheet.jpg")
    shown = cv2.imread(str(tmp_path / "sheet.jpg"))
    assert shown.shape == (40, 160, 3)
    tones = [shown[y + 10, x + 20, 0] / 2 for y in (0, 20) for x in range(0, 160, 40)][:5]
    assert (np.diff(tones) > 10).all(), tones
    assert tones[0] < 10
    assert tones[-1] > 80
    assert not Sheet(5).write(tmp_path / "none.jpg")


def region(boxes: list[list[float]]) -> Labels:
    count, blank = len(boxes), np.zeros((len(boxes), 4, 3), np.float32)
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    return Labels(
        xyxy, np.ones(count, np.float32), blank, blank[..., 0], blank[..., 0] > 0, np.ones(count, bool)
    )


def test_a_sheet_shows_sure_points_masked_ones_and_regions() -> None:
    sheet = Sheet(1, side=500)
    labels = labeller(
        Faces(stubborn=(3,)), Boxes(np.array([[10, 250, 60, 290]], np.float32), np.array([0.2]))
    )(drawing(TWO), TWO)
    sheet.add(drawing(TWO), labels, FACE)
    (tile,) = sheet.tiles
    assert tile.shape == (300, 500, 3)
    for x, y in places(TWO[0])[:3].astype(int):
        assert (tile[y, x] == 255).all(), "a sure point is white"
    x, y = labels.keypoints[0, 3, :2].round().astype(int)
    assert (tile[y - 3 : y + 4, x - 3 : x + 4] == (0, 0, 255)).all(axis=2).any(), (
        "a masked one is a red cross"
    )
    sheet = Sheet(1, side=500)
    sheet.add(drawing(TWO) // 2, labels, FACE)
    striped = (sheet.tiles[0][250:290, 10:60] == 128).mean()
    assert 0.2 < striped < 0.5


def test_settings_that_do_not_fit() -> None:
    for settings in ({"views": 0}, {"views": 7}, {"margin": -0.1}):
        with pytest.raises(InputError, match=next(iter(settings))):
            labeller(**settings)  # type: ignore[arg-type]
    bottom_up = Skeletons(faces(), faces())
    for settings in ({"views": 3}, {"margin": 0.1}):
        with pytest.raises(InputError):
            Labeller(bottom_up, **settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="detector"):
        labeller()(drawing(TWO))
    with pytest.raises(InputError, match="TrtPose"):
        Labeller(bottom_up)(marked(), TWO)  # type: ignore[arg-type]
    for wrong in ({"sure": 1.2}, {"agree": -0.1}, {"score": 2.0}, {"least": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Limits(**wrong)  # type: ignore[arg-type]


def test_labels_count() -> None:
    blank = np.zeros((2, 4, 3), np.float32)
    labels = Labels(TWO, np.ones(2), blank, blank[..., 0], blank[..., 0] > 0, np.zeros(2, bool))  # type: ignore[arg-type]
    assert len(labels) == 2
