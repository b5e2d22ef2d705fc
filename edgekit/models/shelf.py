"""The shelf: `engines/models.toml` as `Model` objects, and the local lock of what the user put there.

What the manifest knows (source, licence, recipe, figures) is fixed in the repository. What this machine
knows (files the user exported, hashes the user vouched for) stands in `downloads/lock.json`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from edgekit.action_names import AVA80, KINETICS400
from edgekit.errors import InputError
from edgekit.files import data_dir, engines_dir
from edgekit.models.coco import COCO80
from edgekit.topology import TOPOLOGIES

SOURCES = ("shipped", "url", "export")
RECIPES = ("yolov8", "yolov5", "yolox", "darknet", "end2end", "trtpose", "topdown", "slowfast", "action")
COLOURS = ("RGB", "BGR")
#: What stands for a long list of class names.
NAMES = {"coco80": COCO80, "ava80": AVA80, "kinetics400": KINETICS400}


@dataclass(frozen=True)
class Part:
    """A file that is downloaded: name under `downloads/`, address, SHA-256, length (0: unknown)."""

    file: str
    url: str
    sha256: str
    bytes: int = 0


@dataclass(frozen=True)
class Figure:
    """A number about a model, and where it comes from."""

    what: str
    value: float
    source: str


@dataclass(frozen=True)
class Model:
    """One model of the shelf. The fields are the keys of `models.toml`, explained at its top.

    Attributes:
        sha256: of the file at `path`, lower-case hex: the lock's when the user vouched for a file, else
            the manifest's; "" when nobody has said one.
        added: how the lock's file came here ("" when the lock knows nothing of it).
    """

    name: str
    task: str
    source: str
    file: str
    licence: str
    origin: str
    recipe: str
    size: int | tuple[int, int]
    pad: int
    colour: str
    names: tuple[str, ...]
    topology: str = ""
    url: str = ""
    sha256: str = ""
    bytes: int = 0
    sha256_source: str = ""
    parts: tuple[Part, ...] = ()
    convert: str = ""
    figures: tuple[Figure, ...] = ()
    export: str = ""
    note: str = ""
    added: str = ""

    @property
    def path(self) -> Path:
        """Where the file lies, or will lie."""
        return (engines_dir() if self.source == "shipped" else downloads_dir()) / self.file

    @property
    def available(self) -> bool:
        """Whether the file is here. `edgekit.models.find` also checks its SHA-256."""
        return self.path.is_file() and bool(self.sha256)

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def cure(self) -> str:
        """What the user can do to get the file, as a clause."""
        if self.source == "shipped":
            return "it ships with edgekit: check it out or install edgekit again"
        if self.source == "url":
            return f"download it: edgekit models fetch {self.name}"
        return f"export it yourself (licence: {self.licence}): edgekit models show {self.name}"


def downloads_dir() -> Path:
    """Folder of downloaded and added files. It is made when something is written to it."""
    return data_dir() / "downloads"


def manifest_path() -> Path:
    return engines_dir() / "models.toml"


def models() -> dict[str, Model]:
    """Each model of the shelf by name, in the order of the manifest.

    Raises:
        InputError: `models.toml` or the lock cannot be read, or an entry is wrong.
    """
    path, lock = manifest_path(), read_lock()
    return {name: _model(path, name, table, lock.get(name, {})) for name, table in _read(path).items()}


def model(name: str) -> Model:
    """The model called `name`; InputError with near matches when there is none."""
    known = models()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name.lower(), known, 3, 0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}."
    raise InputError(f"there is no model {name!r} on the shelf; {hint} `edgekit models` lists them.")


def _read(path: Path) -> dict[str, Any]:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib

    try:
        with open(path, "rb") as file:
            return dict(tomllib.load(file))
    except OSError as error:
        raise InputError(f"cannot read the shelf {path}: {error}; install edgekit again.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"the shelf {path} is no TOML: {error}.") from error


def _model(path: Path, name: str, table: Any, lock: Mapping[str, Any]) -> Model:
    """Check one table of the manifest and join it with the lock."""

    def wrong(what: str) -> InputError:
        return InputError(f"{path.name}, [{name}]: {what}.")

    if not isinstance(table, dict):
        raise wrong("it is no table")
    known = {f.name for f in fields(Model)} - {"name", "added"}
    if extra := sorted(set(table) - known):
        raise wrong(f"unknown key {extra[0]!r}")
    values = dict(table)
    if isinstance(table.get("size"), list):
        values["size"] = tuple(table["size"])
    names = table.get("names", ())
    values["names"] = NAMES[names] if isinstance(names, str) and names in NAMES else tuple(names)
    try:
        values["figures"] = tuple(Figure(**row) for row in table.get("figures", ()))
        values["parts"] = tuple(Part(**row) for row in table.get("parts", ()))
        one = Model(name=name, **values)
    except TypeError as error:
        raise wrong(f"a key is missing or wrong ({error})") from error
    for key, allowed in (("source", SOURCES), ("recipe", RECIPES), ("colour", COLOURS)):
        if getattr(one, key) not in allowed:
            raise wrong(f"{key} = {getattr(one, key)!r} is none of {', '.join(allowed)}")
    if len(one.sides) != 2 or not all(isinstance(side, int) and side > 0 for side in one.sides):
        raise wrong(f"size = {one.size!r} is no side in pixels, nor [height, width]")
    if (one.task == "pose") != (one.topology in TOPOLOGIES):
        raise wrong(f"topology = {one.topology!r}; a pose model has one of {', '.join(TOPOLOGIES)}")
    if one.source == "url" and not (one.url or one.parts):
        raise wrong('source = "url" needs url or parts')
    if one.source == "export" and not one.export:
        raise wrong('source = "export" needs an export command')
    for part in (Part(one.file, one.url, one.sha256), *one.parts):
        if Path(part.file).name != part.file or part.file.startswith("."):
            raise wrong(f"{part.file!r} is no plain file name")
        if part.sha256 and (len(part.sha256) != 64 or set(part.sha256) - set("0123456789abcdef")):
            raise wrong(f"the SHA-256 of {part.file} is not 64 lower-case hex digits")
    # the lock counts for the file it describes, and where it is the only one to know a download's hash
    if lock and one.source != "shipped" and (one.path.is_file() or (lock["fetched"] and not one.sha256)):
        local = {"sha256": lock["sha256"], "bytes": lock["bytes"], "added": lock["how"]}
        one = replace(one, **local)
    return one


def read_lock() -> dict[str, dict[str, Any]]:
    """What the user put on the shelf: name → {sha256, bytes, how, fetched}; empty when nothing is."""
    path = downloads_dir() / "lock.json"
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        for entry in entries.values():
            _ = entry["sha256"], entry["bytes"], entry["how"], entry["fetched"]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"cannot read the local lock {path}: {error}; delete it and add the models again."
        ) from error
    return dict(entries)
