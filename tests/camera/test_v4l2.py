"""USB cameras, played by v4l2_emulation.c: below the C library's calls everything is real."""

from __future__ import annotations

import ctypes
import subprocess

import numpy as np
import pytest
from v4l2_emulation import WEBCAM

from edgekit import InputError, MissingError
from edgekit.camera import v4l2_ioctl as v4l2
from edgekit.camera.v4l2_modes import Mode, choose

HEADER_CHECK = r"""
#include <linux/videodev2.h>
#include <stddef.h>
#include <stdio.h>
#define CALL(NAME) printf("%s %lu\n", #NAME, (unsigned long)VIDIOC_##NAME);
#define PLACE(STRUCT, MEMBER) printf(#STRUCT "." #MEMBER " %zu\n", offsetof(struct STRUCT, MEMBER));
int main(void) {
    CALLS
    PLACE(v4l2_buffer, timestamp) PLACE(v4l2_buffer, sequence) PLACE(v4l2_buffer, m)
    PLACE(v4l2_buffer, length) PLACE(v4l2_format, fmt.pix.width) PLACE(v4l2_format, fmt.pix.sizeimage)
    PLACE(v4l2_streamparm, parm.capture.timeperframe) PLACE(v4l2_frmsizeenum, stepwise)
    PLACE(v4l2_frmivalenum, discrete) PLACE(v4l2_queryctrl, minimum) PLACE(v4l2_queryctrl, flags)
    PLACE(v4l2_capability, device_caps) PLACE(v4l2_fmtdesc, pixelformat)
    return 0;
}
"""


def test_numbers_and_layouts_are_those_of_the_kernels_header(tmp_path):
    program = HEADER_CHECK.replace("CALLS", " ".join(f"CALL({name})" for name in v4l2.CALLS))
    (tmp_path / "check.c").write_text(program)
    subprocess.run(["cc", "-o", tmp_path / "check", tmp_path / "check.c"], check=True)
    out = subprocess.run([tmp_path / "check"], check=True, capture_output=True, text=True).stdout
    real = {name: int(value) for name, value in (line.split() for line in out.splitlines())}
    for name in v4l2.CALLS:
        assert v4l2.number(name) == real[name], name
    ours = {
        "v4l2_buffer.timestamp": v4l2.Buffer.seconds,
        "v4l2_buffer.sequence": v4l2.Buffer.sequence,
        "v4l2_buffer.m": v4l2.Buffer.offset,
        "v4l2_buffer.length": v4l2.Buffer.length,
        "v4l2_format.fmt.pix.width": v4l2.Format.width,
        "v4l2_format.fmt.pix.sizeimage": v4l2.Format.sizeimage,
        "v4l2_streamparm.parm.capture.timeperframe": v4l2.StreamParameters.numerator,
        "v4l2_frmsizeenum.stepwise": v4l2.FrameSize.values,
        "v4l2_frmivalenum.discrete": v4l2.FrameInterval.values,
        "v4l2_queryctrl.minimum": v4l2.ControlQuery.minimum,
        "v4l2_queryctrl.flags": v4l2.ControlQuery.flags,
        "v4l2_capability.device_caps": v4l2.Capability.device_caps,
        "v4l2_fmtdesc.pixelformat": v4l2.FormatDescription.pixelformat,
    }
    assert {name: member.offset for name, member in ours.items()} == {name: real[name] for name in ours}
    assert ctypes.sizeof(v4l2.Buffer) == 88


def test_opencvs_own_reader_sees_the_emulated_camera_too(cameras):
    """The emulation is no mirror of the product: a client that knows neither works with it."""
    cameras.plug_in()
    said = cameras.run("""
        import cv2
        capture = cv2.VideoCapture(str(node), cv2.CAP_V4L2)
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        read = [capture.read() for _ in range(5)]
        say(numbers=[read_number(image) for good, image in read], size=read[0][1].shape)
        capture.release()
    """)
    assert said["numbers"][0] >= 1  # OpenCV leaves the first one out
    assert said["numbers"] == sorted(set(said["numbers"]))
    assert said["size"] == [240, 320, 3]


READ = """
    with UsbCamera(node{options}) as camera:
        frames = []
        for frame in camera:
            age = time.monotonic() - frame.captured
            frames.append([read_number(frame.image), frame.index, frame.captured, age, frame.t])
            if len(frames) == {count}:
                break
        say(how=camera.how, note=camera.note, size=camera.size, fps=camera.fps, frames=frames,
            dropped=camera.dropped, shape=frame.image.shape, live=camera.live, state=camera.state)
"""


