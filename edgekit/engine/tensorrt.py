"""Run a TensorRT plan: tensors by name, pinned buffers, CUDA events, CUDA-graph replay.

One way of doing it serves TensorRT 8.5 to 11 and TensorRT-RTX. All work happens on an owner thread of
the GPU (`edgekit.engine.gpu_thread`), so an engine may be called and closed from any thread.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from edgekit.engine import check_feeds
from edgekit.engine.gpu_thread import acquire
from edgekit.engine.plan import REBUILD, read_sidecar
from edgekit.engine.trt_module import load_tensorrt
from edgekit.engine.trt_session import Session
from edgekit.errors import EdgekitError, InputError


class TensorRTEngine:
    """A TensorRT plan as an `Engine`.

    Args:
        plan: the serialized engine. Beside it, `<plan>.json` tells its precision, metadata and SHA-256.
        precision: what the table shall say when there is no such file.
        device: number of the GPU.
        graph: replay a CUDA graph while shapes stay the same.
        dla_core: run on this deep-learning accelerator core (Jetson); no graph then. None: the one that
            the sidecar names, if it does.
        zero_copy: let the GPU work on host memory. None: on integrated GPUs only.
        why: the caller's reason for TensorRT, put before the engine's own.
        beside: on the GPU's second thread, for an engine that runs beside a loop: calls of others do not
            wait for its calls.

    Attributes: those of `edgekit.engine.Engine`. `times` are in seconds: "upload" is the copy into the
    pinned buffers (host clock) and on to the GPU, "infer" and "download" are GPU time (CUDA events).

    Calls from several threads take turns; the arrays a call returns are views of the pinned output
    buffers, valid until anybody's next call. They stay readable after `close()`.

    Raises:
        InputError: the plan, its sidecar or its tensors cannot be used.
        MissingError: no TensorRT, no pycuda or no GPU.
    """

    backend = "tensorrt"

    def __init__(
        self,
        plan: str | Path,
        precision: str | None = None,
        device: int = 0,
        graph: bool = True,
        dla_core: int | None = None,
        zero_copy: bool | None = None,
        why: str = "",
        beside: bool = False,
    ) -> None:
        self.path = plan = Path(plan)
        notes = read_sidecar(plan)
        blob = _read_plan(plan, notes)
        wanted = notes.get("module")
        trt = load_tensorrt(wanted or "tensorrt", fallback=wanted is None)
        gpu = acquire(device, beside)
        dla_core = notes.get("dla") if dla_core is None else dla_core
        try:
            session = gpu.call(Session, gpu, trt, plan, blob, notes, graph, dla_core, zero_copy)
        except BaseException:
            gpu.release()
            raise
        self._session, self._gpu = session, gpu
        self._close = weakref.finalize(self, gpu.abandon, session)
        self._close.atexit = False  # the owner thread frees what is open when the interpreter ends
        self.precision: str = notes.get("precision") or precision or "unknown"
        self.metadata: dict[str, str] = dict(notes.get("metadata") or {})
        self.device = gpu.name
        self.inputs, self.outputs = session.inputs, session.outputs
        self.times = {"upload": 0.0, "infer": 0.0, "download": 0.0}
        self._reason = f"{f'{why}; ' if why else ''}{trt.__name__} {trt.__version__} runs {plan.name}."
        self.why = " ".join([self._reason, *session.notes])

    def __call__(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """Run once; see `Engine.__call__`. Also raises InputError for a shape outside the plan's range."""
        if not self._close.alive:
            raise EdgekitError("this engine is closed; open it again.")
        check_feeds(self.inputs, feeds)
        self._session.check_ranges({name: array.shape for name, array in feeds.items()})
        outputs, self.times = self._gpu.call(self._session.run, feeds)
        self.why = " ".join([self._reason, *self._session.notes])
        return outputs

    def resident(self) -> Session:
        """What keeps its tensors on the GPU (`edgekit.engine.resident`).

        Raises:
            MissingError: the shape of an output depends on the data.
        """
        if not self._close.alive:
            raise EdgekitError("this engine is closed; open it again.")
        self._gpu.call(self._session.check_resident)
        return self._session

    def close(self) -> None:
        """Free everything, in order, waiting for a call that is under way. A second call does nothing."""
        if self._close.detach() is not None:
            self._gpu.give_up(self._session)

    def __enter__(self) -> TensorRTEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _read_plan(plan: Path, notes: Mapping[str, Any]) -> bytes:
    try:
        blob = plan.read_bytes()
    except OSError as error:
        raise InputError(f"the plan {plan} cannot be read ({error.strerror}).") from error
    if not blob:
        raise InputError(f"the plan {plan} is empty. {REBUILD}")
    wanted = notes.get("plan_sha256")
    if wanted and hashlib.sha256(blob).hexdigest() != wanted:
        raise InputError(f"the plan {plan} is damaged: its SHA-256 is not the one beside it. {REBUILD}")
    return blob
