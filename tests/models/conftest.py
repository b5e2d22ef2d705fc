from __future__ import annotations

import sys
from pathlib import Path

import pytest
from file_server import FileServer
from shelf_help import CONTENT, SHIPPED, entry, sha

sys.path.insert(0, str(Path(__file__).parents[1]))  # for darknet_nets


@pytest.fixture
def server():
    server = FileServer({"/net.onnx": CONTENT})
    yield server
    server.close()


@pytest.fixture
def shelf(tmp_path, monkeypatch, server):
    """A shelf of its own: `here` ships, `net` is downloaded, `bare` has no hash, `own` is exported."""
    folder = tmp_path / "engines"
    folder.mkdir()
    (folder / "here.onnx").write_bytes(SHIPPED)
    url = f'url = "{server.url("/net.onnx")}"'
    (folder / "models.toml").write_text(
        entry("here", "shipped", f'sha256 = "{sha(SHIPPED)}"', f"bytes = {len(SHIPPED)}")
        + entry("net", "url", url, f'sha256 = "{sha(CONTENT)}"', f"bytes = {len(CONTENT)}")
        + entry("bare", "url", url)
        + entry("own", "export", 'export = "make it"')
    )
    monkeypatch.setenv("EDGEKIT_ENGINES", str(folder))
    monkeypatch.delenv("EDGEKIT_OFFLINE", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setattr("edgekit.models.download.PAUSES", (0.0, 0.0, 0.0))
    return folder
