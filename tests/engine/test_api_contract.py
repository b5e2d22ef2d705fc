"""Every TensorRT name the kit uses exists in every TensorRT it supports, or is asked for before use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorrt_names
import tensorrt_rtx

import edgekit.engine

FILES = sorted(Path(edgekit.engine.__file__).parent.glob("*.py"))
NAMES = tensorrt_names.read()
#: What these methods return; with `x = trt.Builder(…)`, it tells the types of variables.
RETURNS = {
    "create_network": "INetworkDefinition",
    "create_builder_config": "IBuilderConfig",
    "create_optimization_profile": "IOptimizationProfile",
    "create_timing_cache": "ITimingCache",
    "create_execution_context": "IExecutionContext",
    "create_engine_inspector": "EngineInspector",
    "deserialize_cuda_engine": "ICudaEngine",
    "build_serialized_network": "IHostMemory",
    "get_timing_cache": "ITimingCache",
    "add_convolution_nd": "IConvolutionLayer",
    "add_deconvolution_nd": "IDeconvolutionLayer",
    "add_pooling_nd": "IPoolingLayer",
    "add_concatenation": "IConcatenationLayer",
}
#: Types of function parameters, by the names the kit gives them.
PARAMETERS = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "parser": "OnnxParser",
    "profile": "IOptimizationProfile",
    "runtime": "Runtime",
    "monitor": "IProgressMonitor",
}
#: Names that some supported version lacks, each with the name that the kit asks for (by `hasattr` or
#: `getattr`, anywhere in the package) before it uses them. Where that one exists, so must this.
OPTIONAL = {
    "BuilderFlag.FP16": "BuilderFlag.FP16",
    "BuilderFlag.INT8": "BuilderFlag.FP16",
    "IBuilderConfig.num_compute_capabilities": "ComputeCapability",
    "IBuilderConfig.progress_monitor": "IProgressMonitor",
    "IBuilderConfig.set_compute_capability": "ComputeCapability",
    "IProgressMonitor": "IProgressMonitor",
}
ALL = frozenset(tensorrt_names.VERSIONS)


def is_module(node: ast.expr) -> bool:
    """`trt`, `self.trt` or `self._trt`: how the kit names the TensorRT module."""
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name in ("trt", "_trt", "tensorrt", "tensorrt_rtx")


def types_of_variables(tree: ast.AST) -> dict[str, str]:
    """{"builder" or "self._engine": class}, from assignments and parameter names."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.arg in PARAMETERS:
            found[node.arg] = PARAMETERS[node.arg]
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name) and node.value.id in PARAMETERS:
            found.update({ast.unparse(target): PARAMETERS[node.value.id] for target in node.targets})
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            function = node.value.func
            if isinstance(function, ast.Attribute):
                kind = function.attr if is_module(function.value) else RETURNS.get(function.attr)
                if kind in NAMES:
                    found.update({ast.unparse(target): kind for target in node.targets})
    return found


