"""A hundred openings of every kind of source leave no thread, descriptor or process behind."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from clips import make_video, moving_square

from edgekit import open_source

TIMES = 100


def held() -> tuple[int, int, int]:
    """Threads, descriptors and children of this process."""
    gc.collect()
    me = psutil.Process()
    return threading.active_count(), me.num_fds(), len(me.children())


def cycles(use: Callable[[], None]) -> None:
    """Use it once, so that what is opened once for all is open; then it must stay as it is."""
    use()
    before = held()
    for _ in range(TIMES):
        use()
    assert held() == before


@pytest.fixture
def specs(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "folder"
    folder.mkdir()
    for n in range(3):
        cv2.imwrite(str(folder / f"{n}.png"), np.full((20, 30, 3), n, np.uint8))
    clip = make_video(tmp_path / "clip.mp4", moving_square(6))
    return {"file": clip, "folder": folder, "picture": folder / "0.png"}


@pytest.mark.parametrize("upto", [0, 1, 1000])
@pytest.mark.parametrize("policy", [None, "latest", "every"])
@pytest.mark.parametrize("kind", ["file", "folder", "synthetic"])
def test_sources_of_files_and_patterns(specs, kind, policy, upto):
    """Closed before the first frame, after it, and at the end."""
    options = {"frames": 5, "size": (90, 60), "realtime": False} if kind == "synthetic" else {}

    def use() -> None:
        with open_source(specs.get(kind, kind), policy=policy, **options) as source:
            for count, _ in enumerate(source, 1):
                if count >= upto:
                    break
            source.close()

    cycles(use)


@pytest.mark.parametrize("options", [{"realtime": True}, {"loop": True}, {"realtime": True, "loop": True}])
def test_files_in_real_time_and_in_a_loop(specs, options):
    def use() -> None:
        with open_source(specs["file"], **options) as source:
            next(iter(source))

    cycles(use)


def test_files_that_do_not_open(tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"no video at all" * 50)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"no picture")

    def use() -> None:
        for spec in (tmp_path / "bad.mp4", tmp_path / "bad", "/dev/video97"):
            with pytest.raises(Exception, match=r"bad|video97"):
                open_source(spec)

    cycles(use)


@pytest.mark.parametrize(
    "use",
    [
        "with UsbCamera(node): pass",
        "with UsbCamera(node, fps=60) as camera: next(iter(camera))",
        "with Reader(open_usb(node, fps=60)) as source: next(iter(source))",
        "refused(size=(1, 1))",
    ],
)
def test_usb_cameras(cameras, use):
    cameras.plug_in()
    said = cameras.run(f"""
        import gc
        from edgekit.camera import Reader
        def refused(**options):
            try:
                UsbCamera(node, **options)
            except EdgekitError:
                return
            raise AssertionError("opened")
        def held():
            gc.collect()
            tables = ("/proc/self/fd", "/proc/self/task")
            return threading.active_count(), *(len(os.listdir(table)) for table in tables)
        def mapped():
            return Path("/proc/self/maps").read_text().count("memfd:frame")
        def use():
            {use}
        use()
        before = held()
        for _ in range({TIMES}):
            use()
        say(before=before, after=held(), mapped=mapped())
    """)
    assert said["after"] == said["before"]
    assert said["mapped"] == 0
