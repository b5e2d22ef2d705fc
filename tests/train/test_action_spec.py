"""Experiment specs of action recognition: the page's, TAO's of three generations, what is refused by name."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

pytest.importorskip("omegaconf", reason="OmegaConf is not installed")
pytestmark = pytest.mark.train

from edgekit.cli import main  # noqa: E402
from edgekit.errors import InputError  # noqa: E402
from edgekit.train.action_help import commented, parameters  # noqa: E402
from edgekit.train.action_spec import (  # noqa: E402
    Spec,
    as_written,
    names,
    read_spec,
    spec_from,
    value_of,
    write_spec,
)

#: The example of TAO's page.
PAGE = """
model:
  model_type: rgb
  backbone: resnet18
  rgb_seq_length: 3
  input_type: 3d
  sample_rate: 1
  dropout_ratio: 0.0
dataset:
  train_dataset_dir: /data/train
  val_dataset_dir: /data/test
  label_map:
    walk: 0
    sits: 1
    squat: 2
    fall: 3
    bend: 4
  output_shape:
  - 224
  - 224
  batch_size: 32
  workers: 8
  clips_per_video: 15
  augmentation_config:
    train_crop_type: no_crop
    horizontal_flip_prob: 0.5
    rgb_input_mean: [0.5]
    rgb_input_std: [0.5]
    val_center_crop: False
train:
  optim:
    lr: 0.0005
    momentum: 0.9
    weight_decay: 0.0005
    lr_scheduler: MultiStep
    lr_decay: 0.1
    lr_steps: [15, 25]
    patience: 1
    min_lr: 0.0001
  num_epochs: 10
  checkpoint_interval: 5
  validation_interval: 5
  clip_grad_norm: 0.0
  num_gpus: 1
  gpu_ids: [0]
  seed: 1234
