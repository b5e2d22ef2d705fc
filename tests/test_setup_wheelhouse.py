"""setup/wheelhouse.sh: a folder complete for another machine, filled anew only where it must be.

Most tests take packages from a folder of tiny made ones; one takes the real ones from the registry.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BACKEND = """
import glob, shutil
def prepare_metadata_for_build_wheel(folder, settings=None):
    [info] = glob.glob("*.dist-info")
    shutil.copytree(info, f"{folder}/{info}")
    return info
def build_wheel(folder, settings=None, metadata=None):
    raise SystemExit("not to be built here")
"""


def metadata(name: str, version: str, needs: tuple[str, ...] = ()) -> str:
    return "\n".join(
        [
            "Metadata-Version: 2.1",
            f"Name: {name}",
            f"Version: {version}",
            *(f"Requires-Dist: {n}" for n in needs),
            "",
        ]
    )


def wheel(
    folder: Path, name: str, version: str = "1.0", tag: str = "py3-none-any", needs: tuple[str, ...] = ()
) -> None:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as file:
        info = f"{name}-{version}.dist-info"
        file.writestr(f"{info}/METADATA", metadata(name, version, needs))
        file.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        file.writestr(f"{info}/RECORD", "")


def source(folder: Path, name: str, version: str, needs: tuple[str, ...] = ()) -> None:
    """A source distribution that tells its metadata without any other package, and does not build."""
    files = {
        "PKG-INFO": metadata(name, version, needs),
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "made"\nbackend-path = ["."]\n',
        "made.py": BACKEND,
        f"{name}-{version}.dist-info/METADATA": metadata(name, version, needs),
    }
    with tarfile.open(folder / f"{name}-{version}.tar.gz", "w:gz") as tar:
        for path, text in files.items():
            member = tarfile.TarInfo(f"{name}-{version}/{path}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))


Fill = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """What can be had: packages for two machines, two Pythons and two NumPy."""
    folder = tmp_path / "registry"
    wheel(folder, "numpy", "1.26.4", "cp310-cp310-manylinux_2_17_aarch64.manylinux2014_aarch64")
    wheel(folder, "numpy", "1.26.4", "cp312-cp312-manylinux_2_39_aarch64")
    for tag in ("cp310-cp310-manylinux_2_28_aarch64", "cp311-cp311-manylinux_2_28_x86_64", "py3-none-any"):
        wheel(folder, "numpy", "2.2.6", tag)
    wheel(
        folder,
        "thing",
        "1.0",
        "cp310-abi3-manylinux_2_28_aarch64",
        ("numpy>=1.20", 'tomli ; python_version < "3.11"'),
    )
    wheel(folder, "thing", "1.0", "cp310-abi3-manylinux_2_17_x86_64", ("wrong",))
    for name in ("tomli", "pip", "setuptools", "wheel", "hatchling", "editables", "more"):
        wheel(folder, name)
    source(folder, "pycuda", "2026.1", ("numpy",))
    source(folder, "jetson_stats", "7.2.2")
    return folder


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    root = tmp_path / "edgekit"
    shutil.copytree(ROOT / "setup", root / "setup", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "requirements.txt").write_text('thing>=1\npycuda ; "tegra" in platform_release\n')
    (root / "pyproject.toml").write_text(
        '[project]\nname = "edgekit"\n[project.optional-dependencies]\nextra = ["more"]\n'
    )
    (root / "engines/downloads").mkdir(parents=True)
    (root / "engines/downloads/yolox.onnx").write_text("a model")
    (root / "out").mkdir()
    (root / "out/film.mp4").write_text("large")
    return root


@pytest.fixture
def fill(kit: Path, registry: Path, tmp_path: Path) -> Fill:
    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "EDGEKIT_"))}
        environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(registry), "PIP_CONFIG_FILE": os.devnull}
        environment |= {"EDGEKIT_PYTHON": sys.executable, "UV_CACHE_DIR": str(tmp_path / "uv"), **more}
        return subprocess.run(
            ["bash", kit / "setup/wheelhouse.sh", *words], capture_output=True, text=True, timeout=300,
            check=False, env=environment, cwd=tmp_path,
        )  # fmt: skip

    return run


def names(house: Path) -> list[str]:
    return sorted(path.name for path in (house / "packages").iterdir())


def test_what_is_in_it(fill: Fill, kit: Path) -> None:
    """Wheels for the boards, by the markers of their Python, NumPy 1, sources, builders, kit, models."""
    done = fill("--jetpack", "6.2", "--extra", "extra")
    assert done.returncode == 0, done.stdout + done.stderr
    house = kit / "out/wheelhouse-jetpack6"
    assert names(house) == [
        "editables-1.0-py3-none-any.whl",
        "hatchling-1.0-py3-none-any.whl",
        "jetson_stats-7.2.2.tar.gz",
        "more-1.0-py3-none-any.whl",
        "numpy-1.26.4-cp310-cp310-manylinux_2_17_aarch64.manylinux2014_aarch64.whl",
        "pip-1.0-py3-none-any.whl",
        "pycuda-2026.1.tar.gz",
        "setuptools-1.0-py3-none-any.whl",
        "thing-1.0-cp310-abi3-manylinux_2_28_aarch64.whl",
        "tomli-1.0-py3-none-any.whl",
        "wheel-1.0-py3-none-any.whl",
    ]
    assert (house / "models/yolox.onnx").read_text() == "a model"
    with tarfile.open(house / "edgekit.tar.gz") as tar:
        packed = set(tar.getnames())
    assert {"edgekit/setup/jetson.sh", "edgekit/requirements.txt"} <= packed
    assert not [name for name in packed if "film.mp4" in name or "yolox" in name]
    lines = (house / "MANIFEST").read_text().splitlines()
    assert lines[:3] == ["# jetpack: 6", "# python: 3.10", "# extras: extra"]
    listed = dict(reversed(line.split("  ")) for line in lines if not line.startswith("#"))
    assert set(listed) == {f"packages/{name}" for name in names(house)} | {
        "edgekit.tar.gz", "models/yolox.onnx", "packages.txt"
    }  # fmt: skip
    for name, digest in listed.items():
        assert hashlib.sha256((house / name).read_bytes()).hexdigest() == digest
    checked = subprocess.run(
        ["sha256sum", "-c", "MANIFEST"], cwd=house, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert f"{len(listed)} files, " in done.stdout
    assert "./setup/jetson.sh --offline ../wheelhouse-jetpack6" in done.stdout


@pytest.mark.slow
def test_jetpack_7_has_its_own_python(fill: Fill, tmp_path: Path) -> None:
    done = fill("--jetpack", "7.2", "--out", "usb disk")
    assert done.returncode == 0, done.stdout + done.stderr
    found = names(tmp_path / "usb disk")
    assert "numpy-1.26.4-cp312-cp312-manylinux_2_39_aarch64.whl" in found
    assert not [name for name in found if name.startswith(("tomli", "more"))]


@pytest.mark.slow
def test_a_second_run_asks_for_nothing_and_mends(
    fill: Fill, kit: Path, registry: Path, tmp_path: Path
) -> None:
    house = tmp_path / "house"
    assert fill("--jetpack", "6", "--out", "house").returncode == 0
    before = (house / "MANIFEST").read_text()
    wheel(registry, "thing", "1.1", "cp310-abi3-manylinux_2_28_aarch64")
    gone = fill("--jetpack", "6", "--out", "house", PIP_FIND_LINKS=str(tmp_path / "no registry"))
    assert gone.returncode == 0, gone.stderr
    assert [line for line in (house / "MANIFEST").read_text().splitlines() if "edgekit.tar" not in line] == [
        line for line in before.splitlines() if "edgekit.tar" not in line
    ]
    (house / "packages/tomli-1.0-py3-none-any.whl").write_text("damaged")
    done = fill("--jetpack", "6", "--out", "house")
    assert "tomli-1.0-py3-none-any.whl, which is damaged" in done.stdout
    verify = [sys.executable, ROOT / "setup/wheelhouse.py", "verify", house]
    assert subprocess.run(verify, check=False).returncode == 0
    done = fill("--jetpack", "6", "--out", "house", "--upgrade")
    assert "thing-1.0-cp310-abi3-manylinux_2_28_aarch64.whl, which is not needed any more" in done.stdout
    assert [name for name in names(house) if name.startswith("thing")] == [
        "thing-1.1-cp310-abi3-manylinux_2_28_aarch64.whl"
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say for which boards: --jetpack 6.2"),
        (["--jetpack", "5.1"], "edgekit runs on JetPack 6 and 7"),
        (["--jetpack"], "needs a value"),
        (["--jetpack", "6", "--extra", "extr"], 'pyproject.toml has no extra "extr"'),
        (["--jetpack", "6", "--out", "/proc/here"], "cannot write to /proc/here"),
    ],
)
def test_bad_settings(fill: Fill, words: list[str], said: str) -> None:
    done = fill(*words)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_network(fill: Fill, kit: Path) -> None:
    closed = "http://127.0.0.1:9/simple"
    done = fill("--jetpack", "6", PIP_NO_INDEX="", PIP_INDEX_URL=closed, UV_HTTP_RETRIES="0")
    assert done.returncode == 1
    assert "the Python package registry could not be reached" in done.stderr
    assert not (kit / "out/wheelhouse-jetpack6/MANIFEST").exists()


def offline(house: Path, python: str, platform: str, asked: list[str]) -> list[str]:
    """Name==version of all that is chosen from the folder alone, for another machine."""
    command = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--no-config",
        "--no-header",
        "--no-annotate",
    ]
    command += ["--no-index", "--find-links", str(house / "packages"), "--only-binary", ":all:"]
    command += ["--python-platform", platform, "--python-version", python, "-"]
    done = subprocess.run(
        command, input="\n".join(asked), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("jetpack", "python", "platform"),
    [("6.2", "3.10", "aarch64-manylinux_2_35"), ("7.2", "3.12", "aarch64-manylinux_2_39")],
)
def test_the_real_one_holds_all_that_a_board_asks_for(
    tmp_path: Path, jetpack: str, python: str, platform: str
) -> None:
    """As jetson.sh --offline asks, from the folder alone: the list, the builders, what sources need."""
    house = tmp_path / "house"
    done = subprocess.run(
        ["bash", ROOT / "setup/wheelhouse.sh", "--jetpack", jetpack, "--out", house, "--extra", "evaluate"],
        capture_output=True, text=True, check=False, env=dict(os.environ, EDGEKIT_PYTHON=sys.executable),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    asked = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if "tegra" not in line]
    needs = []
    for path in (house / "packages").glob("*.tar.gz"):
        with tarfile.open(path) as tar:
            text = tar.extractfile(
                next(n for n in tar.getnames() if n.count("/") == 1 and n.endswith("PKG-INFO"))
            )
            assert text is not None
            lines = text.read().decode().splitlines()
            needs += [
                line.split(": ", 1)[1]
                for line in lines
                if line.startswith("Requires-Dist") and "extra ==" not in line
            ]
    assert len(list((house / "packages").glob("*.tar.gz"))) == 2
    found = offline(
        house,
        python,
        platform,
        [*asked, *needs, "pip", "setuptools", "wheel", "hatchling", "editables", "pycocotools"],
    )
    assert "numpy==1.26.4" in found
    assert not [name for name in found if name.startswith(("torch==", "nvidia-c", "tensorrt"))]
    with tarfile.open(house / "edgekit.tar.gz") as tar:
        assert "edgekit/engines/edgekit-person.onnx" in tar.getnames()
