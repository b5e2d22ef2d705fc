"""A set of actions as WebDataset shards: tar files that are read from front to back, one sample a clip.

    FOLDER/
      shard-000000.tar …     per_shard clips each, each class spread evenly over all
      shards.json            {"samples": clips, "classes": {class: clips}, "files": {file: clips}}

A sample's key is the clip's running number, "0000000"; its fields, members KEY.FIELD of the tar, are

    json                     {"label", "name", "frames", "flows", "fps"}; fps null where it is not known
    000000.rgb.png …         the pictures as they are in the folders, or .jpg
    000000.u.jpg …           the flow, where the clip has one
    000000.v.jpg …

Written by the webdataset library (the extra [train]). The same set and settings give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

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
