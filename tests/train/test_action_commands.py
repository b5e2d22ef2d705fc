"""The four commands of action recognition one after the other, as a class uses them, by one spec."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")
pytest.importorskip("lightning", reason="Lightning is not installed")
pytest.importorskip("omegaconf", reason="OmegaConf is not installed")
pytestmark = pytest.mark.train

from edgekit.cli import main  # noqa: E402
from edgekit.drawn_actions import write_drawn_set  # noqa: E402

SPEC = """
model: {model_type: rgb, input_type: 3d, rgb_seq_length: 4, width: 0.125}
dataset:
  train_dataset_dir: TRAIN
  val_dataset_dir: HELD
  output_shape: [32, 48]
  batch_size: 4
  workers: 1
  augmentation_config: {train_crop_type: no_crop, rgb_input_mean: [0.5], rgb_input_std: [0.5]}
train: {num_epochs: 1}
"""


def test_train_evaluate_infer_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = {"actions": ("wave", "jump"), "length": 8, "size": (64, 48)}
    # OpenCV draws with threads here; workers that are forked after that must not wait for them
    write_drawn_set(tmp_path / "train", people=range(2), takes=range(2), **small)
    write_drawn_set(tmp_path / "held", people=range(2, 4), takes=range(1), **small)
    text = SPEC.replace("TRAIN", str(tmp_path / "train")).replace("HELD", str(tmp_path / "held"))
    (tmp_path / "spec.yaml").write_text(text, "utf-8")
    spec, out = ["-e", str(tmp_path / "spec.yaml")], tmp_path / "out"

    assert main(["train", "actions", *spec, f"results_dir={out}", "train.optim.lr=0.01"]) == 0
    said = capsys.readouterr().err
    assert "dataset.label_map: jump, wave, the sorted classes of the folder" in said
    latest = out / "train" / "ar_model_latest.pth"
    assert f"export it:  edgekit export actions export.checkpoint={latest}" in said
    assert "lr: 0.01" in (out / "train" / "experiment.yaml").read_text("utf-8")
    assert (out / "train" / "model_epoch_000.pth").is_file()

    # without -e: by the spec that the checkpoint keeps
    assert main(["evaluate", "actions", f"evaluate.checkpoint={latest}"]) == 0
    table = capsys.readouterr().out
    assert "class" in table
    assert "of 4 clips (center)" in table
    results = json.loads((out / "evaluate" / "results.json").read_text("utf-8"))
    found = {row["clip"]: row["found"] for row in results["clips"]}
    assert len(found) == 4

    folder = tmp_path / "held" / "wave"
    words = [f"inference.checkpoint={latest}", f"inference.inference_dataset_dir={folder}"]
    again = ["-e", str(out / "train" / "experiment.yaml")]
    assert main(["infer", "actions", *again, *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{clip} [{label}]" for clip, label in sorted(found.items()) if str(folder) in clip]
    assert len(lines) == 2

    assert main(["export", "actions", f"export.checkpoint={latest}", "export.batch_size=2"]) == 0
    model = onnx.load(latest.with_suffix(".onnx"))
    shape = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert (model.graph.input[0].name, shape) == ("input_rgb", [2, 3, 4, 32, 48])
    assert main(["evaluate", "actions", *spec, f"evaluate.checkpoint={latest}", "model.width=0.25"]) == 2
    assert "model.width=0.125" in capsys.readouterr().err
