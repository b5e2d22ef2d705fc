"""Building as the versions of TensorRT differ, shapes, progress, and the command.

Full TensorRT is a double here that has just the names of the version it stands for; real builds, with
TensorRT-RTX, are in test_rtx.py.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from build_nets import conv_net, nonzero_net, save, write_pictures
from builder_double import FakeBuilderModule

import edgekit.device
import edgekit.engine.place as place_module
from edgekit.cli import main
from edgekit.device import Device
from edgekit.engine import TensorSpec
from edgekit.engine.build import build
from edgekit.engine.calibration import MOST, Recipe, picture_feeds, picture_input, pictures
from edgekit.engine.int8 import recipe_of
from edgekit.engine.plan import Plan
from edgekit.engine.precision import precision_of
from edgekit.engine.progress import BuildCancelled, Phases, run_watched
from edgekit.engine.shapes import check_shapes, parse_shapes, spell_shapes
from edgekit.errors import EdgekitError, InputError, MissingError

ORIN = Device(
    machine="aarch64",
    board="NVIDIA Jetson Orin Nano Developer Kit",
    soc="tegra234",
    is_jetson=True,
    l4t="36.4.3",
    jetpack="6.2",
    cuda="12.6",
    tensorrt="10.3.0",
    tensorrt_path=None,
    gpu="tegra234 Ampere",
    sm="sm87",
    memory_total=8 << 30,
    memory_available=5 << 30,
    cpu="Arm",
    cores=6,
    power_mode="15W",
    python="3.10",
    os="Ubuntu",
)
WEAK, STRONG = ["8.6.1"], ["10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "engines"
    folder.mkdir()
    (folder / "models.toml").touch()
    monkeypatch.setenv("EDGEKIT_ENGINES", str(folder))
    monkeypatch.setattr(edgekit.device, "describe", lambda: ORIN)
    monkeypatch.setattr(place_module, "free_memory", lambda: (5 << 30, "machine"))
    return folder


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return save(conv_net(), tmp_path / "net.onnx")


def on(
    monkeypatch: pytest.MonkeyPatch,
    trt: FakeBuilderModule,
    net: Path,
    precision: str = "fp16",
    **settings: object,
) -> Plan:
    monkeypatch.setattr(place_module, "load_tensorrt", lambda: trt)
    settings.setdefault("progress", False)
    return build(net, precision, **settings)  # type: ignore[arg-type]


def feeds() -> list[dict[str, np.ndarray]]:
    return [{"images": np.random.default_rng(0).random((1, 3, 32, 32), np.float32)}]


@pytest.mark.parametrize("version", WEAK + STRONG)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_how_each_version_is_told_the_precision(
    home: Path, net: Path, monkeypatch: pytest.MonkeyPatch, version: str, precision: str
) -> None:
    trt = FakeBuilderModule(version)
    plan = on(monkeypatch, trt, net, precision, calibration=feeds() if precision == "int8" else None)
    asked = trt.asked
    weak = version in WEAK
    flags = {"fp32": set(), "fp16": {"FP16"}, "int8": {"FP16", "INT8"}}[precision]
    assert asked["flags"] == (flags if weak else set())
    explicit = {"EXPLICIT_BATCH"} if version != "11.4.0" else set()
    assert asked["network"] == explicit | (set() if weak else {"STRONGLY_TYPED"})
    assert plan.sidecar["strongly_typed"] is not weak
    in_file = {"fp32": "fp32", "fp16": "fp32" if weak else "fp16", "int8": "int8"}[precision]
    assert precision_of(asked["model"]) == in_file
    assert asked["parsed"] == ("file" if in_file == "fp32" else "bytes")
    kinds = {w.data_type for w in asked["model"].graph.initializer}
    assert (10 in kinds) == (not weak and precision != "fp32"), (
        "fp16 weights only where the types must say it"
    )
    assert asked["profiling_verbosity"].name == "DETAILED"
    assert ("progress_monitor" in asked) is not weak
    assert plan.layers()["kind"] == "inspector"
    assert [layer["name"] for layer in plan.layers()["layers"]] == ["conv0", "conv1"]
    assert plan.path.parent.name == "orin-nano_sm87_trt10.3.0"
    assert asked["WORKSPACE"] == plan.sidecar["workspace_bytes"] == 2560 << 20
    assert plan.sidecar["workspace_from"] == "2560 MiB, half of the 5120 MiB free in the machine's memory"


@pytest.mark.parametrize(("version", "strong"), [("8.6.1", False), ("10.3.0", False), ("11.4.0", True)])
def test_dla_takes_its_precision_from_the_flag_where_there_is_one(
    home: Path, net: Path, monkeypatch: pytest.MonkeyPatch, version: str, strong: bool
) -> None:
    trt = FakeBuilderModule(version, dla=2)
    plan = on(monkeypatch, trt, net, dla=1)
    assert trt.asked["flags"] == {"GPU_FALLBACK"} | (set() if strong else {"FP16"})
    assert (trt.asked["default_device_type"].name, trt.asked["DLA_core"]) == ("DLA", 1)
    assert plan.path.name == "net-fp16-dla1.plan"
    assert ("STRONGLY_TYPED" in trt.asked["network"]) is strong


def test_dla_that_cannot_be(home: Path, net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"no DLA core 2: TensorRT sees 2 \(numbered from 0\)"):
        on(monkeypatch, FakeBuilderModule("10.3.0", dla=2), net, dla=2)
    with pytest.raises(InputError, match="no DLA core 0: TensorRT sees none"):
        on(monkeypatch, FakeBuilderModule("10.3.0"), net, dla=0)
    with pytest.raises(InputError, match="a DLA core runs fp16 plans here, not int8"):
        on(monkeypatch, FakeBuilderModule("10.3.0", dla=2), net, "int8", dla=0, calibration=feeds())
    dynamic = save(conv_net(batch="N"), tmp_path / "dynamic.onnx")
    shapes = {"images": ((1, 3, 32, 32), (2, 3, 32, 32), (4, 3, 32, 32))}
    with pytest.raises(InputError, match="no dynamic shapes"):
        on(monkeypatch, FakeBuilderModule("10.3.0", dla=2), dynamic, dla=0, shapes=shapes)
    assert not (home / "built").exists()


@pytest.mark.parametrize("version", WEAK + STRONG)
def test_shapes_become_one_profile(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    trt = FakeBuilderModule(version)
    dynamic = save(conv_net(batch="N"), tmp_path / "dynamic.onnx")
    on(monkeypatch, trt, dynamic, shapes={"images": ((1, 3, 32, 32), (2, 3, 32, 32), (4, 3, 32, 32))})
    assert trt.asked["profiles"] == [{"images": ((1, 3, 32, 32), (2, 3, 32, 32), (4, 3, 32, 32))}]


def test_the_timing_cache_is_kept_used_and_made_anew(
    home: Path, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(**settings: object) -> tuple[bool, list[str]]:
        trt = FakeBuilderModule("10.3.0")
        plan = on(monkeypatch, trt, net, force=True, **settings)
        return bool(trt.asked["measured"]), plan.sidecar["notes"]

    assert measured(timing_cache=False) == (True, [])
    assert not list(home.rglob("*.cache"))
    assert measured() == (True, [])
    (cache,) = home.rglob("*.cache")
    assert cache.name == "timing-sm87-trt10.3.0.cache"
    assert measured() == (False, [])
    whole = cache.read_bytes()
    cache.write_bytes(whole[:-1])
    again, notes = measured()
    assert again
    assert "was damaged and is made anew" in notes[0]
    assert cache.read_bytes() == whole
    cache.write_bytes(hashlib.sha256(b"refused").digest() + b"refused")
    again, notes = measured()
    assert again
    assert "TensorRT refused the timing cache" in notes[0]


@pytest.mark.parametrize(
    ("version", "where"), [("8.6.1", "node number 0"), ("10.3.0", r"node 'find_them' \(NonZero\)")]
)
def test_parser_errors_name_the_node(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, where: str
) -> None:
    bad = save(nonzero_net(), tmp_path / "bad.onnx")
    with pytest.raises(InputError, match=rf"cannot read bad\.onnx: {where}: no importer\."):
        on(monkeypatch, FakeBuilderModule(version), bad)


def test_memory_that_ran_out_is_no_fault_of_the_model(
    home: Path, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = FakeBuilderModule("10.3.0", fails="[x.cpp::f::1] Error Code 2: OutOfMemory (no space)")
    with pytest.raises(EdgekitError, match=r"memory ran out while building net\.onnx.*--workspace") as caught:
        on(monkeypatch, short, net)
    assert not isinstance(caught.value, InputError)
    broken = FakeBuilderModule(
        "10.3.0", fails="[x.cpp::f::1] Error Code 10: no implementation. In f at /_src/x.cpp:1"
    )
    with pytest.raises(InputError, match=r"in fp16: Error Code 10: no implementation\. Export"):
        on(monkeypatch, broken, net)
    assert not (home / "built").exists()


def test_a_tensorrt_of_another_version_rebuilds(
    home: Path, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not on(monkeypatch, FakeBuilderModule("10.3.0"), net).reused
    assert on(monkeypatch, FakeBuilderModule("10.3.0"), net).reused
    plan = on(monkeypatch, FakeBuilderModule("11.4.0"), net)
    assert plan.reason == "the TensorRT version changed: 10.3.0 → 11.4.0"


def test_no_gpu_to_build_for(home: Path, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = replace(ORIN, gpu=None, sm=None, missing={"gpu": "no NVIDIA GPU or driver"})
    monkeypatch.setattr(edgekit.device, "describe", lambda: bare)
    with pytest.raises(MissingError, match=r"no NVIDIA GPU or driver.*--target sm86.*onnxruntime"):
        build(net, progress=False)
    server = replace(ORIN, gpu="NVIDIA H200", sm="sm90", is_jetson=False)
    monkeypatch.setattr(edgekit.device, "describe", lambda: server)
    with pytest.raises(MissingError, match=r"does not build for NVIDIA H200 \(sm90\); it knows sm75"):
        build(net, progress=False)


def test_a_version_without_progress_can_be_cancelled(
    home: Path, net: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(BuildCancelled):
        on(monkeypatch, FakeBuilderModule("8.6.1"), net, cancel=cancel)
    assert not (home / "built").exists()


# ---- shapes -----------------------------------------------------------------------------------------

IMAGES = TensorSpec("images", (None, 3, 416, 416), np.dtype(np.float32))
MASK = TensorSpec("mask", (1, 7), np.dtype(np.bool_))


def batches(*sizes: int) -> tuple[tuple[int, ...], ...]:
    return tuple((n, 3, 416, 416) for n in sizes)


def test_shapes_of_dynamic_inputs() -> None:
    assert check_shapes([IMAGES, MASK], {"images": batches(1, 4, 8)}) == {"images": batches(1, 4, 8)}
    assert check_shapes([IMAGES], {"images": (2, 3, 416, 416)}) == {"images": batches(2, 2, 2)}
    assert check_shapes([MASK], None) == check_shapes([MASK], {"mask": (1, 7)}) == {}


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({}, r"'images' is dynamic .*--shapes images=1x3x416x416:4x3x416x416:8x3x416x416"),
        ({"image": batches(1, 1, 1)}, r"no input 'image'; its inputs are images, mask"),
        ({"images": batches(4, 1, 8)}, r"'images', axis 0: min ≤ opt ≤ max is wanted, not 4, 1, 8"),
        ({"images": batches(1, 8, 4)}, r"not 1, 8, 4"),
        ({"images": batches(0, 1, 4)}, r"at least 1, not 0"),
        ({"images": (1, 3, 416, 320)}, r"axis 3: the model fixes it to 416; 320 was given"),
        ({"images": (1, 3, 416)}, r"the min shape 1x3x416 has 3 axes; the model has 4"),
        ({"images": batches(1, 4)}, r"one shape or \(min, opt, max\)"),
        ({"images": "1x3"}, r"one shape or \(min, opt, max\)"),
        ({"images": batches(1, 1, 1), "mask": (1, 8)}, r"'mask', axis 1: the model fixes it to 7; 8"),
    ],
)
def test_shapes_that_do_not_fit(shapes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_shapes([IMAGES, MASK], shapes)


def test_shapes_on_the_command_line() -> None:
    text = "images=1x3x416x416:4x3x416x416:8x3x416x416,rois=5x4:5x4:5x4"
    assert parse_shapes(text) == {"images": batches(1, 4, 8), "rois": ((5, 4),) * 3}
    assert spell_shapes(parse_shapes(text)) == text
    assert parse_shapes("a:0=2x2") == {"a:0": ((2, 2),) * 3}
    for wrong in ("images", "images=", "images=1x3:2x3", "images=1xax3", "=1x3"):
        with pytest.raises(InputError, match="is not of the form"):
            parse_shapes(wrong)


# ---- progress ---------------------------------------------------------------------------------------


def test_the_fraction_grows_through_nested_phases_and_never_falls() -> None:
    phases = Phases()
    seen = [phases.now()[0]]

    def note() -> float:
        seen.append(phases.now()[0])
        return seen[-1]

    phases.start("build", None, 2)
    phases.start("inner", "build", 4)
    assert note() == 0
    phases.step("inner", 1)
    assert note() == pytest.approx(0.5 * 0.5 / 2), "half of the inner phase, which is half of the first step"
    phases.finish("inner")
    assert note() == pytest.approx(0.25)
    phases.start("second", "build", 1)
    phases.step("second", 0)
    assert note() == pytest.approx((0.5 + 0.25) / 2)
    assert phases.now()[1] == "second"
    phases.finish("second")
    phases.step("build", 0)
    assert note() == 0.5
    phases.step("unknown", 3)
    phases.finish("unknown")
    phases.step("build", 7)
    assert note() == 1
    phases.finish("build")
    phases.start("another", None, 10)
    assert note() == 1
    assert seen == sorted(seen)


def test_a_step_asks_to_stop_once_cancelled() -> None:
    phases = Phases()
    phases.start("build", None, 2)
    assert phases.step("build", 0)
    phases.cancelled.set()
    assert not phases.step("build", 1)


def test_an_error_of_the_work_comes_through() -> None:
    def work() -> None:
        raise InputError("from inside")

    with pytest.raises(InputError, match="from inside"):
        run_watched(work, Phases(), None)


def test_work_that_cannot_be_stopped_is_left_alone() -> None:
    release, cancel = threading.Event(), threading.Event()
    shown = []

    def show(fraction: float | None, phase: str) -> None:
        shown.append((fraction, phase))
        cancel.set()

    with pytest.raises(BuildCancelled):
        run_watched(release.wait, Phases(), show, cancel, measured=False, period=0.01)
    assert shown == [(None, "building")]
    release.set()


# ---- calibration ------------------------------------------------------------------------------------


def test_pictures_of_a_folder(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures", 5)
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.png").write_bytes(b"no picture either")
    found = pictures(folder)
    assert [p.name for p in found] == ["0.png", "1.png", "2.png", "3.png", "4.png", "broken.png"]
    spec = TensorSpec("x", (2, 3, 8, 8), np.dtype(np.float32))
    sizes = []

    def preprocess(images: list[np.ndarray]) -> np.ndarray:
        sizes.append([im.shape for im in images])
        return np.zeros((2, 3, 8, 8))

    got = list(picture_feeds(found, spec, preprocess))
    assert [feed["x"].shape for feed in got] == [(2, 3, 8, 8)] * 3
    assert {feed["x"].dtype for feed in got} == {np.dtype(np.float32)}
    assert sizes[2] == [(47, 65, 3)] * 2, "the last batch is filled up with its own picture"
    with pytest.raises(InputError, match="none of the 1 calibration pictures"):
        list(picture_feeds([folder / "broken.png"], spec, preprocess))
    with pytest.raises(InputError, match=r"made \[1\] for calibration"):
        list(picture_feeds(found, spec, lambda _: np.zeros(1)))


def test_the_recipe_of_a_shelf_model() -> None:
    nowhere = Path("some/file.onnx")  # what the shelf knows is not read from the file
    assert recipe_of("yolox-nano", nowhere) == Recipe("yolox", 114, False, False)
    assert recipe_of("yolov8n", nowhere) == Recipe("ultralytics", 114, True, True)
    image = np.zeros((20, 40, 3), np.uint8)
    image[..., 2] = 255  # red
    wide = Recipe().prepare([image], (40, 40))
    assert (wide.shape, wide.dtype) == ((1, 3, 40, 40), np.float32)
    np.testing.assert_array_equal(wide[0, :, 20, 20], [1, 0, 0])
    np.testing.assert_array_equal(wide[0, :, 0, 0], np.float32([114] * 3) / np.float32(255))
    raw = Recipe("yolox", None, False, False).prepare([image], (40, 40))
    np.testing.assert_array_equal(raw[0, :, 0, 0], [0, 0, 255])
    np.testing.assert_array_equal(raw[0, :, 39, 0], [114, 114, 114])


def test_folders_that_will_not_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        pictures(tmp_path / "none")
    with pytest.raises(InputError, match="holds no pictures"):
        pictures(tmp_path)
    for i in range(MOST + 10):
        (tmp_path / f"{i:04}.jpg").touch()
    found = pictures(tmp_path)
    assert (len(found), found[0].name, found[-1].name) == (MOST, "0000.jpg", f"{MOST + 9:04}.jpg")


def test_only_a_picture_input_is_calibrated_from_pictures() -> None:
    assert picture_input([IMAGES], {"images": (4, 3, 416, 416)}).shape == (4, 3, 416, 416)
    for inputs in ([IMAGES, MASK], [MASK]):
        with pytest.raises(InputError, match=r"one input \[N, 3, H, W\]"):
            picture_input(inputs, {})


# ---- the command ------------------------------------------------------------------------------------


def test_the_command_shows_what_it_built(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = save(conv_net(batch="N"), tmp_path / "net.onnx")
    shapes = "images=1x3x32x32:2x3x32x32:4x3x32x32"
    words = ["build", str(net), "--target", "sm86", "--shapes", shapes, "--layers", "--quiet"]
    assert main(words) == 0
    first = capsys.readouterr().out
    for part in (
        "fp16, strongly typed",
        "sm86 (GeForce RTX 30",
        shapes,
        "built: there was no plan yet",
        "Half → Half",
    ):
        assert part in first
    assert main(words) == 0
    assert "reused: it still fits" in capsys.readouterr().out
    assert main(["build", str(net), "--target", "sm86"]) == 2
    assert "'images' is dynamic" in capsys.readouterr().err
    assert main(["build", str(net), "--target", "sm87"]) == 2
    assert "must be built on the Jetson" in capsys.readouterr().err
