import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgekit.engine import TensorSpec
from edgekit.errors import InputError
from edgekit.tracking.appearance import Histogram, Network, open_appearance

RED, BLUE, GREEN = (30, 30, 200), (200, 40, 30), (40, 180, 40)  # BGR


def dressed(*people, size=(200, 400)):
    """A grey picture with people of a shirt's and trousers' colour, 40 × 120 pixels each, and their boxes."""
    image = np.full((*size, 3), 128, np.uint8)
    rows = []
    for n, (shirt, trousers) in enumerate(people):
        x = 20 + 70 * n
        image[40:100, x : x + 40], image[100:160, x : x + 40] = shirt, trousers
        rows.append((x, 40, x + 40, 160))
    return image, np.array(rows, np.float32)


def test_the_histogram_tells_people_by_their_clothes():
    image, boxes = dressed((RED, BLUE), (RED, BLUE), (BLUE, RED), (GREEN, GREEN))
    looks = Histogram()(image, boxes)
    alike = looks @ looks.T
    np.testing.assert_allclose(np.diag(alike), 1, atol=1e-5)
    assert 1 - alike[0, 1] < 0.02
    assert 1 - alike[0, 2] > Histogram.limit, "the same colours the other way up are somebody else"
    assert 1 - alike[0, 3] > Histogram.limit


def test_the_histogram_bears_noise_and_half_a_box_beside():
    image, boxes = dressed((RED, BLUE), (GREEN, RED))
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 12, image.shape), 0, 255).astype(np.uint8)
    before, after = Histogram()(image, boxes), Histogram()(noisy, boxes + np.array([4, -3, 4, 3]))
    alike = before @ after.T
    assert (alike.argmax(axis=1) == [0, 1]).all()


@pytest.mark.parametrize("box", [(-90, -90, -10, -10), (500, 10, 560, 90), (10, 10, 10, 60)])
def test_a_box_without_a_pixel_resembles_nothing(box):
    image, boxes = dressed((RED, BLUE))
    looks = Histogram()(image, np.concatenate([boxes, [box]]))
    assert looks[1].max() == looks[1].min() == 0
    assert looks[0] @ looks[0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("box", [(-20, -20, 5, 5), (398, 198, 900, 900), (0.2, 0.2, 0.9, 0.9)])
def test_a_box_partly_outside_is_cut(box):
    image, _ = dressed((RED, BLUE))
    looks = Histogram()(image, np.array([box]))
    assert looks[0] @ looks[0] == pytest.approx(1, abs=1e-5)


def test_nobody_is_described_in_no_rows():
    assert len(Histogram()(np.zeros((10, 10, 3), np.uint8), np.zeros((0, 4)))) == 0


class Means:
    """An engine that gives the mean of each channel; it notes what it was fed."""

    backend, precision, device, why = "onnxruntime-cpu", "fp32", "", ""
    metadata: dict = {}  # noqa: RUF012

    def __init__(self, batch=None, most=None, size=(8, 4), inputs=None, outputs=None):
        spec = TensorSpec(
            "x", (batch, 3, *size), np.dtype(np.float32), None if most is None else (most, 3, *size)
        )
        self.inputs = inputs or (spec,)
        self.outputs = outputs or (TensorSpec("y", (batch, 3), np.dtype(np.float32)),)
        self.fed, self.closed = [], False

    def __call__(self, feeds):
        (tensor,) = feeds.values()
        self.fed.append(tensor.copy())
        return {self.outputs[0].name: tensor.mean(axis=(2, 3))}

    def close(self):
        self.closed = True


@pytest.mark.parametrize(
    ("batch", "most", "calls"), [(None, None, [5]), (2, None, [2, 2, 2]), (None, 3, [3, 2]), (8, None, [8])]
)
def test_crops_go_together_as_many_as_the_engine_takes(batch, most, calls):
    image, boxes = dressed(*[(RED, BLUE), (GREEN, RED), (BLUE, GREEN), (RED, RED), (BLUE, BLUE)])
    engine = Means(batch, most)
    looks = Network(engine)(image, boxes)
    assert [len(tensor) for tensor in engine.fed] == calls
    alone = np.concatenate([Network(Means())(image, box[None]) for box in boxes])
    np.testing.assert_allclose(looks, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(looks, axis=1), 1, atol=1e-6)


def test_crops_are_rgb_of_imagenets_mean_and_spread():
    image, boxes = dressed((RED, RED))
    engine = Means()
    Network(engine)(image, boxes)
    expected = [(200 / 255 - 0.485) / 0.229, (30 / 255 - 0.456) / 0.224, (30 / 255 - 0.406) / 0.225]
    np.testing.assert_allclose(engine.fed[0][0].mean(axis=(1, 2)), expected, rtol=1e-4)


def test_a_place_without_a_person_is_zero():
    image, boxes = dressed((RED, BLUE))
    engine = Means(batch=3)
    assert Network(engine)(image, boxes).shape == (1, 3)
    assert not engine.fed[0][1:].any()


def test_who_is_outside_costs_no_call():
    engine = Means()
    looks = Network(engine)(np.zeros((10, 10, 3), np.uint8), np.array([[20, 20, 30, 30]]))
    assert looks.tolist() == [[0, 0, 0]]
    assert engine.fed == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs": (TensorSpec("x", (1, 3), np.dtype(np.float32)),)},
        {"inputs": (TensorSpec("x", (1, 1, 8, 4), np.dtype(np.float32)),)},
        {"inputs": (TensorSpec("x", (1, 3, None, 4), np.dtype(np.float32)),)},
        {"outputs": (TensorSpec("y", (1, 3, 8, 4), np.dtype(np.float32)),)},
    ],
)
def test_another_kind_of_network_is_refused(wrong):
    with pytest.raises(InputError, match="re-identification network is"):
        Network(Means(**wrong))


@pytest.fixture
def reid(tmp_path):
    """A network file of dynamic batch: the mean of each channel."""
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 32, 16])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])
    graph = helper.make_graph([node], "reid", [given], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path / "reid.onnx"
    onnx.save(model, path)
    return path


def test_a_network_is_opened_like_any_other(reid):
    image, boxes = dressed((RED, BLUE), (GREEN, RED))
    with open_appearance(reid, "fp32", "onnxruntime-cpu") as network:
        assert network.size == (32, 16)
        np.testing.assert_allclose(
            network(image, boxes), Network(Means(size=(32, 16)))(image, boxes), atol=1e-5
        )


def test_the_wrong_file_is_refused_and_closed(reid, monkeypatch):
    engine = Means(outputs=(TensorSpec("y", (1,), np.dtype(np.float32)),))
    monkeypatch.setattr("edgekit.tracking.appearance.open_engine", lambda *_: engine)
    with pytest.raises(InputError):
        open_appearance(reid)
    assert engine.closed
