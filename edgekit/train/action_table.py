"""Every parameter of an experiment spec for action recognition: name, default, range and what it does.

Names, defaults and ranges are those of the page of TAO's ActionRecognitionNet; what only TAO's own schema
(its `default_config.py`) has is accepted too. Parameters that TAO does not know are marked `here=True`; their
defaults leave everything as in TAO.
"""

# ruff: noqa: RUF009 (`setting` and `section` make dataclass fields)
from __future__ import annotations

from dataclasses import dataclass

from edgekit.train.action_fields import (
    Range,
    at_least,
    between,
    more_than,
    one_of,
    section,
    setting,
    sized,
)

POSITIVE = more_than(0)
ONE = Range("1", lambda value: value == 1)
OPEN = Range("-1, or 1 and more", lambda value: value == -1 or value > 0)


@dataclass(frozen=True)
class Model:
    """The network."""

    model_type: str = setting(
        "joint", "pictures, optical flow, or both streams", one_of("rgb", "of", "joint")
    )
    backbone: str = setting("resnet18", "", one_of("resnet18", "resnet34", "resnet50", "resnet101"))
    input_type: str = setting("2d", "frames stacked as channels, or a time axis", one_of("2d", "3d"))
    rgb_seq_length: int = setting(3, "pictures of one inference", POSITIVE)
    rgb_pretrained_model_path: str | None = setting(None, "weights of a model of pictures to begin with")
    rgb_pretrained_num_classes: int = setting(0, "its classes; 0: as many as here", at_least(0))
    of_seq_length: int = setting(10, "flow pictures of one inference", POSITIVE)
    of_pretrained_model_path: str | None = setting(None, "weights of a model of flow to begin with")
    of_pretrained_num_classes: int = setting(0, "its classes; 0: as many as here", at_least(0))
    joint_pretrained_model_path: str | None = setting(None, "weights of a joint model to begin with")
    num_fc: int = setting(64, "hidden units of the joint model", POSITIVE)
    sample_rate: int = setting(1, "2 takes every second frame", POSITIVE)
    sample_strategy: str = setting(
        "consecutive", "frames in a row, or spread over the clip", one_of("consecutive", "random_interval")
    )
    dropout_ratio: float = setting(0.5, "share of hidden units dropped while training", between(0, 1))
    input_height: int | None = setting(None, "missing: of dataset.output_shape", POSITIVE)
    input_width: int | None = setting(None, "missing: of dataset.output_shape", POSITIVE)
    imagenet_pretrained: bool = setting(False, "internal to TAO; this kit brings no such weights")
    width: float = setting(
        1.0, "share of the ResNet's channels, for small boards", between(0.0625, 1), here=True
    )


@dataclass(frozen=True)
class Augmentation:
    """What happens to the pictures."""

    train_crop_type: str = setting(
        "random_crop", "how training cuts", one_of("random_crop", "multi_scale_crop", "no_crop")
    )
    scales: tuple[float, ...] = setting((1.0,), "scales of multi_scale_crop", POSITIVE)
    horizontal_flip_prob: float = setting(0.5, "how often a clip is mirrored", between(0, 1))
    rgb_input_mean: tuple[float, ...] = setting(
        (0.485, 0.456, 0.406), "of x/255; (x - mean) / std", sized(at_least(0), 1, 3)
    )
    rgb_input_std: tuple[float, ...] = setting((0.229, 0.224, 0.225), "of x/255", sized(POSITIVE, 1, 3))
    of_input_mean: tuple[float, ...] = setting((0.5,), "of the flow's pictures", sized(at_least(0), 1, 2))
    of_input_std: tuple[float, ...] = setting((0.5,), "of the flow's pictures", sized(POSITIVE, 1, 2))
    val_center_crop: bool = setting(False, "cut the middle where a clip is scored; else resize to the shape")
    crop_smaller_edge: int = setting(256, "short side that random_crop and the middle are cut from", POSITIVE)
    colour: float = setting(
        0.0, "strength of random brightness, contrast and colour; 0: none", between(0, 1), here=True
    )


@dataclass(frozen=True)
class Dataset:
    """The clips."""

    train_dataset_dir: str | None = setting(None, "folder CLASS/VIDEO/{rgb,u,v}, or of .tar shards")
    val_dataset_dir: str | None = setting(None, "the same, to score after epochs")
    label_map: dict[str, int] | None = setting(None, "names to 0 … n-1; missing: the sorted classes found")
    output_shape: tuple[int, ...] = setting((224, 224), "height and width of the input", sized(POSITIVE, 2))
    batch_size: int = setting(32, "clips of a batch, of one GPU", POSITIVE)
    workers: int = setting(8, "processes that read", POSITIVE)
    clips_per_video: int = setting(1, "clips drawn from one video in an epoch", POSITIVE)
    augmentation_config: Augmentation = section(Augmentation, "what happens to the pictures")


