"""What `edgekit label` labels: pictures, lists of them, frames of a video, and the boxes known of them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError

if TYPE_CHECKING:
    from edgekit.label.file import LabelFile

#: A picture to label: where it is, the picture, the known boxes.
Item = tuple[Path, NDArray[np.uint8], "Known | None"]
#: Boxes [N, 4] of people and of regions to be ignored.
Known = tuple[NDArray[np.float32], NDArray[np.float32]]


def pictures(args: argparse.Namespace, bad: list[str]) -> Any:
    """What gives the pictures that a file lacks, one by one; what cannot be read is told in `bad`.

    Raises:
        InputError: there are none, or no boxes for them.
    """
    from edgekit.camera import SAMPLES
    from edgekit.camera.pictures import PICTURES, picture_paths, read_picture

    path = SAMPLES.get(args.pictures, Path(args.pictures).expanduser())
    known = known_boxes(args.boxes, args.classes) if args.boxes else None
    if path.is_file() and path.suffix.lower() not in (*PICTURES, ".txt"):
        if known is not None:
            raise InputError("--boxes is for pictures; a video has none.")
        return lambda file: video_frames(path, args.every, file, args.force)
    paths = listed(path) if path.suffix.lower() == ".txt" else picture_paths(path)
    if not paths:
        raise InputError(
            f"{path} is no picture, video, list or folder of pictures; it knows {', '.join(PICTURES)}."
        )
    if known is not None and not any(p.stem in known for p in paths):
        raise InputError(
            f"--boxes {args.boxes} knows none of the pictures of {path}; names must be the same."
        )

    def read(file: LabelFile) -> Iterator[Item]:
        for one in paths:
            if file.has(one):
                continue
            try:
                image = read_picture(one)
            except InputError as error:
                bad.append(str(error))
                continue
            boxes = None
            if known is not None:
                sides = np.tile(image.shape[1::-1], 2)
                people, regions = known.get(one.stem, (np.zeros((0, 4)), np.zeros((0, 4))))
                boxes = (people * sides).astype(np.float32), (regions * sides).astype(np.float32)
            yield one, image, boxes

    return read


def listed(path: Path) -> list[Path]:
    """The pictures of a list; relative ones are looked for from the list's folder."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a list of pictures: {error}.") from error
    return [path.parent / line.strip() for line in lines if line.strip() and not line.startswith("#")]


def known_boxes(data: str, classes: list[str] | None) -> dict[str, tuple[NDArray, NDArray]]:
    """By a picture's name without suffix: boxes and regions to be ignored, as shares of its sides.

    Raises:
        InputError: the data set cannot be read or has no such class.
    """
    from edgekit.evaluate.data import read_data

    read = read_data(data)
    names = list(read.names)
    wanted = classes or (["person"] if "person" in names else names)
    kept = [names.index(name) for name in wanted if name in names]
    if names and not kept:
        raise InputError(f"{data} has no class {wanted[0]!r}; it has {', '.join(names[:8])}.")
    found = {}
    for one in read.pictures:
        mine = np.isin(one.labels, kept) if names else np.ones(len(one.boxes), bool)
        found[one.path.stem] = (one.boxes[mine & ~one.ignore], one.boxes[mine & one.ignore])
    return found


def video_frames(path: Path, every: int, file: LabelFile, force: bool) -> Iterator[Item]:
    """Every Nth frame, which is saved in images/ beside the labels and labelled as saved.

    Raises:
        InputError: there is another picture of a frame's name, and `force` is not set.
    """
    import cv2

    from edgekit.camera import open_source
    from edgekit.camera.pictures import read_picture
    from edgekit.label.file import write_whole

    with open_source(path) as source:
        for frame in source:
            place = file.path.parent / "images" / f"{path.stem}_{frame.index:06d}.jpg"
            if frame.index % every or file.has(place):
                continue
            data = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
            if place.exists() and place.read_bytes() != data and not force:
                raise InputError(f"{place} is another picture; give another --out, or --force.")
            write_whole(place, data)
            yield place, read_picture(place), None
