"""`edgekit models`: list, show, fetch, add and verify what is on the shelf."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from edgekit.models.shelf import Model, model, models
from edgekit.models.store import add, digest, fetch


def add_parser(subparsers: Any) -> None:
    """Add `models` to the subcommands of `edgekit`."""
    parser = subparsers.add_parser("models", help="what is on the shelf: list, show, fetch, add, verify")
    parser.set_defaults(run=run, action="list", json=False)
    actions = parser.add_subparsers(metavar="ACTION")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        one = actions.add_parser(name, help=text, description=text)
        one.set_defaults(action=name)
        return one

    for one in (parser, action("list", "every model, and what can be used now")):
        one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as JSON")
    one = action("show", "all that the shelf knows of a model, and how to get it")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="as JSON")
    one = action("fetch", "download a model and check it")
    one.add_argument("name", metavar="NAME")
    one.add_argument("--sha256", metavar="HEX", help="the hash you trust, where the shelf has none")
    one = action("add", "put your own export on the shelf; its hash is remembered")
    one.add_argument("name", metavar="NAME")
    one.add_argument("file", metavar="FILE.onnx")
    action("verify", "hash every file that is here again")


def run(args: argparse.Namespace) -> int:
    """Carry out one `edgekit models` command; returns the exit code."""
    if args.action == "fetch":
        sys.stdout.write(f"{fetch(args.name, args.sha256)}\n")
        return 0
    if args.action == "add":
        one = add(args.name, args.file)
        sys.stdout.write(f"{one.path}\nSHA-256 {one.sha256}\n")
        return 0
    if args.action == "verify":
        return _verify()
    if args.action == "show":
        return _show(model(args.name), args.json)
    return _list(args.json)


def _state(one: Model) -> str:
    """What the user can do with a model, in a word or two."""
    if one.available:
        return "ready"
    return {"shipped": "missing", "url": "fetch it", "export": "export it"}[one.source]


def _input(one: Model) -> str:
    return "×".join(map(str, one.sides))


def _as_dict(one: Model) -> dict[str, Any]:
    return asdict(one) | {"path": str(one.path), "available": one.available}


def _list(as_json: bool) -> int:
    shelf = list(models().values())
    if as_json:
        sys.stdout.write(json.dumps([_as_dict(one) for one in shelf], indent=1) + "\n")
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for title in ("model", "task", "recipe", "input", "licence", "MB", "now"):
        table.add_column(title, justify="right" if title in ("input", "MB") else "left", no_wrap=True)
    for one in shelf:
        size = one.bytes or sum(part.bytes for part in one.parts)
        row = [one.name, one.task, one.recipe, _input(one), one.licence.split(" (")[0]]
        state = f"[green]{_state(one)}[/]" if one.available else _state(one)
        table.add_row(*row, f"{size / 1e6:.1f}" if size else "", state)
    console = Console(highlight=False)
    console.print(table)
    console.print("\nfetch it: edgekit models fetch NAME; export it: edgekit models show NAME")
    return 0


def _show(one: Model, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps(_as_dict(one), indent=1) + "\n")
        return 0
    names = ", ".join(one.names[:4]) + (f", … ({len(one.names)})" if len(one.names) > 4 else "")
    rows = [
        ("task", one.task),
        ("licence", one.licence),
        ("origin", one.origin),
        ("recipe", f"{one.recipe}, {_input(one)} {one.colour}, border {one.pad}"),
        ("keypoints", one.topology),
        ("classes", names),
        *[(figure.what, f"{figure.value:g} ({figure.source})") for figure in one.figures],
        ("file", f"{one.path} ({_state(one)})"),
        ("SHA-256", one.sha256 or ("of each download" if one.parts else "none is published")),
        ("its source", one.added or one.sha256_source),
        ("downloads", " ".join([one.url, *[part.url for part in one.parts]]).strip()),
        ("note", one.note),
    ]
    lines = [f"{one.name}", *[f"  {key:<22} {value}" for key, value in rows if value]]
    if not one.available and one.source != "export":
        lines.append(f"  to get it              {one.cure}")
    if one.export:
        lines += [
            "",
            "To make the file yourself:",
            *[f"  {line}" for line in one.export.strip().splitlines()],
        ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _verify() -> int:
    """Hash every file again; exit code 2 when one is damaged."""
    bad = 0
    for one in models().values():
        if not one.path.is_file():
            state = f"not here ({_state(one)})"
        elif not one.sha256:
            state = "no SHA-256 is known"
        elif digest(one.path) == one.sha256:
            state = "ok"
        else:
            state, bad = f"DAMAGED: delete {one.path}; {one.cure}", bad + 1
        sys.stdout.write(f"{one.name:<16} {state}\n")
    return 2 if bad else 0