def read(cameras, options="", count=4):
    return cameras.run(READ.format(options=f", {options}" if options else "", count=count))


@pytest.mark.parametrize(
    ("options", "how", "size", "fps"),
    [
        ("", "V4L2 MJPG 320×240 at 30 FPS, exposure auto (EdgeCam HD)", [320, 240], 30),
        ("size=(160, 120)", "MJPG 160×120 at 30 FPS", [160, 120], 30),
        ("fps=60", "MJPG 160×120 at 60 FPS", [160, 120], 60),
        ("fps=15", "MJPG 320×240 at 15 FPS", [320, 240], 15),
        ("format='YUYV'", "YUYV 160×120 at 30 FPS", [160, 120], 30),
        ("exposure=8.3", "exposure 8.3 ms", [320, 240], 30),
        ("exposure='auto'", "exposure auto", [320, 240], 30),
    ],
)
def test_what_is_asked_for_is_given_and_told(cameras, options, how, size, fps):
    cameras.plug_in()
    said = read(cameras, options)
    assert how in said["how"]
    assert (said["size"], said["fps"], said["note"], said["live"]) == (size, fps, "", True)
    assert "asked for" not in said["how"]
    assert said["shape"] == [size[1], size[0], 3]
    numbers, indexes, captured, ages, times = np.array(said["frames"]).T
    assert indexes.tolist() == [0, 1, 2, 3]
    # a machine that is busy with other things loses frames: then they are counted
    assert numbers[-1] - numbers[0] == 3 + said["dropped"]
    np.testing.assert_allclose(np.diff(captured), np.diff(numbers) / fps, atol=2e-3)  # the driver's stamps
    assert (ages > 0).all()
    assert ages.max() < 1
    assert (times == captured).all()


@pytest.mark.parametrize("form", ["YUYV", "UYVY", "NV12", "GREY"])
@pytest.mark.parametrize("padding", [0, 32])
def test_raw_formats_and_longer_rows(cameras, form, padding):
    mode = f"{form}_192x108"
    cameras.film(mode, 4, padding)
    cameras.plug_in(text=f"card Raw\nmode {form} 192 108 30\npadding {padding}\n")
    said = cameras.run("""
        import numpy as np
        from edgekit.camera.synthetic import paint
        with UsbCamera(node) as camera:
            frame = next(iter(camera))
        wanted = paint(0, (192, 108)).astype(float)
        if "GREY" in camera.how:
            wanted = np.repeat((wanted @ [0.114, 0.587, 0.299])[..., None], 3, 2)
        say(off=float(np.abs(frame.image - wanted).mean()), how=camera.how)
    """)
    assert said["off"] < 4
    assert said["how"] == f"V4L2 {form} 192×108 at 30 FPS, exposure not told (Raw)"


def test_an_exposure_longer_than_a_frame_says_what_it_costs(cameras):
    cameras.plug_in()
    assert read(cameras, "exposure=100")["how"].endswith("an exposure of 100 ms allows 10 FPS at most")
    assert "at most" not in read(cameras, "exposure=33")["how"]


def test_an_exposure_stays_in_the_camera_and_is_told(cameras):
    cameras.plug_in()
    said = cameras.run("""
        UsbCamera(node, exposure=12).close()
        with UsbCamera(node) as camera:
            say(left=camera.how)
        with UsbCamera(node, exposure="auto") as camera:
            say(auto=camera.how)
    """)
    assert "exposure 12 ms" in said["left"]
    assert "exposure auto" in said["auto"]


def test_a_range_of_sizes_and_rates(cameras):
    cameras.film("YUYV_200x104", 4)
    cameras.plug_in(text="card Ranged\nrange YUYV 32 1920 8 24 1080 8 1 60\n")
    said = read(cameras, "size=(200, 104), fps=42")
    assert said["how"].startswith("V4L2 YUYV 200×104 at 42 FPS")
    with pytest.raises(AssertionError, match=r"no mode 201×104; near it: YUYV 320×240 at 30 FPS"):
        read(cameras, "size=(201, 104)")


