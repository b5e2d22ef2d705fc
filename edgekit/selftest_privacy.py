"""What leaves a machine in a self-test's file holds no names, addresses, numbers or paths of its owner."""

from __future__ import annotations

import ipaddress
import os
import pwd
import re
import socket
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgekit.files import PACKAGE
from edgekit.limits import read_text

#: Names that say nothing about anybody, as systems come with them; words of a sentence, too.
COMMON = frozenset(
    re.findall(
        r"\w+",
        """
    root user users ubuntu debian nvidia jetson orin nano thor xavier tegra linux localhost localdomain pi
    admin administrator test tester student students guest demo docker edge edgekit home host desktop the of
    """,
    )
)
#: Files that hold what is this machine's alone, below the root.
NUMBERS = (
    "etc/machine-id",
    "etc/hostname",
    "proc/device-tree/serial-number",
    "sys/firmware/devicetree/base/serial-number",
    "sys/class/dmi/id/product_serial",
    "sys/class/dmi/id/board_serial",
    "sys/class/dmi/id/product_uuid",
    "proc/sys/kernel/random/boot_id",
)
VARIABLES = ("USER", "LOGNAME", "SUDO_USER", "USERNAME", "HOSTNAME", "NAME", "JUPYTERHUB_USER")
#: What looks like an address or a number of one machine, and what stands in its place. TensorRT's versions
#: have four parts as an address has; they are known by the word before them.
PATTERNS = tuple(
    (re.compile(pattern), place)
    for pattern, place in (
        (r"\b[\w.+-]+@[\w-]+\.[\w.-]+\b", "<mail>"),
        (r"\b[a-z][a-z0-9+]*://[^\s'\"<>]+", "<address>"),
        (r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b", "<mac>"),
        (r"\b(?:GPU-|MIG-)?[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\b", "<uuid>"),
        (r"(?i)(?<!tensorrt )(?<!tensorrt-)(?<!rtx )(?<!trt)\b\d{1,3}(?:\.\d{1,3}){3}\b", "<ip>"),
        (r"(?i)(\bserial(?:[ _-]?(?:no|number))?\b\s*[:=#]?\s*)[\w-]*\d[\w-]*", r"\1<serial>"),
        (r"/(?:home|Users|media|mnt|run/media)/[^\s:;,'\")]*", "<path>"),
        (r"/dev/v4l/by-(?:id|path)/\S+", "/dev/v4l/<camera>"),
    )
)
#: What may be an IPv6 address; times of day look like one.
COLONS = re.compile(r"(?<![\w:.])[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?![\w:])")


@lru_cache(maxsize=4)
def secrets(root: Path = Path("/")) -> tuple[tuple[str, str], ...]:
    """What is known to be this machine's or its user's, and what stands in its place; the longest first."""
    user = pwd.getpwuid(os.geteuid()) if _known() else None
    names = {os.environ.get(name, "") for name in VARIABLES}
    names |= {user.pw_name, *re.split(r"[,\s]+", user.pw_gecos)} if user else set()
    hosts = {socket.gethostname(), os.uname().nodename}
    hosts |= {host.partition(".")[0] for host in hosts}
    numbers = {(read_text(root / name) or "").strip("\0\n ") for name in NUMBERS}
    numbers |= {read_text(path) or "" for path in root.glob("sys/class/net/*/address")}
    folders = {str(PACKAGE.parent): "<edgekit>", str(Path.cwd()): "<here>", str(Path.home()): "~"}
    folders |= {sys.prefix: "<python>"}
    folders |= {user.pw_dir: "~"} if user else {}
    found = {text: "<name>" for text in names | hosts if len(text) > 1 and text.lower() not in COMMON}
    found |= {text: "<number>" for text in numbers if len(text) > 3 and not set(text) <= set("0:-")}
    found |= {text: place for text, place in folders.items() if len(text) > 1}
    return tuple(sorted(found.items(), key=lambda pair: -len(pair[0])))


def _known() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:  # a container may run a user without a name
        return False
    return True


def clean(value: Any, root: Path = Path("/")) -> Any:
    """A copy of a JSON value in whose texts nothing personal stands; keys stay as they are."""
    if isinstance(value, str):
        return _clean_text(value, secrets(root))
    if isinstance(value, dict):
        return {key: clean(one, root) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [clean(one, root) for one in value]
    return value


def _clean_text(text: str, known: Iterable[tuple[str, str]]) -> str:
    for secret, place in known:
        if secret.lower() in text.lower():
            pattern = rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])"
            text = re.sub(pattern, place, text, flags=re.IGNORECASE)
    for address, place in PATTERNS:
        text = address.sub(place, text)
    return COLONS.sub(_ip, text)


def _ip(found: re.Match[str]) -> str:
    try:
        ipaddress.ip_address(found[0].rstrip(".:") or "::")
    except ValueError:
        return found[0]
    return "<ip>"
