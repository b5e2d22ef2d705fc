"""Specs in the words of TAO 3 and 4, and the page's own slips, in the names of today."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Dotted old name: dotted new names. Left of a dot is looked up before what is right of it.
RENAMED: dict[str, tuple[str, ...]] = {
    "model_config": ("model",),
    "dataset_config": ("dataset",),
    "train_config": ("train",),
    "output_dir": ("results_dir",),
    "key": ("encryption_key",),
    "train.epochs": ("train.num_epochs",),
    "num_gpus": ("train.num_gpus",),
    "gpu_ids": ("train.gpu_ids",),
    "gpu_id": ("export.gpu_id",),
    "resume_training_checkpoint_path": ("train.resume_training_checkpoint_path",),
    "batch_size": ("evaluate.batch_size", "inference.batch_size"),
    "test_dataset_dir": ("evaluate.test_dataset_dir",),
    "video_eval_mode": ("evaluate.video_eval_mode",),
    "inference_dataset_dir": ("inference.inference_dataset_dir",),
    "video_inf_mode": ("inference.video_inf_mode",),
    "video_num_segments": ("evaluate.video_num_segments", "inference.video_num_segments"),
    "output_file": ("export.onnx_file",),
    # TAO 5.0 had one GPU here
    "evaluate.gpu_id": ("evaluate.gpu_ids",),
    "inference.gpu_id": ("inference.gpu_ids",),
    # the page's table calls it so, the schema of_input_std
    "dataset.augmentation_config.of_input_rgb": ("dataset.augmentation_config.of_input_std",),
}

#: A path of weights under the name that is now a group: `model=FILE` of `evaluate`, `inference`, `export`.
CHECKPOINTS = ("evaluate.checkpoint", "inference.checkpoint", "export.checkpoint")


def renamed(values: dict[str, Any], report: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """The same settings under the names of today; unknown ones stay as they are.

    Args:
        values: nested dicts of a spec or of one override.
        report: is told each change of a name.
    """
    found: dict[str, Any] = {}
    _take(values, "", found, report)
    return found


def _take(values: dict[str, Any], where: str, found: dict[str, Any], report: Callable[[str], None]) -> None:
    for key, value in values.items():
        name = f"{where}{key}"
        if name == "model" and isinstance(value, str):
            new: tuple[str, ...] = CHECKPOINTS
        else:
            new = RENAMED.get(name, (name,))
        if new != (name,):
            report(f"{name} is {' and '.join(new)} now")
        if isinstance(value, dict) and name != "dataset.label_map" and len(new) == 1:
            _put(found, new[0], {})
            _take(value, f"{new[0]}.", found, report)
            continue
        for one in new:
            _put(found, one, _value(one, name, value, report))


def _value(new: str, old: str, value: Any, report: Callable[[str], None]) -> Any:
    """A value in today's form."""
    if new == "model.backbone" and isinstance(value, str):
        return value.replace("resnet_", "resnet")
    if (old, new) == (f"{old[:-7]}.gpu_id", f"{old[:-7]}.gpu_ids"):
        return [value]
    if new == "export.onnx_file" and isinstance(value, str) and value.endswith(".etlt"):
        report(f"{old}: {value} would be encrypted; a plain .onnx is written instead")
        return value.removesuffix(".etlt") + ".onnx"
    return value


def _put(found: dict[str, Any], name: str, value: Any) -> None:
    """Set a dotted name; a group that is there already is kept."""
    *groups, last = name.split(".")
    for group in groups:
        inner = found.setdefault(group, {})
        if not isinstance(inner, dict):
            inner = found[group] = {}
        found = inner
    if value == {} and isinstance(found.get(last), dict):
        return
    found[last] = value
