"""Emulated cameras for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from v4l2_emulation import Cameras, build


@pytest.hookimpl(tryfirst=True)  # before markers choose
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What uses the emulation needs a compiler for it."""
    for item in items:
        if "emulation" in getattr(item, "fixturenames", ()):
            item.add_marker("compiler")


@pytest.fixture(scope="session")
def emulation(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The library that is preloaded, and the folder of the pictures; made once."""
    folder = tmp_path_factory.mktemp("emulation")
    library = build(folder)
    Cameras(folder, library).film_all()
    return library, folder / "frames"


@pytest.fixture
def cameras(tmp_path: Path, emulation: tuple[Path, Path]) -> Cameras:
    """A folder without cameras, in which they can be plugged in."""
    library, frames = emulation
    dev = tmp_path / "dev"
    (dev / "frames").mkdir(parents=True)
    for mode in frames.iterdir():
        (dev / "frames" / mode.name).symlink_to(mode)
    return Cameras(dev, library)
