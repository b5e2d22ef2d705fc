"""The tables of the experiment spec as text: for `--help`, and as a YAML file with comments to fill in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from edgekit.train.action_fields import Range
from edgekit.train.action_spec import Spec, value_of

#: Text that YAML reads as nothing but itself.
PLAIN = re.compile(r"(?!(?:true|false|yes|no|on|off|null|y|n)$)[A-Za-z/][\w./-]*", re.IGNORECASE)

HEAD = """\
# Experiment spec for action recognition, in the form of TAO's action_recognition.
# A line "# name:" has no value yet: take the "# " away and give one.
#   edgekit train actions -e FILE
#   edgekit evaluate actions -e FILE evaluate.checkpoint=…/ar_model_latest.pth
#   edgekit infer actions -e FILE inference.checkpoint=… inference.inference_dataset_dir=DIR/CLASS
#   edgekit export actions -e FILE export.checkpoint=…
# (*) is this kit's own; TAO does not know it.
"""


def parameters(*sections: str) -> str:
    """A line each: name, default, what it does and what it may be. No sections: all."""
    rows = [
        (name, value_of(Spec(), name), words)
        for name, words in _rows(Spec, "")
        if not sections or name.startswith(tuple(f"{one}." for one in sections))
    ]
    return "\n".join(f"  {name}={written(value)}\n      {words}" for name, value, words in rows)


def commented(spec: Spec | None = None) -> str:
    """The spec as YAML: every parameter with its value, and behind it what it does and what it may be."""
    return HEAD + "\n".join(_yaml(spec or Spec(), 0)) + "\n"


def written(value: Any) -> str:
    """A value in YAML; "" for None."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value if PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(k)}: {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value)


def _rows(kind: type, where: str) -> Iterator[tuple[str, str]]:
    """(dotted name, words) of every parameter of a section."""
    for row in fields(kind):
        inner = row.metadata.get("section")
        if inner:
            yield from _rows(inner, f"{where}{row.name}.")
        else:
            yield where + row.name, _words(row.metadata)


def _words(metadata: Any) -> str:
    allowed: Range = metadata["range"]
    said = "; ".join(filter(None, (metadata["words"], allowed.words)))
    return said + (" (*)" if metadata["here"] else "")


def _yaml(section: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for row in fields(section):
        value = getattr(section, row.name)
        if "section" in row.metadata:
            yield f"{indent}{row.name}:  # {row.metadata['words']}"
            yield from _yaml(value, depth + 1)
            continue
        line = f"{indent}{row.name}: {written(value)}" if value is not None else f"{indent}# {row.name}:"
        words = _words(row.metadata)
        yield f"{line}  # {words}" if words else line
