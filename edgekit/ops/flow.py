"""Dense optical flow: how far each pixel goes from one picture to the next, and as TAO's grey pictures.

The scaling of the grey pictures is that of TAO's own tool (tao_toolkit_recipes, tao_action_recognition/
data_generation/convert_of.py, `max_rad_grayscale`, which gets the vectors of NVIDIA's Optical Flow SDK in
pixels of the picture): both components are divided by the length of the picture's longest vector, or by 1
where none is longer; then -1 is grey 0, standing still is 128 and 1 is 255. A network that was trained on
TAO's u and v pictures sees the same values.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError, MissingError

METHODS = ("auto", "dis", "farneback", "nvof", "cuda")
#: What `flow_to_grey` does, in a word: models and sets note it beside the method.
SCALING = "longest"
#: NV_OF_PERF_LEVEL_SLOW, the best quality, and one vector a pixel (opencv2/cudaoptflow.hpp).
NVOF = {"perfPreset": 5, "outputGridSize": 1}

Calc = Callable[[Any, Any], Any]


class Flow:
    """A method of optical flow, made by `open_flow`.

    Attributes:
        name: the method that works: dis, farneback, nvof or cuda.
    """

    def __init__(
        self, name: str, calc: Callable[[Any, Any], Any], close: Callable[[], None] = lambda: None
    ) -> None:
        self.name, self._calc, self._close = name, calc, close

    def __call__(self, previous: NDArray[np.uint8], following: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The flow between two pictures.

        Args:
            previous, following: uint8 [H, W, 3] BGR, or [H, W] grey, of one size.

        Returns:
            float32 [H, W, 2]: how many pixels to the right and down what is at a pixel of `previous` is in
            `following`.

        Raises:
            InputError: the pictures differ in size or are too small for this method.
        """
        if previous.shape[:2] != following.shape[:2]:
            one, other = (f"{p.shape[1]}x{p.shape[0]}" for p in (previous, following))
            raise InputError(f"optical flow from a picture of {one} to one of {other}: give one size.")
        try:
            flow = self._calc(_grey(previous), _grey(following))
        except cv2.error as error:
            height, width = previous.shape[:2]
            words = f"{self.name} cannot find the optical flow of {width}x{height} pictures"
            raise InputError(f"{words}: {_words(error)}; give others.") from error
        return np.asarray(flow, np.float32)

    def close(self) -> None:
        """Let go of the GPU's memory. The next call takes it anew."""
        self._close()


def open_flow(method: str = "dis") -> Flow:
    """A method of optical flow.

    Args:
        method: "dis" (Kroeger et al. 2016, preset medium) and "farneback" (2003) run on the CPU,
            "nvof" on the optical flow engine of NVIDIA's GPUs from Turing on, "cuda" is Farnebäck's method
            on the GPU; "auto" takes nvof, cuda or dis, whichever is there first, and says which.

    Raises:
        InputError: no such method.
        MissingError: this OpenCV or this machine lacks it.
    """
    if method not in METHODS:
        raise InputError(f"the optical flow {method!r} is unknown; it is one of {', '.join(METHODS)}.")
    if method == "auto":
        method = next((name for name in ("nvof", "cuda") if not _lacking(name)), "dis")
        sys.stderr.write(f"edgekit: optical flow by {method}\n")
    if lacking := _lacking(method):
        raise MissingError(lacking)
    if method == "nvof":
        return _nvof()
    if method == "cuda":
        farneback = _cuda_class("FarnebackOpticalFlow").create()
        return Flow(method, lambda a, b: _on_gpu(farneback, a, b))
    if method == "farneback":
        one = cv2.FarnebackOpticalFlow.create()
        return Flow(method, lambda a, b: one.calc(a, b, None))
    return Flow(method, _dis())


def flow_to_grey(flow: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The grey pictures u and v of a flow, by TAO's scaling: see this module's text.

    Args:
        flow: float32 [H, W, 2] in pixels, x and y; what is not finite counts as standing still.

    Returns:
        u, v: uint8 [H, W] of the x and the y component.
    """
    flow = np.nan_to_num(flow, nan=0.0, posinf=0.0, neginf=0.0)
    longest = max(1.0, float(np.sqrt(np.square(flow).sum(axis=-1)).max(initial=0.0)))
    grey = (flow / np.float32(longest) * np.float32(127.999) + np.float32(128)).astype(np.uint8)
    return np.ascontiguousarray(grey[..., 0]), np.ascontiguousarray(grey[..., 1])


def _words(error: cv2.error) -> str:
    """The sentence in OpenCV's error, without its file and line."""
    return str(getattr(error, "err", None) or error).strip().rstrip(".")


def _grey(picture: NDArray[np.uint8]) -> Any:
    return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) if picture.ndim == 3 else picture


def _cuda_class(name: str) -> Any:
    """A class of OpenCV's CUDA modules, which has had two names in Python; None where there is none."""
    return getattr(cv2, f"cuda_{name}", None) or getattr(getattr(cv2, "cuda", None), name, None)


def _lacking(method: str) -> str:
    """Why a method of the GPU is not to be had; "" where it is."""
    kinds = {"nvof": "NvidiaOpticalFlow_2_0", "cuda": "FarnebackOpticalFlow"}
    if method not in kinds:
        return ""
    cure = "use dis or farneback, which run on the CPU"
    if _cuda_class(kinds[method]) is None:
        return (
            f"the optical flow {method!r} takes an OpenCV that was built with CUDA and opencv_contrib; that "
            f"of pip is not: {cure}, or build OpenCV with -DWITH_CUDA=ON -DOPENCV_EXTRA_MODULES_PATH=…"
        )
    if not cv2.cuda.getCudaEnabledDeviceCount():
        return f"the optical flow {method!r} takes an NVIDIA GPU, and OpenCV finds none: {cure}."
    return ""


def _dis() -> Calc:
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def calc(previous: Any, following: Any) -> Any:
        height, width = previous.shape
        if min(height, width) < 12:
            raise cv2.error("no side may be below 12 pixels")
        if (
            width > 2 * height
        ):  # OpenCV halves by the width alone, until less than a patch is left of the height
            turned = dis.calc(np.ascontiguousarray(previous.T), np.ascontiguousarray(following.T), None)
            return np.ascontiguousarray(turned.transpose(1, 0, 2)[..., ::-1])
        return dis.calc(previous, following, None)

    return calc


def _on_gpu(farneback: Any, previous: Any, following: Any) -> Any:
    pair = [_cuda_class("GpuMat")(picture) for picture in (previous, following)]
    return farneback.calc(*pair, None).download()


def _nvof() -> Flow:
    """The GPU's own engine; it is made for one size of pictures, and anew for another."""
    made: dict[tuple[int, int], Any] = {}

    def close() -> None:
        for one in made.values():
            one.collectGarbage()
        made.clear()

    def calc(previous: Any, following: Any) -> Any:
        size = (previous.shape[1], previous.shape[0])
        if size not in made:
            close()
            try:
                made[size] = _cuda_class("NvidiaOpticalFlow_2_0").create(size, **NVOF)
            except cv2.error as error:
                words = f"this GPU's optical flow engine does not take {size[0]}x{size[1]} pictures"
                raise MissingError(f"{words} ({_words(error)}); use cuda, dis or farneback.") from error
        vectors = made[size].calc(previous, following, None)[0]
        return made[size].convertToFloat(vectors, None)

    return Flow("nvof", calc, close)
