"""How good a trained action recognition is: accuracy, each class, and which action is taken for which."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from edgekit.errors import InputError
from edgekit.files import atomic_write
from edgekit.plots_confusion import save_confusion
from edgekit.prepare.action_shards import is_shards, read_shards
from edgekit.train.action_data import ScoredClips, loader, read_clips, told_plainly
from edgekit.train.action_module import inputs_of
from edgekit.train.action_stream import Stream
from edgekit.train.action_weights import load_actions

if TYPE_CHECKING:
    from edgekit.train.action_network import ActionNet
    from edgekit.train.action_spec import Spec

Report = Callable[[str], Any]


class Scored(NamedTuple):
    """What a network says of one clip.

    Attributes:
        number: of the clip in its set; name: its folder; label: its class index, -1 where unknown.
        scores: softmax, float64 [windows, classes].
    """

    number: int
    name: str
    label: int
    scores: NDArray[np.float64]

    @property
    def found(self) -> int:
        """The class with the highest mean score of the windows (TAO adds up the softmax, too)."""
        return int(self.scores.mean(axis=0).argmax())


@dataclass(frozen=True)
class ActionScore:
    """The accuracy of a set.

    Attributes:
        names: of the C classes.
        mode: "center", "conv" or "all": which windows of a clip were scored.
        clips: what was found, by clip.
    """

    names: tuple[str, ...]
    mode: str
    clips: tuple[Scored, ...]

    @property
    def confusion(self) -> NDArray[np.int64]:
        """int64 [C, C]: rows true, columns found."""
        matrix = np.zeros((len(self.names), len(self.names)), np.int64)
        for clip in self.clips:
            matrix[clip.label, clip.found] += 1
        return matrix

    @property
    def accuracy(self) -> float:
        """Share of the clips that are right."""
        return float(np.trace(self.confusion)) / len(self.clips)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Of each class, the share of its clips that were found; NaN where it has none."""
        return _shares(np.diag(self.confusion), self.confusion.sum(axis=1))

    @property
    def precision(self) -> NDArray[np.float64]:
        """Of each class, the share of what was taken for it that is; NaN where nothing was."""
        return _shares(np.diag(self.confusion), self.confusion.sum(axis=0))

    @property
    def mean_recall(self) -> float:
        """Mean of the classes that have clips (TAO's average class accuracy)."""
        return float(np.nanmean(self.recall))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; None where a share is of nothing."""
        matrix = self.confusion
        rows = zip(
            self.names, matrix.sum(axis=1), matrix.sum(axis=0), self.recall, self.precision, strict=True
        )
        return {
            "accuracy": self.accuracy,
            "mean_class_accuracy": self.mean_recall,
            "mode": self.mode,
            "classes": {
                name: {
                    "clips": int(true),
                    "found": int(found),
                    "recall": None if math.isnan(recall) else recall,
                    "precision": None if math.isnan(precision) else precision,
                }
                for name, true, found, recall, precision in rows
            },
            "confusion": matrix.tolist(),
            "clips": [
                {
                    "clip": clip.name,
                    "true": self.names[clip.label],
                    "found": self.names[clip.found],
                    "score": round(float(clip.scores.mean(axis=0).max()), 4),
                }
                for clip in self.clips
            ],
        }

    def __str__(self) -> str:
        wide = max(5, *(len(name) for name in self.names))
        lines = [f"{'class':{wide}}  clips  right  recall  precision"]
        matrix = self.confusion
        for n, name in enumerate(self.names):
            shares = [f"{v:.1%}" if not math.isnan(v) else "-" for v in (self.recall[n], self.precision[n])]
            lines.append(
                f"{name:{wide}}  {matrix[n].sum():5}  {matrix[n, n]:5}  {shares[0]:>6}  {shares[1]:>9}"
            )
        right = int(np.trace(matrix))
        lines.append(
            f"accuracy {self.accuracy:.1%}: {right} of {len(self.clips)} clips ({self.mode}); "
            f"mean over the classes {self.mean_recall:.1%}"
        )
        return "\n".join(lines)


def _shares(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def evaluate_actions(
    spec: Spec, *, device: str | None = None, report: Report = lambda line: None
) -> ActionScore:
    """Score evaluate.checkpoint on evaluate.test_dataset_dir, else on dataset.val_dataset_dir.

    Writes results.json and confusion.png into evaluate.results_dir.

    Args:
        spec: of `read_spec` for the task "evaluate".
        device: "cuda" or "cpu"; default: the first of evaluate.gpu_ids where there is one.
        report: is told where the results lie.

    Raises:
        InputError: the checkpoint or the clips cannot be used.
    """
    e = spec.evaluate
    network, spec = opened(spec, e.checkpoint, "evaluate.checkpoint")
    root = e.test_dataset_dir or spec.dataset.val_dataset_dir
    count = e.video_num_segments
    if is_shards(root):
        data: Any = Stream(read_shards(str(root)), spec, mode=e.video_eval_mode, segments=count)
    else:
        clips = read_clips(root, spec, "evaluate.test_dataset_dir")
        data = ScoredClips(clips, spec, e.video_eval_mode, count)
    place = device_of(device, e.gpu_ids[0])
    found = scores(network, data, spec, batch=e.batch_size, device=place)
    with closing(found):
        done = ActionScore(spec.classes, e.video_eval_mode, tuple(sorted(found, key=lambda one: one.number)))
    out = Path(str(e.results_dir))
    with atomic_write(out / "results.json") as scratch:
        scratch.write_text(json.dumps(done.to_dict(), indent=1, ensure_ascii=False), "utf-8")
    save_confusion(out / "confusion.png", done.confusion, done.names)
    report(f"{out / 'results.json'} and {out / 'confusion.png'}")
    return done


def opened(spec: Spec, checkpoint: str | None, what: str) -> tuple[ActionNet, Spec]:
    """The network of a checkpoint, and the spec with its label_map, which the checkpoint may know.

    Args:
        what: the setting that names the checkpoint, for the message.

    Raises:
        InputError: there is no such checkpoint, or it does not fit the spec.
    """
    if not checkpoint:
        raise InputError(f"{what} is missing; give the .pth of a training.")
    network, names = load_actions(checkpoint, spec.model)
    if spec.dataset.label_map is None:
        names = names or tuple(f"class{n}" for n in range(network.classes))
        labels = {name: n for n, name in enumerate(names)}
        return network, replace(spec, dataset=replace(spec.dataset, label_map=labels))
    if len(spec.classes) != network.classes or (names and names != spec.classes):
        told = ", ".join(names) if names else f"{network.classes} classes"
        raise InputError(
            f"{checkpoint} knows {told}, but dataset.label_map is {', '.join(spec.classes)}; use that of its "
            "training, in its order."
        )
    return network, spec


def device_of(device: str | None, gpu: int = 0) -> torch.device:
    """Where a network is scored.

    Raises:
        InputError: there is no such GPU.
    """
    there = torch.cuda.device_count()
    if device == "cpu" or (device is None and not there):
        return torch.device("cpu")
    if gpu >= there:
        raise InputError(f"gpu_ids names GPU {gpu}, but this machine has {there} GPUs, counted from 0.")
    return torch.device("cuda", gpu)


@torch.inference_mode()
def scores(
    network: ActionNet, data: ScoredClips | Stream, spec: Spec, *, batch: int, device: torch.device
) -> Iterator[Scored]:
    """What a network says of each clip, as soon as all windows of it are scored.

    Args:
        network: in evaluation mode.
        data: the clips' windows.
        spec: how pictures become inputs.
        batch: windows at once.

    Raises:
        InputError: a picture cannot be read.
    """
    network = network.to(device).eval()
    waiting: dict[int, list[NDArray[np.float64]]] = {}
    with told_plainly():
        for some in loader(data, spec, batch=batch, pinned=device.type == "cuda"):
            given = {name: some[name].to(device, non_blocking=True) for name in network.streams}
            logits = network(**inputs_of(given, spec)).double()
            shares = torch.softmax(logits, dim=1).cpu().numpy()
            for row, number in enumerate(some["clip"].tolist()):
                of_clip = waiting.setdefault(number, [])
                of_clip.append(shares[row])
                if len(of_clip) == int(some["windows"][row]):
                    label = int(some["label"][row])
                    yield Scored(number, some["name"][row], label, np.stack(waiting.pop(number)))
