"""The tasks with grafted networks, beside themselves with the plain ones, by ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graft_nets import CLASSES, OUTPUTS, SIDE, drawn_rows, fresh, made_net, save
from sample_people import sample_frames

from edgekit.engine import open_engine
from edgekit.engine.graft_files import grafted_file
from edgekit.engine.onnx_file import load_model
from edgekit.engine.precision import to_fp16
from edgekit.errors import InputError
from edgekit.ops.letterbox import PAD, letterbox
from edgekit.results import Detections, Poses
from edgekit.tasks.alphapose import open_alphapose
from edgekit.tasks.choose import open_task
from edgekit.tasks.grafted import Canvases, Grafted, seen
from edgekit.tasks.topdown import open_topdown
from edgekit.tasks.trtpose import open_trtpose
from edgekit.tasks.yolo import Yolo, open_yolo

ENGINES = Path(__file__).parents[2] / "engines"
CPU = {"backend": "onnxruntime-cpu"}
SIZES = ((480, 640), (97, 161), (300, 40), (SIDE, SIDE), (31, 777))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf of what ships; what is made lands in <home>/built."""
    folder = tmp_path / "engines"
    folder.mkdir()
    for file in ENGINES.glob("*.onnx"):
        (folder / file.name).symlink_to(file)
    (folder / "models.toml").write_bytes((ENGINES / "models.toml").read_bytes())
    monkeypatch.setenv("EDGEKIT_ENGINES", str(folder))
    return folder


@pytest.fixture(scope="module")
def people() -> list[np.ndarray]:
    """A frame of the sample clip, and one that is cut."""
    one, other = (frame.image for frame in sample_frames(2))
    return [one, other[:, 101:]]


def noise(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]


def assert_same(one: Detections | Poses, other: Detections | Poses) -> None:
    assert type(one) is type(other)
    names = ("xyxy", "score", "label") if isinstance(one, Detections) else ("keypoints", "score")
    for name in names:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize(
    ("opener", "name"),
    [(open_yolo, "edgekit-person"), (open_trtpose, "edgekit-trtpose"), (open_alphapose, "edgekit-fastpose")],
)
def test_what_ships_finds_the_same(home: Path, people: list[np.ndarray], opener: Any, name: str) -> None:
    """To the last bit, of one frame and of several."""
    with opener(name, **CPU, ops="host") as plain, opener(name, **CPU, ops="graft") as grafted:
        given = [people[1], fresh().integers(0, 256, (123, 77, 3), np.uint8)]
        wanted = plain(given)
        assert len(wanted[0]) > 1
        for one, other in zip(grafted(given), wanted, strict=True):
            assert_same(one, other)
        tasks = [grafted.detector, grafted.pose] if name == "edgekit-fastpose" else [grafted]
        for task in tasks:
            assert task.ops == "graft"
            assert "BGR bytes to RGB" in task.ops_why
            assert task.engine.inputs[0].dtype == np.uint8


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("opener", "name"), [(open_yolo, "edgekit-person"), (open_alphapose, "edgekit-fastpose")]
)
def test_what_ships_finds_the_same_on_a_gpu(
    real_gpu: None, home: Path, people: list[np.ndarray], opener: Any, name: str
) -> None:
    """By ONNX Runtime's CUDA in fp32, whose kernels may be chosen anew for each file: near, not equal."""
    how = {"precision": "fp32", "backend": "onnxruntime-cuda"}
    with opener(name, **how, ops="host") as plain, opener(name, **how, ops="graft") as grafted:
        wanted, found = plain(people[1]), grafted(people[1])
        assert len(found) == len(wanted) > 1
        np.testing.assert_allclose(found.score, wanted.score, atol=5e-3)
        one, other = (getattr(x, "keypoints", getattr(x, "xyxy", None)) for x in (found, wanted))
        assert np.mean(np.abs(one - other) < 0.5) > 0.98