def test_a_driver_that_lists_nothing_is_taken_as_it_is(cameras):
    cameras.plug_in(text="card Plain\nmode YUYV 160 120 30\nunlisted\n")
    assert read(cameras)["how"].startswith("V4L2 YUYV 160×120 at 30 FPS")
    said = read(cameras, "size=(320, 240)")
    assert said["size"] == [160, 120]
    assert said["how"].startswith("V4L2 YUYV 160×120 at 30 FPS (asked for: YUYV 320×240)")


def test_a_camera_that_gives_another_rate_is_found_out(cameras):
    cameras.plug_in(text=WEBCAM + "lies 15\n")
    said = read(cameras, "fps=30")
    assert said["fps"] == 15
    assert said["how"].startswith("V4L2 MJPG 320×240 at 15 FPS (asked for: MJPG 320×240 at 30 FPS)")


def test_without_the_kernels_stamp_the_reading_counts(cameras):
    cameras.plug_in(text=WEBCAM + "unstamped\n")
    ages = [frame[3] for frame in read(cameras)["frames"]]
    assert all(0 <= age < 0.5 for age in ages)


def test_frames_the_driver_lost_are_counted(cameras):
    cameras.plug_in()
    cameras.fault("lossy")  # every fourth
    said = read(cameras, count=9)
    numbers = [frame[0] for frame in said["frames"]]
    assert all(number % 4 != 3 for number in numbers)
    assert [frame[1] for frame in said["frames"]] == list(range(9))
    assert said["dropped"] == numbers[-1] - numbers[0] - 8 >= 2


@pytest.mark.parametrize("words", ["bad", "torn"])
def test_damaged_pictures_are_left_out_and_told(cameras, words):
    cameras.plug_in()
    cameras.fault(words)  # every third, from the second on
    said = read(cameras, count=4)
    assert all(frame[0] % 3 != 1 for frame in said["frames"])
    assert "damaged pictures of the camera were left out" in said["note"]
    assert said["dropped"] == said["frames"][-1][0] - 3 - int(said["note"].split()[0])


OPEN = """
    from edgekit.camera import v4l2_find
    v4l2_find.CONTAINER_MARKS = ()
    start = time.monotonic()
    try:
        UsbCamera(node{options}).close()
        say(kind="", words="")
    except EdgekitError as error:
        say(kind=type(error).__name__, words=str(error))
    say(took=time.monotonic() - start)
    say(fds=len([f for f in os.listdir("/proc/self/fd")]), threads=threading.active_count())
"""


def refused(cameras, options=""):
    said = cameras.run(OPEN.format(options=f", {options}" if options else ""))
    assert said["took"] < 2
    assert said["fds"] <= 4, "a descriptor is left open"
    assert said["threads"] == 1
    return said["kind"], said["words"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("size=(1234, 567)", "has no mode 1234×567; near it: MJPG 320×240 at 30 FPS; MJPG 320×240 at 15 FPS"),
        ("size=(320, 240), fps=120", "has no mode 320×240 at 120 FPS; near it: MJPG 320×240 at 30 FPS"),
        ("format='YUYV', size=(320, 240)", "no mode YUYV 320×240; near it: YUYV 160×120 at 30 FPS"),
        ("format='H264'", "format='H264' is not read here; known are MJPG"),
        ("size=(0, 5)", "size=(0, 5) cannot be"),
        ("fps=-1", "fps=-1 cannot be"),
        ("exposure=300", "exposes for 0.3 to 204.7 ms; exposure=300 is outside"),
        ("exposure='bright'", "exposure='bright' cannot be; give 'auto' or milliseconds"),
    ],
)
def test_a_setting_the_camera_lacks_lists_what_it_has(cameras, options, words):
    cameras.plug_in()
    kind, said = refused(cameras, options)
    assert kind == "InputError"
    assert words in said


@pytest.mark.parametrize("exposure", ["'auto'", "10"])
def test_a_camera_without_exposure_says_so(cameras, exposure):
    cameras.plug_in(text="card Plain\nmode YUYV 160 120 30\n")
    kind, words = refused(cameras, f"exposure={exposure}")
    assert kind == "InputError"
    assert "leave `exposure` out" in words


