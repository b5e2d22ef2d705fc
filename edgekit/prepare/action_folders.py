"""The folders of a set of actions, class/video/{rgb,u,v}, as TAO's action_recognition reads them.

    ROOT/
      walk/                     the class
        video_1/                a clip
          rgb/000000.png …      N pictures
          u/000000.jpg …        N-1 grey pictures: how far each pixel goes to the right until the next one
          v/000000.jpg …        the same, downwards
          clip.json             our note: pictures, fps, how the flow was found, where it comes from

`u` and `v` may be missing where a network sees RGB alone. Whatever begins with a dot is no part of the set.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.ops.flow import flow_to_grey
from edgekit.prepare.clips import cannot_write

ENDINGS = (".png", ".jpg", ".jpeg")
STREAMS = ("rgb", "of")
#: Folders of a set that is split, each a set of its own, named as in TAO's notebooks.
SPLITS = ("train", "test")
#: What a clip's own note is called.
NOTE = "clip.json"
FindFlow = Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class ActionClip:
    """One clip of a set.

    Attributes:
        name: of its folder.
        label: the class.
        folder: holds `rgb`, `u` and `v`.
        rgb: the pictures, in order.
        u, v: the grey pictures of the flow from each picture to the next; () where the clip has none.
    """

    name: str
    label: str
    folder: Path
    rgb: tuple[Path, ...]
    u: tuple[Path, ...]
    v: tuple[Path, ...]


def read_actions(
    root: Path | str, label_map: Mapping[str, int] | None = None, *, streams: Sequence[str] = ("rgb",)
) -> list[ActionClip]:
    """The clips of a set, sorted by class and name.

    Args:
        root: its folder, which holds one folder a class.
        label_map: class → index; a folder of no class in it is refused. A class without a folder is not: a
            test set need not show everything.
        streams: "rgb", "of" or both: what every clip must have.

    Raises:
        InputError: no such folder, no clip, a class that `label_map` lacks, or a clip without what is asked.
    """
    found = []
    split = sides(root)
    for folder in class_folders(root):
        if folder.name in split:
            raise InputError(f"{root} is split; give {folder}.")
        if label_map is not None and folder.name not in label_map:
            known = ", ".join(label_map)
            raise InputError(
                f"{folder} is no class of label_map ({known}); rename the folder, or add the class there."
            )
        found += _videos(folder, folder.name, streams)
    if not found:
        raise InputError(f"{root} holds no clip; its clips lie at CLASS/VIDEO/rgb/000000.png.")
    return found


def read_videos(
    folder: Path | str, label: str | None = None, *, streams: Sequence[str] = ("rgb",)
) -> list[ActionClip]:
    """The clips of one class's folder, sorted by name, as inference takes them.

    Args:
        folder: of the class.
        label: the class; None: the folder's name.
        streams: as of `read_actions`.

    Raises:
        InputError: no such folder, no clip in it, or a clip without what is asked.
    """
    found = _videos(Path(folder), Path(folder).name if label is None else label, streams)
    if not found:
        raise InputError(f"{folder} holds no clip; give a class's folder, whose clips lie at VIDEO/rgb/.")
    return found


def read_clip(folder: Path | str, label: str = "", *, streams: Sequence[str] = ("rgb",)) -> ActionClip:
    """One clip.

    Raises:
        InputError: it has no pictures, or no flow where "of" is asked, or u and v differ in number.
    """
    folder = Path(folder)
    rgb, u, v = (_pictures(folder / kind) for kind in ("rgb", "u", "v"))
    if "rgb" in streams and not rgb:
        raise InputError(
            f"{folder} has no pictures in rgb/; delete it, or look with `edgekit prepare check-actions`."
        )
    if "of" in streams and not (u and len(u) == len(v)):
        what = "no flow in u/ and v/" if not (u or v) else f"{len(u)} pictures in u/, but {len(v)} in v/"
        raise InputError(f"{folder} has {what}; make it with `edgekit prepare actions --out SET --flow dis`.")
    return ActionClip(folder.name, label, folder, rgb, u, v)


def class_folders(root: Path | str) -> list[Path]:
    """The folders of a set's classes, sorted.

    Raises:
        InputError: there is no such folder.
    """
    if not Path(root).is_dir():
        raise InputError(f"{root} is no folder; give the one that holds a folder for each class.")
    return _folders(Path(root))


def sides(root: Path | str) -> dict[str, Path]:
    """The sides of a set that is split and their folders: "train", "test"; else "" alone, the set itself.

    Clips beside the two folders make a third side, "". A folder "train" that holds clips itself is a class.
    """
    found = {}
    for split in SPLITS:
        folder = Path(root) / split
        if folder.is_dir() and not any((one / "rgb").is_dir() for one in clip_folders(folder)):
            found[split] = folder
    if not found or any(folder.name not in found for folder in class_folders(root)):
        found[""] = Path(root)
    return found


def all_clips(root: Path | str) -> list[tuple[str, Path]]:
    """The clips of a set, split or not: side and folder, sorted."""
    found = sides(root)
    return [
        (side, clip)
        for side, folder in sorted(found.items())
        for label in class_folders(folder)
        if side or label.name not in found
        for clip in clip_folders(label)
    ]


def clip_folders(folder: Path) -> list[Path]:
    """The folders of a class's clips, sorted."""
    return _folders(folder)


