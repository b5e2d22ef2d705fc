"""Reading Darknet's two files: the `.cfg` (a list of sections) and the `.weights` (a header and float32)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import InputError


@dataclass(frozen=True)
class Section:
    """One `[kind]` of a cfg file: its options as text, and where it stands, for messages."""

    kind: str
    options: dict[str, str]
    where: str  # "yolov3.cfg, line 12"

    def text(self, key: str, default: str = "") -> str:
        return self.options.get(key, default)

    def number(self, key: str, default: int) -> int:
        """An integer option; InputError when it is not one."""
        try:
            return int(self.options.get(key, default))
        except ValueError:
            raise self.error(f"{key}={self.options[key]} is not a whole number") from None

    def real(self, key: str, default: float) -> float:
        """A single number; InputError when it is not one."""
        return (self.numbers(key) or [default])[0]

    def numbers(self, key: str) -> list[float]:
        """A comma-separated option as floats, empty when it is absent."""
        try:
            return [float(part) for part in self.text(key).split(",") if part.strip()]
        except ValueError:
            raise self.error(f"{key}={self.text(key)} is not a list of numbers") from None

    def error(self, what: str) -> InputError:
        return InputError(f"{self.where}, [{self.kind}]: {what}.")


def read_cfg(path: Path | str) -> list[Section]:
    """Sections of a Darknet cfg, `[net]` first.

    Raises:
        InputError: the file cannot be read, is no cfg, or does not begin with `[net]`.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8", errors="strict").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the cfg {path}: {error}.") from error
    sections: list[Section] = []
    for count, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            sections.append(Section(line[1:-1].strip(), {}, f"{path.name}, line {count}"))
        elif "=" in line and sections:
            key, value = line.split("=", 1)
            sections[-1].options[key.strip()] = value.split("#")[0].strip()
        else:
            raise InputError(f"{path.name}, line {count}: {line[:40]!r} is neither [section] nor key=value.")
    if not sections or sections[0].kind not in ("net", "network"):
        raise InputError(f"{path.name} does not begin with [net]: it is no Darknet cfg.")
    return sections


class Weights:
    """The floats of a `.weights` file, taken in the order Darknet wrote them.

    Layout (Darknet's `parser.c`): int32 major, minor, revision; the count of pictures seen, 64 bits wide
    from version 0.2 on and 32 bits before; then float32, little-endian.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        try:
            self.found = self.path.stat().st_size
            header = np.fromfile(self.path, "<i4", 3)
        except OSError as error:
            raise InputError(f"cannot read the weights {self.path}: {error}.") from error
        if len(header) < 3:
            raise InputError(f"{self.path} has {self.found} bytes: it is no Darknet weights file.")
        major, minor = int(header[0]), int(header[1])
        if not (0 <= major < 1000 and 0 <= minor < 1000):
            raise InputError(
                f"{self.path} begins with version {major}.{minor}: it is no Darknet weights file "
                "(a PyTorch .pt file, or an error page saved under this name?)."
            )
        self.header = 20 if major * 10 + minor >= 2 else 16
        floats = max(0, self.found - self.header) // 4
        self.data = np.memmap(self.path, "<f4", "r", self.header, (floats,)) if floats else None
        self.taken = 0

    def take(self, *shape: int) -> NDArray[np.float32]:
        """The next floats as an array of `shape`; zeros past the end (`check_size` then objects)."""
        count = int(np.prod(shape))
        start, self.taken = self.taken, self.taken + count
        if self.data is None or self.taken > len(self.data):
            return np.zeros(shape, np.float32)
        return np.asarray(self.data[start : self.taken], np.float32).reshape(shape)

    def check_size(self, cfg: Path | str) -> None:
        """InputError unless exactly the bytes that the cfg asks for were in the file."""
        wanted = self.header + 4 * self.taken
        if wanted != self.found:
            raise InputError(
                f"{self.path} has {self.found} bytes, but {Path(cfg).name} wants {wanted}: the download is "
                "incomplete, or the weights belong to another cfg."
            )
