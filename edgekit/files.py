"""Where the kit keeps its files, and how it writes them: aside, fsync, rename."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def engines_dir() -> Path:
    """Folder of the shelf: `models.toml`, model cards and the ONNX files that ship.

    `EDGEKIT_ENGINES` names another one. In a checkout it is `engines/`; in an installed
    wheel it is the copy inside the package.
    """
    named = os.environ.get("EDGEKIT_ENGINES")
    if named:
        return Path(named).expanduser()
    checkout = PACKAGE.parent / "engines"
    return checkout if (checkout / "models.toml").is_file() else PACKAGE / "_engines"


def data_dir() -> Path:
    """Writable folder for what the kit makes itself (downloads, plans, caches).

    `engines/` in a checkout, so that students find their plans; the user's cache folder otherwise.
    """
    shelf = engines_dir()
    if os.access(shelf, os.W_OK) and shelf.parent != PACKAGE:
        return shelf
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "edgekit"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


def sha256(path: Path | str) -> str:
    """SHA-256 of a file as lower-case hex, read in 1 MiB blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """Yield a scratch path beside `path`; on success fsync it and rename it into place.

    On any exception the scratch file is removed and `path` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
    os.close(handle)
    scratch = Path(name)
    try:
        yield scratch
        umask = os.umask(0)
        os.umask(umask)
        scratch.chmod(0o666 & ~umask)  # mkstemp makes it private; a result is not
        with open(scratch, "rb+") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
        with suppress(OSError):  # some file systems refuse to sync a folder
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