def count_classes(root: Path | str) -> dict[str, int]:
    """How many clips each class has, 0 for an empty one; {} where the set is not there yet."""
    if not Path(root).is_dir():
        return {}
    return {folder.name: len(clip_folders(folder)) for folder in class_folders(root)}


def read_note(folder: Path) -> dict[str, Any]:
    """What `write_clip` noted of a clip; {} where it did not, or the note is damaged."""
    with suppress(OSError, ValueError):
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        return note if isinstance(note, dict) else {}
    return {}


def is_name(text: str) -> bool:
    """Whether a class or a clip may be called so: it is a folder's name."""
    return bool(text.strip()) and not text.startswith(".") and not set(text) & set("/\\\0\n\r")


def write_clip(
    root: Path | str,
    label: str,
    name: str,
    frames: Iterable[NDArray[np.uint8]],
    *,
    flow: FindFlow | None = None,
    fps: float | None = None,
    replace: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a clip: whole, or not at all.

    Args:
        root: of the set.
        label: the class.
        name: of the clip.
        frames: uint8 [H, W, 3] BGR of one size, consumed as they come.
        flow: `edgekit.ops.flow.open_flow`'s; None: no `u` and `v`.
        fps: pictures a second, noted.
        replace: take the place of a clip of this name.
        facts: what else is noted.

    Returns:
        The clip's folder.

    Raises:
        InputError: no frame (with flow: fewer than two), frames of other forms, a name that is no folder's,
            or one that is taken.
        EdgekitError: it cannot be written.
    """
    root = Path(root)
    for what, text in (("class", label), ("clip", name)):
        if not is_name(text):
            raise InputError(f"{text!r} is no name for a {what}: not empty, no slash, no dot in front.")
    target, part = root / label / name, root / ".part" / label / name
    if target.exists() and not replace:
        raise InputError(f"{target} is there already; give the clip another name.")
    try:
        shutil.rmtree(part, ignore_errors=True)
        count, size = _write_pictures(part, frames, flow)
        if count < (2 if flow else 1):
            raise InputError(f"{label}/{name}: {count} pictures; it takes one, and two for optical flow.")
        made = {"frames": count, "width": size[0], "height": size[1], "fps": fps}
        method = getattr(flow, "name", "own") if flow else None
        note = json.dumps({**made, "flow": method, **(facts or {})}, ensure_ascii=False, indent=1)
        (part / NOTE).write_text(note + "\n", encoding="utf-8")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        part.replace(target)
    except OSError as error:
        raise cannot_write(root, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        for folder in (part.parent, part.parent.parent):  # TAO's reader takes all in the root for a class
            with suppress(OSError):  # others write there
                folder.rmdir()
    return target


def _write_pictures(
    part: Path, frames: Iterable[NDArray[np.uint8]], flow: FindFlow | None
) -> tuple[int, tuple[int, int]]:
    """Write all pictures; returns how many, and their (width, height)."""
    for kind in ("rgb", "u", "v") if flow else ("rgb",):
        (part / kind).mkdir(parents=True)
    before: NDArray[np.uint8] | None = None
    count = 0
    for frame in _checked(frames):
        (part / "rgb" / f"{count:06d}.png").write_bytes(encoded(".png", frame))
        if flow is not None and before is not None:
            for kind, grey in zip(("u", "v"), flow_to_grey(flow(before, frame)), strict=True):
                (part / kind / f"{count - 1:06d}.jpg").write_bytes(encoded(".jpg", grey))
        before = frame
        count += 1
    return count, (0, 0) if before is None else (before.shape[1], before.shape[0])


def _checked(frames: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    shape: tuple[int, ...] = ()
    for index, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise InputError(f"frame {index} is {frame.dtype} {list(frame.shape)}; uint8 [H, W, 3] is taken.")
        shape = shape or frame.shape
        if frame.shape != shape:
            raise InputError(f"frame {index} is {list(frame.shape)}, the first one {list(shape)}; resize it.")
        yield frame


def encoded(ending: str, image: NDArray[np.uint8]) -> bytes:
    """A picture as a file's bytes; JPEGs with quality 95, OpenCV's own."""
    good, data = cv2.imencode(ending, image)
    assert good
    return data.tobytes()


def _videos(folder: Path, label: str, streams: Sequence[str]) -> list[ActionClip]:
    unknown = set(streams) - set(STREAMS)
    if unknown or not streams:
        raise InputError(f"the stream {', '.join(unknown) or 'nothing'} is unknown; it is rgb, of or both.")
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; give a class's folder, whose clips lie at VIDEO/rgb/.")
    return [read_clip(one, label, streams=streams) for one in clip_folders(folder)]


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.is_dir())


def _pictures(folder: Path) -> tuple[Path, ...]:
    """The pictures of a folder by name: TAO counts them in this order too; () where it is not there."""
    try:
        inside = sorted(p.name for p in folder.iterdir())
    except OSError:
        return ()
    return tuple(folder / n for n in inside if n.lower().endswith(ENDINGS) and not n.startswith("."))
