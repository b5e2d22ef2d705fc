"""One file from the network: resumed, bounded, verified, and never half-written under its own name."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from edgekit.errors import InputError, MissingError
from edgekit.files import sha256
from edgekit.models.shelf import Part

if TYPE_CHECKING:
    import requests

TIMEOUT = (10.0, 30.0)  # seconds to connect, and between two blocks
PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds before each further try; a try that got bytes starts over
MAX_BYTES = 2 << 30  # for a file whose length the shelf does not know
MAX_REDIRECTS = 5
BLOCK = 1 << 14  # what a cut connection loses at most
LOCAL = ("localhost", "127.0.0.1", "::1")
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class _BrokenError(Exception):
    """A try that failed and may succeed when repeated."""


def offline() -> bool:
    """Whether EDGEKIT_OFFLINE forbids the network."""
    return os.environ.get("EDGEKIT_OFFLINE", "") not in ("", "0")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of `path` against other processes; the kernel frees it when this one ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path.with_name(f".{path.name}.lock"), "w")  # noqa: SIM115  # closed below
    except OSError as error:
        raise InputError(f"cannot write in {path.parent}: {error}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stderr.write(f"another process is at work on {path.name}; waiting for it\n")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def get(part: Part, folder: Path, usable: Callable[[], str], progress: bool = True) -> Path:
    """Download `part` into `folder` and return its path; a file that is there and right is left alone.

    What an interrupted download got stays beside it as `NAME.part` and is continued by the next call.

    Args:
        usable: says in a sentence which models can be used now, for the message when the network fails.

    Raises:
        MissingError: offline, server unreachable or failing, disk full.
        InputError: the address is wrong or not https, or what came is not the file that is meant.
    """
    final = folder / part.file
    with locked(final):
        if final.is_file() and sha256(final) == part.sha256:
            return final
        if offline():
            raise MissingError(f"EDGEKIT_OFFLINE is set, so {part.file} is not downloaded. {usable()}")
        partial = final.with_name(f"{final.name}.part")
        resumed = partial.is_file() and partial.stat().st_size > 0
        _download(part, partial, usable, progress)
        if not _right(part, partial) and resumed:  # the file may have changed since the first half came
            _download(part, partial, usable, progress)
            _right(part, partial)
        if not partial.is_file():
            raise InputError(
                f"{part.url} did not give the file that the shelf means (SHA-256 is not "
                f"{part.sha256[:12]}…); the download was removed. Try again; if it stays so, the file on the "
                "server was replaced."
            )
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        partial.replace(final)
        return final


def _right(part: Part, partial: Path) -> bool:
    """Whether the download has the SHA-256 wanted; it is removed when it has not."""
    if sha256(partial) == part.sha256:
        return True
    partial.unlink()
    return False


def _download(part: Part, partial: Path, usable: Callable[[], str], progress: bool) -> None:
    """Bring `partial` to its full length, trying again after what may pass."""
    import requests
    from requests.exceptions import ChunkedEncodingError

    failed, best = 0, _length(partial)
    with requests.Session() as session:
        while True:
            try:
                return _attempt(session, part, partial, progress)
            except (_BrokenError, requests.ConnectionError, requests.Timeout, ChunkedEncodingError) as error:
                reason: Exception = error
            except requests.RequestException as error:
                raise InputError(f"cannot download {part.url}: {error}.") from error
            except OSError as error:
                raise _disk(error, part, partial) from error
            failed = 0 if _length(partial) > best else failed + 1
            best = max(best, _length(partial))
            if failed >= len(PAUSES):
                kept = f" ({_length(partial)} bytes are kept and will be continued)" if best else ""
                raise MissingError(
                    f"cannot download {part.url}: {_short(reason)}{kept}. Check the network (behind a proxy: "
                    "HTTPS_PROXY) and run it again, or take the file to this machine and use "
                    f"`edgekit models add`. {usable()}"
                ) from reason
            time.sleep(PAUSES[failed])


def _attempt(session: requests.Session, part: Part, partial: Path, progress: bool) -> None:
    """One request for what is still missing of `partial`."""
    have = _length(partial)
    limit = part.bytes or MAX_BYTES
    if part.bytes and have == part.bytes:
        return
    if have >= limit:
        partial.unlink()
        have = 0
    with _open(session, part.url, have) as response:
        if response.status_code == 416 and response.headers.get("Content-Range", "") == f"bytes */{have}":
            return  # all of it is here
        start = _start(response, part, have)
        if start is None:  # the server has nothing past what is here: begin again
            partial.unlink(missing_ok=True)
            raise _BrokenError("the server refused to continue the download")
        announced = response.headers.get("Content-Length", "")
        total = start + int(announced) if announced.isdigit() else 0
        if total and (total > limit or (part.bytes and total != part.bytes)):
            partial.unlink(missing_ok=True)
            wanted = f"{part.bytes}" if part.bytes else f"at most {MAX_BYTES}"
            raise InputError(f"{part.url} offers {total} bytes, but {wanted} are wanted: it is another file.")
        _check_space(partial, (total or part.bytes) - start)
        got = _save(response, partial, start, total or part.bytes, limit, part, progress)
    if got < (total or part.bytes or got):
        raise _BrokenError(f"the connection ended after {got} of {total or part.bytes} bytes")


def _open(session: requests.Session, url: str, have: int) -> requests.Response:
    """The response to a GET, redirects followed to https only."""
    headers = {"Accept-Encoding": "identity"}  # else lengths and ranges would count packed bytes
    if have:
        headers["Range"] = f"bytes={have}-"
    for _ in range(MAX_REDIRECTS + 1):
        where = urlsplit(url)
        if where.scheme != "https" and not (where.scheme == "http" and where.hostname in LOCAL):
            raise InputError(f"{url} is not https; edgekit downloads models over https only.")
        response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT, allow_redirects=False)
        if not response.is_redirect:
            return response
        response.close()
        url = urljoin(url, response.headers["Location"])
    raise InputError(f"{url} redirects more than {MAX_REDIRECTS} times.")


def _start(response: requests.Response, part: Part, have: int) -> int | None:
    """The byte at which the body begins; None when the server cannot continue. Raises on error codes."""
    status = response.status_code
    if status == 200:
        return 0
    if status == 206:
        begin = response.headers.get("Content-Range", "").partition("bytes ")[2].partition("-")[0]
        return have if begin == str(have) else None
    if status == 416:
        return None
    if status in (408, 425, 429) or status >= 500:
        raise _BrokenError(f"the server answers {status} {response.reason}")
    raise InputError(
        f"{part.url} answers {status} {response.reason}: the file is not there any more or not public. "
        "If you have it from elsewhere: edgekit models add NAME FILE."
    )


def _save(
    response: requests.Response, partial: Path, start: int, total: int, limit: int, part: Part, progress: bool
) -> int:
    """Write the body behind byte `start`; returns the length reached. What is on disk is always a prefix."""
    from tqdm import tqdm

    bar: Any = tqdm(
        total=total or None,
        initial=start,
        unit="B",
        unit_scale=True,
        desc=part.file,
        disable=None if progress else True,  # None: only on a terminal
    )
    got = start
    with bar, open(partial, "ab" if start else "wb") as file:
        for block in response.iter_content(BLOCK):
            if got + len(block) > limit:
                break
            file.write(block)
            file.flush()
            got += len(block)
            bar.update(len(block))
        else:
            return got
    partial.unlink()
    raise InputError(f"{part.url} sends more than {limit} bytes: it is another file. It was removed.")


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _check_space(partial: Path, missing: int) -> None:
    free = shutil.disk_usage(partial.parent).free
    if missing > free:
        raise OSError(errno.ENOSPC, f"{missing / 1e6:.0f} MB are wanted, {free / 1e6:.0f} MB are free")


def _disk(error: OSError, part: Part, partial: Path) -> Exception:
    if error.errno in FULL:
        return MissingError(
            f"the disk of {partial.parent} is full ({error.strerror}); free some space and run it again: "
            f"{part.file} continues where it stopped."
        )
    return InputError(f"cannot write {partial}: {error}.")


def _short(error: Exception) -> str:
    """The last cause in a chain of network errors: what the user can understand."""
    cause: Any = error
    while getattr(cause, "reason", None) is not None or (cause.args and isinstance(cause.args[0], Exception)):
        cause = getattr(cause, "reason", None) or cause.args[0]
        if isinstance(cause, str):
            return cause
    text = cause.args[0] if cause.args and isinstance(cause.args[0], str) else str(cause)
    return text.rstrip(".")
