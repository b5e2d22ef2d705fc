"""A network in training as an engine, so that it is scored as it will be run."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.engine import TensorSpec


class TorchEngine:
    """A detector in PyTorch as an `edgekit.engine.Engine`.

    Args:
        network: module of RGB 0..1 [1, 3, S, S] → [1, 5, A], in evaluation mode, on `device`.
        size: S.
        device: as PyTorch names it.
    """

    backend, precision, why = "pytorch", "fp32", "a network in training"

    def __init__(self, network: Any, size: int, device: str = "cpu") -> None:
        self._network = network
        self.device = device
        self.metadata: dict[str, str] = {"names": "{0: 'person'}", "stride": "32"}
        self.times: dict[str, float] = {}
        self.inputs: tuple[TensorSpec, ...] = (
            TensorSpec("images", (1, 3, size, size), np.dtype(np.float32)),
        )
        anchors = sum((size // stride) ** 2 for stride in (8, 16, 32))
        self.outputs: tuple[TensorSpec, ...] = (TensorSpec("output0", (1, 5, anchors), np.dtype(np.float32)),)

    def __call__(self, feeds: Mapping[str, NDArray]) -> dict[str, NDArray]:
        import torch

        with torch.no_grad():
            output = self._network(torch.from_numpy(feeds["images"]).to(self.device))
        return {"output0": output.float().cpu().numpy()}

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> TorchEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
