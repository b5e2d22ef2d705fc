"""SlowFast's network in the forms in which it comes: body and head, one graph, or a net for whole clips.

All three are asked in one way: `net(slow, fast, boxes)` gives the scores, float32 [N, C].
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine, TensorSpec
from edgekit.errors import InputError
from edgekit.ops.roi_align import roi_align
from edgekit.tasks.net_notes import Noted

#: Picture pixels for one feature of the body: res5 is dilated, so it stays at 1/16 (AVA configurations).
FEATURE_STRIDE = 16
#: RoIAlign's cells a side.
CELLS = 7
FORMS = "slow and fast [1, 3, T, H, W], and boxes [N, 4] where it looks at people"


@dataclass(frozen=True)
class Notes:
    """What a model says of itself (its ONNX metadata), or what was given instead.

    Attributes:
        names: of the classes.
        span: frames of the video that a window covers.
        frames, alpha: of the fast path; the slow one has frames / alpha.
        stride: frames from one window to the next.
        short_side: of the network's picture, pixels.
        size: (height, width) of it, or None where the source decides.
        mean, std: of the pixels / 255, R, G, B.
        threshold: lowest score that is shown.
    """

    names: tuple[str, ...]
    span: int
    frames: int
    alpha: int
    stride: int
    short_side: int
    size: tuple[int, int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    threshold: float


def read_notes(metadata: Mapping[str, str], net: Net, given: Mapping[str, Any]) -> Notes:
    """Settings as given, else as the model notes them, else as in SlowFast 32×2 (64 frames, 32 of them seen).

    Raises:
        InputError: a note cannot be read, or notes, settings and tensors contradict each other.
    """
    noted = Noted(metadata, given)
    pick = noted.pick
    few, many = net.slow.shape[2], net.fast.shape[2]
    frames = many or int(pick("frames", 32))
    alpha = frames // few if few else int(pick("alpha", 4))
    fixed = net.fixed_size
    wanted = pick("size", ()) or (noted.note("imgsz", ()) if fixed is None else ())
    size = (int(wanted[0]), int(wanted[1])) if wanted else fixed
    if fixed is not None and size != fixed:
        raise InputError(f"the network's picture is {fixed[1]}×{fixed[0]}, not {size[1]}×{size[0]}.")  # type: ignore[index]
    names = tuple(pick("names", ()))
    if not names:
        from edgekit.action_names import AVA80, KINETICS400

        known = {len(AVA80): AVA80, len(KINETICS400): KINETICS400}
        names = known.get(net.classes or 0, ())
    if not names or (net.classes is not None and len(names) != net.classes):
        raise InputError(
            f"the network gives {net.classes or 'some'} scores and has {len(names)} names; give names=."
        )
    return Notes(
        names,
        int(pick("span", 64)),
        frames,
        alpha,
        int(pick("stride", 2)),
        int(pick("short_side", 256)),
        size,
        noted.channels("mean", 0.45),
        noted.channels("std", 0.225),
        float(pick("threshold", 0.3)),
    )


class Net:
    """What all forms have.

    Attributes:
        engine: the one that does most of the work.
        slow, fast: the inputs.
        scores: name of the output with them, which is the last engine's.
        classes: scores a row, or None where the file does not say.
        people: it looks at boxes; else at the whole picture.
        parts: seconds of the last call: "body", "roi", "head".
    """

    people = True

    def __init__(self, engine: Engine, *others: Engine) -> None:
        self.engine, self._engines = engine, (engine, *others)
        self.slow, self.fast = (_pick(engine.inputs, word, 5) for word in ("slow", "fast"))
        self.scores, self.classes = _scores(self._engines[-1])
        self.parts = {"body": 0.0, "roi": 0.0, "head": 0.0}

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(height, width) that the file or the plan fixes, else None."""
        shape = self.fast.most or self.fast.shape
        high, wide = (shape[axis] for axis in (3, 4))
        return None if high is None or wide is None else (high, wide)

    def __call__(
        self, slow: NDArray[np.float32], fast: NDArray[np.float32], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The scores, float32 [N, C], of people at `boxes`, [N, 4] in pixels of the network's picture."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the engines, each also where another fails."""
        with ExitStack() as stack:
            for engine in self._engines:
                stack.callback(engine.close)


class Split(Net):
    """Body and head as two networks, RoIAlign between them: any number of people, and none at no cost.

    Attributes:
        head: its engine.
        features: names of the body's outputs, slow and fast; rois: the head's inputs.
        channels: of the features, slow and fast; None where neither file says it.
        cells, aligned: of RoIAlign.
    """

    def __init__(self, body: Engine, head: Engine) -> None:
        super().__init__(body, head)
        self.head = head
        self.features = [_pick(body.outputs, word, 4).name for word in ("slow", "fast")]
        self.rois = [_pick(head.inputs, word, 4) for word in ("slow", "fast")]
        self.cells = self.rois[0].shape[2] or CELLS
        self.aligned = {**head.metadata, **body.metadata}.get("aligned", "false") == "true"
        channels = [
            (_pick(body.outputs, w, 4).shape[1], r.shape[1])
            for w, r in zip(("slow", "fast"), self.rois, strict=True)
        ]
        if any(None not in pair and pair[0] != pair[1] for pair in channels):
            raise InputError(f"body and head do not belong together: {channels} channels (slow, fast).")
        self.channels = [given or taken for given, taken in channels]

    def __call__(
        self, slow: NDArray[np.float32], fast: NDArray[np.float32], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See `Net`."""
        start = time.perf_counter()
        features = self.engine({self.slow.name: slow, self.fast.name: fast})
        seen = time.perf_counter()
        rois = {
            spec.name: roi_align(
                features[name],
                boxes,
                output_size=self.cells,
                spatial_scale=1 / FEATURE_STRIDE,
                aligned=self.aligned,
            )
            for spec, name in zip(self.rois, self.features, strict=True)
        }
        cut = time.perf_counter()
        scores = _by_rows(lambda feeds: self.head(feeds)[self.scores], rois, self.rois[0])
        done = time.perf_counter()
        self.parts = {"body": seen - start, "roi": cut - seen, "head": done - cut}
        return scores


class Whole(Net):
    """One graph from pictures and boxes to scores, RoIAlign inside (as its operator, or as GridSample).

    Attributes:
        boxes: the input.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        flat = [spec for spec in engine.inputs if len(spec.shape) == 2]
        if len(flat) != 1 or flat[0].shape[1] not in (4, 5, None):
            raise InputError(f"the network has {_listed(engine.inputs)}; a SlowFast has {FORMS}.")
        self.boxes = flat[0]

    def __call__(
        self, slow: NDArray[np.float32], fast: NDArray[np.float32], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See `Net`."""
        start = time.perf_counter()
        if self.boxes.shape[1] == 5:  # with the number of the picture in the batch before each box
            boxes = np.concatenate([np.zeros((len(boxes), 1), np.float32), boxes], axis=1)
        clip = {self.slow.name: slow, self.fast.name: fast}
        scores = _by_rows(
            lambda feeds: self.engine({**clip, **feeds})[self.scores], {self.boxes.name: boxes}, self.boxes
        )
        self.parts = {"body": time.perf_counter() - start, "roi": 0.0, "head": 0.0}
        return scores


class Clip(Net):
    """A network that names the action of the whole picture, as those trained on Kinetics do."""

    people = False

    def __call__(
        self, slow: NDArray[np.float32], fast: NDArray[np.float32], boxes: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See `Net`; the boxes are not looked at, and there is one row."""
        start = time.perf_counter()
        scores = np.array(self.engine({self.slow.name: slow, self.fast.name: fast})[self.scores], np.float32)
        self.parts = {"body": time.perf_counter() - start, "roi": 0.0, "head": 0.0}
        return scores[:1]


def net_of(body: Engine, head: Engine | None = None) -> Net:
    """The form that these engines are of, by their tensors.

    Raises:
        InputError: they are no SlowFast, or a body without its head.
    """
    if head is not None:
        return Split(body, head)
    if any(len(spec.shape) == 2 for spec in body.inputs):
        return Whole(body)
    if any(len(spec.shape) == 4 for spec in body.outputs):
        raise InputError("this is the body of a SlowFast alone; give its head too: model=(BODY, HEAD).")
    return Clip(body)


def _pick(specs: Sequence[TensorSpec], word: str, rank: int) -> TensorSpec:
    """The one tensor with `word` in its name and so many axes."""
    found = [spec for spec in specs if word in spec.name.lower() and len(spec.shape) == rank]
    if len(found) != 1:
        raise InputError(f"no {word!r} tensor of {rank} axes among {_listed(specs)}; a SlowFast has {FORMS}.")
    return found[0]


def _scores(engine: Engine) -> tuple[str, int | None]:
    """Name of the output with the scores, and how many there are a row."""
    flat = [spec for spec in engine.outputs if len(spec.shape) == 2]
    named = [spec for spec in flat if spec.name == "scores"] or flat
    if len(named) != 1:
        raise InputError(
            f"no one output [N, classes] among {_listed(engine.outputs)}; export the model again."
        )
    return named[0].name, named[0].shape[1]


def _by_rows(call: Any, feeds: dict[str, NDArray], spec: TensorSpec) -> NDArray[np.float32]:
    """`call` on as many rows at once as `spec` takes; a fixed number is filled up with zeros."""
    count = len(next(iter(feeds.values())))
    step, found = spec.batch_limit or max(count, 1), []
    for start in range(0, count, step):
        part = {name: rows[start : start + step] for name, rows in feeds.items()}
        have = min(step, count - start)
        if spec.shape[0] is not None and have < step:
            part = {
                n: np.concatenate([r, np.zeros((step - have, *r.shape[1:]), r.dtype)])
                for n, r in part.items()
            }
        found.append(np.array(call(part)[:have], np.float32))  # a copy: the next call writes over it
    return np.concatenate(found)


def _listed(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(map(str, specs)) or "none"
