"""What follows in a spec from other values: GPUs, shapes, folders, classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.errors import InputError
from edgekit.train.action_table import Dataset, Model, Train

if TYPE_CHECKING:
    from edgekit.train.action_spec import Spec

Say = Callable[[str], None]


def settled(spec: Spec, task: str, say: Say) -> Spec:
    """The spec with everything filled in that other values decide.

    Args:
        spec: of checked values.
        task: "train", "evaluate", "inference" or "export".
        say: is told each change.

    Raises:
        InputError: two values contradict each other.
    """
    model, dataset = _shape(spec.model, spec.dataset, say)
    if model.imagenet_pretrained:
        raise InputError(
            "model.imagenet_pretrained: this kit brings no ImageNet weights; set it to false, and name "
            "weights in model.rgb_pretrained_model_path."
        )
    if task == "train" and dataset.label_map is None and dataset.train_dataset_dir:
        dataset = replace(dataset, label_map=labels_of(dataset.train_dataset_dir))
        say(f"dataset.label_map: {', '.join(dataset.label_map or ())}, the sorted classes of the folder")
    train = _train(spec.train, dataset, say) if task == "train" else spec.train
    evaluate, inference = spec.evaluate, spec.inference
    for name, given in (("evaluate", evaluate), ("inference", inference)):
        if task == name and max(given.num_gpus, len(given.gpu_ids)) > 1:
            say(f"{name} runs on one GPU, {given.gpu_ids[0] if given.gpu_ids else 0}")
        if task == name and given.trt_engine:
            say(f"{name}.trt_engine is not used; edgekit run action takes a plan")
    if spec.encryption_key:
        say("encryption_key is not used: nothing is encrypted, and encrypted .tlt and .etlt cannot be read")
    if spec.wandb:
        say("wandb is not used; curves and logs are in the folder of results")
    root = Path(spec.results_dir)
    return replace(
        spec,
        model=model,
        dataset=dataset,
        train=replace(train, results_dir=train.results_dir or str(root / "train")),
        evaluate=replace(
            evaluate,
            num_gpus=1,
            gpu_ids=evaluate.gpu_ids[:1] or (0,),
            test_dataset_dir=evaluate.test_dataset_dir or dataset.val_dataset_dir,
            results_dir=evaluate.results_dir or str(root / "evaluate"),
        ),
        inference=replace(
            inference,
            num_gpus=1,
            gpu_ids=inference.gpu_ids[:1] or (0,),
            results_dir=inference.results_dir or str(root / "inference"),
        ),
        export=replace(spec.export, results_dir=spec.export.results_dir or str(root / "export")),
    )


def labels_of(folder: Path | str) -> dict[str, int]:
    """The classes of a data set, sorted and numbered: the names of its folders, or those in its shards.

    Raises:
        InputError: there is no such folder, or it has no class.
    """
    from edgekit.prepare.action_folders import class_folders
    from edgekit.prepare.action_shards import is_shards, read_shards

    root = Path(folder).expanduser()
    if is_shards(root):
        found = sorted(read_shards(root).classes)
    else:
        found = [folder.name for folder in class_folders(root)]
    if not found:
        raise InputError(
            f"dataset.train_dataset_dir: {root} has no folder of a class; give dataset.label_map."
        )
    return {name: number for number, name in enumerate(found)}


def _shape(model: Model, dataset: Dataset, say: Say) -> tuple[Model, Dataset]:
    """One height and width: of dataset.output_shape (the page) or of model.input_height and input_width."""
    said = dataset.output_shape
    shape = (model.input_height or said[0], model.input_width or said[1])
    if shape != said:
        if said != Dataset.output_shape:
            raise InputError(
                f"dataset.output_shape {list(said)} and model.input_height, input_width {list(shape)} "
                "differ; leave one of them out."
            )
        say(f"dataset.output_shape is {list(shape)}, of model.input_height and input_width")
    model = replace(model, input_height=shape[0], input_width=shape[1])
    return model, replace(dataset, output_shape=shape)


def _train(train: Train, dataset: Dataset, say: Say) -> Train:
    """GPUs that agree, intervals that fit, and something for AutoReduce to watch."""
    gpus = max(train.num_gpus, len(train.gpu_ids))
    ids = train.gpu_ids if len(train.gpu_ids) == gpus else tuple(range(gpus))
    if (gpus, ids) != (train.num_gpus, train.gpu_ids):
        say(
            f"train.num_gpus {train.num_gpus} and gpu_ids {list(train.gpu_ids)} differ; the one with more "
            f"GPUs counts: num_gpus {gpus}, gpu_ids {list(ids)}"
        )
    if len(set(ids)) < gpus:
        raise InputError(f"train.gpu_ids {list(ids)} names a GPU twice; name each once.")
    optim = train.optim
    if optim.lr_scheduler == "AutoReduce" and optim.lr_monitor == "val_loss" and not dataset.val_dataset_dir:
        raise InputError(
            "train.optim.lr_monitor val_loss needs dataset.val_dataset_dir; set it, or take train_loss."
        )
    intervals = {}
    for name in ("checkpoint_interval", "validation_interval"):
        value = getattr(train, name)
        intervals[name] = min(value, train.num_epochs)
        if value > train.num_epochs:
            say(f"train.{name} {value} is {train.num_epochs} now: there are no more epochs")
    return replace(train, num_gpus=gpus, gpu_ids=ids, **intervals)
