"""A set of actions as WebDataset shards: tar files that are read from front to back, one sample a clip.

    FOLDER/
      shard-000000.tar …     per_shard clips each, each class spread evenly over all
      shards.json            {"samples": clips, "classes": {class: clips}, "files": {file: clips}}

A sample's key is the clip's running number, "0000000"; its fields, members KEY.FIELD of the tar, are

    json                     {"label", "name", "frames", "flows", "fps"}; fps null where it is not known
    000000.rgb.png …         the pictures as they are in the folders, or .jpg
    000000.u.jpg …           the flow, where the clip has one
    000000.v.jpg …

Written by the webdataset library (the extra [train]); what is in them is told without it. The same set and
settings give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from edgekit.errors import EdgekitError, InputError, MissingError
from edgekit.prepare.action_folders import ActionClip, read_note
from edgekit.prepare.clips import cannot_write

INDEX = "shards.json"


def write_shards(
    clips: Sequence[ActionClip],
    folder: Path | str,
    *,
    per_shard: int = 100,
    quality: int | None = None,
    seed: int = 0,
    done: Callable[[int], None] = lambda _: None,
) -> Path:
    """Write clips as shards: all of them, or nothing; shards that stood there go only then.

    Args:
        clips: as of `read_actions`.
        folder: of the shards, and of nothing else.
        per_shard: clips a shard; the last one may have fewer.
        quality: 1 to 100: RGB pictures become JPEGs, about a tenth as large; None: they stay.
        seed: of the order; each class comes evenly all the way.
        done: told after each clip how many pictures it had.

    Returns:
        The folder.

    Raises:
        InputError: no clip, a picture cannot be read, or the folder holds something else.
        MissingError: webdataset is not installed.
        EdgekitError: it cannot be written.
    """
    try:
        from webdataset import TarWriter
    except ImportError:
        raise MissingError("Shards take WebDataset: pip install 'edgekit[train]'.") from None
    folder = Path(folder)
    if not clips:
        raise InputError("there is no clip to write shards of.")
    if folder.exists() and not _is_ours(folder):
        raise InputError(f"{folder} holds something else than shards; give another folder.")
    part = folder.absolute().with_name(f".{folder.absolute().name}.part")
    files: dict[str, int] = {}
    ordered = mixed(clips, seed)
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for first in range(0, len(ordered), per_shard):
            some = ordered[first : first + per_shard]
            name = f"shard-{len(files):06d}.tar"
            with open(part / name, "wb") as file, TarWriter(file, encoder=False, mtime=0) as tar:
                for number, clip in enumerate(some, first):
                    tar.write({"__key__": f"{number:07d}", **_sample(clip, quality)})
                    done(len(clip.rgb) + len(clip.u))
            files[name] = len(some)
        classes = dict(sorted(Counter(clip.label for clip in clips).items()))
        index = {"samples": len(clips), "classes": classes, "files": files}
        (part / INDEX).write_text(json.dumps(index, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def mixed(clips: Sequence[ActionClip], seed: int = 0) -> list[ActionClip]:
    """The clips in an order that is random but always the same, each class spread evenly over it."""

    def draw(clip: ActionClip) -> str:
        return hashlib.sha256(f"{seed} {clip.label}/{clip.name}".encode()).hexdigest()

    by_label: dict[str, list[ActionClip]] = {}
    for clip in sorted(clips, key=draw):
        by_label.setdefault(clip.label, []).append(clip)
    placed = [
        ((place + 0.5) / len(own), draw(clip), clip)
        for own in by_label.values()
        for place, clip in enumerate(own)
    ]
    return [clip for _, _, clip in sorted(placed, key=lambda one: one[:2])]


def _is_ours(folder: Path) -> bool:
    """Whether a folder holds shards of ours, or nothing."""
    names = {p.name for p in folder.iterdir()} if folder.is_dir() else {"a file"}
    return not names or (INDEX in names and all(n.endswith(".tar") for n in names - {INDEX}))


def _sample(clip: ActionClip, quality: int | None) -> dict[str, bytes]:
    note: dict[str, Any] = {"label": clip.label, "name": clip.name}
    note |= {"frames": len(clip.rgb), "flows": len(clip.u), "fps": read_note(clip.folder).get("fps")}
    return {"json": json.dumps(note, ensure_ascii=False).encode(), **dict(_fields(clip, quality))}


def _fields(clip: ActionClip, quality: int | None) -> Iterator[tuple[str, bytes]]:
    for kind, paths in (("rgb", clip.rgb), ("u", clip.u), ("v", clip.v)):
        for index, path in enumerate(paths):
            ending, data = path.suffix.lower().replace("jpeg", "jpg"), path.read_bytes()
            if kind == "rgb" and quality is not None:
                ending, data = ".jpg", _as_jpeg(path, data, quality)
            yield f"{index:06d}.{kind}{ending}", data


def _as_jpeg(path: Path, data: bytes, quality: int) -> bytes:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise InputError(f"{path} cannot be read; `edgekit prepare check-actions` names all such pictures.")
    good, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not good:
        raise EdgekitError(f"{path} cannot be written as JPEG.")
    return coded.tobytes()


class Shards(NamedTuple):
    """A set of shards.

    Attributes:
        files: their paths.
        clips: in each.
        classes: class → clips.
    """

    files: tuple[Path, ...]
    clips: tuple[int, ...]
    classes: dict[str, int]


def is_shards(root: Path | str | None) -> bool:
    """Whether a set is shards: a .tar file, or a folder with shards.json or with .tar files."""
    if not root:
        return False
    path = Path(root)
    if path.is_dir():
        return (path / INDEX).is_file() or any(path.glob("*.tar"))
    return path.suffix == ".tar"


def read_shards(root: Path | str) -> Shards:
    """What there is in the shards of a folder, by its shards.json; without one they are gone through.

    Raises:
        InputError: a shard, or shards.json, is missing, damaged or empty.
    """
    path = Path(root)
    if path.suffix == ".tar" or not (path / INDEX).is_file():
        return scanned([path] if path.suffix == ".tar" else sorted(path.glob("*.tar")), path)
    index_file = path / INDEX
    try:
        index = json.loads(index_file.read_text(encoding="utf-8"))
        names = sorted(index["files"])
        sizes = tuple(int(index["files"][name]) for name in names)
        classes = {str(name): int(n) for name, n in index["classes"].items()}
    except OSError as error:
        raise InputError(f"{index_file} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{index_file} is no list of shards ({error!r}); write the shards again.") from error
    files = tuple(path / name for name in names)
    if absent := [file.name for file in files if not file.is_file()]:
        raise InputError(f"{index_file} names {', '.join(absent[:4])}, which is missing.")
    if not sum(sizes):
        raise InputError(f"{index_file} names no clip; write the shards again.")
    return Shards(files, sizes, classes)


def scanned(files: Sequence[Path], root: Path) -> Shards:
    """The same by the members of the shards."""
    sizes, classes = [], Counter[str]()
    for file in files:
        labels = []
        try:
            with tarfile.open(file) as tar:
                for member in tar:
                    if member.isfile() and Path(member.name).name.partition(".")[2] == "json":
                        content = tar.extractfile(member)
                        assert content is not None
                        labels.append(str(json.load(content)["label"]))
        except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file} is no shard of clips ({error!r}); write it again.") from error
        sizes.append(len(labels))
        classes.update(labels)
    if not sum(sizes):
        raise InputError(f"{root} holds no clip; write shards with `edgekit prepare actions --shards`.")
    return Shards(tuple(files), tuple(sizes), dict(classes))