def uses(tree: ast.AST) -> Iterator[tuple[ast.Attribute, str]]:
    """(node, "Builder.create_network") of each name of TensorRT that a program touches."""
    variables = types_of_variables(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or node.attr.startswith("__"):
            continue
        owner = node.value
        if isinstance(owner, ast.Attribute) and owner.attr.startswith("__"):
            continue  # trt.__version__.split
        if is_module(owner):
            yield node, node.attr
        elif isinstance(owner, ast.Attribute) and is_module(owner.value):
            yield node, f"{owner.attr}.{node.attr}"
        elif isinstance(owner, ast.Attribute) and isinstance(owner.value, ast.Attribute):
            if is_module(owner.value.value):  # trt.ILogger.Severity.ERROR: the outer class has it as well
                yield node, f"{owner.value.attr}.{node.attr}"
        elif ast.unparse(owner) in variables:
            yield node, f"{variables[ast.unparse(owner)]}.{node.attr}"


def asked(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(owner, name) of each `hasattr(owner, "name")` and `getattr(owner, "name", …)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("hasattr", "getattr"):
            owner, name = node.args[:2]
            if isinstance(name, ast.Constant):
                yield ast.unparse(owner), str(name.value)


def versions_of(name: str) -> frozenset[str]:
    owner, _, member = name.rpartition(".")
    return NAMES.get(owner, {}).get(member, frozenset())


def faults(source: str, guards: set[str]) -> list[str]:
    """What is wrong with a program's use of TensorRT, one sentence each.

    `guards` are the names that the package asks for before use.
    """
    tree, wrong = ast.parse(source), []
    for node, name in uses(tree):
        lacking = [version for version in tensorrt_names.VERSIONS if version not in versions_of(name)]
        if len(lacking) == len(ALL):
            wrong.append(f"line {node.lineno}: no TensorRT has {name}")
        elif lacking and name not in OPTIONAL:
            wrong.append(f"line {node.lineno}: {name} is missing in {', '.join(lacking)}")
        elif lacking and OPTIONAL[name].rpartition(".")[2] not in guards:
            wrong.append(f"line {node.lineno}: {name} is optional: ask by hasattr or getattr first")
    variables = types_of_variables(tree)
    for owner, name in asked(tree):
        leaf = owner.rpartition(".")[2]
        known = variables.get(owner) or ("" if leaf in ("trt", "_trt") else leaf if leaf in NAMES else None)
        if known is not None and not name.startswith("__") and not NAMES[known].get(name):
            wrong.append(f"no TensorRT has {known}.{name}, which hasattr or getattr asks for")
    return wrong


def asked_in_package() -> set[str]:
    return {name for path in FILES for _, name in asked(ast.parse(path.read_text(encoding="utf-8")))}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_name_exists_in_every_version(path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8"), asked_in_package()) == []


def test_the_scan_sees_what_the_session_uses() -> None:
    """Should the kit rename its variables, the scan must not go blind."""
    path = Path(edgekit.engine.__file__).with_name("trt_session.py")
    seen = {name for _, name in uses(ast.parse(path.read_text(encoding="utf-8")))}
    assert seen >= {
        "Runtime",
        "TensorIOMode.INPUT",
        "Runtime.deserialize_cuda_engine",
        "ICudaEngine.num_io_tensors",
        "ICudaEngine.get_tensor_profile_shape",
        "IExecutionContext.set_input_shape",
        "IExecutionContext.set_tensor_address",
        "IExecutionContext.set_output_allocator",
        "IExecutionContext.execute_async_v3",
    }


def test_the_scan_sees_what_the_hand_built_network_uses() -> None:
    path = Path(edgekit.engine.__file__).with_name("network_trt.py")
    seen = {name for _, name in uses(ast.parse(path.read_text(encoding="utf-8")))}
    assert seen >= {
        "INetworkDefinition.add_convolution_nd",
        "INetworkDefinition.add_deconvolution_nd",
        "INetworkDefinition.add_scale_nd",
        "INetworkDefinition.add_pooling_nd",
        "INetworkDefinition.add_activation",
        "INetworkDefinition.add_elementwise",
        "INetworkDefinition.add_concatenation",
        "INetworkDefinition.add_cast",
        "INetworkDefinition.add_input",
        "INetworkDefinition.mark_output",
        "IConvolutionLayer.stride_nd",
        "IDeconvolutionLayer.padding_nd",
        "IPoolingLayer.stride_nd",
        "IConcatenationLayer.axis",
        "ScaleMode.CHANNEL",
        "ActivationType.TANH",
        "ElementWiseOperation.PROD",
        "PoolingType.AVERAGE",
        "Weights",
    }


ENGINE = "engine = runtime.deserialize_cuda_engine(plan)\n"
CONTEXT = "self._c = engine.create_execution_context()\n"
WRONG = [
    ("trt.Nonsense()", "no TensorRT has Nonsense"),
    ("trt.DataType.FLOAT99", "no TensorRT has DataType.FLOAT99"),
    ("x = trt.ILogger.Severity.LOUD", "no TensorRT has ILogger.LOUD"),
    (ENGINE + "engine.num_bindings", "ICudaEngine.num_bindings is missing in 10.3.0"),
    (CONTEXT + "self._c.execute_async_v2(1)", "IExecutionContext.execute_async_v2 is missing in 10.3.0"),
    (
        "def f(config):\n    config.max_workspace_size = 1",
        "IBuilderConfig.max_workspace_size is missing in 10",
    ),
    ("trt.BuilderFlag.FP16", "BuilderFlag.FP16 is optional"),
    ("monitor = trt.IProgressMonitor()\nmonitor.pase_start", "no TensorRT has IProgressMonitor.pase_start"),
    ("trt.BuilderFlag.FP8", "BuilderFlag.FP8 is missing in 11.4.0, rtx1.7"),
    ("getattr(trt.BuilderFlag, 'FP61', None)", "no TensorRT has BuilderFlag.FP61"),
    ("hasattr(trt, 'init_plugins')", "no TensorRT has .init_plugins"),
]


@pytest.mark.parametrize(("source", "said"), WRONG, ids=[source[-30:] for source, _ in WRONG])
def test_a_wrong_name_is_found(source: str, said: str) -> None:
    guards = {name for _, name in asked(ast.parse(source))} | {"IProgressMonitor"}
    [fault] = faults(source, guards)
    assert said in fault


RIGHT = [
    "def f(self):\n    if hasattr(trt.BuilderFlag, 'FP16'):\n        config.set_flag(trt.BuilderFlag.FP16)",
    "x = trt.ILogger.Severity.ERROR",
    "engine = runtime.deserialize_cuda_engine(b)\nengine.get_tensor_name(0)",
    "getattr(trt, 'init_libnvinfer_plugins', None)",
]


@pytest.mark.parametrize("source", RIGHT)
def test_a_right_name_passes(source: str) -> None:
    assert faults(source, {name for _, name in asked(ast.parse(source))}) == []


def test_optional_names_are_there_where_their_guards_are() -> None:
    for name, guard in OPTIONAL.items():
        assert frozenset() < versions_of(guard) <= versions_of(name) < ALL, name


def test_the_list_is_what_the_installed_rtx_has() -> None:
    """The one version that is at hand, read again."""
    if not tensorrt_rtx.__version__.startswith("1.7."):
        pytest.skip("the list holds TensorRT-RTX 1.7; another version is installed")
    table = tensorrt_names.compact({"rtx1.7": tensorrt_names.collect(tensorrt_rtx)})
    here = {(owner, name) for owner, masks in table.items() for name in " ".join(masks.values()).split()}
    listed = {(owner, name) for owner, names in NAMES.items() for name in names if "rtx1.7" in names[name]}
    assert here == listed


def test_the_list_is_small() -> None:
    assert tensorrt_names.NAMES.stat().st_size < 150_000