@pytest.mark.parametrize(
    ("text", "fault", "words"),
    [
        (None, "", "there is no camera {node}; found: none. Plug it in, or use --source sample."),
        (
            WEBCAM,
            "denied",
            "{node} may not be opened; cure: sudo usermod -aG video $USER, then log in again.",
        ),
        (WEBCAM, "busy", "{node} is busy: another program uses it. See which: sudo fuser -v {node}"),
        (WEBCAM, "nospace", "the USB bus has no room for this mode"),
        (
            "card Tape\ncaps output\n",
            "",
            "(Tape) carries no pictures to read; see what does: edgekit sources",
        ),
        ("card vi-output, imx219 9-0010\ndriver tegra-video\nmode RG10 3280 2464 21\n", "", "--source csi:0"),
    ],
)
def test_a_camera_that_does_not_open_says_why_and_what_to_do(cameras, text, fault, words):
    node = cameras.dev / "video0" if text is None else cameras.plug_in(text=text)
    if fault:
        cameras.fault(fault)
    kind, said = refused(cameras)
    assert kind == "MissingError"
    assert words.format(node=node) in said


def test_other_cameras_are_named(cameras):
    cameras.plug_in(2)
    cameras.plug_in(10)
    assert "found: video2, video10." in refused(cameras)[1]


def test_the_second_node_names_the_first(cameras):
    cameras.plug_in(4)
    cameras.plug_in(0, "card EdgeCam HD\nbus usb-0000:00:14.0-1\ncaps metadata\n")
    kind, words = refused(cameras)
    assert kind == "MissingError"
    assert f"carries the camera's metadata; its pictures come from {cameras.dev / 'video4'}." in words


def test_only_raw_sensor_formats_are_named(cameras):
    cameras.plug_in(text="card Industrial\nmode RG10 640 480 30\n")
    kind, words = refused(cameras)
    assert kind == "InputError"
    assert "but RG10" in words


def test_a_file_that_is_no_device(tmp_path):
    from edgekit.camera.v4l2 import UsbCamera

    (tmp_path / "video3").touch()
    with pytest.raises(MissingError, match=r"video3 is no camera: Inappropriate ioctl.*edgekit sources"):
        UsbCamera(tmp_path / "video3")


def test_in_a_container_the_option_is_named(tmp_path, monkeypatch):
    from edgekit.camera import v4l2_find
    from edgekit.camera.v4l2 import UsbCamera

    (tmp_path / "mark").touch()
    monkeypatch.setattr(v4l2_find, "CONTAINER_MARKS", (tmp_path / "mark",))
    with pytest.raises(MissingError, match=r"started with --device .*video0\."):
        UsbCamera(tmp_path / "video0")


HOLD = """
    with UsbCamera(node) as camera:
        next(iter(camera))
        say(ready=True)
        sys.stdin.readline()
"""


def test_who_holds_a_busy_camera_is_named(cameras):
    cameras.plug_in()
    with cameras.start(HOLD) as other:
        assert "ready" in other.stdout.readline()
        kind, words = refused(cameras)
        other.communicate("go\n", timeout=20)
    assert other.returncode == 0
    assert kind == "MissingError"
    assert f"(process {other.pid}) uses it" in words
    assert refused(cameras) == ("", "")


def test_a_camera_this_program_holds_says_so(cameras):
    cameras.plug_in()
    said = cameras.run("""
        with UsbCamera(node) as camera:
            next(iter(camera))
            try:
                UsbCamera(node)
            except MissingError as error:
                say(words=str(error), me=os.getpid())
            say(goes_on=read_number(next(iter(camera)).image))
    """)
    assert f"this very program (process {said['me']}) has it open" in said["words"]
    assert said["goes_on"] >= 1


def test_unplugging_ends_the_frames_with_a_note(cameras):
    cameras.plug_in()
    said = cameras.run("""
        with UsbCamera(node) as camera:
            count, start = 0, None
            for frame in camera:
                count += 1
                if count == 5:
                    node.unlink()
                    start = time.monotonic()
            say(count=count, took=time.monotonic() - start, note=camera.note)
        say(threads=threading.active_count(), fds=len(os.listdir("/proc/self/fd")))
    """)
    assert said["count"] >= 5
    assert f"was unplugged after {said['count']} frames" in said["note"]
    assert said["took"] < 2
    assert (said["threads"], said["fds"] <= 4) == (1, True)


