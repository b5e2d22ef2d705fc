"""`edgekit infer actions`: labels of clips, against pictures read and prepared here by Pillow and NumPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("omegaconf", reason="OmegaConf is not installed")
pytestmark = pytest.mark.train

from action_fill import fill  # noqa: E402

from edgekit.cli import main  # noqa: E402
from edgekit.errors import InputError  # noqa: E402
from edgekit.train.action_infer import infer_actions, line_of  # noqa: E402
from edgekit.train.action_network import new_network  # noqa: E402
from edgekit.train.action_spec import Spec, read_spec, spec_from  # noqa: E402

NAMES = ("walk", "jump", "wave")
FRAMES = {"video_1": 20, "video_2": 7, "video_3": 3, "video_4": 12}
LENGTH = 4
#: Starts of the windows by the page's rules: the middle; three parts of the possible starts, their middles.
CENTER = {"video_1": [8], "video_2": [2], "video_3": [0], "video_4": [4]}
CONV = {"video_1": [2, 8, 14], "video_2": [0, 2, 3], "video_3": [0], "video_4": [1, 4, 7]}
SIZE = (32, 48)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def write_set(root: Path) -> Path:
    """Clips of one class: RGB frames that differ from frame to frame."""
    random = np.random.default_rng(4)
    for name, count in FRAMES.items():
        (root / "jump" / name / "rgb").mkdir(parents=True)
        slow = random.integers(0, 256, (count + 3, 6, 8, 3))
        for n in range(count):
            image = cv2.resize(slow[n : n + 4].mean(axis=0).astype(np.uint8), (56, 40))
            cv2.imwrite(str(root / "jump" / name / "rgb" / f"{n:06d}.png"), image)
    return root / "jump"


def window(folder: Path, start: int) -> Any:
    """float32 [3, D, H, W] of the frames from `start` on; a short clip begins again."""
    files = sorted((folder / "rgb").iterdir())
    pictures = []
    for k in range(start, start + LENGTH):
        image = Image.open(files[k % len(files)]).convert("RGB")
        pixels = np.asarray(image.resize(SIZE[::-1], Image.Resampling.BILINEAR), np.float64) / 255
        pictures.append((pixels - MEAN) / STD)
    return torch.from_numpy(np.stack(pictures).transpose(3, 0, 1, 2).astype(np.float32))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, list[np.ndarray]]]:
    """The folder of a class, a checkpoint, and the probabilities of the windows of `CONV`."""
    root = tmp_path_factory.mktemp("infer")
    folder = write_set(root / "set")
    spec = spec_from(
        {
            "model": {"model_type": "rgb", "input_type": "3d", "rgb_seq_length": LENGTH, "width": 0.125},
            "dataset": {
                "output_shape": list(SIZE),
                "workers": 1,
                "label_map": {name: n for n, name in enumerate(NAMES)},
                "augmentation_config": {"rgb_input_mean": list(MEAN), "rgb_input_std": list(STD)},
            },
        }
    )
    network = new_network(spec.model, len(NAMES)).eval()
    state = fill(network.state_dict())
    network.load_state_dict(state)
    with torch.inference_mode():
        logits = {
            name: [network(rgb=window(folder / name, s)[None])[0].numpy() for s in starts]
            for name, starts in CONV.items()
        }
    mean = np.mean(np.concatenate(list(logits.values())), axis=0)
    state["fc_cls.bias"] -= torch.from_numpy(mean)  # or every clip would have the same label
    path = root / "ar_model_latest.pth"
    weights = {f"model.{name}": value for name, value in state.items()}
    torch.save({"spec": spec.to_dict(), "names": list(NAMES), "state_dict": weights}, path)
    return folder, path, {name: [row - mean for row in rows] for name, rows in logits.items()}


def given(made: Any, tmp_path: Path, *more: str) -> list[str]:
    folder, path, _ = made
    return [
        f"inference.checkpoint={path}",
        f"inference.inference_dataset_dir={folder}",
        f"results_dir={tmp_path}",
        *more,
    ]


def test_the_segments_of_each_clip(made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _, logits = made
    conv = ("inference.video_inf_mode=conv", "inference.video_num_segments=3", "inference.batch_size=4")
    assert main(["infer", "actions", *given(made, tmp_path, *conv)]) == 0
    wanted = {name: [NAMES[row.argmax()] for row in rows] for name, rows in logits.items()}
    assert {len(labels) for labels in wanted.values()} == {1, 3}
    assert len({label for labels in wanted.values() for label in labels}) > 1  # the test can tell them apart
    assert any(len(set(labels)) > 1 for labels in wanted.values())
    lines = [f"{folder / name} [{', '.join(labels)}]" for name, labels in wanted.items()]
    assert capsys.readouterr().out.splitlines() == lines
    assert (tmp_path / "inference" / "results.txt").read_text("utf-8").splitlines() == lines


def test_the_middle_of_each_clip(made: Any, tmp_path: Path) -> None:
    folder, path, _ = made
    values = torch.load(path, weights_only=True)
    network = new_network(spec_from(values["spec"]).model, len(NAMES)).eval()
    state = {name.removeprefix("model."): value for name, value in values["state_dict"].items()}
    network.load_state_dict(state)
    with torch.inference_mode():
        wanted = [
            (str(folder / name), [NAMES[int(network(rgb=window(folder / name, starts[0])[None]).argmax())]])
            for name, starts in CENTER.items()
        ]
    spec = read_spec(spec_from(values["spec"]), given(made, tmp_path), "infer")
    assert list(infer_actions(spec, device="cpu")) == wanted
    one = replace(spec.inference, inference_dataset_dir=str(folder / "video_2"))  # a clip's own folder
    assert list(infer_actions(replace(spec, inference=one), device="cpu")) == wanted[1:2]


def test_lines_as_the_page_shows_them() -> None:
    assert line_of("/path/to/fall/video_1", ["fall"]) == "/path/to/fall/video_1 [fall]"
    assert line_of("a", ["fall", "walk"]) == "a [fall, walk]"


def test_a_damaged_picture_leaves_no_results(made: Any, tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    (folder / "video_4" / "rgb" / "000005.png").write_bytes(b"no picture")
    words = given(made, tmp_path / "out", f"inference.inference_dataset_dir={folder}")
    spec = read_spec(spec_from(torch.load(made[1], weights_only=True)["spec"]), words, "inference")
    with pytest.raises(InputError, match=r"000005\.png"):
        list(infer_actions(spec, device="cpu"))
    assert list((tmp_path / "out").rglob("*.txt")) == []


def test_what_cannot_be_labelled(made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made[0]
    (tmp_path / "x.tlt").write_bytes(b"encrypted")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for more, words in (
        (f"inference.checkpoint={tmp_path / 'x.tlt'}", "is encrypted by TAO"),
        (f"inference.checkpoint={tmp_path / 'none.pth'}", "there is no weights file"),
        (f"inference.inference_dataset_dir={folder.parent}", "has no pictures in rgb/"),
        (f"inference.inference_dataset_dir={tmp_path / 'empty'}", "holds no clip; give a class's folder"),
        ("model.backbone=resnet34", "model.backbone=resnet18"),
        ("dataset.label_map={run: 3}", "knows walk, jump, wave"),
        (f"results_dir={tmp_path / 'file'}", "Cannot write results into"),
    ):
        assert main(["infer", "actions", *given(made, tmp_path, more)]) == 2, more
        assert words in capsys.readouterr().err
    assert Spec().inference.video_num_segments == 1  # TAO's schema; the page names no default
