"""Finished rows on disk: one JSON line each, appended whole, so that a sweep can be gone on with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, InputError

Row = dict[str, Any]
NAME = "rows.jsonl"


class Rows:
    """The rows of `folder/rows.jsonl`, by key; only in memory where there is no folder.

    A last line that was cut by a kill is dropped. Of several rows with one key the newest counts.

    Raises:
        InputError: the file holds something else.
    """

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / NAME
        self.rows: dict[str, Row] = {}
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(
                    f"{self.path.parent} cannot be a folder of results: {error.strerror}."
                ) from error
            if self.path.is_file():
                self._read(self.path)

    def _read(self, path: Path) -> None:
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.truncate(path, whole)
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                row = json.loads(line)
                self.rows[row["key"]] = row
            except (ValueError, KeyError, TypeError):
                raise InputError(
                    f"{path}, line {number} is no row of `edgekit bench`; move the file away."
                ) from None

    def __contains__(self, key: str) -> bool:
        """Whether a case is measured. One that failed is not."""
        return key in self.rows and "failed" not in self.rows[key]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows.values())

    def add(self, row: Row) -> None:
        """Append a row, flushed to the disk.

        Raises:
            EdgekitError: the disk is full or cannot be written to.
        """
        self.rows[row["key"]] = row
        if self.path is None:
            return
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
        before = self.path.stat().st_size if self.path.is_file() else 0
        try:
            with open(self.path, "ab", buffering=0) as file:
                written = file.write(line)
                if written != len(line):
                    raise OSError(28, os.strerror(28))
                os.fsync(file.fileno())
        except OSError as error:
            if self.path.is_file():
                os.truncate(self.path, before)  # no half line
            raise EdgekitError(f"{self.path} cannot be written ({error.strerror}).") from error