def test_closing_from_another_thread_ends_a_wait_for_a_silent_camera(cameras):
    cameras.plug_in()
    said = cameras.run("""
        camera = UsbCamera(node)
        got, ended = [], threading.Event()
        def look():
            for frame in camera:
                got.append(frame.index)
                if frame.index == 2:
                    (dev / "video0.fault").write_text("freeze")
            ended.set()
        thread = threading.Thread(target=look)
        thread.start()
        time.sleep(3.5)
        say(state=camera.state, waiting=not ended.is_set())
        start = time.monotonic()
        camera.close()
        closed = time.monotonic() - start
        say(closed=closed, ended=ended.wait(2), got=len(got), note=camera.note)
        camera.close()
        thread.join()
        say(threads=threading.active_count(), fds=len(os.listdir("/proc/self/fd")))
    """)
    assert said["waiting"]
    assert "no frame from" in said["state"]
    assert said["closed"] < 2
    assert said["ended"]
    assert said["note"] == ""
    assert (said["threads"], said["fds"] <= 4) == (1, True)


def test_a_camera_silent_for_long_counts_as_dead(cameras):
    cameras.plug_in()
    said = cameras.run("""
        from edgekit.camera import v4l2
        v4l2.SILENCE_S, v4l2.DEAD_S = 0.2, 0.6
        with UsbCamera(node) as camera:
            for frame in camera:
                if frame.index == 2:
                    (dev / "video0.fault").write_text("freeze")
            say(note=camera.note)
    """)
    assert "gave no frame for 0.6 s, after" in said["note"]


def test_a_driver_that_hangs_does_not_hold_close_up(cameras):
    cameras.plug_in()
    said = cameras.run("""
        camera = UsbCamera(node)
        next(iter(camera))
        (dev / "video0.fault").write_text("hang")
        start = time.monotonic()
        camera.close()
        say(took=time.monotonic() - start, note=camera.note)
    """)
    assert said["took"] < 2
    assert "did not let go within" in said["note"]


def test_a_camera_can_be_opened_again_at_once(cameras):
    cameras.plug_in()
    said = cameras.run("""
        for _ in range(3):
            with UsbCamera(node) as camera:
                number = read_number(next(iter(camera)).image)
        say(number=number)
    """)
    assert said["number"] == 0


MOVE = """
    from edgekit.camera.v4l2_find import find_again, look
    known = look(node)
    {change}
    found = find_again(known)
    say(found=found and found.name)
"""
OTHER = WEBCAM.replace("14.0-1", "14.0-4")


@pytest.mark.parametrize(
    ("serial", "change", "found"),
    [
        ("", "pass", "video0"),
        ("", "node.rename(dev / 'video3')", "video3"),  # same port
        ("", "node.unlink(); (dev / 'video3').write_text(OTHER)", "video3"),  # another port, the only one
        ("", "node.unlink(); [(dev / f'video{n}').write_text(OTHER) for n in (3, 4)]", None),  # which?
        ("", "node.unlink(); (dev / 'video3').write_text(OTHER.replace('EdgeCam', 'Else'))", None),
        ("A1", "node.rename(dev / 'video3'); link.unlink(); link.symlink_to('../../video3')", "video3"),
        ("A1", "node.rename(dev / 'video3'); link.unlink()", "video3"),  # before udev made the link
        # a camera of the same make with another serial number at the same port is another camera
        (
            "A1",
            "node.rename(dev / 'video3'); link.rename(link.with_name('usb-EdgeCam_B2-video-index0'));"
            " (link.with_name('usb-EdgeCam_B2-video-index0')).unlink();"
            " link.with_name('usb-EdgeCam_B2-video-index0').symlink_to('../../video3')",
            None,
        ),
        ("A1", "node.unlink()", None),
    ],
)
def test_a_camera_that_moved_is_found_again(cameras, serial, change, found):
    cameras.plug_in(serial=serial)
    lines = f"OTHER = {OTHER!r}; link = dev / 'v4l/by-id/usb-EdgeCam_A1-video-index0'; {change}"
    assert cameras.run(MOVE.format(change=lines))["found"] == found


