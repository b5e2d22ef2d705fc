"""The scores of action recognition against plain loops: modes, classes, confusion, what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("lightning", reason="Lightning is not installed")
pytest.importorskip("webdataset", reason="WebDataset is not installed")
pytestmark = pytest.mark.train

from actions_made import CLASSES, frames, spec_of, with_label_map, write_set  # noqa: E402

from edgekit.errors import InputError  # noqa: E402
from edgekit.prepare.action_folders import read_actions, write_clip  # noqa: E402
from edgekit.prepare.action_shards import write_shards  # noqa: E402
from edgekit.train.action_evaluate import (  # noqa: E402
    ActionScore,
    Scored,
    device_of,
    evaluate_actions,
    opened,
)
from edgekit.train.action_network import new_network  # noqa: E402


def saved(path: Path, spec: Any, names: tuple[str, ...] = CLASSES) -> Path:
    """A checkpoint of a network with drawn weights, batch norms shaken, so that it tells clips apart."""
    torch.manual_seed(4)
    network = new_network(spec.model, len(names))
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.2)
        elif name.endswith("fc_cls.weight"):
            value.normal_(0, 1.0)
    state = {f"model.{name}": value for name, value in network.state_dict().items()}
    torch.save({"spec": spec.to_dict(), "names": list(names), "state_dict": state}, path)
    return path


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_set(tmp_path_factory.mktemp("held") / "set", 3, count=11)
    write_clip(root, "left", "short", frames("left", 900, 3))
    return root


def spec_for(held: Path, out: Path, checkpoint: Path | None = None, **changes: Any) -> Any:
    named = {"evaluate__checkpoint": str(checkpoint)} if checkpoint else {}
    return spec_of(held, out, held, evaluate__batch_size=3, **named, **changes)


def plainly(held: Path, spec: Any, checkpoint: Path, starts: Any) -> list[np.ndarray]:
    """Softmax of each window of each clip, from the files, without the kit's reader."""
    found = torch.load(checkpoint, weights_only=True)
    network = new_network(spec.model, len(CLASSES)).eval()
    network.load_state_dict({k.removeprefix("model."): v for k, v in found["state_dict"].items()})
    made = []
    for clip in read_actions(held):
        rows = []
        for start in starts(len(clip.rgb)):
            pictures = []
            for n in range(4):
                file = clip.rgb[(start + n) % len(clip.rgb)]
                picture = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
                from PIL import Image

                small = Image.fromarray(picture).resize((32, 32), Image.Resampling.BILINEAR)
                pictures.append((np.asarray(small, np.float64) / 255 - 0.5) / 0.5)
            given = torch.tensor(np.stack(pictures)).permute(3, 0, 1, 2)[None].float()
            with torch.inference_mode():
                logits = network(rgb=given)[0].double().numpy()
            rows.append(np.exp(logits) / np.exp(logits).sum())
        made.append(np.stack(rows))
    return made


