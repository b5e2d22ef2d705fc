"""Steps grafted into networks, beside the same steps on the host, all by ONNX Runtime on the CPU."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from builder_double import FakeBuilderModule
from graft_nets import OUTPUTS, SIDE, drawn_rows, fresh, made_net, pictures, run, same_net, save
from onnx import TensorProto, helper

from edgekit.cli import main
from edgekit.engine import TensorSpec
from edgekit.engine.builder import Request, compile_plan
from edgekit.engine.graft import around, graft, graft_of, network_of
from edgekit.engine.graft_files import grafted_file, note_for
from edgekit.engine.graft_note import NOTE, GraftNote, Pixels, noted_graft
from edgekit.engine.graft_weak import hold_steps
from edgekit.engine.onnx_file import load_model
from edgekit.engine.precision import opset_of, precision_of, to_fp16, to_fp32, to_int8
from edgekit.engine.progress import Phases
from edgekit.errors import InputError
from edgekit.models import find
from edgekit.ops.crops import MEAN, Crops
from edgekit.ops.heatmaps import decode as decode_maps
from edgekit.ops.letterbox import to_tensor
from edgekit.tasks.trtpose_input import PoseInput
from edgekit.tasks.yolo_heads import HEADS, Head, decode

ENGINES = Path(__file__).parents[2] / "engines"
KINDS = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}
GRAFTED = Head("grafted")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf of what ships; what is made lands in <home>/built."""
    folder = tmp_path / "engines"
    folder.mkdir()
    for file in ENGINES.glob("*.onnx"):
        (folder / file.name).symlink_to(file)
    (folder / "models.toml").write_bytes((ENGINES / "models.toml").read_bytes())
    monkeypatch.setenv("EDGEKIT_ENGINES", str(folder))
    return folder


