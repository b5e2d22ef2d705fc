"""The bookkeeping of a wheelhouse: packages, the kit and models in a folder, for boards without a network.

    python wheelhouse.py missing FOLDER             the lines of packages.txt with no file in packages/
    python wheelhouse.py prune FOLDER               remove what packages.txt does not name or is damaged
    python wheelhouse.py write FOLDER KEY=VALUE…    write MANIFEST; KEY=VALUE become its head, "# jetpack: 6"
    python wheelhouse.py verify FOLDER              exit code 1, and the faults, unless all is whole
    python wheelhouse.py value FOLDER KEY           a value of the head; empty where it is absent
    python wheelhouse.py hash FILE…                 one SHA-256 of all of them

MANIFEST has the SHA-256 and the name of every file, as `sha256sum` writes them, which reads it too:
cd FOLDER && sha256sum -c MANIFEST. Needs nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

NAME = "MANIFEST"


def files(folder: Path) -> list[Path]:
    """Every file but the manifest, in order of name; hidden ones (.DS_Store, work files) do not count."""
    found = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and path.name != NAME and not hidden:
            found.append(path)
    return found


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write(folder: Path, head: dict[str, str]) -> str:
    """Write the manifest whole or not at all; the sentence that says what is there."""
    found = files(folder)
    lines = [f"# {key}: {value}" for key, value in head.items()]
    lines += [f"{sha256(path)}  {path.relative_to(folder).as_posix()}" for path in found]
    fresh = folder / f".{NAME}.new"
    fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
    fresh.replace(folder / NAME)
    return f"{len(found)} files, {sum(path.stat().st_size for path in found) / 1e6:.0f} MB in {folder}"


def head(folder: Path) -> dict[str, str]:
    """What the wheelhouse was filled for; empty without a manifest."""
    lines = (folder / NAME).read_text(encoding="utf-8").splitlines() if (folder / NAME).is_file() else []
    pairs = [line[2:].split(": ", 1) for line in lines if line.startswith("# ")]
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def listed(folder: Path) -> dict[str, str]:
    """Name of each file → its SHA-256, as the manifest has them; empty without one."""
    found = {}
    text = (folder / NAME).read_text(encoding="utf-8") if (folder / NAME).is_file() else ""
    for line in text.splitlines():
        if not line.startswith("#"):
            digest, _, name = line.partition("  ")
            found[name] = digest
    return found


def faults(folder: Path) -> list[str]:
    """What is wrong with a wheelhouse, one line each; empty where it is whole."""
    if not (folder / NAME).is_file():
        return [f"{folder} has no {NAME}: it is no wheelhouse, or filling it was interrupted"]
    found = []
    for name, digest in listed(folder).items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif sha256(path) != digest:
            found.append(f"{name} is damaged: not the SHA-256 of the {NAME}")
    here = {path.relative_to(folder).as_posix() for path in files(folder)}
    return found + [f"{name} is not in the {NAME}" for name in sorted(here - set(listed(folder)))]


def plain(text: str) -> str:
    """A name or version as packaging compares it: lower case, every run of - _ . one hyphen."""
    return re.sub(r"[-_.]+", "-", text).lower()


def pins(folder: Path) -> dict[str, str]:
    """Name and version of each package of packages.txt → its line there, "numpy==1.26.4"."""
    text = (folder / "packages.txt").read_text(encoding="utf-8")
    lines = [line.split("#")[0].split(";")[0].strip() for line in text.splitlines()]
    return {"-".join(map(plain, line.split("=="))): line for line in lines if "==" in line}


def packages(folder: Path) -> dict[Path, str]:
    """Each file of packages/ → its name and version."""
    found = {}
    for path in (folder / "packages").glob("*"):
        stem = re.sub(r"\.(tar\.gz|zip|whl)$", "", path.name)
        found[path] = plain("-".join(stem.split("-")[:2]) if path.suffix == ".whl" else stem)
    return found


def main(words: list[str]) -> int:
    verb, folder, *rest = words
    root = Path(folder)
    if verb == "missing":
        here = set(packages(root).values())
        sys.stdout.writelines(f"{line}\n" for key, line in pins(root).items() if key not in here)
    elif verb == "prune":
        wanted, whole = pins(root), listed(root)
        for path, key in packages(root).items():
            damaged = whole.get(f"packages/{path.name}", sha256(path)) != sha256(path)
            if key not in wanted or damaged:
                why = "is damaged" if damaged else "is not needed any more"
                sys.stdout.write(f"Removing {path.name}, which {why}\n")
                path.unlink()
    elif verb == "write":
        sys.stdout.write(write(root, dict(word.split("=", 1) for word in rest)) + "\n")
    elif verb == "value":
        sys.stdout.write(f"{head(root).get(rest[0], '')}\n")
    elif verb == "hash":
        each = [sha256(Path(name)) for name in (folder, *rest)]
        sys.stdout.write(hashlib.sha256(" ".join(each).encode()).hexdigest() + "\n")
    else:
        found = faults(root)
        for line in found[:10]:
            sys.stderr.write(f"  {line}\n")
        if found[10:]:
            sys.stderr.write(f"  and {len(found) - 10} more\n")
        return bool(found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
