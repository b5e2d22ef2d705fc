"""Logs on disk: what was written comes back, through kills, cuts, full disks and lost parts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from edgekit.errors import InputError
from edgekit.telemetry.log import Log, LogWriter, read_log
from edgekit.telemetry.log_writer import parts
from edgekit.telemetry.sample import Event, Sample


def sample(i: int, **more: object) -> Sample:
    """The i-th of a log at 2 Hz; a zone goes off at every third, power is unknown at every seventh."""
    temps = {"cpu": 40 + i / 10, "gpu": 41.0} if i % 3 else {"gpu": 41.0}
    known = i % 7 != 3
    fields: dict[str, object] = {
        "seq": i,
        "power_total_mw": 5000.0 + i if known else None,
        "power_total_name": "VDD_IN",
        "power_total_kind": "input",
        "rails_mw": {"VDD_IN": 5000.0 + i, "VDD_SOC": 1000.0},
        "temps_c": temps,
        "energy_mj": {"gpu0": 2500.0 * i},
        "oc_events": {"oc1": i // 4},
        "gpu_load_pct": i % 101,
        "power_mode": "15W",
        "throttle": ("thermal",) if i % 5 == 0 else (),
        "missing": {} if known else {"power_total_mw": "the meter slept"},
    }
    fields.update(more)
    return Sample(100 + i / 2, f"2026-11-21T10:00:{i % 60:02}.000Z", "jtop 4.3.2", **fields)  # type: ignore[arg-type]


def writer(path: Path, **more: object) -> LogWriter:
    return LogWriter(path, interval_s=0.5, source="jtop 4.3.2", **more)  # type: ignore[arg-type]


def write(path: Path, count: int, **more: object) -> list[Sample]:
    samples = [sample(i) for i in range(count)]
    with writer(path, **more) as log:
        for one in samples:
            log.write(one)
    return samples


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "run.jsonl"
    samples = [sample(i) for i in range(50)]
    gap = Event(120.25, "2026-11-21T10:00:20.250Z", "gap", "the service died")
    with writer(path, about={"board": "Orin Nano"}) as log:
        for one in samples:
            log.write(one)
            if one.seq == 40:
                log.write(gap)
    read = read_log(path)
    assert read.samples() == samples
    assert read.events == [gap]
    assert read.header["board"] == "Orin Nano"
    assert (read.interval_s, read.source, read.emulated) == (0.5, "jtop 4.3.2", False)
    assert not read.missing
    assert read.label == "jtop 4.3.2, VDD_IN"


def test_columns_are_the_samples_in_si_units(tmp_path: Path) -> None:
    samples = write(tmp_path / "run.jsonl", 50)
    for log in (read_log(tmp_path / "run.jsonl"), Log.of(samples, 0.5)):
        np.testing.assert_array_equal(log.t, [100 + i / 2 for i in range(50)])
        want = [np.nan if i % 7 == 3 else (5000 + i) / 1000 for i in range(50)]
        np.testing.assert_allclose(log.power_w, want)
        np.testing.assert_allclose(log.rails_w["VDD_SOC"], np.ones(50))
        np.testing.assert_allclose(log.temps_c["cpu"], [40 + i / 10 if i % 3 else np.nan for i in range(50)])
        np.testing.assert_allclose(log.energy_j["gpu0"], 2.5 * np.arange(50))
        np.testing.assert_array_equal(log.oc_events["oc1"], np.arange(50) // 4)
        np.testing.assert_array_equal(log.gpu_load_pct, np.arange(50))
        assert np.isnan(log.fan_pct).all()
        assert log.power_mode == ["15W"] * 50
        assert log.throttle[5] == ("thermal",)
        assert log.throttle[6] == ()
        assert (log.power_total_name, log.power_total_kind) == ("VDD_IN", "input")
        assert len(log) == 50


def test_columns_that_begin_or_end_within_the_log() -> None:
    samples = [sample(0, temps_c={"a": 1.0}), sample(1, temps_c={"b": 2.0}), sample(2, temps_c={})]
    log = Log.of(samples, 0.5)
    np.testing.assert_array_equal(log.temps_c["a"], [1, np.nan, np.nan])
    np.testing.assert_array_equal(log.temps_c["b"], [np.nan, 2, np.nan])


@pytest.mark.parametrize("batch", [1, 2, 3, 50])
def test_the_size_of_a_batch_makes_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    samples = write(tmp_path / "run.jsonl", 20)
    monkeypatch.setattr("edgekit.telemetry.log._BATCH", batch)
    log, whole = read_log(tmp_path / "run.jsonl"), Log.of(samples, 0.5)
    assert log.temps_c.keys() == whole.temps_c.keys()
    for name, column in whole.temps_c.items():
        np.testing.assert_array_equal(log.temps_c[name], column)


def test_labels_are_honest() -> None:
    unknown = Sample(1.0, "", "host", missing={"power_total_mw": "RAPL is for root alone"})
    assert Log.of([unknown], 0.5).label == "power unknown: RAPL is for root alone"
    board = Sample(
        1.0, "", "emulated Orin Nano", emulated=True, power_total_mw=5.0, power_total_name="VDD_IN"
    )
    assert Log.of([board], 0.5).label == "emulated Orin Nano, no measurement"
    hidden = Sample(1.0, "", "jtop 4.3.2", emulated=True, power_total_mw=5.0, power_total_name="VDD_IN")
    assert Log.of([hidden], 0.5).label == "emulated jtop 4.3.2, no measurement"


def test_a_log_of_nothing() -> None:
    log = Log.of([], 0.5)
    assert len(log) == 0
    assert log.samples() == []
    assert log.rails_w == {}
    assert log.power_total_name is None


def test_samples_out_of_order_make_no_log() -> None:
    with pytest.raises(InputError, match="not after the sample before"):
        Log.of([sample(2), sample(1)], 0.5)


def test_a_line_leaves_out_what_is_unknown_and_keeps_zeros(tmp_path: Path) -> None:
    with writer(tmp_path / "run.jsonl") as log:
        log.write(Sample(0.0, "", "none", power_total_mw=0.0, gpu_load_pct=0.0))
    line = json.loads((tmp_path / "run.jsonl").read_text().splitlines()[1])
    always = {"t_boot_s": 0.0, "t_wall_iso": "", "source": "none", "seq": 0}
    assert line == {**always, "power_total_mw": 0.0, "gpu_load_pct": 0.0}


# ended by force

KILLED = """
    import sys
    from edgekit.telemetry.log import LogWriter
    from edgekit.telemetry.sample import Sample
    log = LogWriter(sys.argv[1], interval_s=0.5, source="x", max_bytes=20000, keep=10**9)
    for i in range(10**9):
        log.write(Sample(float(i + 1), "", "x", seq=i, power_total_mw=1.0, temps_c={"a": 1.0}))
        sys.stdout.write(f"{i}\\n")
        sys.stdout.flush()
