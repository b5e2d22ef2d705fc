"""Folders in memory that go away with their process, also with one that was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

_PREFIX = "edgekit-board-"
_LOCK = ".held"


def scratch_folder(owner: object) -> tuple[Path, weakref.finalize]:
    """An empty folder, and what removes it: a call, or else the end of `owner` or of this process.

    In memory (/dev/shm) where that is possible, since a board's SD card wears. Folders of processes that were
    killed are removed on the way: each process holds a lock in its own.
    """
    shared = Path("/dev/shm")
    place = shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())
    for folder in place.glob(f"{_PREFIX}*"):
        _remove_if_left(folder)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return folder, weakref.finalize(owner, _remove, folder, handle, os.getpid())


def _remove(folder: Path, handle: int, process: int) -> None:
    if os.getpid() == process:  # a fork that ends has no say
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _remove_if_left(folder: Path) -> None:
    with suppress(OSError):  # no lock yet, another user's, or held: in use
        handle = os.open(folder / _LOCK, os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(handle)
