"""The labels of clips by a trained ActionRecognitionNet: of the middle of each, or of segments of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from edgekit.errors import InputError
from edgekit.files import atomic_write
from edgekit.prepare.action_folders import read_clip, read_videos
from edgekit.train.action_data import Clips, ScoredClips
from edgekit.train.action_evaluate import device_of, opened, scores
from edgekit.train.action_reader import label_map, wanted
from edgekit.train.action_spec import Spec, results_in

#: In inference.results_dir: the lines that were printed.
RESULTS = "results.txt"


def infer_actions(spec: Spec, *, device: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """Label the clips of inference.inference_dataset_dir, the folder of one class, sorted by name.

    When all are labelled, results.txt in inference.results_dir holds a line each (`line_of`).

    Args:
        spec: of `read_spec` for the task "inference".
        device: "cuda" or "cpu"; default: the first of inference.gpu_ids where there is one.

    Yields:
        The clip's folder, and a label a window: one for `center`, inference.video_num_segments for `conv`
        (one where a clip is so short that all would be the same window).

    Raises:
        InputError: the checkpoint or a clip cannot be used, or the results cannot be written.
    """
    i = spec.inference
    if not i.inference_dataset_dir:
        raise InputError("inference.inference_dataset_dir is missing; give the folder of a class's clips.")
    place = device_of(device, i.gpu_ids[0])
    network, spec = opened(spec, i.checkpoint, "inference.checkpoint")
    root, streams = Path(i.inference_dataset_dir).expanduser(), wanted(spec).streams
    one = any((root / kind).is_dir() for kind in ("rgb", "u"))  # a single clip's folder
    found = [read_clip(root, streams=streams)] if one else read_videos(root, streams=streams)
    data = ScoredClips(Clips(found, label_map(spec)), spec, i.video_inf_mode, i.video_num_segments)
    out, lines = results_in(i.results_dir) / RESULTS, []
    with closing(scores(network, data, spec, batch=i.batch_size, device=place)) as scored:
        for clip in scored:
            labels = [spec.classes[n] for n in clip.scores.argmax(axis=1)]
            lines.append(line_of(clip.name, labels) + "\n")
            yield clip.name, labels
    with atomic_write(out) as scratch:
        scratch.write_text("".join(lines), "utf-8")


def line_of(path: str, labels: Sequence[str]) -> str:
    """A line of the results, as TAO's page shows it: `/path/to/fall/video_1 [fall]`."""
    return f"{path} [{', '.join(labels)}]"
