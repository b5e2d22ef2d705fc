"""Dense optical flow of pictures whose movement is known, and TAO's grey pictures of it by plain loops."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest

from edgekit.errors import InputError, MissingError
from edgekit.ops.flow import flow_to_grey, open_flow


def texture(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """uint8 [..., 3] of a wavy pattern at these places: it can be looked at between the pixels too."""
    rng = np.random.default_rng(5)
    waves = np.zeros((3, *x.shape))
    for _ in range(24):
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(9, 40)
        along = (x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / length
        waves += np.sin(along + rng.uniform(0, 7, 3)[:, None, None])
    return np.clip(128 + 18 * waves, 0, 255).astype(np.uint8).transpose(1, 2, 0)


def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:height, :width].astype(np.float64)
    return x, y


@pytest.mark.parametrize("method", ["dis", "farneback"])
@pytest.mark.parametrize(
    ("size", "shift"),
    [((96, 128), (3.0, 0.0)), ((96, 128), (-1.5, 2.25)), ((128, 96), (0.0, -4.0)), ((40, 200), (2.5, -1.0))],
)
def test_a_shifted_picture_has_that_flow(
    method: str, size: tuple[int, int], shift: tuple[float, float]
) -> None:
    x, y = grid(*size)
    flow = open_flow(method)(texture(x, y), texture(x - shift[0], y - shift[1]))
    assert flow.shape == (*size, 2)
    assert flow.dtype == np.float32
    inside = flow[8:-8, 8:-8]
    assert np.median(np.abs(inside - shift), axis=(0, 1)).max() < 0.1
    assert np.abs(inside.mean(axis=(0, 1)) - shift).max() < 0.2


@pytest.mark.parametrize("method", ["dis", "farneback"])
def test_a_picture_that_grows_flows_away_from_its_centre(method: str) -> None:
    x, y = grid(120, 160)
    cx, cy, scale = 70.0, 50.0, 1.04
    following = texture(cx + (x - cx) / scale, cy + (y - cy) / scale)
    flow = open_flow(method)(texture(x, y), following)
    true = np.stack([(scale - 1) * (x - cx), (scale - 1) * (y - cy)], axis=-1)
    assert np.percentile(np.abs(flow - true)[10:-10, 10:-10], 90) < 0.3


def test_grey_pictures_do_as_well() -> None:
    x, y = grid(64, 64)
    pair = [texture(x - s, y) for s in (0, 2)]
    plain = [cv2.cvtColor(p, cv2.COLOR_BGR2GRAY) for p in pair]
    np.testing.assert_array_equal(open_flow("dis")(*plain), open_flow("dis")(*pair))


@pytest.mark.parametrize(("height", "width"), [(12, 12), (12, 200), (200, 12), (13, 640)])
def test_flat_pictures_crash_nothing(height: int, width: int) -> None:
    x, y = grid(height, width)
    flow = open_flow("dis")(texture(x, y), texture(x - 1, y))
    assert np.abs(np.median(flow.reshape(-1, 2), axis=0) - (1, 0)).max() < 0.5


def tao_grey(flow: np.ndarray) -> np.ndarray:
    """TAO's scaling in float64, value by value."""
    height, width, _ = flow.shape
    longest = 1.0
    for v in range(height):
        for u in range(width):
            longest = max(longest, math.sqrt(float(flow[v, u, 0]) ** 2 + float(flow[v, u, 1]) ** 2))
    grey = np.zeros((2, height, width))
    for v in range(height):
        for u in range(width):
            for axis in range(2):
                grey[axis, v, u] = math.floor(float(flow[v, u, axis]) / longest * 127.999 + 128)
    return grey


@pytest.mark.parametrize("size", [0.01, 0.4, 5.0, 300.0])
def test_the_grey_pictures_are_taos(size: float) -> None:
    flow = (np.random.default_rng(3).normal(size=(23, 31, 2)) * size).astype(np.float32)
    got = np.stack(flow_to_grey(flow))
    assert got.dtype == np.uint8
    off = np.abs(got - tao_grey(flow))
    assert off.max() <= 1  # float32 on a step's edge
    assert (off > 0).mean() < 0.002


def test_greys_of_known_vectors() -> None:
    flow = np.zeros((1, 5, 2), np.float32)
    flow[0, 1:] = [[4, 0], [-4, 0], [0, 2], [np.nan, -np.inf]]
    u, v = flow_to_grey(flow)
    assert u.tolist() == [[128, 255, 0, 128, 128]]
    assert v.tolist() == [[128, 128, 128, 191, 128]]
    assert flow_to_grey(np.full((2, 2, 2), 0.5, np.float32))[0].tolist() == [[191, 191]] * 2  # shorter than 1
    assert flow_to_grey(np.zeros((0, 0, 2), np.float32))[0].shape == (0, 0)