def test_an_unplugged_camera_goes_on_at_another_node(cameras):
    """As open_source opens it: the newest frame, reconnecting, the number of the frame going on."""
    cameras.plug_in(serial="A1")
    said = cameras.run("""
        from edgekit.camera import Reader
        states, indexes, nodes = set(), [], []
        with Reader(open_usb(node, size=(160, 120))) as source:
            def watch():
                while not stop.wait(0.02):
                    states.add(source.state[:12])
            stop = threading.Event()
            thread = threading.Thread(target=watch)
            thread.start()
            for frame in source:
                indexes.append(frame.index)
                nodes.append(Path(frame.source).name)
                if len(indexes) == 5:
                    node.rename(dev / "video3")
                    link = dev / "v4l/by-id/usb-EdgeCam_A1-video-index0"
                    link.unlink()
                    time.sleep(0.7)
                    link.symlink_to("../../video3")
                if nodes[-1] == "video3" and len(indexes) > 12 and not (dev / "video7").exists():
                    # to another port, and one of the same make in its place
                    (dev / "video7").write_text((dev / "video3").read_text())
                    (link.with_name("usb-EdgeCam_B2-video-index0")).symlink_to("../../video7")
                    (dev / "video5").write_text((dev / "video3").read_text().replace("14.0-1", "14.0-9"))
                    link.unlink()
                    link.symlink_to("../../video5")
                    (dev / "video3").unlink()
                if nodes[-1] in ("video5", "video7"):
                    break
            stop.set()
            thread.join()
            say(how=source.how, note=source.note, spec=source.spec)
        say(states=sorted(states), indexes=indexes, nodes=nodes, threads=threading.active_count(),
            fds=len(os.listdir("/proc/self/fd")))
    """)
    assert said["indexes"] == sorted(set(said["indexes"]))
    assert list(dict.fromkeys(said["nodes"])) == ["video0", "video3", "video5"]
    assert "160×120" in said["how"]
    assert "broke off 2 times" in said["note"]
    assert "unplugged" in said["note"]
    assert said["states"] == ["", "reconnecting"]
    assert (said["threads"], said["fds"] <= 4) == (1, True)


def test_a_camera_that_never_comes_back_is_waited_for_until_closed(cameras):
    cameras.plug_in()
    said = cameras.run("""
        from edgekit.camera import Reader
        source = Reader(open_usb(node))
        seen = []
        def look():
            seen.extend(frame.index for frame in source)
        thread = threading.Thread(target=look)
        thread.start()
        time.sleep(0.5)
        node.unlink()
        time.sleep(1.5)
        say(state=source.state, alive=thread.is_alive(), seen=len(seen))
        start = time.monotonic()
        source.close()
        thread.join(2)
        say(took=time.monotonic() - start, ended=not thread.is_alive(), threads=threading.active_count())
    """)
    assert said["alive"]
    assert said["seen"] > 0
    assert said["state"].startswith("reconnecting")
    assert said["ended"]
    assert said["took"] < 2
    assert said["threads"] == 1


def test_a_driver_that_hangs_does_not_hold_a_reader_up(cameras):
    cameras.plug_in()
    said = cameras.run("""
        from edgekit.camera import Reader
        source = Reader(open_usb(node))
        next(iter(source))
        (dev / "video0.fault").write_text("hang")
        start = time.monotonic()
        source.close()
        say(took=time.monotonic() - start)
    """)
    assert said["took"] < 2.5


OFFERED = [
    Mode("YUYV", 640, 480, 30.0),
    Mode("YUYV", 1280, 720, 10.0),
    Mode("MJPG", 640, 480, 30.0),
    Mode("MJPG", 1280, 720, 60.0),
    Mode("MJPG", 1280, 720, 30.0),
    Mode("MJPG", 1920, 1080, 29.97),
    Mode("H264", 1920, 1080, 30.0),
]


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, Mode("MJPG", 640, 480, 30.0)),
        ({"format": "YUYV"}, Mode("YUYV", 640, 480, 30.0)),
        ({"size": (1280, 720)}, Mode("MJPG", 1280, 720, 30.0)),
        ({"fps": 60}, Mode("MJPG", 1280, 720, 60.0)),
        ({"fps": 10}, Mode("YUYV", 1280, 720, 10.0)),
        ({"size": (1920, 1080), "fps": 30}, Mode("MJPG", 1920, 1080, 29.97)),
    ],
)
def test_the_mode_that_is_taken(asked, wanted):
    assert choose(OFFERED, asked.get("size"), asked.get("fps"), asked.get("format"), "cam") == wanted


def test_without_a_mode_the_nearest_are_listed_first():
    with pytest.raises(
        InputError, match=r"no mode YUYV 1920×1080 at 30 FPS; near it: YUYV 1280×720 at 10 FPS"
    ):
        choose(OFFERED, (1920, 1080), 30, "YUYV", "cam")
