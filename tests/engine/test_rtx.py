"""Real builds with TensorRT-RTX, which needs no GPU for them."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
import tensorrt_rtx
from build_nets import conv_net, nms_net, nonzero_net, save, write_pictures

import edgekit.engine.plan
import edgekit.engine.precision
from edgekit.cli import main
from edgekit.engine.build import build, jetson_note
from edgekit.engine.onnx_file import load_model
from edgekit.engine.plan import Plan
from edgekit.engine.progress import BuildCancelled
from edgekit.engine.shapes import model_inputs
from edgekit.errors import EdgekitError, InputError, MissingError

TARGET = "sm86"
SHIPPED = sorted((Path(__file__).parents[2] / "engines").glob("*.onnx"))
#: Built as body and head.
IN_PARTS = [file for file in SHIPPED if file.stem == "edgekit-slowfast"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty shelf: plans land in <home>/built."""
    folder = tmp_path / "engines"
    folder.mkdir()
    monkeypatch.setenv("EDGEKIT_ENGINES", str(folder))
    return folder


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return save(conv_net(), tmp_path / "net.onnx")


def ahead(onnx_file: Path, precision: str = "fp16", shapes: object = None, **settings: object) -> Plan:
    settings.setdefault("progress", False)
    return build(onnx_file, precision, shapes, target=TARGET, **settings)  # type: ignore[arg-type]


def feeds(size: int = 32) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    return [{"images": rng.random((1, 3, size, size), np.float32)} for _ in range(2)]


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def dtypes_into_convolutions(plan: Plan) -> set[str]:
    """Type of the picture or feature map that each convolution of the engine takes."""
    layers = [x for x in plan.layers()["layers"] if x["type"] == "correlation" or "Corr" in x["name"]]
    assert layers
    return {layer["inputs"][0]["dtype"] for layer in layers}


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", "Float"), ("fp16", "Half"), ("int8", "Int8")])
def test_the_engine_computes_in_the_precision_asked_for(
    home: Path, net: Path, precision: str, dtype: str
) -> None:
    plan = ahead(net, precision, calibration=feeds() if precision == "int8" else None)
    blob = plan.path.read_bytes()
    assert plan.path.parent == home / "built" / "rtx1.7_sm86"
    assert blob[:4] == b"vtrt", "TensorRT's own magic number"
    layers = plan.layers()
    assert layers["kind"] == "builder log"
    assert dtypes_into_convolutions(plan) == {dtype}
    notes = json.loads(Path(f"{plan.path}.json").read_text())
    assert notes == plan.sidecar
    assert notes["precision"] == plan.precision == precision
    assert notes["inputs"] == [{"name": "images", "shape": [1, 3, 32, 32], "dtype": "float32"}]
    assert notes["outputs"] == [{"name": "output0", "shape": [1, 16, 32, 32], "dtype": "float32"}]
    assert notes["metadata"] == {"stride": "32", "names": "{0: 'person'}"}
    assert notes["plan_bytes"] == len(blob)
    assert (notes["module"], notes["tensorrt"]) == ("tensorrt_rtx", tensorrt_rtx.__version__)
    assert (notes["sm"], notes["target"], notes["strongly_typed"]) == ("sm86", "sm86", True)
    assert [p for p in home.rglob(".*") if p.is_file()] == [], "no scratch files"


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("path", [p for p in SHIPPED if p not in IN_PARTS], ids=lambda p: p.stem)
def test_every_onnx_file_that_ships_builds(home: Path, path: Path, precision: str) -> None:
    inputs = model_inputs(load_model(path))
    shapes = {
        spec.name: tuple(tuple(n or batch for n in spec.shape) for batch in (1, 2, 4))
        for spec in inputs
        if None in spec.shape
    }
    rng = np.random.default_rng(0)
    given = [
        {s.name: rng.random([n or 1 for n in s.shape]).astype(s.dtype) for s in inputs} for _ in range(2)
    ]
    plan = ahead(path, precision, shapes or None, calibration=given if precision == "int8" else None)
    assert plan.sidecar["layers"] > 5


