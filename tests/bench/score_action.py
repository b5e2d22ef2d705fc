"""How well an ActionRecognitionNet (ONNX) names the clips of a labelled set: the tables of its model card.

    python tests/bench/score_action.py FILE.onnx SET [--mode center|conv|all]

SET has TAO's folders (CLASS/VIDEO/rgb/*). Needs no PyTorch: pictures are read and resized as at run time.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgekit.action_windows import windows
from edgekit.ops.resize import to_size
from edgekit.prepare.action_folders import read_actions


def logits_of(session: onnxruntime.InferenceSession, rgb: tuple[Path, ...], mode: str) -> NDArray[np.float32]:
    """The mean logits [C] of a clip's windows."""
    notes = session.get_modelmeta().custom_metadata_map
    mean, std = (np.array(json.loads(notes[name]), np.float32) for name in ("mean", "std"))
    length, height, width = session.get_inputs()[0].shape[2:]
    crop, edge, rate = notes["crop"], json.loads(notes["smaller_edge"]), json.loads(notes["sample_rate"])
    size = (height, width)
    film = np.stack([to_size(cv2.imread(str(path))[:, :, ::-1], size, crop, edge) for path in rgb])
    ready = ((film.astype(np.float32) / 255 - mean) / std).transpose(3, 0, 1, 2)
    rows = windows(len(rgb), length, mode, rate=rate)
    clips = np.ascontiguousarray(ready[:, rows].transpose(1, 0, 2, 3, 4))
    return session.run(["fc_pred"], {"input_rgb": clips})[0].mean(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--mode", default="center", choices=("center", "conv", "all"))
    args = parser.parse_args()
    session = onnxruntime.InferenceSession(str(args.model), providers=["CPUExecutionProvider"])
    names = json.loads(session.get_modelmeta().custom_metadata_map["names"])
    table = np.zeros((len(names), len(names)), int)  # rows: what it is; columns: what is said
    for clip in read_actions(args.data, {name: n for n, name in enumerate(names)}):
        said = int(logits_of(session, clip.rgb, args.mode).argmax())
        table[names.index(clip.label), said] += 1
        if names[said] != clip.label:
            print(f"{clip.label} taken for {names[said]}: {clip.name}")
    print("".join(f"{word:>8}" for word in ("is", *names, "clips", "right")))
    for name, row in zip(names, table, strict=True):
        if row.sum():
            right = row[names.index(name)] / row.sum()
            print(f"{name:>8}" + "".join(f"{n:>8}" for n in row) + f"{row.sum():>8}{right:>8.3f}")
    shown = table.sum(1) > 0
    per_class = table.diagonal()[shown] / table.sum(1)[shown]
    print(
        f"accuracy {table.trace() / table.sum():.3f} of {table.sum()} clips; mean of {shown.sum()} classes ",
        end="",
    )
    print(f"{per_class.mean():.3f}; {args.mode}; onnxruntime {onnxruntime.__version__}")


if __name__ == "__main__":
    main()
