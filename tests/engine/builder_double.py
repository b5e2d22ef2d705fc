"""A double of TensorRT's builder as one version has it.

Each class refuses every name that the real class of that version lacks (`tensorrt_names.json`, read off
the real bindings), so that a path written for one version cannot lean on another's names. What was asked
of it is kept in `asked`. Its plans hold no engine.
"""

from __future__ import annotations

import enum
import hashlib
from pathlib import Path
from typing import Any

import onnx
import tensorrt_names
import tensorrt_rtx as real

from edgekit.engine.onnx_file import load_model
from edgekit.engine.shapes import model_inputs, specs

FACTS = tensorrt_names.read()


class Limited:
    """An object with no other names than the real class has in this version."""

    kind = ""

    def __init__(self, trt: FakeBuilderModule) -> None:
        object.__setattr__(self, "_trt", trt)

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name != "kind":
            self._trt.must_have(self.kind, name)
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            self._trt.must_have(self.kind, name)
            self._trt.asked[name] = value
        object.__setattr__(self, name, value)


class FakeBuilderModule:
    """Stands for the module `tensorrt` of one version.

    Args:
        version: one of `tensorrt_names.VERSIONS`.
        dla: number of DLA cores.
        fails: what the build logs as its error before it gives no plan.
    """

    def __init__(self, version: str, dla: int = 0, fails: str = "") -> None:
        self.__name__, self.__version__ = "tensorrt", version
        self.dla, self.fails = dla, fails
        self.asked: dict[str, Any] = {"flags": set(), "profiles": [], "measured": 0}
        self.ILogger = real.ILogger
        if version in FACTS[""]["IProgressMonitor"]:
            self.IProgressMonitor = type("IProgressMonitor", (), {})

    def must_have(self, kind: str, name: str) -> None:
        if self.__version__ not in FACTS.get(kind, {}).get(name, ()):
            raise AttributeError(f"TensorRT {self.__version__} has no {kind}.{name}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self.must_have("", name)
        doubles = {
            "Builder": lambda logger: _Builder(self, logger),
            "OnnxParser": lambda network, logger: _Parser(self, network),
            "Runtime": lambda logger: _Runtime(self),
            "init_libnvinfer_plugins": lambda logger, space: True,
        }
        return doubles[name] if name in doubles else self._enum(name)

    def _enum(self, name: str) -> Any:
        members = [m for m, versions in FACTS[name].items() if self.__version__ in versions]
        members = sorted(set(members) - {"name", "value"})
        return enum.IntEnum(name, {member: i for i, member in enumerate(members)})


class _Builder(Limited):
    kind = "Builder"

    def __init__(self, trt: FakeBuilderModule, logger: Any) -> None:
        super().__init__(trt)
        object.__setattr__(self, "_logger", logger)
        object.__setattr__(self, "num_DLA_cores", trt.dla)

    def create_network(self, flags: int) -> Any:
        kinds = self._trt.NetworkDefinitionCreationFlag
        self._trt.asked["network"] = {kind.name for kind in kinds if flags >> int(kind) & 1}
        return _Network(self._trt)

    def create_builder_config(self) -> Any:
        return _Config(self._trt)

    def create_optimization_profile(self) -> Any:
        return _Profile(self._trt)

    def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
        if self._trt.fails:
            self._logger.log(real.ILogger.Severity.ERROR, self._trt.fails)
            return None
        cache = self._trt.asked.get("cache", {})
        self._trt.asked["measured"] = 0 if cache.get("data") else 1
        cache["data"] = b"measured"
        return b"plan of " + hashlib.sha256(network._model.SerializeToString()).digest()


class _Network(Limited):
    kind = "INetworkDefinition"
    _model: onnx.ModelProto

    num_inputs = property(lambda self: len(model_inputs(self._model)))
    num_outputs = property(lambda self: len(self._model.graph.output))
    num_layers = property(lambda self: len(self._model.graph.node))

    def get_input(self, index: int) -> Any:
        return _Tensor(self._trt, model_inputs(self._model)[index])

    def get_output(self, index: int) -> Any:
        return _Tensor(self._trt, specs(self._model.graph.output)[index])

    def get_layer(self, index: int) -> Any:
        return _Layer(self._trt, self._model.graph.node[index])


class _Tensor(Limited):
    kind = "ITensor"

    def __init__(self, trt: FakeBuilderModule, spec: Any) -> None:
        super().__init__(trt)
        names = {"float32": "FLOAT", "float16": "HALF", "uint8": "UINT8"}
        object.__setattr__(self, "name", spec.name)
        object.__setattr__(self, "shape", tuple(-1 if n is None else n for n in spec.shape))
        object.__setattr__(self, "dtype", trt.DataType[names[spec.dtype.name]])


class _Layer(Limited):
    kind = "ILayer"
    num_inputs, num_outputs = 1, 0

    def __init__(self, trt: FakeBuilderModule, node: onnx.NodeProto) -> None:
        super().__init__(trt)
        object.__setattr__(self, "name", node.name)
        object.__setattr__(self, "type", trt.LayerType["CONVOLUTION" if node.op_type == "Conv" else "UNARY"])

    def get_input(self, index: int) -> Any:
        return None


class _Parser(Limited):
    kind = "OnnxParser"
    num_errors = 1

    def __init__(self, trt: FakeBuilderModule, network: Any) -> None:
        super().__init__(trt)
        object.__setattr__(self, "_network", network)

    def parse(self, data: bytes) -> bool:
        return self._take(onnx.load_from_string(data), "bytes")

    def parse_from_file(self, path: str) -> bool:
        return self._take(load_model(Path(path)), "file")

    def _take(self, model: onnx.ModelProto, how: str) -> bool:
        self._trt.asked["parsed"], self._trt.asked["model"] = how, model
        object.__setattr__(self._network, "_model", model)
        return not any(node.op_type == "NonZero" for node in model.graph.node)

    def get_error(self, index: int) -> Any:
        return _Error(self._trt)


class _Error(Limited):
    kind = "ParserError"

    def node(self) -> int:
        return 0

    def desc(self) -> str:
        return "Assertion failed: no importer."

    def node_name(self) -> str:
        return "find_them"

    def node_operator(self) -> str:
        return "NonZero"


class _Config(Limited):
    kind = "IBuilderConfig"

    def set_flag(self, flag: Any) -> None:
        self._trt.asked["flags"].add(flag.name)

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self._trt.asked[pool.name] = size

    def add_optimization_profile(self, profile: Any) -> int:
        self._trt.asked["profiles"].append(dict(profile._shapes))
        return 0

    def create_timing_cache(self, data: bytes) -> Any:
        return _Timing(self._trt, data) if data != b"refused" else None

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert ignore_mismatch is False
        self._trt.asked["cache"] = cache._state
        return True

    def get_timing_cache(self) -> Any:
        return _Timing(self._trt, self._trt.asked["cache"]["data"])


class _Timing(Limited):
    kind = "ITimingCache"

    def __init__(self, trt: FakeBuilderModule, data: bytes) -> None:
        super().__init__(trt)
        object.__setattr__(self, "_state", {"data": data})

    def serialize(self) -> bytes:
        return bytes(self._state["data"])


class _Profile(Limited):
    kind = "IOptimizationProfile"

    def __init__(self, trt: FakeBuilderModule) -> None:
        super().__init__(trt)
        object.__setattr__(self, "_shapes", {})

    def set_shape(self, name: str, low: Any, opt: Any, high: Any) -> None:
        self._shapes[name] = (low, opt, high)


class _Runtime(Limited):
    kind = "Runtime"

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        return _Engine(self._trt)


class _Engine(Limited):
    kind = "ICudaEngine"

    def create_engine_inspector(self) -> Any:
        return _Inspector(self._trt)


class _Inspector(Limited):
    kind = "EngineInspector"

    def get_engine_information(self, form: Any) -> str:
        assert form.name == "JSON"
        return '{"Layers": [{"Name": "conv0", "LayerType": "CaskConvolution"}, "conv1"], "Bindings": []}'