def test_greys_give_the_flow_back_to_a_step() -> None:
    rng = np.random.default_rng(8)
    flow = (rng.normal(size=(40, 50, 2)) * 6).astype(np.float32)
    longest = float(np.hypot(*np.moveaxis(flow, -1, 0)).max())
    back = (np.stack(flow_to_grey(flow), axis=-1) + 0.5 - 128) / 127.999 * longest
    assert np.abs(back - flow).max() <= 0.51 * longest / 127.999


def test_pictures_that_do_not_fit_are_refused() -> None:
    dis = open_flow("dis")
    with pytest.raises(InputError, match="from a picture of 20x30 to one of 30x20"):
        dis(np.zeros((30, 20, 3), np.uint8), np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(InputError, match=r"dis cannot find the optical flow of 20x11 .*below 12 pixels"):
        dis(np.zeros((11, 20, 3), np.uint8), np.zeros((11, 20, 3), np.uint8))
    with pytest.raises(InputError, match="'tvl1' is unknown; it is one of auto, dis, "):
        open_flow("tvl1")


def test_what_this_opencv_lacks_is_said_and_auto_tells_its_choice(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NvidiaOpticalFlow_2_0", "FarnebackOpticalFlow"):
        monkeypatch.delattr(cv2, f"cuda_{name}", raising=False)
        monkeypatch.delattr(cv2.cuda, name, raising=False)
    for method in ("nvof", "cuda"):
        with pytest.raises(MissingError, match=r"built with CUDA and opencv_contrib.*use dis or farneback"):
            open_flow(method)
    assert open_flow("auto").name == "dis"
    assert capfd.readouterr().err == "edgekit: optical flow by dis\n"
    monkeypatch.setattr(cv2, "cuda_FarnebackOpticalFlow", FarnebackOnGpu, raising=False)
    monkeypatch.setattr(cv2.cuda, "getCudaEnabledDeviceCount", lambda: 0)
    with pytest.raises(MissingError, match="takes an NVIDIA GPU, and OpenCV finds none"):
        open_flow("cuda")


class GpuMat:
    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def download(self) -> np.ndarray:
        return self.array


class FarnebackOnGpu:
    """What opencv2/cudaoptflow.hpp declares of cv::cuda::FarnebackOpticalFlow, in Python's form."""

    @staticmethod
    def create() -> FarnebackOnGpu:
        return FarnebackOnGpu()

    def calc(self, one: GpuMat, other: GpuMat, flow: None) -> GpuMat:
        assert isinstance(one, GpuMat)
        assert isinstance(other, GpuMat)
        assert one.array.ndim == 2
        return GpuMat(np.stack([one.array, other.array], axis=-1).astype(np.float32))


class Nvof:
    """The same of cv::cuda::NvidiaOpticalFlow_2_0: grey pictures in, vectors in 1/32 pixel and costs out."""

    alive: list[Any] = []  # noqa: RUF012

    @staticmethod
    def create(imageSize: tuple[int, int], perfPreset: int = 10, outputGridSize: int = 4) -> Nvof:  # noqa: N803
        if imageSize == (32, 32):
            raise cv2.error("not supported")
        assert (perfPreset, outputGridSize) == (5, 1)
        one = Nvof()
        one.size = imageSize
        Nvof.alive.append(one)
        return one

    def calc(self, one: np.ndarray, other: np.ndarray, flow: None) -> tuple[np.ndarray, None]:
        assert one.shape == other.shape == self.size[::-1]
        return np.full((*one.shape, 2), (64, -16), np.int16), None

    def convertToFloat(self, vectors: np.ndarray, flow: None) -> np.ndarray:  # noqa: N802
        return vectors.astype(np.float32) / 32

    def collectGarbage(self) -> None:  # noqa: N802
        Nvof.alive.remove(self)


def test_the_gpus_methods_are_called_as_opencv_declares_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "cuda_NvidiaOpticalFlow_2_0", Nvof, raising=False)
    monkeypatch.setattr(cv2, "cuda_FarnebackOpticalFlow", FarnebackOnGpu, raising=False)
    monkeypatch.setattr(cv2.cuda, "getCudaEnabledDeviceCount", lambda: 1)
    monkeypatch.setattr(cv2, "cuda_GpuMat", GpuMat, raising=False)
    pictures = [np.full((24, 40, 3), grey, np.uint8) for grey in (10, 20)]
    np.testing.assert_array_equal(open_flow("cuda")(*pictures)[3, 4], (10, 20))
    nvof = open_flow("auto")
    assert nvof.name == "nvof"
    np.testing.assert_array_equal(nvof(*pictures)[3, 4], (2.0, -0.5))
    nvof(*pictures)
    assert len(Nvof.alive) == 1
    nvof(pictures[0][:20], pictures[1][:20])  # another size: the engine is made anew, the old one let go
    assert [one.size for one in Nvof.alive] == [(40, 20)]
    nvof.close()
    assert Nvof.alive == []
    with pytest.raises(MissingError, match="does not take 32x32 pictures"):
        nvof(np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8))
