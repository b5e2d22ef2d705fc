"""The kit's CUDA kernels beside the memory's speed, separate PyTorch operations, and torch.compile.

    python tests/bench/bench_ops_gpu.py --out ops.json     # two minutes on an NVIDIA GPU
    python tests/bench/bench_ops_gpu.py --dry              # each case once, small, without a GPU

First, in the same run, the speed of a copy of 1 GiB on the GPU (bytes read and written) and of one to it from
pinned memory. The floor of a step is what its bytes take at that speed: those that must be read and written
at least, each once; how they are counted stands with each step. Times are medians in microseconds:

    launches   started from Python one after the other, by CUDA events around many of them: where Python takes
               longer to start a kernel than the kernel does, that shows
    graph      the same recorded as a CUDA graph: without that
    cold       the graph once, after 256 MiB have been read: nothing is in the L2 cache

In a loop a step finds its input in the L2 cache, if it fits, and may be faster than the floor ("L2" in the
table). PyTorch's results are compared with ours before they are timed. What fails is a line that says so.

Needs PyTorch with CUDA, pycuda and nvcc; torchvision for NMS and RoIAlign. Without a GPU: PyTorch and g++.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path[:0] = [str(path) for path in Path(__file__).resolve().parents[:3]]  # bench, tests, the kit
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # few kernels: starting workers takes longer

import torch  # noqa: E402
from gpu_board import Board, Case, Work  # noqa: E402
from gpu_cases_in import clips, letterboxes, people_crops  # noqa: E402
from gpu_cases_out import heat_maps, limb_maps, rois, yolo_boxes  # noqa: E402
from gpu_clock import Clock, DryClock, said  # noqa: E402

from edgekit import ops  # noqa: E402
from edgekit.engine import cuda  # noqa: E402
from edgekit.engine.gpu_thread import GpuThread, acquire, load_driver  # noqa: E402

GROUPS = {
    "letterbox": letterboxes,
    "crops": people_crops,
    "clip": clips,
    "yolo": yolo_boxes,
    "heatmaps": heat_maps,
    "paf": limb_maps,
    "roi_align": rois,
}
#: Share of the time given after which nothing more is compiled by torch.compile, and nothing more begun.
COMPILE_UNTIL, BEGIN_UNTIL = 0.8, 0.93
Row = dict[str, Any]


class Bench:
    """Runs cases and keeps a row of each."""

    def __init__(self, board: Board, clock: Clock | DryClock, args: argparse.Namespace) -> None:
        self.board, self.clock, self.args = board, clock, args
        self.rows: list[Row] = []
        self.began = time.monotonic()
        self.speeds = clock.speeds()
        self.empty = clock.empty()

    @property
    def spent(self) -> float:
        """Share of the time given that is gone."""
        return (time.monotonic() - self.began) / self.args.seconds

    def group(self, name: str) -> None:
        """All cases of a group; what ends it early is a line."""
        try:
            with ExitStack() as stack:
                try:
                    self.cases(name, stack)
                finally:
                    self.board.sync()  # before anything is freed
        except Exception as error:
            self.rows.append({"op": name, "on": "the rest of it", "failed": said(error)})

    def cases(self, name: str, stack: ExitStack) -> None:
        for case in GROUPS[name](self.board, stack):
            if self.spent > BEGIN_UNTIL:
                self.rows.append({"op": case.op, "on": case.what, "failed": "no time was left"})
            else:
                self.rows.append(self.case(case))

    def case(self, case: Case) -> Row:
        """A row: ours, and what it is compared with."""
        print(f"{time.monotonic() - self.began:5.1f} s  {case.op}: {case.what}", file=sys.stderr, flush=True)
        row: Row = {"op": case.op, "on": case.what, "bytes": case.moved, "counted": case.counted}
        row["floor_us"] = case.moved / self.speeds[case.link] * 1e6
        row["in_l2"] = case.link == "memory" and case.moved < self.clock.cache
        try:
            row["ours"] = self.clock.measure(case.ours, self.clock.record if case.recordable else None)
        except Exception as error:
            with suppress(Exception):
                self.board.sync()
            return row | {"failed": said(error)}
        row["torch"] = self.theirs(case, lambda work: work)
        if not self.args.compile:
            row["compile"] = {}
        elif self.spent > COMPILE_UNTIL:
            row["compile"] = {"failed": "no time was left"}
        else:
            torch._dynamo.reset()  # every case is compiled for its own sizes
            row["compile"] = self.theirs(case, lambda work: torch.compile(work, dynamic=False))
        return row

    def theirs(self, case: Case, wrap: Callable[[Work], Work]) -> Row:
        """Compared with ours, then timed."""
        try:
            begun = time.monotonic()
            work = case.theirs(wrap)
            case.ours()
            found = work()
            self.board.sync()
            row = {"first_s": time.monotonic() - begun, "agrees": case.check(found)}
            del found
            return row | self.clock.measure(work, self.clock.record_torch if case.torch_recordable else None)
        except Exception as error:
            with suppress(Exception):
                self.board.sync()  # ours may have begun, on tensors that are about to go
            return {"failed": said(error)}


def table(rows: list[Row]) -> str:
    """Markdown, and under it why something was not measured."""
    heads = ["step", "on", "MB", "floor", "ours: launches", "graph", "cold", "graph ÷ floor"]
    heads += ["torch: launches", "graph", "cold", "torch.compile: launches", "graph", "cold", "agreement"]
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "---:|" * (len(heads) - 3) + "---|"]
    notes: list[str] = []
    for row in rows:
        if "failed" in row:
            notes.append(f"{row['op']}, {row['on']}: {row['failed']}")
            continue
        ours = row["ours"]
        cells = [row["op"], row["on"], f"{row['bytes'] / 1e6:.2f}", number(row["floor_us"])]
        cells += times(ours)
        best = ours.get("graph") or ours.get("launches")
        cells.append(f"{best / row['floor_us']:.1f}{' L2' if row['in_l2'] else ''}" if best else "–")
        for name in ("torch", "compile"):
            cells += times(row[name])
        for name in ("ours", "torch", "compile"):
            if why := row[name].get("failed") or row[name].get("note"):
                notes.append(f"{row['op']}, {row['on']}: {name}: {why}")
        cells.append(row["torch"].get("agrees", "–"))
        lines.append("| " + " | ".join(cells) + " |")
    counted = {row["op"]: row["counted"] for row in rows if "counted" in row}
    lines += ["", "Bytes counted: " + "; ".join(f"{step}: {what}" for step, what in counted.items()) + "."]
    return "\n".join([*lines, "", *(f"- {note}" for note in dict.fromkeys(notes))])


def headline(found: Row) -> str:
    """Where and with what, and what the memory and an empty kernel do there."""
    machine = {k: v for k, v in found.items() if k not in ("rows", "speeds_gb_s", "l2_mb", "empty_kernel_us")}
    speeds = ", ".join(f"{name} {speed:.0f} GB/s" for name, speed in found["speeds_gb_s"].items())
    empty = " / ".join(times(found["empty_kernel_us"]))
    return (
        f"{', '.join(f'{name} {value}' for name, value in machine.items())}.\n\n"
        f"Copies: {speeds}; L2 cache {found['l2_mb']:.0f} MB; a kernel that does next to nothing, "
        f"as launches / in a graph / cold: {empty} µs. All times in µs."
    )


def times(measured: Row) -> list[str]:
    return [number(measured.get(name)) for name in ("launches", "graph", "cold")]


def number(value: float | None) -> str:
    """Microseconds, three digits."""
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def about(gpu: GpuThread) -> Row:
    """The machine and what runs on it."""
    found: Row = {"device": gpu.name, "capability": ".".join(map(str, gpu.capability))}
    for package in ("torch", "torchvision", "triton", "pycuda", "numpy", "opencv-python"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    with suppress(Exception):
        found["driver"] = load_driver().get_driver_version()
    found |= {"cuda of torch": torch.version.cuda, "python": platform.python_version()}
    return found | {"date": time.strftime("%Y-%m-%d")}


def compile_ahead(gpu: GpuThread) -> None:
    """All .cu files at once into pycuda's cache: one after the other they take a minute."""
    from pycuda.compiler import compile as nvcc

    def one(source: Path) -> None:
        with suppress(Exception):  # who needs it says what is wrong
            how = {"options": ["-O3", "--fmad=false"], "no_extern_c": True}  # as `Kernels`
            nvcc(source.read_text(), nvcc=cuda.find_nvcc(), arch="sm_{}{}".format(*gpu.capability), **how)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, sorted(Path(ops.__file__).parent.glob("*.cu"))))


