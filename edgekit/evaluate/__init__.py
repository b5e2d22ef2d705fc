"""How right a model is: its results on labelled pictures against the labels, by COCO's rules.

    data = read_data("my-pictures")              # YOLO or COCO layout
    with open_yolo("edgekit-person", **SCORING) as yolo:
        print(evaluate(yolo, data)["AP"])

Nothing here needs PyTorch.
"""

from __future__ import annotations

from edgekit.evaluate.data import DataSet, Picture, read_data
from edgekit.evaluate.score import SCORING, evaluate

__all__ = ["SCORING", "DataSet", "Picture", "evaluate", "read_data"]