"""

#: Name, default and range of the page's tables: ">0", ">=0", "0~1" or the values. "-": the page names none.
TABLES = """
results_dir /results -
encryption_key None -
model.model_type joint rgb/of/joint
model.backbone resnet18 resnet18/resnet34/resnet50/resnet101
model.input_type 2d 2d/3d
model.rgb_seq_length 3 >0
model.rgb_pretrained_model_path None -
model.rgb_pretrained_num_classes 0 >=0
model.of_seq_length 10 >0
model.of_pretrained_model_path None -
model.of_pretrained_num_classes 0 >=0
model.joint_pretrained_model_path None -
model.num_fc 64 >0
model.sample_rate 1 >0
model.dropout_ratio 0.5 0~1
train.num_gpus 1 >0
train.gpu_ids [0] -
train.seed 1234 >0
train.num_epochs 10 >0
train.checkpoint_interval 1 >0
train.validation_interval 1 >0
train.resume_training_checkpoint_path None -
train.clip_grad_norm 0.0 >=0
train.optim.lr 0.0005 >0
train.optim.momentum 0.9 >0
train.optim.weight_decay 0.0005 >0
train.optim.lr_scheduler MultiStep MultiStep/AutoReduce
train.optim.lr_decay 0.1 >0
train.optim.lr_steps [15,25] -
train.optim.lr_monitor val_loss val_loss/train_loss
train.optim.patience 1 >0
train.optim.min_lr 0.0001 >0
dataset.train_dataset_dir None -
dataset.val_dataset_dir None -
dataset.label_map None -
dataset.output_shape [224,224] >0
dataset.batch_size 32 >0
dataset.workers 8 >0
dataset.clips_per_video 1 >0
dataset.augmentation_config.train_crop_type random_crop random_crop/multi_scale_crop/no_crop
dataset.augmentation_config.scales [1.0] >0
dataset.augmentation_config.rgb_input_mean [0.485,0.456,0.406] -
dataset.augmentation_config.rgb_input_std [0.229,0.224,0.225] -
dataset.augmentation_config.of_input_mean [0.5] -
dataset.augmentation_config.of_input_std [0.5] -
dataset.augmentation_config.val_center_crop False -
dataset.augmentation_config.crop_smaller_edge 256 >0
evaluate.batch_size 1 >0
evaluate.test_dataset_dir None -
evaluate.video_eval_mode center center/conv
evaluate.video_num_segments 10 >0
inference.batch_size 1 >0
inference.inference_dataset_dir None -
inference.video_inf_mode center center/conv
export.gpu_id 0 >=0
export.onnx_file None -
"""
ROWS = [tuple(line.split()) for line in TABLES.strip().splitlines()]


def read(tmp_path: Path, text: str, *overrides: str, task: str = "train") -> tuple[Spec, list[str]]:
    path, said = tmp_path / "spec.yaml", []
    path.write_text(text, "utf-8")
    return read_spec(path, overrides, task, said.append), said


def put(name: str, value: object) -> dict:
    """{"train": {"optim": {"lr": value}}} of "train.optim.lr"."""
    for part in reversed(name.split(".")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


def test_the_pages_own_spec(tmp_path: Path) -> None:
    spec, said = read(tmp_path, PAGE)
    assert spec.classes == ("walk", "sits", "squat", "fall", "bend")
    assert (spec.model.model_type, spec.model.input_type, spec.model.rgb_seq_length) == ("rgb", "3d", 3)
    assert (spec.model.dropout_ratio, spec.model.num_fc, spec.model.width) == (0.0, 64, 1.0)
    assert (spec.model.input_height, spec.model.input_width) == spec.dataset.output_shape == (224, 224)
    assert spec.dataset.augmentation_config.rgb_input_mean == (0.5,)
    assert (spec.train.num_epochs, spec.train.checkpoint_interval, spec.train.gpu_ids) == (10, 5, (0,))
    assert (spec.train.optim.lr, spec.train.optim.lr_steps) == (0.0005, (15, 25))
    assert spec.train.results_dir == "/results/train"
    assert said == []


@pytest.mark.parametrize(("name", "default", "_"), ROWS, ids=[row[0] for row in ROWS])
def test_a_default_of_the_page(name: str, default: str, _: str) -> None:
    value = value_of(Spec(), name)
    assert json.dumps(value).strip('"').replace(" ", "") == {"None": "null", "False": "false"}.get(
        default, default
    )


@pytest.mark.parametrize(("name", "default", "allowed"), ROWS, ids=[row[0] for row in ROWS])
def test_a_range_of_the_page(name: str, default: str, allowed: str) -> None:
    """What is just inside is taken, what is just outside refused, by name and with what is allowed."""
    listed = default.startswith("[")
    whole = isinstance(value_of(Spec(), name), int) or name == "dataset.output_shape"
    good: list[object] = []
    bad: list[object] = [{"a": 1}]
    if allowed in (">0", ">=0"):
        good, bad = [1 if whole else 1e-6], [*bad, -1, "one", True]
        (bad if allowed == ">0" else good).append(0)
        bad += [0.5] if whole else [float("nan"), float("inf")]
    elif allowed == "0~1":
        good, bad = [0, 0.5, 1], [*bad, -0.01, 1.01]
    elif "/" in allowed:
        good, bad = [*allowed.split("/")], [*bad, "other", 3]
    if listed and allowed != "-":
        good, bad = [[v, v] for v in good], [[v, v] for v in bad] + [5]
    for value in good:
        found = value_of(spec_from(put(name, value)), name)
        assert (list(found) if listed else found) == value
    for value in bad if name != "dataset.label_map" else [[1], "walk"]:
        with pytest.raises(InputError, match=rf"^{re.escape(name)}[ :]") as caught:
            spec_from(put(name, value))
        if "/" in allowed:
            assert ", ".join(allowed.split("/")) in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "cure"),
    [
        ("train.optim.lrr=1", "did you mean train.optim.lr?"),
        ("train.lr=1", "did you mean train.optim.lr?"),
        ("train.epoch=3", "did you mean train.num_epochs?"),
        ("train.batch_size=3", "did you mean dataset.batch_size?"),
        ("modell.backbone=resnet18", "did you mean model?"),
        ("evaluate.video_inf_mode=conv", "did you mean evaluate.video_eval_mode?"),
        ("nonsense=1", "it has results_dir, encryption_key, model, dataset"),
        (
            "model.backbone=resnet_8",
            "must be one of resnet18, resnet34, resnet50, resnet101. Did you mean resnet",
        ),
        ("model.backbone=i3d", "'i3d' must be one of resnet18"),
        ("train.gpu_ids=0", "train.gpu_ids 0 must be a list of whole numbers"),
        ("dataset.augmentation_config.rgb_input_mean=[0.1,0.2]", "1 or 3 values"),
        ("dataset.output_shape=[224]", "2 values, each more than 0"),
        ("model=resnet18.yaml", ""),
        ("train=5", "train 5 must be a group of settings: num_gpus"),
        ("train.num_epochs=", "has no value; give a whole number, more than 0"),
        ("train.num_epochs", "write key=value"),
        ("train.gpu_ids=[0", "is no YAML"),
        ("train.results_dir=${nowhere}", "Interpolation key 'nowhere' not found"),
        ("train.gpu_ids=[0,0]", "names a GPU twice"),
        ("model.imagenet_pretrained=true", "brings no ImageNet weights"),
        ("train.num_nodes=2", "train.num_nodes 2 must be a whole number, 1"),
        ("export.batch_size=0", "-1, or 1 and more"),
    ],
)
def test_what_is_refused(tmp_path: Path, setting: str, cure: str) -> None:
    if not cure:  # a text under `model` is a checkpoint in TAO 3 and 4
        spec, said = read(tmp_path, PAGE, setting)
        assert spec.export.checkpoint == "resnet18.yaml"
        assert "model is evaluate.checkpoint and inference.checkpoint and export.checkpoint now" in said
        return
    with pytest.raises(InputError) as caught:
        read(tmp_path, PAGE, setting)
    assert cure in str(caught.value)
    assert setting.split("=")[0].removesuffix("l.backbone") in str(caught.value) or "${" in setting


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("{walk: 0, sit: 2}", "the numbers [0, 2] must be 0 to 1, each once"),
        ("{walk: 0, sit: 0}", "each once"),
        ("{walk: 1}", "must be 0 to 0"),
        ("{walk: zero}", "walk has 'zero'"),
        ("{walk:0,sit:1}", "write {name: number, name: number}"),
        ("{yes: 0}", "True is not text for YAML; write it in quotes"),
        ("[walk, sit]", "names with the numbers 0, 1, 2"),
    ],
)
def test_label_maps_that_cannot_be(labels: str, words: str) -> None:
    with pytest.raises(InputError, match=r"^dataset\.label_map") as caught:
        read_spec(None, [f"dataset.label_map={labels}", "dataset.train_dataset_dir=x"])
    assert words in str(caught.value)


def test_files_that_are_no_spec(tmp_path: Path) -> None:
    for text, words in (
        ("- a\n- b\n", "holds no settings"),
        ("a: [1\n", "is no YAML"),
        ("a: 1\na: 2\n", "no YAML"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            read(tmp_path, text)
        assert "spec.yaml" in str(caught.value)
    (tmp_path / "spec.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"spec\.yaml"):
        read_spec(tmp_path / "spec.yaml")
    with pytest.raises(InputError, match="cannot be read as a spec"):
        read_spec(tmp_path / "absent.yaml")
    with pytest.raises(InputError, match="no task 'test'"):
        read_spec(None, (), "test")


def test_overrides_win_and_later_ones_over_earlier(tmp_path: Path) -> None:
    spec, _ = read(
        tmp_path,
        PAGE,
        "train.optim.lr=1e-2",
        "train.optim.lr=2e-2",
        "++dataset.label_map.jump=5",
        "results_dir=out",
    )
    assert spec.train.optim.lr == 0.02
    assert spec.classes[-1] == "jump"
    assert (spec.train.results_dir, spec.evaluate.results_dir) == ("out/train", "out/evaluate")
    assert (spec.inference.results_dir, spec.export.results_dir) == ("out/inference", "out/export")


@pytest.mark.parametrize(
    ("given", "gpus", "ids"),
    [
        (["train.gpu_ids=[0,1]"], 2, (0, 1)),  # the page's example: 1 and [0, 1] become 2
        (["train.num_gpus=4"], 4, (0, 1, 2, 3)),
        (["train.num_gpus=2", "train.gpu_ids=[3]"], 2, (0, 1)),
        (["train.num_gpus=2", "train.gpu_ids=[1,2,5]"], 3, (1, 2, 5)),
        (["train.gpu_ids=[3]"], 1, (3,)),
    ],
)
def test_the_setting_with_more_gpus_counts(tmp_path: Path, given: list[str], gpus: int, ids: tuple) -> None:
    spec, said = read(tmp_path, PAGE, *given)
    assert (spec.train.num_gpus, spec.train.gpu_ids) == (gpus, ids)
    assert bool(said) == (len(given) == 2 or given != ["train.gpu_ids=[3]"])


def test_evaluation_and_inference_use_one_gpu(tmp_path: Path) -> None:
    spec, said = read(tmp_path, PAGE, "evaluate.gpu_ids=[2,3]", "evaluate.checkpoint=a.pth", task="evaluate")
    assert (spec.evaluate.num_gpus, spec.evaluate.gpu_ids) == (1, (2,))
    assert said == ["evaluate runs on one GPU, 2"]
    assert spec.evaluate.test_dataset_dir == "/data/test"


def test_what_a_task_cannot_do_without(tmp_path: Path) -> None:
    for task, name in (
        ("evaluate", "evaluate.checkpoint"),
        ("inference", "inference.checkpoint"),
        ("infer", "inference.checkpoint"),
        ("export", "export.checkpoint"),
    ):
        with pytest.raises(InputError, match=f"{name} is not set; add it to the spec, or {name}=PATH"):
            read(tmp_path, PAGE, task=task)
    with pytest.raises(InputError, match=r"dataset\.train_dataset_dir is not set"):
        read(tmp_path, "model:\n")
    with pytest.raises(InputError, match=r"lr_monitor val_loss needs dataset\.val_dataset_dir"):
        read(tmp_path, PAGE, "train.optim.lr_scheduler=AutoReduce", "dataset.val_dataset_dir=''")


def test_intervals_are_no_longer_than_the_training(tmp_path: Path) -> None:
    spec, said = read(tmp_path, PAGE, "train.num_epochs=2")
    assert (spec.train.checkpoint_interval, spec.train.validation_interval) == (2, 2)
    assert len(said) == 2


def test_classes_of_the_folder(tmp_path: Path) -> None:
    for name in ("walk", "jump", "a b", ".cache"):
        (tmp_path / "set" / name).mkdir(parents=True)
    text = re.sub(r"  label_map:\n(    .*\n)+", "", PAGE)
    spec, said = read(tmp_path, text, f"dataset.train_dataset_dir={tmp_path / 'set'}")
    assert spec.dataset.label_map == {"a b": 0, "jump": 1, "walk": 2}
    assert said == ["dataset.label_map: a b, jump, walk, the sorted classes of the folder"]
    spec, _ = read(tmp_path, text, "export.checkpoint=x.pth", task="export")
    assert spec.classes == ()  # those of the checkpoint count
    with pytest.raises(InputError, match="is no folder"):
        read(tmp_path, text)


def test_classes_of_shards(tmp_path: Path) -> None:
    index = {"samples": 3, "classes": {"wave": 2, "jump": 1}, "files": {"shard-000000.tar": 3}}
    (tmp_path / "shards.json").write_text(json.dumps(index))
    (tmp_path / "shard-000000.tar").write_bytes(b"")
    spec = read_spec(None, [f"dataset.train_dataset_dir={tmp_path}"])
    assert spec.dataset.label_map == {"jump": 0, "wave": 1}
    for shard in tmp_path.glob("*.tar"):  # the list is there, what it lists is not
        shard.unlink()
    with pytest.raises(InputError, match="which is missing"):
        read_spec(None, [f"dataset.train_dataset_dir={tmp_path}"])


def test_tao_6_and_5(tmp_path: Path) -> None:
    """The schema's newer names: input_height, sample_strategy, resnet_18, ${…}, ??? for what is to come."""
    text = """
results_dir: /results/rgb_2d
encryption_key: nvidia_tao
wandb: {enable: True, tags: [a, b]}
model:
  backbone: resnet_34
  model_type: of
  input_height: 112
  input_width: 96
  sample_strategy: random_interval
  of_pretrained_model_path: ""
dataset:
  train_dataset_dir: /data/train
  label_map: {fall_floor: 0, ride_bike: 1}
  augmentation_config: {crop_smaller_edge: 128, of_input_rgb: [0.25]}
train:
  num_nodes: 1
  cudnn: {benchmark: True}
  results_dir: "${results_dir}/here"
evaluate: {checkpoint: "??", test_dataset_dir: "???", gpu_id: 1}
export:
  checkpoint: ???
  gpu_id: 1
"""
    spec, said = read(tmp_path, text)
    assert (spec.model.backbone, spec.model.sample_strategy) == ("resnet34", "random_interval")
    assert spec.dataset.output_shape == (112, 96)
    assert spec.dataset.augmentation_config.of_input_std == (0.25,)
    assert spec.train.cudnn.benchmark
    assert spec.train.results_dir == "/results/rgb_2d/here"
    assert (spec.evaluate.checkpoint, spec.evaluate.gpu_ids, spec.export.gpu_id) == (None, (1,), 1)
    assert spec.model.of_pretrained_model_path is None
    told = "\n".join(said)
    for word in (
        "encryption_key is not used",
        "wandb is not used",
        "output_shape is [112, 96]",
        "of_input_std now",
    ):
        assert word in told


