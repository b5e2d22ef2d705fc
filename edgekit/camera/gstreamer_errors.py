"""What GStreamer says, told in one sentence with the cure."""

from __future__ import annotations

import re

from edgekit.errors import EdgekitError, InputError, MissingError

#: Which Debian and Ubuntu package holds the elements that people meet most.
PACKAGES = {
    "base": "videoconvert videoscale videorate videotestsrc audiotestsrc decodebin decodebin3 uridecodebin "
    "uridecodebin3 parsebin playbin appsink appsrc tcpclientsrc theoradec oggdemux rawvideoparse",
    "good": "rtspsrc rtpbin rtpjitterbuffer rtph264depay rtph265depay rtpjpegdepay rtpvp8depay rtpvp9depay "
    "udpsrc souphttpsrc v4l2src jpegdec jpegenc pngdec vp8dec vp9dec multipartdemux multifilesrc flvdemux "
    "matroskademux qtdemux avidemux videoflip videocrop videobox videobalance deinterlace imagefreeze",
    "bad": "h264parse h265parse gdppay srtsrc tsdemux tsparse openh264dec openh264enc x265enc hlsdemux "
    "dashdemux rtmp2src jpegparse av1parse vp9parse mpegvideoparse mpeg4videoparse y4mdec",
    "ugly": "x264enc asfdemux",
}
JETSON = "nvarguscamerasrc nvvidconv nvv4l2decoder nvv4l2h264enc nvv4l2camerasrc nvjpegdec nvjpegenc"
ARGUS_CURE = "cure: sudo systemctl restart nvargus-daemon"
#: Log lines of nvarguscamerasrc and libargus, as users of JetPack 4 to 6 have posted them.
ARGUS = (
    (
        r"No cameras available",
        "no CSI camera answers: check the ribbon cable and the device tree of the board",
    ),
    (
        r"Invalid (sensor|camera device)|sensor-id.*(out of range|invalid)|Invalid camera device",
        "there is no CSI camera of that number",
    ),
    (
        r"(?i)invalid sensor.?mode|Requested .*not supported|Frame Rate specified is greater",
        "the camera has no such mode: leave mode=None, or choose size and fps that it lists",
    ),
    (
        r"(?i)(device|resource|camera|already).{0,20}(busy|in use)|AlreadyAllocated",
        "another program holds the CSI camera: stop it",
    ),
    (
        r"Failed to create (CaptureSession|CameraProvider)|openSocketConnection|\(Argus\) Error"
        r"|Argus Error|nvargus-daemon|Unexpected error in reading socket",
        "the camera service of the board does not answer or still holds a camera that was left open",
    ),
)
PASSWORD = re.compile(r"(\w://[^:/@\s]*):\S*@")


def masked(text: str) -> str:
    """`text` with the password of every address in it as ***."""
    return PASSWORD.sub(r"\1:***@", text)


def package_of(element: str) -> str:
    """How to get a GStreamer element: an apt command where it is known which package holds it."""
    if element in JETSON.split():
        return "it is in nvidia-l4t-gstreamer, which only a Jetson has (JetPack)"
    if element in ("timeoverlay", "clockoverlay", "textoverlay"):
        return "cure: sudo apt install gstreamer1.0-x"
    if element.startswith(("avdec_", "avenc_", "avdemux_", "avmux_")):
        return "cure: sudo apt install gstreamer1.0-libav"
    for name, elements in PACKAGES.items():
        if element in elements.split():
            return f"cure: sudo apt install gstreamer1.0-plugins-{name}"
    return "check its spelling, or ask which package holds it: apt-file search gstreamer"


