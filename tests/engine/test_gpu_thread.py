"""The thread that owns a GPU: engines take turns on it and end with it; its troubles block nobody."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cuda_double import FakeCuda
from trt_plans import check, fixed_feeds, images, reference

from edgekit.engine import choose, cuda, gpu_thread, open_engine
from edgekit.engine.tensorrt import TensorRTEngine
from edgekit.errors import EdgekitError, MissingError


def test_many_engines_one_after_the_other_and_side_by_side(
    machine: FakeCuda, fixed: Path, dynamic: Path
) -> None:
    for cycle in range(100):
        with TensorRTEngine(fixed) as engine:
            if cycle % 10 == 0:
                check(engine, fixed, fixed_feeds(cycle))
    machine.assert_clean()
    engines = [TensorRTEngine(path) for path in (fixed, dynamic, fixed)]
    assert machine.retained == 1  # one thread, one context for all
    engines[0].close()
    check(engines[1], dynamic, images(1, 3, 8, 8))
    check(engines[2], fixed, fixed_feeds())
    for engine in engines:
        engine.close()
        engine.close()
    with pytest.raises(EdgekitError, match="closed"):
        engines[0](fixed_feeds())


def test_calls_from_many_threads_take_turns(machine: FakeCuda, fixed: Path) -> None:
    wrong: list[BaseException] = []
    shared = TensorRTEngine(fixed)

    def own(seed: int) -> None:
        try:
            with TensorRTEngine(fixed) as engine:
                for step in range(5):
                    check(engine, fixed, fixed_feeds(seed + step))
                    shared(fixed_feeds(3))  # the double fails if two enqueues meet
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=own, args=(10 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    check(shared, fixed, fixed_feeds(3))
    closer = threading.Thread(target=shared.close)
    closer.start()
    shared.close()  # at the same time as the other thread
    closer.join(10)


def test_nobody_waits_for_an_engine_that_runs_beside(
    machine: FakeCuda, fixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, gate, got = threading.Event(), threading.Event(), []
    with TensorRTEngine(fixed) as loop, TensorRTEngine(fixed, beside=True) as large:
        names = {thread.name for thread in threading.enumerate()}
        assert {"edgekit-gpu0", "edgekit-gpu0-beside"} <= names
        enqueue = large._session._infer

        def slow() -> None:
            enqueue()
            began.set()
            assert gate.wait(20)

        monkeypatch.setattr(large._session, "_infer", slow)
        caller = threading.Thread(target=lambda: got.append(large(fixed_feeds(7))))
        caller.start()
        assert began.wait(20)
        for seed in range(3):  # with one thread for both, the first of these would wait for ever
            check(loop, fixed, fixed_feeds(seed))
        with TensorRTEngine(fixed) as late:  # opened and closed meanwhile
            check(late, fixed, fixed_feeds(4))
        assert got == []
        gate.set()
        caller.join(20)
        wanted = reference(fixed, fixed_feeds(7))
        assert {name: array.tobytes() for name, array in got[0].items()} == {
            name: array.tobytes() for name, array in wanted.items()
        }


def test_open_engine_passes_it_on(machine: FakeCuda, fixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "tensorrt_missing", lambda: None)
    for beside in (False, True):
        with open_engine(fixed, beside=beside) as engine, TensorRTEngine(fixed) as loop:
            assert isinstance(engine, TensorRTEngine)
            assert (engine._gpu is loop._gpu) != beside


def test_the_end_of_one_thread_leaves_the_other_alone(machine: FakeCuda, fixed: Path) -> None:
    with TensorRTEngine(fixed) as loop:
        large = TensorRTEngine(fixed, beside=True)
        large._gpu.end()
        with pytest.raises(EdgekitError, match="has ended; open the engine again"):
            large(fixed_feeds())
        large.close()
        check(loop, fixed, fixed_feeds())
        with TensorRTEngine(fixed, beside=True) as again:
            check(again, fixed, fixed_feeds(1))


def test_an_engine_that_is_dropped_is_freed(machine: FakeCuda, fixed: Path) -> None:
    engine = TensorRTEngine(fixed)
    check(engine, fixed, fixed_feeds())
    [thread] = [thread for thread in threading.enumerate() if thread.name == "edgekit-gpu0"]
    del engine
    gc.collect()
    thread.join(5)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # killed on purpose
def test_a_thread_that_dies_frees_all_and_blocks_nobody(machine: FakeCuda, fixed: Path) -> None:
    engine = TensorRTEngine(fixed)
    check(engine, fixed, fixed_feeds())
    [thread] = [thread for thread in threading.enumerate() if thread.name == "edgekit-gpu0"]
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
    with pytest.raises(EdgekitError, match="has ended; open the engine again"):
        engine(fixed_feeds())  # a job that is never answered, or never taken
    thread.join(5)
    machine.assert_clean()
    engine.close()
    with TensorRTEngine(fixed) as again:
        check(again, fixed, fixed_feeds())


def test_jobs_return_raise_time_out_and_are_cancelled(machine: FakeCuda) -> None:
    gpu = gpu_thread.acquire()
    assert gpu.call(lambda a: a + 1, 2) == 3
    assert gpu.call(lambda: gpu.call(threading.get_ident)) == gpu.call(threading.get_ident)
    for error in (ValueError("mine"), SystemExit(3), TimeoutError("inner")):
        with pytest.raises(type(error)):
            gpu.call(raiser, error)
    gate, ran = threading.Event(), []
    gpu.post(gate.wait, 10)
    with pytest.raises(EdgekitError, match="did not answer"):
        gpu.call(ran.append, 1, timeout=0.05)
    gate.set()
    assert gpu.call(lambda: ran) == []  # what nobody waits for any more is not begun
    gpu.release()
    with pytest.raises(EdgekitError, match="has ended"):
        gpu.call(int)


def raiser(error: BaseException) -> None:
    raise error


def test_no_gpu_is_said_and_leaves_no_thread(
    machine: FakeCuda, fixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingError, match=r"GPU 3 cannot be used.*edgekit doctor"):
        TensorRTEngine(fixed, device=3)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(MissingError, match="pip install pycuda"):
        TensorRTEngine(fixed)


def test_the_interpreter_can_end_with_an_engine_open(fixed: Path) -> None:
    program = """
import atexit, sys, types
from cuda_double import FakeCuda
from trt_double import FakeTensorRT
fake = FakeCuda()
atexit.register(fake.assert_clean)      # runs last
atexit.register(lambda: print("clean" if not fake.live else fake.live))
sys.modules["pycuda"] = types.ModuleType("pycuda")
sys.modules["pycuda"].driver = sys.modules["pycuda.driver"] = fake.driver
sys.modules["tensorrt"] = FakeTensorRT(fake)
from edgekit.engine import cuda
cuda.load_libcuda = lambda: fake.libcuda
from edgekit.engine.tensorrt import TensorRTEngine
from trt_plans import fixed_feeds
engine = TensorRTEngine(sys.argv[1])
for _ in range(3):
    engine(fixed_feeds())
"""
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program, str(fixed)],
        capture_output=True, text=True, timeout=120, cwd=Path(__file__).parent, check=False,
        env={"PYTHONPATH": f"{Path(cuda.__file__).parents[2]}:{Path(__file__).parents[1]}", "PATH": ""},
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "clean\n", "")