def test_two_shapes_that_differ(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="differ; leave one of them out"):
        read(tmp_path, PAGE, "dataset.output_shape=[64,64]", "model.input_height=96", "model.input_width=96")
    spec, _ = read(tmp_path, PAGE, "dataset.output_shape=[64,48]")
    assert (spec.model.input_height, spec.model.input_width) == (64, 48)


def test_tao_3_and_4(tmp_path: Path) -> None:
    """model_config and the rest, epochs, a model as the checkpoint, and its commands' overrides."""
    text = """
output_dir: ./out
key: nvidia_tlt
gpu_ids: [0, 1]
model_config:
  model_type: joint
  backbone: resnet18
  of_seq_length: 10
  rgb_seq_length: 3
  num_fc: 64
train_config:
  optim: {lr: 0.0005, momentum: 0.9}
  epochs: 20
dataset_config:
  train_dataset_dir: /data/train
  val_dataset_dir: /data/test
  label_map: {walk: 0, squa: 1}
  output_shape: [224, 224]
"""
    spec, said = read(tmp_path, text, "model_config.rgb_pretrained_num_classes=5")
    assert (spec.model.model_type, spec.model.rgb_pretrained_num_classes) == ("joint", 5)
    assert (spec.train.num_epochs, spec.train.num_gpus, spec.train.gpu_ids) == (20, 2, (0, 1))
    assert (spec.train.results_dir, spec.encryption_key) == ("out/train", "nvidia_tlt")
    assert spec.classes == ("walk", "squa")
    assert "train.epochs is train.num_epochs now" in said
    for task, given in (
        ("evaluate", ["test_dataset_dir=/t", "video_eval_mode=conv", "batch_size=2", "video_num_segments=4"]),
        ("inference", ["inference_dataset_dir=/t/walk", "video_inf_mode=conv", "batch_size=2"]),
        ("export", ["output_file=/x/rgb_resnet18_3.etlt", "gpu_id=1"]),
    ):
        spec, said = read(tmp_path, text, "model=/x/rgb_only_model.tlt", *given, task=task)
        assert value_of(spec, f"{task}.checkpoint") == "/x/rgb_only_model.tlt"
        if task == "evaluate":
            assert (spec.evaluate.test_dataset_dir, spec.evaluate.video_eval_mode) == ("/t", "conv")
            assert (spec.evaluate.batch_size, spec.evaluate.video_num_segments) == (2, 4)
        elif task == "inference":
            assert (spec.inference.inference_dataset_dir, spec.inference.video_inf_mode) == (
                "/t/walk",
                "conv",
            )
        else:
            assert (spec.export.onnx_file, spec.export.gpu_id) == ("/x/rgb_resnet18_3.onnx", 1)
            assert any("would be encrypted" in line for line in said)


