"""Compare two results.jsonl of one clip, made on two machines: same_boxes.py HERE THERE."""

from __future__ import annotations

import sys
from pathlib import Path

from edgekit.sinks import read_lines

#: Pixels and points of score that two machines may differ by: the colours of their video decoders are a grey
#: level apart, and so are resized pictures of other OpenCV releases (seen: 0.99 px, 0.021).
PIXELS, SCORE = 2.0, 0.05


def main(here: str, there: str) -> int:
    """Print the largest differences; 1 where boxes are missing or differ by more."""
    frames = list(zip(read_lines(Path(here)), read_lines(Path(there)), strict=True))
    pixels = score = 0.0
    boxes = 0
    for ours, theirs in frames:
        if [d["name"] for d in ours["detections"]] != [d["name"] for d in theirs["detections"]]:
            sys.stdout.write(f"frame {ours['index']}: other detections\n")
            return 1
        for one, other in zip(ours["detections"], theirs["detections"], strict=True):
            boxes += 1
            pixels = max(pixels, *(abs(a - b) for a, b in zip(one["xyxy"], other["xyxy"], strict=True)))
            score = max(score, abs(one["score"] - other["score"]))
    apart = f"at most {pixels:.3f} px and {score:.5f} of score apart"
    sys.stdout.write(f"{len(frames)} frames, {boxes} boxes, {apart}\n")
    return int(boxes == 0 or pixels > PIXELS or score > SCORE)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