def of_pixels(pixels: Pixels, kind: int = TensorProto.FLOAT) -> np.ndarray:
    """What a network gets of `pictures`, as a function of them."""
    entry = TensorSpec("images", (None, 3, 33, 47), np.dtype(KINDS[kind]))
    model = graft(same_net(kind), GraftNote("trtpose", entry, pixels))
    return lambda given: run(model, pictures=given)["same"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rgb", "unit"), [(True, True), (True, False), (False, False), (False, True)])
def test_bytes_become_what_the_letterbox_writes(rgb: bool, unit: bool, kind: int) -> None:
    given = pictures(fresh(), 3, 33, 47)
    found = of_pixels(Pixels(rgb=rgb, unit=unit), kind)(given)
    wanted = to_tensor(list(given), rgb=rgb, unit=unit, dtype=KINDS[kind])
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_mean_and_std_are_trtposes(kind: int) -> None:
    given = pictures(fresh(), 2, 33, 47)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    wanted = PoseInput((33, 47), mean=mean, std=std, dtype=KINDS[kind])(list(given))[0]
    np.testing.assert_array_equal(of_pixels(Pixels(mean=mean, std=std), kind)(given), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_crop_with_a_byte_above_1_is_divided(kind: int) -> None:
    """AlphaPose's rule, each crop by itself; the third one is black."""
    rng = fresh()
    given = pictures(rng, 4, 33, 47)
    given[1] = rng.integers(0, 2, given[1].shape)
    given[2] = 0
    given[3] = 0
    given[3, 32, 46, 0] = 2
    found = of_pixels(Pixels(dark=True, mean=MEAN, std=(1.0, 1.0, 1.0)), kind)(given)
    crops = Crops((33, 47), mean=MEAN, dtype=KINDS[kind])
    wanted = np.empty_like(found)
    for crop, row in zip(given, wanted, strict=True):
        crops._crop = crop
        crops._fill(row)
    np.testing.assert_array_equal(found, wanted)


def yolo_note(head: str, output: np.ndarray, rows: int, batch: int | None = 1) -> GraftNote:
    entry = TensorSpec("images", (batch, 3, SIDE, SIDE), np.dtype(np.float32))
    leave = TensorSpec("output0", (batch, *output.shape[1:]), np.dtype(np.float32))
    name = "yolov8" if head == "turned" else head
    pixels = Pixels(rgb=HEADS[name].rgb, unit=HEADS[name].unit)
    return GraftNote("yolo", entry, pixels, leave, name, head == "yolov8", rows, (SIDE, SIDE))


@pytest.mark.parametrize("opset", [17, 19])
@pytest.mark.parametrize("head", [head for head in OUTPUTS if head != "end2end"])
def test_rows_are_the_candidates_of_the_host(head: str, opset: int) -> None:
    """In the same order, to the last bit (YOLOX's sizes, which go through exp, to its rounding)."""
    rng = fresh()
    output = drawn_rows(head, rng)
    anchors = max(output.shape[1:])
    plain = made_net(output, batch="batch")
    if opset != 17:
        plain = onnx.version_converter.convert_version(plain, opset)
    note = yolo_note(head, output, anchors, None)
    given = pictures(rng, 3)
    rows = run(graft(plain, note), pictures=given)["rows"]
    assert rows.shape == (3, anchors, 7)
    assert rows.dtype == np.float32
    outputs = run(plain, images=to_tensor(list(given), rgb=note.pixels.rgb, unit=note.pixels.unit))["output0"]
    for mine, theirs in zip(rows, outputs, strict=True):
        for threshold in (0.0, 0.25, 0.7):
            found = decode(GRAFTED, mine, (SIDE, SIDE), threshold)
            wanted = decode(HEADS[note.head], theirs, (SIDE, SIDE), threshold, note.first)
            assert len(wanted[1]) > 10
            np.testing.assert_array_equal(found[1], wanted[1])
            np.testing.assert_array_equal(found[2], wanted[2])
            if head == "yolox":
                np.testing.assert_allclose(found[0], wanted[0], rtol=1e-6, atol=1e-4)
            else:
                np.testing.assert_array_equal(found[0], wanted[0])


def test_equal_scores_are_put_in_the_order_of_the_anchors() -> None:
    """Only ONNX Runtime's CPU promises the order of equals in a TopK."""
    rng = fresh()
    output = drawn_rows("yolov8", rng)
    rows = run(graft(made_net(output), yolo_note("yolov8", output, 525)), pictures=pictures(rng, 1))["rows"][
        0
    ]
    found, wanted = (decode(GRAFTED, some, (SIDE, SIDE), 0.5) for some in (rng.permutation(rows), rows))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_fewer_rows_are_the_best_ones() -> None:
    rng = fresh()
    output = drawn_rows("yolov8", rng)
    output[0, 4:] = rng.random(output[0, 4:].shape)  # no equals
    given = pictures(rng, 1)
    plain = made_net(output)
    few = run(graft(plain, yolo_note("yolov8", output, 40)), pictures=given)["rows"][0]
    scores = run(plain, images=to_tensor(list(given)))["output0"][0, 4:].max(axis=0)
    best = np.argsort(-scores, kind="stable")[:40]
    np.testing.assert_array_equal(few[:, 6], best)
    np.testing.assert_array_equal(few[:, 4], scores[best])


def maps_note(maps: np.ndarray, kind: type = np.float32) -> GraftNote:
    entry = TensorSpec("images", (None, 3, SIDE, SIDE), np.dtype(kind))
    leave = TensorSpec("heatmaps", (None, *maps.shape[1:]), np.dtype(kind))
    return GraftNote("topdown", entry, Pixels(), leave)


@pytest.mark.parametrize("size", [(64, 48), (7, 3), (1, 5), (2, 2)])
def test_points_are_the_hosts(size: tuple[int, int]) -> None:
    """Of maps with many equal values, without a value above 0, and highest at each border."""
    rng = fresh()
    maps = rng.integers(-8, 8, (1, 24, *size)).astype(np.float32) / 8
    maps[0, 0] = -np.abs(maps[0, 0]) - 1
    maps[0, 1] = 0.5
    maps[0, 2:] *= rng.random((22, *size)) > 0.5
    for k, (y, x) in enumerate([(0, 0), (0, -1), (-1, 0), (-1, -1), (size[0] // 2, size[1] // 2)]):
        maps[0, 3 + k, y, x] = 5
    plain, given = made_net(maps, "heatmaps", "batch"), pictures(rng, 3)
    points = run(graft(plain, maps_note(maps)), pictures=given)["points"]
    assert points.dtype == np.float32
    wanted = decode_maps(run(plain, images=to_tensor(list(given)))["heatmaps"])
    np.testing.assert_array_equal(points, wanted)
    assert (wanted[:, 1, :2] == 0).all(), "the first of equals"


def test_a_lowered_network_keeps_its_steps_in_fp32() -> None:
    """Anchor 2049 and pixel 2049 have no fp16; to_fp16 of a grafted file is the graft of a lowered one."""
    rng = fresh()
    output = np.zeros((1, 5, 5000), np.float32)
    output[0, :4] = rng.uniform(8, 64, (4, 5000))
    output[0, 4] = rng.permutation(5000) / 5000
    plain = made_net(output)
    note = yolo_note("yolov8", output, 3000)
    one, other = to_fp16(graft(plain, note)), graft(to_fp16(plain), note)
    assert precision_of(one) == precision_of(other) == "fp16"
    given = pictures(rng, 1)
    rows = run(one, pictures=given)["rows"]
    np.testing.assert_array_equal(rows, run(other, pictures=given)["rows"])
    assert len(set(rows[0, :, 6])) == 3000
    assert rows[0, :, 6].max() > 4096
    low = run(to_fp16(plain), images=to_tensor(list(given)))["output0"][0]
    np.testing.assert_array_equal(rows[0, :, 4], low[4, rows[0, :, 6].astype(int)])
    again = to_fp32(one)
    assert precision_of(again) == "fp32"
    assert graft_of(again) == note


def test_a_network_of_fp16_inputs_and_outputs() -> None:
    rng = fresh()
    maps = rng.random((1, 5, 16, 12)).astype(np.float32)
    plain = to_fp16(made_net(maps, "heatmaps", "batch"), keep_io=False)
    given = pictures(rng, 2)
    grafted = graft(plain, maps_note(maps, np.float16))
    assert precision_of(grafted) == "fp16"
    maps16 = run(plain, images=to_tensor(list(given), dtype=np.float16))["heatmaps"]
    points, wanted = run(grafted, pictures=given)["points"], decode_maps(maps16)
    # ONNX Runtime's CPU computes in fp32 and rounds only what leaves: of two near cells the other may win
    np.testing.assert_allclose(points[..., 2], wanted[..., 2], rtol=2e-3)
    assert np.mean(points[..., :2] == wanted[..., :2]) > 0.7


@pytest.mark.parametrize("fp16", [True, False])
def test_int8_before_or_after_is_the_same(fp16: bool) -> None:
    """Of a quantised network; the scales come from what goes into the network itself."""
    rng = fresh()
    weight = helper.make_tensor(
        "w", TensorProto.FLOAT, [6, 3, 3, 3], rng.normal(0, 0.2, 162).astype(np.float32)
    )
    node = helper.make_node("Conv", ["images", "w"], ["heatmaps"], pads=[1] * 4, strides=[4, 4], name="conv")
    graph = helper.make_graph(
        [node],
        "conv",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, [1, 6, 40, 40])],
        [weight],
    )
    plain = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    note = maps_note(np.zeros((1, 6, 40, 40)))
    note = replace(note, entry=replace(note.entry, shape=(1, 3, SIDE, SIDE)))
    given = pictures(rng, 1)
    tensor = to_tensor(list(given))
    one = to_int8(graft(plain, note), [{"images": tensor}], fp16)
    lowered = to_int8(plain, [{"images": tensor}], fp16)
    other = graft(lowered, note)
    assert precision_of(one) == precision_of(other) == "int8"
    points = run(one, pictures=given)["points"]
    np.testing.assert_array_equal(points, run(other, pictures=given)["points"])
    wanted = decode_maps(run(lowered, images=tensor)["heatmaps"])
    np.testing.assert_allclose(points[..., 2], wanted[..., 2], rtol=2e-3)
    assert not np.array_equal(points, run(graft(plain, note), pictures=given)["points"])


@pytest.mark.parametrize("name", ["edgekit-person", "edgekit-trtpose", "edgekit-fastpose"])
def test_what_ships_can_be_grafted_and_taken_apart_again(home: Path, name: str) -> None:
    file = ENGINES / f"{name}.onnx"
    plain, path = load_model(file), grafted_file(name)
    grafted = load_model(path)
    assert path.parent == home / "built" / "graft"
    assert opset_of(grafted) == 17
    assert grafted.ir_version == 9
    notes = {note.key: note.value for note in grafted.metadata_props}
    assert noted_graft({NOTE: notes.pop(NOTE)}) == note_for(name, file)
    assert notes == {note.key: note.value for note in plain.metadata_props}
    assert [value.name for value in grafted.graph.input] == ["pictures"]
    assert network_of(grafted) == plain
    assert network_of(plain) is None
    assert around(plain, to_fp16) is None
    changed = path.stat().st_mtime_ns
    assert grafted_file(name) == grafted_file(file) == path
    assert path.stat().st_mtime_ns == changed, "made once"
    if name == "edgekit-person":
        assert grafted_file(name, 300) != path


def test_the_command_writes_the_file(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = home / "x.onnx"
    assert main(["build", "edgekit-person", "--graft", "--rows", "77", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"grafted  {out}" in said
    assert "77 best boxes" in said
    steps = json.loads({n.key: n.value for n in load_model(out).metadata_props}[NOTE])
    assert steps["rows"] == 77
    for command, words in (
        (["build", str(out), "--graft"], "x.onnx is grafted already"),
        (["build", "edgekit-person", "--rows", "9"], "--rows is of --graft"),
        (["build", "--wts", "a.wts", "--graft"], "--graft is of an ONNX file"),
        (["build", "edgekit-person", "--graft", "--rows", "3841"], "not between 1 and 3840"),
        (["build", "edgekit-slowfast", "--graft"], "is for the task 'slowfast'"),
    ):
        assert main(command) == 2
        assert words in capsys.readouterr().err


def test_what_cannot_be_grafted_is_refused(home: Path, tmp_path: Path) -> None:
    rng = fresh()
    output = drawn_rows("yolov8", rng)
    note = yolo_note("yolov8", output, 5)
    with pytest.raises(InputError, match="grafted already"):
        graft(graft(made_net(output), note), note)
    taken = made_net(output)
    taken.graph.node[0].output[0] = taken.graph.node[1].input[0] = "rows"
    with pytest.raises(InputError, match="called 'rows'"):
        graft(taken, note)
    open_ = save(made_net(output, sides=("height", "width")), tmp_path / "open.onnx")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"open.onnx leaves the size of its picture open"):
        grafted_file(open_)
    (tmp_path / "x.plan").write_bytes(b"")
    with pytest.raises(InputError, match=r"x.plan is no ONNX file"):
        grafted_file(tmp_path / "x.plan")
    odd = save(made_net(np.zeros((1, 7, 30), np.float32)), tmp_path / "odd.onnx")
    with pytest.raises(InputError, match=r"odd.onnx cannot be grafted: .*fits no single YOLO head"):
        grafted_file(odd)
    with pytest.raises(InputError, match=r"must end in \.onnx"):
        grafted_file("edgekit-person", out=tmp_path / "x.plan")
    for broken in ("{", "[]", '{"version": 0}', note.text().replace('"entry"', '"entrance"')):
        with pytest.raises(InputError, match="graft the plain file again"):
            noted_graft({NOTE: broken})
    assert noted_graft({}) is None
    assert noted_graft({NOTE: note.text()}) == note


class Step:
    """A layer of a weakly typed network, with the types of its outputs."""

    precision: object = None

    def __init__(self, name: str, *types: object) -> None:
        self.name, self.types, self.num_outputs = name, types, len(types)
        self.asked: dict[int, object] = {}

    def get_output(self, i: int) -> SimpleNamespace:
        return SimpleNamespace(dtype=self.types[i])

    def set_output_type(self, i: int, kind: object) -> None:
        self.asked[i] = kind


def test_weakly_typed_tensorrt_is_asked_for_fp32_in_the_steps() -> None:
    trt = FakeBuilderModule("8.6.1")
    single, whole = trt.DataType.FLOAT, trt.DataType.INT32
    best, index, sort = (
        Step("graft/best", single),
        Step("graft/index", whole),
        Step("graft/sort", single, whole),
    )
    conv, flags = Step("conv", single), []
    layers = [best, conv, index, sort]
    network = SimpleNamespace(num_layers=4, get_layer=lambda i: layers[i])
    hold_steps(trt, network, SimpleNamespace(set_flag=lambda flag: flags.append(flag.name)))
    assert flags == ["PREFER_PRECISION_CONSTRAINTS"]
    assert (best.precision, best.asked) == (single, {0: single})
    assert (sort.precision, sort.asked) == (single, {0: single})
    assert (conv.precision, conv.asked, index.precision, index.asked) == (None, {}, None, {})


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0"])
def test_the_steps_are_held_where_the_builder_would_lower_them(home: Path, version: str) -> None:
    held = {"PREFER_PRECISION_CONSTRAINTS"}
    for file, more in ((find("edgekit-person"), set()), (grafted_file("edgekit-person"), held)):
        trt, weak = FakeBuilderModule(version), version == "8.6.1"
        request = Request(file, None, "fp16", not weak, {}, None, None, None, None, None)
        compile_plan(trt, request, Phases())
        assert trt.asked["flags"] == ({"FP16"} | more if weak else set())


def test_an_old_opset_is_raised() -> None:
    rng = fresh()
    output = drawn_rows("yolov8", rng)
    old = made_net(output)
    old.opset_import[0].version = 13
    old.ir_version = 7
    new = graft(old, yolo_note("yolov8", output, 20))
    assert (opset_of(new), new.ir_version) == (17, 9)
    assert run(new, pictures=pictures(rng, 1))["rows"].shape == (1, 20, 7)


def test_an_end_to_end_network_gets_its_input_only(home: Path, tmp_path: Path) -> None:
    rng = fresh()
    plain = made_net(drawn_rows("end2end", rng))
    path = grafted_file(save(plain, tmp_path / "end.onnx"))
    given = pictures(rng, 1)
    np.testing.assert_array_equal(
        run(path, pictures=given)["output0"], run(plain, images=to_tensor(list(given)))["output0"]
    )
