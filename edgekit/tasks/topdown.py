"""Top-down keypoints: people given by their boxes → crops → engine → keypoints in source pixels.

with open_topdown("edgekit-fastpose") as pose:
    keypoints = pose(image, detections.xyxy)  # [N, 17, 3]
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import Engine, ShapeRanges, open_engine
from edgekit.engine.resident import Tenant, resident
from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.ops.crops import to_source
from edgekit.ops.heatmaps import mirror
from edgekit.results import Frame
from edgekit.tasks.grafted import file_for, settle
from edgekit.tasks.topdown_heads import Head, HeatmapHead, pick_head, topology_of
from edgekit.topology import Topology

if TYPE_CHECKING:
    from edgekit.engine.cuda import DeviceArray
    from edgekit.tasks.topdown_gpu import TopDownOnGpu

#: People in one engine call where the engine itself sets no bound (AlphaPose's --posebatch).
MAX_BATCH = 64
#: Rows that TensorRT tunes for.
OPT_BATCH = 8


def open_topdown(
    model: str | Path = "edgekit-fastpose",
    precision: str = "fp16",
    backend: str = "auto",
    shapes: ShapeRanges | None = None,
    **settings: Any,
) -> TopDown:
    """Open a pose network and make a `TopDown` of it.

    Args:
        model, precision, backend: as of `edgekit.open_engine`.
        shapes: as there; default: 1 to 64 people a call, best for 8.
        settings: as of `TopDown`.
    """
    file = file_for(model, settings.get("ops", "auto"), precision, backend)
    engine = open_engine(file, precision, backend, shapes or default_shapes(file, backend))
    try:
        return topdown_on(engine, model, **settings)
    except BaseException:
        engine.close()
        raise


def topdown_on(engine: Engine, model: str | Path, **settings: Any) -> TopDown:
    """A `TopDown` around the open engine of `model`; what the shelf knows of its keypoints is used."""
    from edgekit.models import models

    one = models().get(str(model))
    if one is not None and one.topology and settings.get("topology") is None:
        settings = {**settings, "topology": one.topology}
    return TopDown(engine, **settings)


def default_shapes(
    model: str | Path,
    backend: str = "auto",
    *,
    task: str = "topdown",
    best: int = OPT_BATCH,
    most: int = MAX_BATCH,
) -> ShapeRanges | None:
    """The range that a plan of a model of dynamic batch is built with: 1 to `most` rows, tuned for `best`.

    None where no plan is to be built (another back end, a plan that is there), and where the model is of
    another task or more of it than its batch is dynamic.

    Args:
        model, backend: as of `edgekit.open_engine`.
        task: "topdown" or "detect".
        best, most: rows of a call.
    """
    from edgekit.engine.choose import tensorrt_missing
    from edgekit.models import find

    if backend not in ("auto", "tensorrt") or tensorrt_missing() is not None:
        return None
    path = find(model)
    if path.suffix != ".onnx":
        return None
    from edgekit.engine.onnx_file import load_model
    from edgekit.engine.shapes import model_inputs

    graph = load_model(path)
    inputs = model_inputs(graph)
    likely = "topdown" if any(output.name == "heatmaps" for output in graph.graph.output) else "detect"
    noted = {note.key: note.value for note in graph.metadata_props}.get("task", likely)
    if noted != task or len(inputs) != 1 or inputs[0].shape[0] is not None or None in inputs[0].shape[1:]:
        return None
    rest = tuple(n for n in inputs[0].shape[1:] if n is not None)
    return {inputs[0].name: ((1, *rest), (best, *rest), (most, *rest))}


class TopDown:
    """Keypoints of people whose boxes are known.

    The people of a call are one engine call, split only beyond what the engine takes; nobody is no call.

    Args:
        engine: the network; closed with the task.
        head: "auto", "heatmap" (AlphaPose's FastPose and its like) or "movenet" (single-pose MoveNet).
        topology: names of the keypoints, as of `read_topology`; default: the model's own note, COCO's for 17.
        flip: average with the heat maps of the mirrored crop: a second engine call, some more precision.
        max_batch: people in one engine call at most.
        ops: where people are cropped and heat maps read: "host", "cuda" (`edgekit.tasks.topdown_gpu`), or
            "auto": on the GPU where the engine keeps its tensors there and nvcc is found. With `flip`, and
            for MoveNet, it is the host. "graft": inside the network (`edgekit.engine.graft`), from the
            crop's bytes to its points.

    Attributes:
        times: seconds of the last call: "pre", "infer", "post".
        calls: engine calls of the last call.
        ops, ops_why: where those steps run, "host", "graft" or "cuda", and why, in words.
        on_gpu: what is kept on the GPU's thread; None on the host.

    Raises:
        InputError: the engine is of another kind, or a setting does not fit it.
        MissingError: ops="cuda" cannot be.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        head: str = "auto",
        topology: str | Path | Topology | None = None,
        flip: bool = False,
        max_batch: int = MAX_BATCH,
        ops: str = "auto",
    ) -> None:
        if max_batch < 1:
            raise InputError(f"max_batch={max_batch} lets nobody in; give 1 or more.")
        self.engine = engine
        self.head: Head = pick_head(engine, head)
        self.batch = min(self.head.input.batch_limit or max_batch, max_batch)
        self.topology = topology_of(topology, engine.metadata, self.head.count)
        self.names, self.skeleton = self.topology.keypoints, self.topology.skeleton
        if flip and not self.head.mirrors:
            raise InputError(f"flip works on heat maps; a {self.head.name} network has none.")
        self.flip = flip
        self.times = {"pre": 0.0, "infer": 0.0, "post": 0.0}
        self.calls = 0
        self.ops, self.ops_why = settle(ops, engine)
        self.on_gpu: Tenant[TopDownOnGpu] | None = None
        if self.ops == "cuda":
            self._move_to_gpu(must=ops == "cuda")

    def __call__(self, image: Frame | NDArray[np.uint8], xyxy: NDArray) -> NDArray[np.float32]:
        """Keypoints of the people of one picture.

        Args:
            image: a frame, or uint8 [H, W, 3] BGR.
            xyxy: [N, 4] their boxes in its pixels.

        Returns:
            float32 [N, K, 3]: x, y in its pixels, and the score.
        """
        return self.many([image], [xyxy])[0]

    def many(
        self,
        images: Sequence[Frame | NDArray[np.uint8]],
        xyxy: Sequence[NDArray],
        uploaded: Sequence[DeviceArray] = (),
    ) -> list[NDArray[np.float32]]:
        """As a call for each picture, the people of all of them in as few engine calls as they fit.

        Args:
            images: frames, or uint8 [H, W, 3] BGR.
            xyxy: of each [N, 4] the people's boxes in its pixels.
            uploaded: the same pictures as they lie on the task's GPU; () where they do not.
        """
        boxes = [np.asarray(some, np.float32).reshape(-1, 4) for some in xyxy]
        pictures = [image.image if isinstance(image, Frame) else Frame(image).image for image in images]
        self.times, self.calls = {"pre": 0.0, "infer": 0.0, "post": 0.0}, 0
        people = [len(some) for some in boxes]
        rows = np.concatenate([np.zeros((0, 4), np.float32), *boxes])
        found = np.zeros((len(rows), self.head.count, 3), np.float32)
        if self.on_gpu is not None and len(rows) and not self.flip:
            found = self._by_gpu(self.on_gpu, pictures, people, rows, uploaded)
        else:
            owners = [p for p, count in zip(pictures, people, strict=True) for _ in range(count)]
            for start in range(0, len(rows), self.batch):
                part = slice(start, start + self.batch)
                found[part] = self._batch(owners[part], rows[part])
        ends = np.cumsum(people)
        return [found[end - count : end] for end, count in zip(ends, people, strict=True)]

    def _by_gpu(
        self,
        on_gpu: Tenant[TopDownOnGpu],
        pictures: Sequence[NDArray[np.uint8]],
        people: Sequence[int],
        xyxy: NDArray[np.float32],
        uploaded: Sequence[DeviceArray],
    ) -> NDArray[np.float32]:
        start = time.perf_counter()
        matrices, boxes = self.head.crops.place(xyxy)
        with_people = [n for n, count in enumerate(people) if count]
        images, counts = [pictures[n] for n in with_people], [people[n] for n in with_people]
        there = [uploaded[n] for n in with_people] if uploaded else []
        self.times["pre"] += time.perf_counter() - start
        points, cells, seconds = on_gpu.call(on_gpu.held.run, images, counts, matrices, there, self.batch)
        fetched = time.perf_counter()
        for part, took in zip(self.times, seconds.sum(axis=0).tolist(), strict=True):
            self.times[part] += took
        self.calls = len(seconds)
        found = to_source(points, boxes, cells)
        self.times["post"] += time.perf_counter() - fetched
        return found

    def _move_to_gpu(self, must: bool) -> None:
        """Make the kernels; where that fails and they need not be, it is the host's, as `ops_why` says."""
        from edgekit.tasks.topdown_gpu import TopDownOnGpu

        head = self.head
        try:
            if not isinstance(head, HeatmapHead):
                raise MissingError(f'the steps of a {head.name} network are the host\'s; take ops="host"')
            if self.flip:
                raise MissingError('crops are mirrored on the host; take ops="host", or flip=False')
            inside = resident(self.engine)
            self.on_gpu = Tenant(inside.gpu, lambda gpu: TopDownOnGpu(gpu, inside, head))
        except EdgekitError as error:
            if must:
                raise
            self.ops, self.ops_why = "host", str(error)

    def _batch(self, images: Sequence[NDArray[np.uint8]], xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        start = time.perf_counter()
        feeds, boxes = self.preprocess(images, xyxy)
        ready = time.perf_counter()
        outputs = self.infer(feeds)
        inferred = time.perf_counter()
        found = self.postprocess(outputs, boxes)
        self.times["pre"] += ready - start
        self.times["infer"] += inferred - ready
        self.times["post"] += time.perf_counter() - inferred
        return found

    def preprocess(
        self, images: Sequence[NDArray[np.uint8]], xyxy: NDArray
    ) -> tuple[dict[str, NDArray], NDArray[np.float32]]:
        """Crop one person a row; the tensor is a buffer that the next call overwrites.

        Args:
            images: for each box its picture, uint8 [H, W, 3] BGR.
            xyxy: [N, 4], no more than `batch`.

        Returns:
            The feeds, and float32 [N, 4]: what was cropped, in source pixels.
        """
        tensor, boxes = self.head.crops(images, xyxy)
        return {self.head.input.name: tensor}, boxes

    def infer(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run the engine; with `flip`, once more on the mirrored crops, and average."""
        outputs = self.engine(feeds)
        self.calls += 1
        if not self.flip:
            return outputs
        name = self.head.output.name
        plain = np.array(outputs[name])  # the next call writes over it
        turned = {key: np.ascontiguousarray(tensor[..., ::-1]) for key, tensor in feeds.items()}
        again = mirror(self.engine(turned)[name], self.topology.flip)
        self.calls += 1
        return {name: (plain + again) / plain.dtype.type(2)}

    def postprocess(self, outputs: Mapping[str, NDArray], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Decode as many rows as there are boxes, into source pixels: float32 [N, K, 3]."""
        name = self.head.output.name
        if name not in outputs:
            raise InputError(f"the outputs {list(outputs)} lack {name!r}.")
        return self.head.decode(outputs[name][: len(boxes)], boxes)

    def leave_gpu(self) -> None:
        """Free what is the task's own on the GPU; the engine stays open."""
        if self.on_gpu is not None:
            self.on_gpu.close()

    def close(self) -> None:
        """Free what is on the GPU and close the engine."""
        try:
            self.leave_gpu()
        finally:
            self.engine.close()

    def __enter__(self) -> TopDown:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
