"""Cut the sample clip and picture out of OpenCV's vtest.avi (Debian/Ubuntu package opencv-doc).

python make_samples.py /usr/share/doc/opencv-doc/examples/data/vtest.avi
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av

FIRST, COUNT, PICTURE = 565, 80, 600
HERE = Path(__file__).resolve().parent


def main(source: str) -> None:
    with av.open(source) as clip, av.open(str(HERE / "people.mp4"), "w") as out:
        frames = [f for i, f in enumerate(clip.decode(video=0)) if FIRST <= i < FIRST + COUNT]
        stream = out.add_stream("libx264", rate=Fraction(10), options={"crf": "21", "preset": "veryslow"})
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        for i, frame in enumerate(frames):
            picture = frame.reformat(format="yuv420p")
            picture.pts, picture.time_base = i, Fraction(1, 10)
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    frames[PICTURE - FIRST].to_image().save(HERE / "people.jpg", quality=90)


if __name__ == "__main__":
    main(sys.argv[1])
