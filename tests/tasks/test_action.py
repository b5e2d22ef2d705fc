"""ActionRecognitionNet over a video, against windows that are made anew of frames that are all kept."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from action_nets import Followed, MadeEngine, save
from numpy.typing import NDArray
from PIL import Image
from window_nets import LENGTH, NAMES, NOTES, SIZE, window_net

from edgekit.engine import Engine, open_engine
from edgekit.engine.shapes import check_shapes, model_inputs
from edgekit.errors import EdgekitError, InputError
from edgekit.results import Actions, Frame
from edgekit.tasks.action import ActionRecognition, open_action
from edgekit.tasks.action_nets import Net, read_labels
from edgekit.tasks.action_open import open_shapes
from edgekit.tasks.action_people import Square, cut, square_of
from edgekit.tasks.action_tape import Tape, tables
from edgekit.tasks.choose import kind_of, open_task

HEIGHT, WIDTH = 36, 46


def video(count: int, height: int = HEIGHT, width: int = WIDTH, seed: int = 3) -> list[Frame]:
    """Smooth blobs that move, so that optical flow finds something."""
    rng = np.random.default_rng(seed)
    big = cv2.GaussianBlur(rng.integers(0, 256, (height + 60, width + 60, 3), dtype=np.uint8), (0, 0), 3)
    big = cv2.normalize(big, None, 0, 255, cv2.NORM_MINMAX)
    return [
        Frame(np.ascontiguousarray(big[i % 40 : i % 40 + height, 2 * i % 50 : 2 * i % 50 + width]), i, i / 10)
        for i in range(count)
    ]


def opened(model: onnx.ModelProto, folder: Path, name: str = "net") -> Engine:
    return open_engine(save(model, folder / f"{name}.onnx"), "fp32", "onnxruntime-cpu")


def small(picture: NDArray[np.uint8], size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def rgb_clip(
    pictures: Sequence[NDArray[np.uint8]], mean: float = 0.5, std: float = 0.5
) -> NDArray[np.float32]:
    """[3, D, H, W] of BGR pictures of the network's size, one number after the other."""
    high, wide = pictures[0].shape[:2]
    clip = np.empty((3, len(pictures), high, wide))
    for channel in range(3):
        for place, picture in enumerate(pictures):
            clip[channel, place] = (picture[..., 2 - channel].astype(np.float64) / 255 - mean) / std
    return clip.astype(np.float32)


def flow_clip(flows: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> NDArray[np.float32]:
    """[2, D, H, W] of grey pictures u, v of the network's size."""
    clip = [
        [(plane.astype(np.float64) / 255 - 0.5) / 0.5 for plane in planes]
        for planes in zip(*flows, strict=True)
    ]
    return np.array(clip).astype(np.float32)


def plain_flow(
    before: NDArray[np.uint8], after: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """u and v as TAO's tool scales them: by the longest vector, at least 1."""
    grey = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in (before, after)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    longest = max(1.0, float(np.sqrt((flow.astype(np.float64) ** 2).sum(axis=2)).max()))
    u, v = ((flow[..., axis] / np.float32(longest) * 127.999 + 128).astype(np.uint8) for axis in (0, 1))
    return u, v


def answer(model: onnx.ModelProto, clips: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float64]:
    """Softmax of one clip's logits, by ONNX Runtime and plain arithmetic."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {}
    for spec in session.get_inputs():
        clip = clips[spec.name]
        feeds[spec.name] = clip.reshape(1, -1, *clip.shape[2:]) if len(spec.shape) == 4 else clip[None]
        if isinstance(spec.shape[0], int):
            feeds[spec.name] = np.repeat(feeds[spec.name], spec.shape[0], axis=0)
    logits = session.run(None, feeds)[0][0].astype(np.float64)
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


def windows(count: int, rate: int, stride: int, pad: bool = False) -> dict[int, list[int]]:
    """For each frame on which a window is due, the frames of it."""
    reach, found = (LENGTH - 1) * rate + 1, {}
    for now in range(count):
        first = now - reach + 1
        if (first >= 0 or pad) and first % stride == 0:
            found[now] = [max(0, first + place * rate) for place in range(LENGTH)]
    return found


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    ("rate", "stride", "cold"), [(1, 1, "wait"), (2, 1, "wait"), (3, 2, "pad"), (1, 3, "pad"), (2, 5, "wait")]
)
def test_each_window_is_as_made_anew(flat: bool, rate: int, stride: int, cold: str, tmp_path: Path) -> None:
    model, frames = window_net(flat=flat), video(30)
    due = windows(len(frames), rate, stride, cold == "pad")
    last: NDArray | None = None
    with ActionRecognition(opened(model, tmp_path), sample_rate=rate, stride=stride, cold=cold) as task:
        assert task.span == (LENGTH - 1) * rate + 1
        for frame in frames:
            found = task(frame)
            assert found.names == NAMES
            assert found.xyxy is None
            assert found.threshold == 0.1
            assert found.frames == tuple(due.get(frame.index, ()))
            if frame.index in due:
                clip = rgb_clip([small(frames[n].image) for n in due[frame.index]])
                last = answer(model, {"input_rgb": clip})
            if last is None:
                assert not found.known.any()  # type: ignore[union-attr]
            else:
                np.testing.assert_allclose(found.scores[0], last, atol=2e-6)
    assert last is not None
