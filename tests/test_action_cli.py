"""The four commands of action recognition where PyTorch, Lightning and OmegaConf are not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: Runs commands where packages cannot be imported; the last line says what was imported all the same.
CODE = """
import sys
for name in ("torch", "lightning", "omegaconf", "yaml", "webdataset"):
    sys.modules[name] = None
from edgekit.cli import main
codes = []
for words in sys.argv[1:]:
    try:
        codes.append(main(words.split("|")))
    except SystemExit as done:
        codes.append(done.code)
heavy = {"cv2", "onnx", "onnxruntime", "av", "matplotlib", "scipy"} & set(sys.modules)
print(codes, sorted(heavy))
"""


def run(*commands: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CODE, *commands], capture_output=True, text=True, check=False, timeout=100
    )


def test_help_and_a_new_spec_need_none_of_them(tmp_path: Path) -> None:
    helps = [f"{command}|actions|--help" for command in ("train", "evaluate", "infer", "export")]
    new = tmp_path / "new.yaml"
    done = run(*helps, f"train|actions|--write-spec|{new}")
    assert done.stdout.splitlines()[-1].startswith("[0, 0, 0, 0, 0] "), done.stderr
    for example in ("train.optim.lr=0.0005", "video_eval_mode=center", "video_inf_mode=center", "onnx_file="):
        assert example in done.stdout
    assert new.read_text("utf-8").count("\n") > 90
    assert "[]" in run(*helps[1:3]).stdout.splitlines()[-1]  # nothing heavy


def test_without_pytorch_one_sentence() -> None:
    words = [f"{command}|actions|-e|spec.yaml" for command in ("train", "evaluate", "infer", "export")]
    done = run(*words, "train|actions|--write-spec|-|train.num_epochs=3")
    assert done.stdout.splitlines()[-1].startswith("[3, 3, 3, 3, 3] ")
    needed = "edgekit: Training needs PyTorch: pip install 'edgekit[train]'."
    assert done.stderr.splitlines() == [needed] * 4 + [
        "edgekit: Reading a spec needs OmegaConf: pip install 'edgekit[train]'."
    ]