def test_there_and_back(tmp_path: Path) -> None:
    spec, _ = read(tmp_path, PAGE, "results_dir=out")
    assert spec_from(spec.to_dict()) == spec
    assert json.loads(json.dumps(spec.to_dict())) == spec.to_dict()  # nothing but plain values
    path = write_spec(spec, tmp_path / "new" / "folder")
    assert path.name == "experiment.yaml"
    assert read_spec(path) == spec
    moved = read_spec(path, ["results_dir=elsewhere"])
    assert (moved.train.results_dir, moved.export.results_dir) == ("elsewhere/train", "elsewhere/export")
    assert read_spec(spec, ["train.num_epochs=7"]).train.num_epochs == 7


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"Cannot write results into .*file/train .*results_dir=DIR"):
        write_spec(Spec(), tmp_path / "file" / "train")


def test_the_commented_spec(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new.yaml"
    assert main(["train", "actions", "--write-spec", str(path)]) == 0
    text = path.read_text("utf-8")
    assert as_written(path) == Spec()
    assert main(["train", "actions", "--write-spec", str(path)]) == 2
    assert "is there already" in capsys.readouterr().err
    for name in names():
        assert re.search(rf"^ *(# )?{name.split('.')[-1]}:", text, re.MULTILINE), name
    assert main(["train", "actions", "--write-spec", "-", "model.backbone=resnet50", "-r", "out"]) == 0
    made = capsys.readouterr().out
    assert "  backbone: resnet50  # resnet18 | resnet34 | resnet50 | resnet101\n" in made
    assert made.split("\n")[6 + 1] == "results_dir: out  # folder of all results"
    page = tmp_path / "page.yaml"
    page.write_text(PAGE, "utf-8")
    path.write_text(commented(as_written(page)), "utf-8")
    assert as_written(path) == as_written(page)


def test_help_lists_every_parameter(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {"train": ("model", "dataset", "train"), "evaluate": ("evaluate",), "infer": ("inference",)}
    for command, sections in (*shown.items(), ("export", ("export",))):
        with pytest.raises(SystemExit) as done:
            main([command, "actions", "--help"])
        assert done.value.code == 0
        text = capsys.readouterr().out
        assert f"usage: edgekit {command} actions" in text
        for name in names():
            assert (f"  {name}=" in text) == (name.split(".")[0] in sections), name
    assert "train.optim.lr=0.0005\n      learning rate at the beginning; more than 0" in parameters("train")
    assert (
        "model.width=1.0\n      share of the ResNet's channels, for small boards; 0.0625 to 1 (*)"
        in parameters()
    )


def test_every_parameter_says_what_it_is_for() -> None:
    def walk(kind: type) -> None:
        for row in fields(kind):
            inner = row.metadata.get("section")
            assert row.metadata["words"] or row.metadata["range"].words, row.name
            if inner:
                walk(inner)

    walk(Spec)


def test_commands_without_what_they_need(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["train", "actions"], "Give a spec: -e spec.yaml"),
        (
            ["evaluate", "actions", "evaluate.batch_size=2"],
            "Give -e spec.yaml, or evaluate.checkpoint=FILE.pth",
        ),
        (["infer", "actions", "-e", "/nowhere.yaml"], "/nowhere.yaml cannot be read"),
        (["export", "actions", "export.checkpoint=/nowhere.pth"], "there is no weights file /nowhere.pth"),
        (["train", "actions", "-e", "/nowhere.yaml", "-k", "secret"], "/nowhere.yaml cannot be read"),
    ):
        assert main(words) == 2, words
        assert said in capsys.readouterr().err