"""


def test_a_killed_log_keeps_every_line_that_was_written(tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "run.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        told: list[str] = []
        for line in child.stdout:
            told.append(line)
            if len(told) == 2000:
                child.send_signal(signal.SIGKILL)
    log = read_log(tmp_path / "run.jsonl")
    last = int(told[-1])
    assert len(log) in (last + 1, last + 2)  # the one that was written and not yet told
    assert [one.seq for one in log.samples()] == list(range(len(log)))
    assert len(parts(tmp_path / "run.jsonl")) > 3
    assert log.events == []


def test_a_cut_anywhere_in_the_last_line_costs_that_line_alone(tmp_path: Path) -> None:
    write(tmp_path / "run.jsonl", 5)
    data = (tmp_path / "run.jsonl").read_bytes()
    begin = data[:-1].rindex(b"\n") + 1
    for cut in range(begin, len(data)):
        (tmp_path / "cut.jsonl").write_bytes(data[:cut])
        assert len(read_log(tmp_path / "cut.jsonl")) == 4
    (tmp_path / "cut.jsonl").write_bytes(data[:begin] + b"\0" * 300)  # a file system after a power cut
    assert len(read_log(tmp_path / "cut.jsonl")) == 4


def test_a_log_killed_at_its_birth(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write(path, 0)
    assert len(read_log(path)) == 0
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"run.jsonl is empty"):
        read_log(path)
    path.write_bytes(b'{"edgekit_lo')
    with pytest.raises(InputError, match=r"run.jsonl, line 1"):
        read_log(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"t_boot_s": 10', "damaged"),
        (b"7", "no JSON object"),
        (b'{"seq": 1}', "t_boot_s is missing"),
        (b'{"t_boot_s": "soon"}', "no sample"),
        (b'{"t_boot_s": 1.0}', "not after the sample before"),
        (b'{"t_boot_s": null}', "no sample"),
        (b'{"t_boot_s": 101.2, "power_total_mw": "much"}', "no sample"),
        (b'{"t_boot_s": 101.2, "temps_c": [1, 2]}', "no sample"),
        (b'{"t_boot_s": 101.2, "temps_c": {"cpu": "hot"}}', "no sample"),
        (b'{"event": "gap"}', "no event"),
        (b'{"t_boot_s": 101.2}\xff', "damaged"),
        (b"", "damaged"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes, words: str) -> None:
    write(tmp_path / "run.jsonl", 5)
    lines = (tmp_path / "run.jsonl").read_bytes().splitlines()
    lines.insert(4, line)
    (tmp_path / "run.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(InputError, match=rf"run.jsonl, line 5 is .*{words}"):
        read_log(tmp_path / "run.jsonl")


def test_what_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"away.jsonl does not exist"):
        read_log(tmp_path / "away.jsonl")
    (tmp_path / "a.jsonl").write_text('{"source": "clip.mp4"}\n')
    with pytest.raises(InputError, match=r"a.jsonl, line 1 is not the header"):
        read_log(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text('{"edgekit_log": 2}\n')
    with pytest.raises(InputError, match=r"b.jsonl has layout 2.*newer"):
        read_log(tmp_path / "b.jsonl")


def test_a_folder_that_holds_one_log(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds none"):
        read_log(tmp_path)
    write(tmp_path / "run.jsonl", 300, max_bytes=30_000)
    assert len(read_log(tmp_path)) == 300
    write(tmp_path / "other.jsonl", 3)
    with pytest.raises(InputError, match=r"holds other.jsonl, run.jsonl"):
        read_log(tmp_path)
    write(tmp_path / "samples.jsonl", 4)  # as a run calls it
    assert len(read_log(tmp_path)) == 4


# parts


def test_parts_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    samples = write(path, 600, max_bytes=30_000, keep=100)
    found = parts(path)
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    assert len(found) > 4
    for _, part in [*found, (0, path)]:
        assert part.stat().st_size <= 30_000
        assert json.loads(part.read_bytes().splitlines()[0])["edgekit_log"] == 1
    log = read_log(path)
    assert log.samples() == samples
    assert log.events == []
    alone = read_log(found[1][1])
    assert alone.samples()[0] not in read_log(found[0][1]).samples()
    assert len(alone) < 600


def test_old_parts_are_deleted_and_the_log_says_so(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    samples = write(path, 600, max_bytes=30_000, keep=2)
    assert len(parts(path)) == 2
    log = read_log(path)
    assert 0 < len(log) < 600
    assert log.samples() == samples[-len(log) :]
    (told,) = log.events
    assert told.event == "gap"
    assert "deleted since there were too many" in told.text


def test_a_missing_part_is_told_and_leaves_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    samples = write(path, 600, max_bytes=30_000, keep=100)
    gone = parts(path)[2][1]
    lost = read_log(gone).samples()
    gone.unlink()
    log = read_log(path)
    assert log.samples() == [one for one in samples if one not in lost]
    (told,) = log.events
    assert told.event == "gap"
    assert told.text == "part 3 of the log not here"
    path.unlink()
    assert any("run.jsonl is not here" in e.text for e in read_log(path).events)


def test_parts_too_small_for_a_sample(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too small"):
        writer(tmp_path / "run.jsonl", max_bytes=100)


def test_a_log_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    samples = write(path, 3)
    with pytest.raises(InputError, match=r"run.jsonl exists.*--append"):
        writer(path)
    more = [sample(i) for i in range(3, 6)]
    with writer(path, append=True) as log:
        for one in more:
            log.write(one)
    assert read_log(path).samples() == samples + more
    path.unlink()  # the older part is a log as well
    with pytest.raises(InputError, match=r"run.1.jsonl exists"):
        writer(path)


def test_appending_after_a_kill_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write(path, 4)
    path.write_bytes(path.read_bytes()[:-20])
    with writer(path, append=True) as log:
        log.write(sample(4))
    assert [one.seq for one in read_log(path).samples()] == [0, 1, 2, 4]


def test_another_files_content_is_not_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_text('{"source": "clip.mp4"}\n')
    with pytest.raises(InputError, match="line 1 is not the header"):
        writer(path, append=True)
    assert path.read_text() == '{"source": "clip.mp4"}\n'


def test_a_log_of_before_the_restart_has_another_clock(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    write(path, 3, about={"boot_id": "an earlier one"})
    with pytest.raises(InputError, match="before this machine's last start"):
        writer(path, append=True)


def test_nothing_is_written_after_close(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    log = writer(path)
    log.write(sample(0))
    log.close()
    size = path.stat().st_size
    log.write(sample(1))
    log.close()
    assert path.stat().st_size == size


def test_several_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    gaps = [Event(1.0, "", "gap", str(i) * 50) for i in range(8)]
    with writer(path, max_bytes=30_000, keep=100) as log:
        threads = [
            threading.Thread(target=lambda e=e: [log.write(e) for _ in range(300)])  # type: ignore[misc]
            for e in gaps
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(read_log(path).events) == 8 * 300


def test_ten_hours_open_quickly(tmp_path: Path) -> None:
    """72 000 samples must open in 2 s (tests/bench/bench_telemetry.py measures it); a tenth, with room."""
    write(tmp_path / "run.jsonl", 7200)
    start = time.perf_counter()
    assert len(read_log(tmp_path / "run.jsonl")) == 7200
    assert time.perf_counter() - start < 1.0


# a full disk

FULL = """
    import json, os, sys
    from pathlib import Path
    from edgekit.telemetry.log import LogWriter, read_log
    from edgekit.telemetry.sample import Sample
    {setup}
    path, i, notes = folder / "run.jsonl", 0, []
    log = LogWriter(path, interval_s=0.5, source="x", max_bytes={max_bytes}, keep=1000)
    def write(count):
        global i
        for _ in range(count):
            log.write(Sample(float(i + 1), "", "x", seq=i, power_total_mw=1.0, temps_c={{"zone": 40.0}}))
            i += 1
            if log.note not in notes:
                notes.append(log.note)
    while not log.lost:
        write(1)
    full = i - 1                       # samples that fitted
    write(20)
    assert log.lost == 21, log.lost
    assert len(notes) == 2 and "cannot be written" in notes[1], notes
    for file in folder.glob("*.jsonl"):          # whole lines on the full disk
        assert file.read_bytes()[-1:] in (b"", b"\\n"), file
    assert len(read_log(path)) == full
    {room}
    write(30)
    assert log.note == ""
    log.close()
    read = read_log(path)
    assert [s.seq for s in read.samples()] == [*range(full), *range(full + 21, i)]
    gap, = read.events
    assert gap.event == "gap" and gap.text.startswith("21 samples were not written"), gap
    assert "{words}" in gap.text, gap
    print("survived", full)