@pytest.mark.parametrize(
    ("opener", "name"), [(open_yolo, "edgekit-person"), (open_topdown, "edgekit-fastpose")]
)
def test_fp16_files_find_the_same(home: Path, people: list[np.ndarray], opener: Any, name: str) -> None:
    file = home / "half.onnx"
    onnx.save(to_fp16(load_model(ENGINES / f"{name}.onnx")), file)
    given: list[Any] = [people[0]]
    if opener is open_topdown:
        given.append(fresh().uniform(0, 300, (5, 4)).astype(np.float32).cumsum(1))
    with opener(file, **CPU, ops="host") as plain, opener(file, **CPU, ops="graft") as grafted:
        one, other = grafted(*given), plain(*given)
        assert len(other) > 0
        if opener is open_yolo:
            assert_same(one, other)
        else:
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("batch", [2, "batch"])
@pytest.mark.parametrize("head", OUTPUTS)
def test_every_head_finds_the_same(home: Path, tmp_path: Path, head: str, batch: int | str) -> None:
    """In pictures of all forms, with broken boxes, equal scores and a batch that is not full."""
    rng = fresh()
    notes = {
        "recipe": "yolov8" if head == "turned" else head,
        "names": str([f"c{n}" for n in range(CLASSES)]),
    }
    file = save(made_net(drawn_rows(head, rng), batch=batch, **notes), tmp_path / "made.onnx")
    pictures = noise(rng)
    how: dict[str, Any] = {"score": 0.3, "iou": 0.5, "max_det": 1000, **CPU}
    with (
        open_yolo(file, **how, ops="host") as plain,
        open_yolo(grafted_file(file, 3840), **how) as grafted,
    ):
        assert grafted.ops == "graft"
        for _ in range(2):
            for one, other in zip(grafted(pictures), plain(pictures), strict=True):
                assert len(other) > 3
                if head == "yolox":  # exp differs by a rounding
                    np.testing.assert_allclose(one.xyxy, other.xyxy, rtol=1e-5, atol=1e-3)
                    np.testing.assert_array_equal(one.label, other.label)
                else:
                    assert_same(one, other)
        plain.classes = grafted.classes = ["c3", 5]
        assert set(grafted(pictures[0]).label.tolist()) <= {3, 5}


def test_more_candidates_than_rows_is_said(home: Path, tmp_path: Path) -> None:
    rng = fresh()
    file = save(made_net(drawn_rows("yolov8", rng), recipe="yolov8"), tmp_path / "made.onnx")
    with open_yolo(grafted_file(file, 20), **CPU, score=0.3) as task:
        with pytest.warns(RuntimeWarning, match=r"all 20 rows .* --rows"):
            assert len(task(noise(rng)[0])) <= 20
        task.score = 1.0
        task(noise(rng)[0])  # pytest makes warnings errors where they are not expected


def test_a_grafted_file_is_opened_without_being_told(home: Path, people: list[np.ndarray]) -> None:
    for name in ("edgekit-person", "edgekit-fastpose"):
        with open_task(grafted_file(name), **CPU) as task:
            assert task.ops == "graft"
            assert len(task(people[0])) > 1
    with open_task("edgekit-person", **CPU, ops="graft") as task:
        assert task.ops == "graft"


def test_wishes_that_cannot_be(home: Path) -> None:
    path = grafted_file("edgekit-person")
    for ops in ("host", "cuda"):
        with pytest.raises(InputError, match="the file is grafted; open the plain one"):
            open_yolo(path, **CPU, ops=ops)
    with (
        open_engine("edgekit-person", **CPU) as engine,
        pytest.raises(InputError, match=r"wants a grafted file.*edgekit build MODEL --graft"),
    ):
        Yolo(engine, ops="graft")
    with pytest.raises(InputError, match="flip works on heat maps; a grafted network has none"):
        open_topdown("edgekit-fastpose", **CPU, ops="graft", flip=True)


def test_seen_as_its_plain_network(home: Path) -> None:
    with open_engine(grafted_file("edgekit-fastpose"), **CPU) as engine:
        plain = seen(engine)
        assert isinstance(plain, Grafted)
        assert [str(spec) for spec in plain.inputs] == ["pictures ?×3×256×192 float32"]
        assert [str(spec) for spec in plain.outputs] == ["points ?×17×64×48 float32"]
    with open_engine("edgekit-fastpose", **CPU) as engine:
        assert seen(engine) is engine


@pytest.mark.parametrize("style", PAD)
def test_canvases_are_the_letterboxes(style: str) -> None:
    canvases, pictures = Canvases((SIDE, 224), 3, style), noise(fresh())
    for some in (pictures[:2], pictures[2:], pictures[3:4]):
        filled, placed = canvases(some)
        assert filled.shape == (3, SIDE, 224, 3)
        for canvas, to, picture in zip(filled, placed, some, strict=False):
            wanted, where = letterbox(picture, (SIDE, 224), style=style)
            assert to == where
            np.testing.assert_array_equal(canvas, wanted)
        assert (filled[len(some) :] == PAD[style]).all()
    with pytest.raises(InputError, match="4 pictures do not fit a batch of 3"):
        canvases(pictures[:4])
    with pytest.raises(InputError, match="0 pictures"):
        canvases([])


@pytest.mark.slow
def test_int8_on_the_cpu(home: Path, people: list[np.ndarray]) -> None:
    """The file is quantised first and grafted then; or the grafted file is quantised around its network."""
    with open_yolo("edgekit-person", "int8", **CPU, ops="host") as plain:
        wanted = plain(people[0])
    with open_yolo("edgekit-person", "int8", **CPU, ops="graft") as grafted:
        assert grafted.engine.precision == "int8"
        assert_same(grafted(people[0]), wanted)
    with open_yolo(grafted_file("edgekit-person"), "int8", **CPU) as grafted:
        assert grafted.engine.precision == "int8"
        assert_same(grafted(people[0]), wanted)
