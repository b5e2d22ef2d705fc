"""Downloads against a real server that cuts, lies, stalls and redirects. Bytes served are counted."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from shelf_help import CONTENT, entry, sha

import edgekit
from edgekit.errors import InputError, MissingError
from edgekit.models import download, fetch, find, model

ROOT = Path(edgekit.__file__).resolve().parents[1]
SIZE = len(CONTENT)
BLOCK = download.BLOCK


def downloads(shelf):
    """Names of the files in the download folder, locks left out."""
    return sorted(p.name for p in (shelf / "downloads").glob("*") if not p.name.startswith("."))


def part(shelf):
    return shelf / "downloads" / "net.onnx.part"


def leave_part(shelf, data):
    part(shelf).parent.mkdir(exist_ok=True)
    part(shelf).write_bytes(data)


def test_a_download_is_verified_and_done_once(shelf, server):
    path = fetch("net")
    assert path == shelf / "downloads" / "net.onnx"
    assert path.read_bytes() == CONTENT
    assert downloads(shelf) == ["net.onnx"]
    assert fetch("net") == find("net") == path
    assert len(server.log) == 1


def test_a_cut_connection_is_resumed_where_it_ended(shelf, server):
    server.plan = [{"cut": 6 * BLOCK}, {"cut": 3 * BLOCK}]
    assert fetch("net").read_bytes() == CONTENT
    assert [row[1] for row in server.log] == [None, f"bytes={6 * BLOCK}-", f"bytes={9 * BLOCK}-"]
    assert server.sent == SIZE  # no byte came twice


def test_a_cut_within_a_block_costs_less_than_a_block(shelf, server):
    server.plan = [{"cut": 100_000}]
    assert fetch("net").read_bytes() == CONTENT
    assert SIZE < server.sent < SIZE + BLOCK


def test_the_next_call_resumes_what_an_earlier_one_left(shelf, server):
    server.plan = [{"cut": 4 * BLOCK}, *[{"status": 503}] * 9]
    with pytest.raises(MissingError, match=f"{4 * BLOCK} bytes are kept"):
        fetch("net")
    assert downloads(shelf) == ["net.onnx.part"]
    server.plan, server.log = [], []
    assert fetch("net").read_bytes() == CONTENT
    assert server.log[0][1:] == [f"bytes={4 * BLOCK}-", SIZE - 4 * BLOCK]


def test_a_server_that_ignores_ranges_starts_over(shelf, server):
    leave_part(shelf, CONTENT[:1000])
    server.plan = [{"ignore_range": True}]
    assert fetch("net").read_bytes() == CONTENT


def test_a_server_that_continues_elsewhere_starts_over(shelf, server):
    leave_part(shelf, CONTENT[:1000])
    server.plan = [{"shift": 10}]
    assert fetch("net").read_bytes() == CONTENT
    assert [row[1] for row in server.log] == ["bytes=1000-", None]


def test_a_whole_part_needs_no_request(shelf, server):
    leave_part(shelf, CONTENT)
    assert fetch("net").read_bytes() == CONTENT
    assert server.log == []


def test_a_part_longer_than_the_file_is_dropped(shelf, server):
    leave_part(shelf, CONTENT + b"more")
    assert fetch("net").read_bytes() == CONTENT


def test_a_part_of_another_file_is_found_out(shelf, server):
    leave_part(shelf, bytes(1000))
    assert fetch("net").read_bytes() == CONTENT
    assert [row[1] for row in server.log] == ["bytes=1000-", None]


def test_a_wrong_hash_leaves_nothing(shelf, server):
    server.files["/net.onnx"] = bytes(SIZE)
    with pytest.raises(InputError, match=r"SHA-256 is not .* removed"):
        fetch("net")
    assert downloads(shelf) == []


def test_another_length_is_refused_before_the_body(shelf, server):
    server.files["/net.onnx"] = CONTENT[:-1]
    with pytest.raises(InputError, match=f"offers {SIZE - 1} bytes, but {SIZE}"):
        fetch("net")
    assert downloads(shelf) == []


def test_a_server_that_never_gives_the_rest(shelf, server):
    server.plan = [{"cut": BLOCK}, *[{"cut": 0}] * 9]  # each announces all and closes early
    with pytest.raises(MissingError, match=rf"cannot download .*net\.onnx.*{BLOCK} bytes are kept"):
        fetch("net")
    assert downloads(shelf) == ["net.onnx.part"]


def test_a_server_whose_length_is_a_lie(shelf, server):
    server.files["/net.onnx"] = CONTENT[: 2 * BLOCK]
    server.plan = [{"announce": SIZE}]
    with pytest.raises((InputError, MissingError), match=r"net\.onnx"):
        fetch("net")
    assert "net.onnx" not in downloads(shelf)


def test_too_many_bytes_without_a_length(shelf, server):
    server.files["/net.onnx"] = CONTENT + b"!"
    server.plan = [{"no_length": True}]
    with pytest.raises(InputError, match=f"more than {SIZE} bytes"):
        fetch("net")
    assert downloads(shelf) == []


def test_no_length_at_all_is_fine(shelf, server):
    server.plan = [{"no_length": True}]
    assert fetch("net").read_bytes() == CONTENT


def test_a_file_of_unknown_length_is_capped(shelf, server, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 100_000)
    with pytest.raises(InputError, match="at most 100000 are wanted"):
        fetch("bare", sha256=sha(CONTENT))
    server.plan = [{"no_length": True}]
    with pytest.raises(InputError, match="more than 100000 bytes"):
        fetch("bare", sha256=sha(CONTENT))


def test_gone_from_the_server(shelf, server):
    server.files.clear()
    with pytest.raises(InputError, match="answers 404"):
        fetch("net")
    assert len(server.log) == 1  # it would not come by asking again


def test_a_busy_server_is_asked_again(shelf, server):
    server.plan = [{"status": 503}, {"status": 429}]
    assert fetch("net").read_bytes() == CONTENT
    assert len(server.log) == 3


def test_a_stalled_server_is_asked_again(shelf, server, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", (1.0, 0.3))
    server.plan = [{"stall": 1.0}]
    assert fetch("net").read_bytes() == CONTENT
    assert len(server.log) == 2


def test_unreachable_names_the_cure_and_what_can_be_used(shelf, server):
    server.close()
    with pytest.raises(MissingError, match=r"(?s)refused.*Check the network.*Ready to use: here\.") as caught:
        fetch("net")
    assert caught.value.exit_code == 3


def test_offline_by_request_never_asks(shelf, server, monkeypatch):
    monkeypatch.setenv("EDGEKIT_OFFLINE", "1")
    with pytest.raises(MissingError, match=r"EDGEKIT_OFFLINE is set.*Ready to use: here"):
        fetch("net")
    assert server.log == []


def test_redirects_are_followed(shelf, server):
    server.plan = [{"redirect": "/elsewhere/net.onnx"}, {"redirect": server.url("/net.onnx")}]
    assert fetch("net").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "target", ["http://example.com/net.onnx", "ftp://127.0.0.1/net", "file:///etc/passwd"]
)
def test_redirects_away_from_https_are_refused(shelf, server, target):
    server.plan = [{"redirect": target}]
    with pytest.raises(InputError, match="is not https"):
        fetch("net")


def test_a_redirect_loop_ends(shelf, server):
    server.plan = [{"redirect": "/net.onnx"}] * 20
    with pytest.raises(InputError, match="redirects more than 5 times"):
        fetch("net")


def test_proxies_of_the_environment_are_used(shelf, server, monkeypatch):
    manifest = shelf / "models.toml"
    manifest.write_text(manifest.read_text().replace(server.url(""), "http://localhost:9"))
    monkeypatch.setenv("HTTP_PROXY", server.url(""))
    assert fetch("net").read_bytes() == CONTENT
    assert server.log[0][0] == "http://localhost:9/net.onnx"


def test_no_space_is_said_before_the_body(shelf, server, monkeypatch):
    free = download.shutil.disk_usage(shelf)._replace(free=1000)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: free)
    with pytest.raises(MissingError, match=r"is full \(0 MB are wanted, 0 MB are free\)"):
        fetch("net")


def test_a_folder_that_cannot_be_written(shelf):
    (shelf / "downloads").write_text("in the way")
    with pytest.raises(InputError, match="downloads"):
        fetch("net")


def test_a_damaged_download_is_fetched_again(shelf, server):
    path = fetch("net")
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(InputError, match=r"damaged.*edgekit models fetch net"):
        find("net")
    assert fetch("net").read_bytes() == CONTENT
    assert len(server.log) == 2


def test_without_a_published_hash_the_user_must_give_one(shelf, server):
    with pytest.raises(InputError, match="give the one you trust with --sha256"):
        fetch("bare")
    with pytest.raises(InputError, match="64 hex digits"):
        fetch("bare", sha256="abc")
    with pytest.raises(InputError, match="did not give the file"):
        fetch("bare", sha256="0" * 64)
    path = fetch("bare", sha256=sha(CONTENT).upper())
    assert find("bare") == path
    assert model("bare").added == "fetched with a SHA-256 given by the user"
    path.unlink()
    assert fetch("bare").read_bytes() == CONTENT  # the hash was remembered


def test_a_hash_that_contradicts_the_shelf(shelf, server):
    with pytest.raises(InputError, match="not the one given"):
        fetch("net", sha256="0" * 64)
    assert server.log == []


def test_parts_are_converted(shelf, server, tmp_path):
    import darknet_nets as nets

    cfg, weights = tmp_path / "n.cfg", tmp_path / "n.weights"
    cfg.write_text(nets.cfg_text(nets.every_layer(), 32, 32))
    nets.write_weights(weights, nets.random_weights(nets.every_layer(), 1))
    text = entry("dark", "url", 'convert = "darknet"').replace('["person"]', '["cat", "dog"]')
    for file in (cfg, weights):
        server.files["/" + file.name] = data = file.read_bytes()
        text += f'[[dark.parts]]\nfile = "{file.name}"\nurl = "{server.url("/" + file.name)}"\n'
        text += f'sha256 = "{sha(data)}"\nbytes = {len(data)}\n'
    with open(shelf / "models.toml", "a") as manifest:
        manifest.write(text.replace("size = 416", "size = 64"))
    path = fetch("dark")
    assert find("dark") == path
    assert model("dark").added == "converted from n.cfg and n.weights"
    path.write_bytes(b"broken")
    assert fetch("dark").stat().st_size > 1000
    assert len(server.log) == 2  # the parts were still there


FETCH = "from edgekit.models import download, fetch; print(fetch('net', progress=False))"


def process(code=FETCH, **more):
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_a_full_disk_keeps_what_came(shelf, server):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))

    _, error = process(preexec_fn=limit).communicate(timeout=60)
    assert "MissingError: the disk of" in error
    assert "is full" in error
    assert downloads(shelf) == ["net.onnx.part"]
    kept = part(shelf).read_bytes()
    assert kept == CONTENT[: len(kept)]
    server.log.clear()
    assert fetch("net").read_bytes() == CONTENT
    assert server.sent == SIZE - len(kept) < SIZE


def test_ctrl_c_leaves_a_part_that_the_next_call_continues(shelf, server):
    server.plan = [{"block_pause": 0.2}]
    code = FETCH.replace("; print", "; download.BLOCK = 4096; print")
    running = process(code)
    wait_for(lambda: part(shelf).is_file() and part(shelf).stat().st_size > 40_000)
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=60)
    assert running.returncode != 0
    assert "KeyboardInterrupt" in error
    assert downloads(shelf) == ["net.onnx.part"]
    kept = part(shelf).read_bytes()
    assert kept == CONTENT[: len(kept)]
    assert fetch("net").read_bytes() == CONTENT
    assert server.log[-1][1] == f"bytes={len(kept)}-"


def test_a_killed_process_frees_its_lock(shelf, server):
    server.plan = [{"block_pause": 0.2}]
    running = process()
    wait_for(lambda: bool(server.log))
    running.kill()
    running.communicate(timeout=60)
    assert fetch("net").read_bytes() == CONTENT


def test_two_processes_at_once_download_once(shelf, server):
    server.plan = [{"block_pause": 0.05}]
    both = [process(), process()]
    for running in both:
        out, error = running.communicate(timeout=60)
        assert running.returncode == 0, error
        assert out.strip() == str(shelf / "downloads" / "net.onnx")
    assert len(server.log) == 1
    assert downloads(shelf) == ["net.onnx"]