"""


def run_full(prefix: tuple[str, ...] = (), **parts_of_it: object) -> None:
    script = textwrap.dedent(FULL).format(**parts_of_it)
    done = subprocess.run(
        [*prefix, sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "survived" in done.stdout


def test_a_file_that_may_grow_no_more(tmp_path: Path) -> None:
    """The kernel writes half a line and then refuses: the limit of a file's size, which needs no root."""
    setup = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY)); "
        f"folder = Path({str(tmp_path)!r})"
    )
    room = "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))"
    run_full(setup=setup, room=room, words="File too large", max_bytes=None)


@pytest.mark.parametrize("max_bytes", [None, 20_000])
def test_a_disk_that_is_full(tmp_path: Path, max_bytes: int | None) -> None:
    """A real one of 100 kB, mounted where only this test sees it; also while parts are begun on it."""
    prefix = ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-rm")
    probe = subprocess.run(
        [*prefix, "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True, text=True, check=False
    )
    if probe.returncode:
        pytest.skip(f"no mount may be made here: {probe.stderr.strip()}")
    setup = (
        f"import subprocess; folder = Path({str(tmp_path)!r}); "
        "subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=100k', 'none', str(folder)], check=True); "
        "(folder / 'big').write_bytes(b'x' * 20_000)"
    )
    room = "(folder / 'big').unlink()"
    run_full(prefix, setup=setup, room=room, words="No space left", max_bytes=max_bytes)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/run.jsonl cannot be written"):
        writer(tmp_path / "file" / "run.jsonl")
    with pytest.raises(InputError, match="/dev/full"):
        writer(Path("/dev/full"))


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    script = (
        "import resource, sys\n"
        "from edgekit.telemetry.log import LogWriter\n"
        "from edgekit.errors import InputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))\n"
        "try: LogWriter(sys.argv[1], interval_s=0.5, source='x')\n"
        "except InputError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run.jsonl")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "run.jsonl cannot be written: File too large; choose another name" in done.stdout
    assert list(tmp_path.iterdir()) == []
