"""What the tests with GStreamer need: both routes, servers as children, counts of what leaks."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

#: Where Debian and Ubuntu put PyGObject, for their own Python.
DEBIAN = Path("/usr/lib/python3/dist-packages/gi")
ROUTES = ("PyGObject", "gst-launch")


def gi_folder() -> str | None:
    """A folder for `sys.path` that holds the system's PyGObject and nothing else; "" where none is needed.

    None: there is no PyGObject for this version of Python (its extension module names the version).
    """
    if importlib.util.find_spec("gi") is not None:
        return ""
    if not (DEBIAN / f"_gi{sysconfig.get_config_var('EXT_SUFFIX')}").exists():
        return None
    folder = Path(tempfile.gettempdir()) / f"edgekit-tests-gi-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / "gi").symlink_to(DEBIAN)
    return str(folder)


def take(route: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `route` the one that pipelines take in this test."""
    from edgekit.camera import gstreamer

    if route == "PyGObject":
        folder = gi_folder()
        if folder is None:
            pytest.skip(f"no PyGObject for Python {sysconfig.get_python_version()} (apt install python3-gi)")
        monkeypatch.delenv("EDGEKIT_GSTREAMER", raising=False)
        if folder:
            monkeypatch.syspath_prepend(folder)
    else:
        monkeypatch.setenv("EDGEKIT_GSTREAMER", "gst-launch")
    assert gstreamer.route() == route


def python_with_gi() -> str:
    """A Python that can run GStreamer's RTSP server."""
    check = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    for python in ("/usr/bin/python3", sys.executable, shutil.which("python3") or "python3"):
        with contextlib.suppress(OSError):
            if subprocess.run([python, "-c", check], capture_output=True, check=False).returncode == 0:
                return python
    pytest.fail("no Python here has the RTSP server; apt install python3-gi gir1.2-gst-rtsp-server-1.0")


class RtspServer:
    """tests/camera/rtsp_server.py as a child; `kill` is kill -9."""

    def __init__(self, *arguments: str, port: int = 0) -> None:
        script = Path(__file__).with_name("rtsp_server.py")
        self._child = subprocess.Popen(
            [python_with_gi(), str(script), str(port), *arguments], stdout=subprocess.PIPE, text=True
        )
        line = self._child.stdout.readline()  # type: ignore[union-attr]
        if not line:
            self.kill()
            pytest.fail("the RTSP server did not start")
        self.port = int(line)

    def url(self, path: str, user: str = "") -> str:
        return f"rtsp://{user}{'@' if user else ''}127.0.0.1:{self.port}{path}"

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()
        self._child.stdout.close()  # type: ignore[union-attr]


@contextlib.contextmanager
def child(*words: str) -> Iterator[subprocess.Popen]:
    """A process of its own for the time of a `with`."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until `true()`; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not so after {seconds:g} s"
        time.sleep(0.02)


def children() -> set[int]:
    """Process ids of this process's children, zombies too."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def held() -> tuple[int, int, set[int]]:
    """Open descriptors, threads of Python, children."""
    return len(os.listdir("/proc/self/fd")), threading.active_count(), children()  # noqa: PTH208 - no leak of its own


def fake_tool(folder: Path, name: str, text: str) -> None:
    """An executable script `name` in `folder`."""
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