@pytest.mark.parametrize("mode", ["center", "conv"])
@pytest.mark.parametrize("kind", ["folder", "shards"])
def test_scores_by_plain_loops(held: Path, tmp_path: Path, mode: str, kind: str) -> None:
    """center: the middle; conv: softmax averaged over windows from the middle of each third of the starts."""
    checkpoint = saved(tmp_path / "net.pth", spec_for(held, tmp_path))
    spec = spec_for(
        held, tmp_path, checkpoint, evaluate__video_eval_mode=mode, evaluate__video_num_segments=3
    )
    if kind == "shards":
        shards = write_shards(read_actions(held), tmp_path / "shards", per_shard=2)
        spec = spec_for(
            held,
            tmp_path,
            checkpoint,
            evaluate__video_eval_mode=mode,
            evaluate__video_num_segments=3,
            evaluate__test_dataset_dir=str(shards),
        )

    def starts(count: int) -> list[int]:
        free = count - 4 + 1  # possible starts
        if free <= 0:
            return [0]
        return [free // 2] if mode == "center" else [int(free / 3 * (k + 0.5)) for k in range(3)]

    wanted = plainly(held, spec, checkpoint, starts)
    score = evaluate_actions(spec)
    by_name = {"/".join(Path(one.name).parts[-2:]): one for one in score.clips}
    matrix = np.zeros((2, 2), np.int64)
    for clip, want in zip(read_actions(held), wanted, strict=True):
        one = by_name[f"{clip.label}/{clip.name}"]
        np.testing.assert_allclose(one.scores, want, atol=2e-5)
        assert one.found == want.mean(axis=0).argmax()
        matrix[CLASSES.index(clip.label), want.mean(axis=0).argmax()] += 1
    np.testing.assert_array_equal(score.confusion, matrix)
    assert score.confusion.dtype == np.int64
    assert len(score.clips) == len(wanted) == 7


def clip(number: int, label: int, *shares: tuple[float, ...]) -> Scored:
    return Scored(number, f"clip_{number}", label, np.array(shares, np.float64))


SCORE = ActionScore(
    ("walk", "fall_floor", "bend"),
    "conv",
    (
        clip(
            0, 0, (0.6, 0.4, 0.0), (0.6, 0.4, 0.0), (0.0, 1.0, 0.0)
        ),  # mean .4 .6: found 1, though 2 of 3 say 0
        clip(1, 0, (0.9, 0.1, 0.0)),
        clip(2, 0, (0.8, 0.1, 0.1)),
        clip(3, 1, (0.3, 0.2, 0.5)),
    ),
)


def test_counts_by_hand() -> None:
    np.testing.assert_array_equal(SCORE.confusion, [[2, 1, 0], [0, 0, 1], [0, 0, 0]])
    assert SCORE.accuracy == 0.5
    np.testing.assert_allclose(SCORE.recall, [2 / 3, 0.0, np.nan])
    np.testing.assert_allclose(SCORE.precision, [1.0, 0.0, 0.0])
    assert SCORE.mean_recall == pytest.approx(1 / 3)  # of the classes that have clips
    assert str(SCORE).splitlines() == [
        "class       clips  right  recall  precision",
        "walk            3      2   66.7%     100.0%",
        "fall_floor      1      0    0.0%       0.0%",
        "bend            0      0       -       0.0%",
        "accuracy 50.0%: 2 of 4 clips (conv); mean over the classes 33.3%",
    ]
    plain = json.loads(json.dumps(SCORE.to_dict(), allow_nan=False))
    assert plain["accuracy"] == 0.5
    assert plain["classes"]["bend"] == {"clips": 0, "found": 1, "recall": None, "precision": 0.0}
    assert plain["classes"]["walk"]["found"] == 2
    assert plain["clips"][0] == {"clip": "clip_0", "true": "walk", "found": "fall_floor", "score": 0.6}


def test_results_are_written(held: Path, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "net.pth", spec_for(held, tmp_path))
    said: list[str] = []
    score = evaluate_actions(spec_for(held, tmp_path, checkpoint), report=said.append)
    out = tmp_path / "evaluate"
    assert sorted(p.name for p in out.iterdir()) == ["confusion.png", "results.json"]
    assert json.loads((out / "results.json").read_text())["confusion"] == score.confusion.tolist()
    assert cv2.imread(str(out / "confusion.png")) is not None
    assert "results.json" in said[0]


def test_the_checkpoint_knows_its_classes(held: Path, tmp_path: Path) -> None:
    spec = spec_for(held, tmp_path, dataset__label_map=None)
    checkpoint = saved(tmp_path / "net.pth", spec_for(held, tmp_path))
    assert opened(spec, str(checkpoint), "evaluate.checkpoint")[1].classes == CLASSES
    bare = tmp_path / "bare.pth"
    torch.save(torch.load(checkpoint, weights_only=True)["state_dict"], bare)
    assert opened(spec, str(bare), "evaluate.checkpoint")[1].classes == ("class0", "class1")
    assert opened(spec_for(held, tmp_path), str(bare), "evaluate.checkpoint")[1].classes == CLASSES
    with pytest.raises(InputError, match=r"knows left, right, but dataset.label_map is right, left"):
        opened(with_label_map(spec, ("right", "left")), str(checkpoint), "evaluate.checkpoint")
    with pytest.raises(InputError, match=r"evaluate.checkpoint is missing"):
        opened(spec, None, "evaluate.checkpoint")
    with pytest.raises(InputError, match=r"model.width=0.125"):
        opened(spec_for(held, tmp_path, model__width=0.25), str(checkpoint), "evaluate.checkpoint")
    with pytest.raises(InputError, match=r"gpu_ids names GPU 99, but this machine has"):
        device_of("cuda", 99)
    assert device_of("cpu", 99).type == "cpu"