def told(spec: str, log: str) -> EdgekitError:
    """An error in our words for what `log` (gst-launch's output, or the text of a bus message) says.

    Args:
        spec: what was opened; a password in it is masked.
        log: lines in which "ERROR: from element …" and "Additional debug info:" may occur.
    """
    name = masked(spec)
    if found := re.search(r'no element "([^"]+)"', log):
        return MissingError(f"{name}: GStreamer here has no element {found[1]}; {package_of(found[1])}.")
    if found := re.search(r"[Mm]issing (element|decoder|demuxer|parser|encoder): ?([^\n(]+)", log):
        cure = package_of(found[2]) if found[1] == "element" else _DECODERS
        return MissingError(f"{name}: GStreamer here has no {found[1]} for {found[2].strip()}; {cure}.")
    if "missing a plug-in" in log:
        return MissingError(f"{name}: GStreamer here lacks a plug-in for this stream; {_DECODERS}.")
    if found := re.search(r'no property "([^"]+)" in element "([^"]+)"', log):
        return InputError(
            f"{name}: {found[2]} has no property {found[1]}; see them: gst-inspect-1.0 {found[2]}."
        )
    if found := re.search(r'could not set property "([^"]+)" in element "([^"]+)" to "(.*)"', log):
        return InputError(f"{name}: the property {found[1]} of {found[2]} takes no {masked(found[3])!r}.")
    if found := re.search(r"could not link (\w+?)\d* to (?:capsfilter|edgekit)", log):
        return InputError(
            f"{name}: {found[1]} gives no raw video in ordinary memory; end the text with "
            "'! decodebin' for encoded video, with '! nvvidconv ! video/x-raw' for NVMM; or mend its caps."
        )
    if found := re.search(r"could not link ([\w-]+?)\d* to ([\w-]+?)\d*\b", log):
        return InputError(f"{name}: {found[1]} and {found[2]} have no format in common.")
    if "erroneous pipeline" in log or "could not be constructed" in log or "syntax error" in log:
        reason = re.search(r"(?:erroneous pipeline|could not be constructed): (.+)", log)
        return InputError(
            f"{name} is no GStreamer pipeline: {reason[1].rstrip('.') if reason else 'syntax error'}."
        )
    for pattern, sentence in ARGUS:
        if ("rgus" in log or spec.startswith("csi")) and re.search(pattern, log):
            return MissingError(f"{name}: {sentence}; {ARGUS_CURE}.")
    return _while_running(name, log)


_DECODERS = "cure: sudo apt install gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav"


def _while_running(name: str, log: str) -> EdgekitError:
    if re.search(r"Unauthorized|\(401\)|Not authorized", log):
        return InputError(
            f"{name}: user name or password is missing or wrong (401); give them as in rtsp://user:password@host/."
        )
    if re.search(r"Forbidden|\(403\)", log):
        return InputError(f"{name}: this user may not see the stream (403).")
    if re.search(r"Not [Ff]ound", log) and "404" in log:
        return InputError(f"{name}: the server has no such stream (404); check the path in the address.")
    if "Could not receive any UDP packets" in log:
        return InputError(f"{name}: no UDP packet came through (a firewall?); cure: transport='tcp'.")
    if re.search(r"reason not-linked|Delayed linking failed|appears to be a text file", log):
        return InputError(f"{name} carries no video.")
    if "Connection refused" in log:
        return InputError(f"{name}: connection refused; is the server running, and is the port right?")
    if "not-negotiated" in log:
        return InputError(f"{name}: two elements agree on no format (size, rate or memory); check the caps.")
    if "Cannot identify device" in log or "No such file or directory" in log:
        return InputError(f"{name}: a file or device that it names is not there.")
    first = re.search(
        r"ERROR: from element (\S+?): (.+?)\n(?:Additional debug info:\n(.*\n?.*))?", log + "\n"
    )
    if first is None:
        last = next((line for line in reversed(log.splitlines()) if line.strip()), "")
        return EdgekitError(f"{name}: GStreamer stopped{': ' + masked(last.strip()) if last else ''}.")
    element = first[1].rsplit(":", 1)[-1].rsplit("/", 1)[-1]
    detail = (first[3] or "").splitlines()
    more = f" ({masked(detail[-1].strip())})" if detail and "(): /" not in detail[-1] else ""
    return InputError(f"{name}: {element} says: {masked(first[2].strip().rstrip('.'))}{more}.")