@dataclass(frozen=True)
class Optim:
    """The optimizer (SGD) and its learning rate."""

    lr: float = setting(5e-4, "learning rate at the beginning", POSITIVE)
    momentum: float = setting(0.9, "of SGD", POSITIVE)
    weight_decay: float = setting(5e-4, "", POSITIVE)
    lr_scheduler: str = setting(
        "MultiStep", "at lr_steps, or on a plateau", one_of("MultiStep", "AutoReduce")
    )
    lr_decay: float = setting(0.1, "factor of each reduction", POSITIVE)
    lr_steps: tuple[int, ...] = setting((15, 25), "epochs of MultiStep's reductions", at_least(0))
    lr_monitor: str = setting("val_loss", "what AutoReduce watches", one_of("val_loss", "train_loss"))
    patience: int = setting(1, "epochs without a gain before AutoReduce reduces", POSITIVE)
    min_lr: float = setting(1e-4, "lowest learning rate of AutoReduce", POSITIVE)


@dataclass(frozen=True)
class Cudnn:
    """How cuDNN picks its algorithms."""

    benchmark: bool = setting(False, "try them and take the fastest")
    deterministic: bool = setting(True, "only those that repeat exactly")


@dataclass(frozen=True)
class Train:
    """The training."""

    num_gpus: int = setting(1, "the larger of num_gpus and the length of gpu_ids counts", POSITIVE)
    gpu_ids: tuple[int, ...] = setting((0,), "which GPUs", at_least(0))
    num_nodes: int = setting(1, "machines", ONE)
    seed: int = setting(1234, "of random, NumPy and PyTorch", POSITIVE)
    num_epochs: int = setting(10, "", POSITIVE)
    checkpoint_interval: int = setting(1, "epochs from checkpoint to checkpoint", POSITIVE)
    checkpoint_interval_unit: str = setting("epoch", "", one_of("epoch"))
    validation_interval: int = setting(1, "epochs from score to score", POSITIVE)
    resume_training_checkpoint_path: str | None = setting(None, "go on from this; missing: the latest there")
    results_dir: str | None = setting(None, "missing: results_dir/train")
    clip_grad_norm: float = setting(0.0, "largest L2 norm of the gradient; 0: any", at_least(0))
    precision: str = setting(
        "32-true", "of Lightning", one_of("32-true", "16-mixed", "bf16-mixed"), here=True
    )
    optim: Optim = section(Optim, "SGD and its learning rate")
    cudnn: Cudnn = section(Cudnn, "how cuDNN picks its algorithms")


@dataclass(frozen=True)
class Evaluate:
    """The accuracy of a checkpoint."""

    checkpoint: str | None = setting(None, "the .pth to score")
    test_dataset_dir: str | None = setting(None, "labelled clips; missing: dataset.val_dataset_dir")
    batch_size: int = setting(1, "", POSITIVE)
    video_eval_mode: str = setting(
        "center", "the middle, or the mean of segments", one_of("center", "conv", "all")
    )
    video_num_segments: int = setting(10, "segments of conv", POSITIVE)
    results_dir: str | None = setting(None, "missing: results_dir/evaluate")
    num_gpus: int = setting(1, "one is used", POSITIVE)
    gpu_ids: tuple[int, ...] = setting((0,), "the first is used", at_least(0))
    num_nodes: int = setting(1, "machines", ONE)
    trt_engine: str | None = setting(None, "of TAO Deploy; not used here")


@dataclass(frozen=True)
class Inference:
    """The labels of clips."""

    checkpoint: str | None = setting(None, "the .pth that labels")
    inference_dataset_dir: str | None = setting(None, "folder of one class: VIDEO/{rgb,u,v}")
    batch_size: int = setting(1, "", POSITIVE)
    video_inf_mode: str = setting(
        "center", "the middle, or a label per segment", one_of("center", "conv", "all")
    )
    video_num_segments: int = setting(1, "segments of conv", POSITIVE)
    results_dir: str | None = setting(None, "missing: results_dir/inference")
    num_gpus: int = setting(1, "one is used", POSITIVE)
    gpu_ids: tuple[int, ...] = setting((0,), "the first is used", at_least(0))
    num_nodes: int = setting(1, "machines", ONE)
    trt_engine: str | None = setting(None, "of TAO Deploy; not used here")


@dataclass(frozen=True)
class Export:
    """The ONNX file."""

    checkpoint: str | None = setting(None, "the .pth to export")
    onnx_file: str | None = setting(None, "missing: beside the .pth")
    gpu_id: int = setting(0, "which GPU; the export itself runs on the CPU", at_least(0))
    batch_size: int = setting(-1, "-1: open; else clips of every call", OPEN)
    half_weights: bool = setting(False, "round weights to what float16 holds", here=True)
    notes: dict[str, object] | None = setting(
        None,
        "more metadata: {per: person, person_margin: 0.3, stride: 4, threshold: 0.4, license: …}",
        here=True,
    )
    results_dir: str | None = setting(None, "missing: results_dir/export")
