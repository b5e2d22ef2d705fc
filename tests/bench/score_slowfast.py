"""How well a whole SlowFast (ONNX) names actions of labelled people: the table of its model card.

    python tests/bench/score_slowfast.py FILE.onnx SET [--fps 3] [--threshold 0.3]

SET is in AVA's layout (`edgekit prepare ava`); its split "val" is scored, with the boxes of its labels. What
the set calls unknown of a person counts neither way. Needs PyTorch, for the reader of sets.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime

from edgekit.train.ava_data import AvaSet, Clips, Look, read_ava
from edgekit.train.ava_map import average_precision


def scores_of(model: Path, held: AvaSet) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scores, labels and what is known of them, each [N, C], and the video of each of the N people."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    notes = session.get_modelmeta().custom_metadata_map
    frames, alpha = int(notes["frames"]), int(notes["alpha"])
    mean, std = (np.array(json.loads(notes[name]), np.float32) for name in ("mean", "std"))
    slow = np.linspace(0, frames - 1, frames // alpha).astype(int)
    look = Look(frames, int(notes["span"]), short_side=int(notes["short_side"]))
    clips = Clips(held, look, train=False)
    scores, labels, known, videos = [], [], [], []
    for number, key in enumerate(held.key_frames):
        item = clips[number]
        film = ((item["clip"].numpy().astype(np.float32) / 255 - mean) / std).transpose(3, 0, 1, 2)[None]
        feeds = {"slow": film[:, :, slow], "fast": film, "boxes": item["boxes"].numpy()}
        feeds = {name: np.ascontiguousarray(value, np.float32) for name, value in feeds.items()}
        rows = item["rows"].numpy()
        scores.append(session.run(["scores"], feeds)[0])
        labels.append(key.labels[rows])
        known.append(key.known[rows])
        videos += [key.video] * len(rows)
    return np.concatenate(scores), np.concatenate(labels) > 0, np.concatenate(known) > 0, np.array(videos)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--fps", type=float, default=3)
    parser.add_argument("--threshold", type=float, default=0.3)
    args = parser.parse_args()
    held = read_ava(args.data, "val", fps=args.fps)
    scores, labels, known, videos = scores_of(args.model, held)
    found = []
    print(f"{'action':<28}{'AP':>6}{'boxes':>7}{'clips':>7}{'of':>6}{'right':>7}{'wrong':>7}")
    for column, name in enumerate(held.names):
        of = known[:, column]
        mine, score = labels[of, column], scores[of, column]
        if not mine.any():
            continue
        found.append(average_precision(mine[np.argsort(-score, kind="stable")], int(mine.sum())))
        shown, clips = score >= args.threshold, len(set(videos[of][mine]))
        right, wrong = int((shown & mine).sum()), int((shown & ~mine).sum())
        print(f"{name:<28}{found[-1]:>6.3f}{mine.sum():>7}{clips:>7}{of.sum():>6}{right:>7}{wrong:>7}")
    print(f"mean of {len(found)} actions: {np.mean(found):.3f}; onnxruntime {onnxruntime.__version__}")


if __name__ == "__main__":
    main()