def run(gpu: GpuThread, args: argparse.Namespace) -> Row:
    """Everything, on the GPU's owner thread and on its stream, which PyTorch uses too."""
    stream: Any = nullcontext()
    if not args.dry:
        torch.cuda.init()  # on the primary context, which this thread has retained
        stream = torch.cuda.stream(torch.cuda.ExternalStream(gpu.stream.handle))
    with stream, torch.no_grad():
        board = Board(gpu, "cpu" if args.dry else "cuda", args.dry)
        bench = Bench(board, DryClock(board) if args.dry else Clock(board), args)
        for name in args.only:
            bench.group(name)
    found = about(gpu) | {"speeds_gb_s": {name: speed / 1e9 for name, speed in bench.speeds.items()}}
    found |= {"l2_mb": bench.clock.cache / 1e6, "empty_kernel_us": bench.empty, "rows": bench.rows}
    return found | {"seconds": round(time.monotonic() - bench.began, 1)}


def on_a_double() -> None:
    """Put the tests' double in the GPU's place."""
    from cuda_double import FakeCuda
    from cuda_machine import stand_in

    fake = FakeCuda()
    stand_in(fake, sys.modules.__setitem__)
    cuda.load_libcuda = lambda: fake.libcuda


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="STEP")
    parser.add_argument("--list", action="store_true", help="name the steps and end")
    parser.add_argument("--dry", action="store_true", help="small, once, on the CPU: no times")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, help="torch.compile too (yes)")
    parser.add_argument("--seconds", type=float, default=115.0, help="what does not fit is left out (115)")
    parser.add_argument("--out", type=Path, help="write everything as JSON here")
    args = parser.parse_args()
    if args.list:
        print("\n".join(GROUPS))
        return 0
    if args.compile is None:
        args.compile = not args.dry
    if args.dry:
        on_a_double()
    gpu = acquire()
    try:
        if not args.dry:
            compile_ahead(gpu)
        found = gpu.call(run, gpu, args)
    finally:
        gpu.release()
    print(headline(found), table(found["rows"]), sep="\n\n")
    if args.out:
        args.out.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    failed = [row for row in found["rows"] if "failed" in row]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
