"""Getting files on and off the shelf: find, fetch, add, each with the SHA-256 checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from edgekit.errors import InputError, MissingError
from edgekit.files import atomic_write, sha256
from edgekit.models import download
from edgekit.models.shelf import Model, Part, downloads_dir, model, models, read_lock

SUFFIXES = (".onnx", ".plan", ".engine")

#: Files hashed in this process: path → (size, mtime_ns, ctime_ns, inode, SHA-256). A changed file has
#: another stamp (ctime cannot be set back) and is hashed again.
_HASHED: dict[Path, tuple[int, int, int, int, str]] = {}


def digest(path: Path) -> str:
    """SHA-256 of a file, hashed once as long as it does not change."""
    stat = path.stat()
    stamp = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    known = _HASHED.get(path)
    if known is None or known[:4] != stamp:
        _HASHED[path] = known = (*stamp, sha256(path))
    return known[4]


def verified(one: Model) -> Path:
    """The path of a model whose file is here and is the right one.

    Raises:
        MissingError: the file is not here.
        InputError: it is not the file that the shelf means.
    """
    path = one.path
    if not path.is_file():
        raise MissingError(f"{one.name} is not on this machine; {one.cure}. {usable()}")
    if not one.sha256:
        raise InputError(
            f"{path} is there, but the shelf knows no SHA-256 of it; if you trust the file: "
            f"edgekit models add {one.name} {path}"
        )
    if (found := digest(path)) != one.sha256:
        cure = f"delete it, then {one.cure}" if one.source != "shipped" else one.cure
        raise InputError(
            f"{path} is damaged or not the file that the shelf means (SHA-256 {found[:12]}…, "
            f"not {one.sha256[:12]}…); {cure}."
        )
    return path


def ready() -> list[str]:
    """Names of the models that can be used now, without a network."""
    return [one.name for one in models().values() if one.available]


def usable() -> str:
    names = ready()
    return f"Ready to use: {', '.join(names)}." if names else "No model is ready to use."


def find(name_or_path: str | Path) -> Path:
    """A model of the shelf, or an existing `.onnx`, `.plan` or `.engine` file, as a path.

    A shelf file is checked against its SHA-256 first; a path given is returned as it is.

    Raises:
        InputError: no such model or file, an unknown kind of file, or a damaged shelf file.
        MissingError: the model is known but not on this machine; the message says how to get it.
    """
    path = Path(name_or_path).expanduser()
    text = str(name_or_path)
    a_path = isinstance(name_or_path, Path) or "/" in text or path.suffix in SUFFIXES
    if not a_path and not (path.suffix and path.is_file()):
        return verified(model(text))
    if not path.is_file():
        raise InputError(f"there is no file {path}. `edgekit models` lists the models that have a name.")
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path} is not a model: it must end in {', '.join(SUFFIXES)}.")
    return path


def fetch(name: str, sha256: str | None = None, progress: bool = True) -> Path:
    """Download a model where needed and return its verified path.

    Args:
        sha256: hash the user vouches for, where the shelf has none; it is remembered in the lock.
        progress: show a progress bar on a terminal.

    Raises:
        InputError: the model is not one to download, or what came is not the right file.
        MissingError: the network, the server or the disk does not allow it.
    """
    one = model(name)
    given = sha256.strip().lower() if sha256 else ""
    if given and (len(given) != 64 or set(given) - set("0123456789abcdef")):
        raise InputError(f"--sha256 {sha256!r} is not 64 hex digits.")
    if one.available and digest(one.path) == one.sha256:
        return one.path
    if one.source != "url":
        raise InputError(f"{name} is not downloaded; {one.cure}.")
    if one.available:  # damaged: what the lock says of it is void
        one.path.unlink()
        one = model(name)
    if one.parts:
        return _converted(one, progress)
    if given and one.sha256 and given != one.sha256:
        raise InputError(
            f"the shelf knows {name} with SHA-256 {one.sha256}, not the one given; leave it out."
        )
    if not (given or one.sha256):
        raise InputError(
            f"no SHA-256 of {name} is published, so edgekit cannot tell a right download from a wrong one: "
            "give the one you trust with --sha256."
        )
    part = Part(one.file, one.url, given or one.sha256, one.bytes)
    path = download.get(part, downloads_dir(), usable, progress)
    if not one.sha256:
        _remember(one, "fetched with a SHA-256 given by the user", fetched=True)
    return path


def _converted(one: Model, progress: bool) -> Path:
    """Download the parts of a Darknet model and convert them."""
    from edgekit.darknet import convert

    cfg, weights = (download.get(part, downloads_dir(), usable, progress) for part in one.parts)
    with download.locked(one.path):
        convert(cfg, weights, one.path, one.sides[0], names=one.names)
        _remember(one, "converted from " + " and ".join(part.file for part in one.parts))
    return one.path


def _remember(one: Model, how: str, fetched: bool = False) -> None:
    """Enter the file at `one.path` in the local lock."""
    path = downloads_dir() / "lock.json"
    with download.locked(path):
        entries = read_lock()
        size = one.path.stat().st_size
        entries[one.name] = {"sha256": digest(one.path), "bytes": size, "how": how, "fetched": fetched}
        with atomic_write(path) as scratch:
            scratch.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def add(name: str, file: Path | str) -> Model:
    """Put the user's own file on the shelf under a known name; its SHA-256 goes to the lock.

    Raises:
        InputError: the name is unknown or ships with edgekit, or the file is no ONNX file whole in itself.
    """
    one, path = model(name), Path(file).expanduser()
    if one.source == "shipped":
        raise InputError(f"{name} ships with edgekit and is not replaced; use your file by its path.")
    _check_onnx(path)
    with download.locked(one.path):
        with atomic_write(one.path) as scratch:
            shutil.copyfile(path, scratch)
        _remember(one, f"added by the user from {path.name}")
    return model(name)


def _check_onnx(path: Path) -> None:
    import onnx
    from onnx.external_data_helper import uses_external_data

    if not path.is_file():
        raise InputError(f"there is no file {path}.")
    try:
        network = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's DecodeError has no public base class
        raise InputError(f"{path} cannot be read as an ONNX file: {error}.") from error
    if not network.graph.node or not network.graph.input:
        raise InputError(f"{path} is no ONNX file, or an empty one.")
    if any(uses_external_data(tensor) for tensor in network.graph.initializer):
        raise InputError(f"{path} keeps its weights in a second file; export it as one file.")
