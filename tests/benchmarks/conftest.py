"""Small networks, and a data folder of their own, so that nothing is written into the checkout."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "engine"), str(HERE.parent / "evaluate")]


@pytest.fixture(autouse=True)
def shelf(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    from edgekit.files import engines_dir

    folder = tmp_path_factory.mktemp("shelf") / "engines"
    folder.mkdir()
    shutil.copy(engines_dir() / "models.toml", folder)
    monkeypatch.setenv("EDGEKIT_ENGINES", str(folder))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return folder


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """No YOLO: the bare engine only. Its batch is fixed to 1 and can be opened."""
    from build_nets import conv_net, save

    return save(conv_net(batch=1, depth=2), tmp_path / "net.onnx")


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    from bench_nets import yolo_net
    from build_nets import save

    return save(yolo_net(), tmp_path / "yolo.onnx")