@pytest.mark.parametrize("path", IN_PARTS, ids=lambda p: p.stem)
def test_a_slowfast_is_built_as_body_and_head(
    home: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the command: the two plans that its task opens; TensorRT-RTX has no RoIAlign."""
    (home / "models.toml").write_text((path.parent / "models.toml").read_text(encoding="utf-8"), "utf-8")
    command = ["build", str(path), "--target", TARGET, "--quiet"]
    assert main(command) == 0
    plans = sorted(file.name.split(".")[2].split("-")[0] for file in home.rglob("*.plan"))
    assert plans == ["body", "head"]
    assert "slow_rois=1x" in capsys.readouterr().out
    assert main([*command, "--shapes", "slow=1x3x4x96x96,fast=1x3x16x96x96"]) == 0
    assert "slow=1x3x4x96x96:" in capsys.readouterr().out
    for more, words in (
        (["--out", str(home / "x.plan")], "two plans"),
        (["--shapes", "images=1x3x96x96"], "no input 'images'"),
        (["--precision", "int8", "--calibration", str(home)], "windows of a video"),
    ):
        assert main([*command, *more]) == 2
        assert words in capsys.readouterr().err


def test_dynamic_batch(home: Path, tmp_path: Path) -> None:
    dynamic = save(conv_net(batch="N"), tmp_path / "dynamic.onnx")
    shapes = {"images": ((1, 3, 32, 32), (4, 3, 32, 32), (8, 3, 32, 32))}
    plan = ahead(dynamic, shapes=shapes)
    assert plan.sidecar["shapes"] == "images=1x3x32x32:4x3x32x32:8x3x32x32"
    assert plan.sidecar["inputs"][0]["shape"] == [None, 3, 32, 32]
    other = ahead(dynamic, shapes={"images": (2, 3, 32, 32)})
    assert other.path != plan.path, "each range has its own plan"
    assert ahead(dynamic, shapes=shapes).reused
    folder = write_pictures(tmp_path / "pictures", 3)
    int8 = ahead(dynamic, "int8", shapes, calibration=folder)
    assert int8.sidecar["inputs"] == plan.sidecar["inputs"]
    assert dtypes_into_convolutions(int8) == {"Int8"}


def test_a_static_model_may_be_given_its_own_shape(home: Path, net: Path) -> None:
    assert ahead(net, shapes={"images": (1, 3, 32, 32)}).sidecar["inputs"][0]["shape"] == [1, 3, 32, 32]


def test_a_fitting_plan_is_reused_and_force_builds_again(home: Path, net: Path) -> None:
    first = ahead(net)
    before = files(home)
    second = ahead(net)
    assert (first.reused, second.reused) == (False, True)
    assert "no plan yet" in first.reason
    assert second.sidecar == first.sidecar
    third = ahead(net, force=True)
    assert not third.reused
    assert "asked for" in third.reason
    assert files(home) == before


def test_a_changed_model_is_rebuilt_and_says_so(home: Path, net: Path) -> None:
    ahead(net)
    save(conv_net(seed=9), net)
    again = ahead(net)
    assert not again.reused
    assert "the ONNX file changed" in again.reason
    assert len(list(again.path.parent.glob("*.onnx"))) == 1, "the rewritten ONNX of the old model is gone"
    assert ahead(net).reused


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("tensorrt", "1.6.0", "the TensorRT version changed: 1.6.0 → 1.7"),
        ("cuda", "12.6", "the CUDA version changed: 12.6 → none"),
        ("sm", "sm89", "the compute capability changed: sm89 → sm86"),
        ("recipe", 0, "the way edgekit builds changed: 0 → 1"),
        ("precision", "fp32", "the precision changed: fp32 → fp16"),
    ],
)
def test_a_sidecar_that_no_longer_matches_names_the_change(
    home: Path, net: Path, field: str, value: object, said: str
) -> None:
    plan = ahead(net)
    sidecar = Path(f"{plan.path}.json")
    sidecar.write_text(json.dumps({**plan.sidecar, field: value}))
    again = ahead(net)
    assert not again.reused
    assert said in again.reason
    assert json.loads(sidecar.read_text())[field] != value


def test_a_damaged_plan_or_sidecar_is_rebuilt(home: Path, net: Path) -> None:
    plan = ahead(net)
    whole = plan.path.read_bytes()
    plan.path.write_bytes(whole[: len(whole) // 2])
    assert "the plan is damaged" in ahead(net).reason
    plan.path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "SHA-256" in ahead(net).reason
    sidecar = Path(f"{plan.path}.json")
    sidecar.write_text(sidecar.read_text()[:100])
    assert "sidecar is missing or damaged" in ahead(net).reason
    sidecar.write_text("[]")
    assert "sidecar is missing or damaged" in ahead(net).reason
    plan.path.unlink()
    assert "no plan yet" in ahead(net).reason


def test_calibration_pictures_that_change_make_a_new_plan(
    home: Path, net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cropped(images: list[np.ndarray]) -> np.ndarray:
        return np.stack([im[:32, :32].transpose(2, 0, 1) for im in images]).astype(np.float32) / 255

    folder = write_pictures(tmp_path / "pictures")
    plan = ahead(net, "int8", calibration=folder)
    assert plan.sidecar["calibration"].startswith("4 pictures, Recipe(style='ultralytics'")
    assert ahead(net, "int8", calibration=folder).reused
    assert ahead(net, "int8").reused, "a plan that is there needs no pictures"
    other = ahead(net, "int8", calibration=folder, preprocess=cropped)
    assert "the calibration pictures or their preparation changed" in other.reason
    (folder / "0.png").unlink()
    again = ahead(net, "int8", calibration=folder, preprocess=cropped)
    assert "the calibration pictures or their preparation changed" in again.reason
    (rewritten,) = again.path.parent.glob("*.onnx")
    stamp = rewritten.read_bytes()
    monkeypatch.setattr(edgekit.engine.precision, "to_int8", None)
    forced = ahead(net, "int8", calibration=folder, preprocess=cropped, force=True)
    assert rewritten.read_bytes() == stamp, "quantised once"
    assert not forced.reused


def test_weights_beside_the_model(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    onnx.save(
        conv_net(),
        path,
        save_as_external_data=True,
        location="big.weights",
        size_threshold=0,
        convert_attribute=False,
    )
    plan = ahead(path, "fp32")
    assert ahead(path, "fp32").reused
    weights = tmp_path / "big.weights"
    data = bytearray(weights.read_bytes())
    data[0] ^= 1
    weights.write_bytes(data)
    assert "big.weights changed" in ahead(path, "fp32").reason
    weights.unlink()
    with pytest.raises(InputError, match=r"big\.weights, which is not in"):
        ahead(path, "fp32", force=True)
    assert plan.path.is_file()


def test_bad_onnx_files_are_named(home: Path, tmp_path: Path, net: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(net.read_bytes()[:-5000])
    with pytest.raises(InputError, match=r"cut\.onnx is not an ONNX file, or is cut short"):
        ahead(cut)
    cut.write_bytes(b"")
    with pytest.raises(InputError, match=r"cut\.onnx is not an ONNX file, or is empty"):
        ahead(cut)
    with pytest.raises(InputError, match=r"there is no ONNX file .*none\.onnx"):
        ahead(tmp_path / "none.onnx")
    text = tmp_path / "net.pt"
    text.write_text("x")
    with pytest.raises(InputError, match=r"net\.pt is not an ONNX file"):
        ahead(text)
    assert files(home) == []


def test_layers_tensorrt_lacks_are_named(home: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nonzero\.onnx: node 'find_them' \(NonZero\)"):
        ahead(save(nonzero_net(), tmp_path / "nonzero.onnx"))
    with pytest.raises(InputError, match=r"cannot build nms\.onnx in fp32: .*nms_0 has no runners"):
        ahead(save(nms_net(), tmp_path / "nms.onnx"), "fp32")
    assert files(home) == []


def test_settings_that_make_no_sense(home: Path, net: Path) -> None:
    for settings, words in [
        ({"precision": "fp8"}, "fp8"),
        ({"precision": "int8"}, "calibration pictures"),
        ({"workspace": 0}, "at least 1 MiB"),
        ({"dla": 0}, "no DLA core 0.*none.*without --dla"),
        ({"dla": 0, "precision": "fp32"}, "fp16"),
        ({"calibration": "nowhere", "precision": "int8"}, "nowhere"),
        ({"shapes": {"image": (1, 3, 32, 32)}}, "no input 'image'"),
    ]:
        with pytest.raises(InputError, match=words):
            ahead(net, **settings)  # type: ignore[arg-type]
    assert files(home) == []


def test_targets(home: Path, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"sm99.*knows sm75 .*sm86 .*sm120"):
        build(net, target="sm99", progress=False)
    with pytest.raises(InputError, match=r"Jetson Orin.*must be built on the Jetson.*sm86"):
        build(net, target="sm87", progress=False)
    assert build(net, target="SM_89", progress=False).path.parent.name == "rtx1.7_sm89"
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(MissingError, match="pip install tensorrt-rtx-cu13"):
        build(net, target="sm86", progress=False)


def test_the_note_for_a_jetson_promises_nothing(home: Path, net: Path) -> None:
    note = jetson_note(ahead(net))
    assert "no plan for a Jetson" in note
    assert "edgekit build net --precision fp16" in note
    assert tensorrt_rtx.__version__ in note


def test_progress_is_told_to_a_function(home: Path, net: Path, tmp_path: Path) -> None:
    deep = save(conv_net(depth=60, size=64), tmp_path / "deep.onnx")
    main, seen = threading.current_thread(), []

    def show(fraction: float | None, phase: str) -> None:
        assert threading.current_thread() is main
        assert fraction is not None
        seen.append((fraction, phase))

    ahead(deep, progress=show)
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] <= fractions[-1] <= 1
    assert fractions[-1] == 1
    assert len({phase for _, phase in seen}) > 1


def test_cancel_in_the_middle_leaves_nothing(home: Path, tmp_path: Path) -> None:
    deep = save(conv_net(depth=100, size=64), tmp_path / "deep.onnx")
    cancel = threading.Event()

    def stop(fraction: float | None, phase: str) -> None:
        if fraction:
            cancel.set()

    with pytest.raises(BuildCancelled, match="nothing was written"):
        ahead(deep, progress=stop, cancel=cancel)
    assert files(home) == []
    assert not ahead(deep).reused, "and the next build works"


def test_ctrl_c_stops_a_build_at_once(home: Path, tmp_path: Path) -> None:
    deep = save(conv_net(depth=100, size=64), tmp_path / "deep.onnx")
    sent = []

    def press(fraction: float | None, phase: str) -> None:
        if fraction and not sent:
            sent.append(fraction)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(BuildCancelled, match="Ctrl-C") as caught:
        ahead(deep, progress=press)
    assert caught.value.exit_code == 130
    assert sent
    assert files(home) == []
    assert "edgekit-build" not in {thread.name for thread in threading.enumerate()}


def test_an_error_of_the_progress_function_ends_the_build(home: Path, tmp_path: Path) -> None:
    def broken(fraction: float | None, phase: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ahead(save(conv_net(depth=100, size=64), tmp_path / "deep.onnx"), progress=broken)
    assert files(home) == []


LIMITED = """
import resource, signal, sys
from edgekit.engine.build import build
from edgekit.errors import EdgekitError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    build(sys.argv[1], "fp32", target="sm86", progress=False)
except EdgekitError as error:
    print(error)
"""


def test_a_disk_that_cannot_take_the_plan(home: Path, net: Path) -> None:
    """A real failing write: the system lets this process write no file above 100 kB."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(net)], capture_output=True, text=True, check=True
    )
    assert "the disk is full: net-fp32.plan needs 0." in done.stdout, done.stderr
    assert files(home) == []


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_full_disk_at_any_file_leaves_the_old_plan(
    home: Path, net: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    plan = ahead(net)
    before = {p: p.read_bytes() for p in home.rglob("*") if p.is_file()}
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(edgekit.engine.plan.os, "fsync", full)
    with pytest.raises(EdgekitError, match="the disk is full"):
        ahead(net, force=True)
    assert {p: p.read_bytes() for p in home.rglob("*") if p.is_file()} == before
    monkeypatch.undo()
    assert plan.path.is_file()


def test_a_folder_that_may_not_be_written(home: Path, net: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EdgekitError, match=r"cannot be written.*--out"):
        ahead(net, out=tmp_path / "file" / "net.plan")


def test_workspace_is_stated(home: Path, net: Path) -> None:
    plan = ahead(net, workspace=64)
    assert plan.sidecar["workspace_bytes"] == 64 << 20
    assert "64 MiB, as asked for" in dict(plan.table())["workspace"]
    assert "workspace changed: 64 → none" in ahead(net).reason
