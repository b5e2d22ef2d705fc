"""The self-check of notebook 08 looks into files and runs the network itself; what is wrong is named."""

from __future__ import annotations

import json
import zlib
from contextlib import closing
from pathlib import Path
from shutil import copytree, move, rmtree
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tao_nets import NOTES as TAO_NOTES
from tao_nets import logits, save, tao_net

from edgekit.checks import own_action
from edgekit.checks.own_action import answer
from edgekit.engine import open_engine
from edgekit.ops.flow import open_flow
from edgekit.prepare.action_folders import read_clip, write_clip
from edgekit.tasks.action_nets import Net, read_notes

BEFORE = ("jump", "walk")
NAMES = ("clap", "jump", "walk")
#: What a clip of each action looks like to the network below: one channel is bright.
COLOURS = {"clap": (0, 0, 200), "jump": (0, 200, 0), "walk": (200, 0, 0)}
NOTES = {"names": json.dumps(NAMES), "mean": "[0.5, 0.5, 0.5]", "std": "[0.5, 0.5, 0.5]", "sample_rate": "2"}


def network(path: Path, notes: dict[str, str] = NOTES, swapped: bool = False) -> Path:
    """Logits: the mean of R, G and B over a clip [1, 3, 4, 8, 8]; `swapped` calls a clap a jump."""
    order = np.eye(3, dtype=np.float32)[[1, 0, 2] if swapped else [0, 1, 2]]
    nodes = [
        helper.make_node("ReduceMean", ["input_rgb"], ["mean"], axes=[2, 3, 4], keepdims=0),
        helper.make_node("MatMul", ["mean", "order"], ["fc_pred"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input_rgb", TensorProto.FLOAT, [1, 3, 4, 8, 8])],
        [helper.make_tensor_value_info("fc_pred", TensorProto.FLOAT, [1, len(order)])],
        [numpy_helper.from_array(order, "order")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for name, value in notes.items():
        model.metadata_props.add(key=name, value=value)
    onnx.save(model, path)
    return path


def clip(root: Path, label: str, name: str, shown: str = "") -> None:
    """Ten pictures; before and after the middle it is another action, so that only the middle tells."""
    seed = zlib.crc32(f"{label}/{name}".encode())
    noise = np.random.default_rng(seed).integers(0, 20, (10, 12, 16, 3), dtype=np.uint8)
    other = next(one for one in NAMES if one != label)
    for n, picture in enumerate(noise):
        picture += np.array(COLOURS[(shown or label) if 1 <= n <= 8 else other], np.uint8)
    write_clip(root, label, name, noise)


@pytest.fixture
def made(tmp_path: Path) -> dict[str, Any]:
    """What passes: three people taught, ben examined, with two clips of each action."""
    for label in NAMES:
        for who in ("anna_1", "anna_2", "carl_1"):
            clip(tmp_path / "train", label, who)
        for who in ("ben_1", "ben_2", "dora_1"):
            clip(tmp_path / "test", label, who)
    model = network(tmp_path / "mine.onnx")
    return {"model": model, "taught": tmp_path / "train", "asked": tmp_path / "test", "before": BEFORE}


def said(made: dict[str, Any], added: Any = "clap", friend: Any = "ben") -> str:
    verdict = own_action(added, friend, **made)
    assert verdict.head == "Not right", verdict
    return verdict.words


def test_right(made: dict[str, Any]) -> None:
    verdict = own_action("clap", "ben", **made)
    assert verdict, verdict
    assert "6 of ben's 6 clips are right, 100%, with clap among them" in verdict.words


def test_not_yet(made: dict[str, Any]) -> None:
    assert own_action(None, "ben", **made).head == "Not yet"
    assert own_action("clap", None, **made).head == "Not yet"


def test_one_mistake_of_six_passes_and_is_named(made: dict[str, Any]) -> None:
    rmtree(made["asked"] / "walk/ben_2")
    clip(made["asked"], "walk", "ben_2", shown="jump")
    verdict = own_action("clap", "ben", **made)
    assert verdict
    assert "5 of ben's 6 clips are right, 83%" in verdict.words
    assert "walk was taken for jump (1 of 2)" in verdict.words


def test_the_accuracy_is_what_the_network_says_not_what_a_file_claims(made: dict[str, Any]) -> None:
    (made["asked"].parent / "results.json").write_text('{"accuracy": 1.0}', encoding="utf-8")
    network(made["model"], swapped=True)
    words = said(made)
    assert "2 of ben's 6 clips are right, 33%; 80% are asked for" in words
    assert "Most often clap was taken for jump (2 of 2)" in words


def test_the_new_class_must_be_recognised_too(made: dict[str, Any]) -> None:
    for n in range(3, 9):
        clip(made["asked"], "jump", f"ben_{n}")
        clip(made["asked"], "walk", f"ben_{n}")
    for n in (1, 2):
        rmtree(made["asked"] / f"clap/ben_{n}")
    clip(made["asked"], "clap", "ben_1", shown="walk")
    assert "and yet not one clap was recognised" in said(made)


def test_who_was_taught_is_not_examined(made: dict[str, Any]) -> None:
    clip(made["taught"], "walk", "ben_7")
    assert "ben is in 1 clips that the network was trained on, such as walk/ben_7" in said(made)


def test_a_recorded_clip_belongs_to_whom_its_note_names(made: dict[str, Any]) -> None:
    clip(made["taught"], "walk", "video_7")
    note = made["taught"] / "walk/video_7/clip.json"
    note.write_text(json.dumps(json.loads(note.read_text("utf-8")) | {"person": "ben"}), encoding="utf-8")
    assert "ben is in 1 clips" in said(made)


def test_a_copied_clip_is_found_out(made: dict[str, Any]) -> None:
    copytree(made["taught"] / "clap/anna_1", made["asked"] / "clap/ben_9")
    assert "clap/ben_9 is clap/anna_1, which was taught" in said(made)


def test_a_class_that_was_not_recorded_or_not_trained(made: dict[str, Any]) -> None:
    network(made["model"], {**NOTES, "names": '["hop", "jump", "walk"]'})
    assert "the network knows hop, jump, walk, and not clap: it was trained before" in said(made)
    move(made["taught"] / "clap", made["taught"].parent / "elsewhere")
    assert "there is no folder clap among the clips for training" in said(made)
    clip(made["taught"], "clap", "anna_1")
    assert "1 clips of clap teach nothing" in said(made)


def test_an_exam_that_is_none(made: dict[str, Any]) -> None:
    assert "no clip of the exam is of eve; it has clips of ben, dora" in said(made, friend="eve")
    assert "3 clips of dora are too few" in said(made, friend="dora")
    rmtree(made["asked"] / "walk")
    clip(made["asked"], "jump", "ben_3")
    assert "ben never does walk in the exam" in said(made)


def test_answers_that_cannot_be(made: dict[str, Any]) -> None:
    assert "clap was there before" in said({**made, "before": NAMES})
    assert "both are words" in said(made, added=["clap"])
    assert "is no file: nothing was trained" in said({**made, "model": "edgekit-action"})
    assert "is no folder" in said({**made, "taught": made["asked"] / "nowhere"})


def test_a_broken_picture_is_named(made: dict[str, Any]) -> None:
    (made["asked"] / "walk/ben_1/rgb/000005.png").write_bytes(b"no picture")
    assert "000005.png cannot be read" in said(made)


def test_pictures_and_flow_are_read_as_training_reads_them(tmp_path: Path) -> None:
    """Against a plain reading of the files: the four middle ones of 9, every second; R first; x/127.5 - 1."""
    noise = np.random.default_rng(0).integers(0, 255, (6, 9, 16, 16, 3), dtype=np.uint8)
    model = save(
        tao_net(4, (16, 16), streams=("rgb", "of"), notes=TAO_NOTES | {"sample_rate": "2"}),
        tmp_path / "j.onnx",
    )
    with closing(open_engine(model, "fp32", "onnxruntime")) as engine:
        net = Net(engine)
        notes, seen = read_notes(engine.metadata, net, {}), set()
        for number, pictures in enumerate(noise):
            folder = write_clip(tmp_path, "walk", f"one_{number}", pictures, flow=open_flow("dis"))
            chosen = [0, 2, 4, 6]  # of the 8 that have a flow: 7 frames from (8 - 7) // 2 on
            rgb = np.stack([cv2.imread(str(folder / f"rgb/{n:06}.png"))[..., ::-1] for n in chosen])
            of = [
                [cv2.imread(str(folder / f"{axis}/{n:06}.jpg"), cv2.IMREAD_GRAYSCALE) for n in chosen]
                for axis in "uv"
            ]
            clips = {"rgb": rgb.transpose(3, 0, 1, 2), "of": np.array(of)}
            wanted = logits(
                **{kind: (clip[None] / 127.5 - 1).astype(np.float32) for kind, clip in clips.items()}
            )
            found = answer(net, notes, read_clip(folder, "walk"))
            assert found == notes.names[int(wanted[0].argmax())]
            seen.add(found)
    assert len(seen) > 1, "the clips are told apart"
