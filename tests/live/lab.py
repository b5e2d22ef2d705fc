"""A real JupyterLab in a real Chromium, for tests: opens a notebook, runs its cells, presses its buttons.

with Lab(folder) as lab, lab.open("demo.ipynb") as page:
    page.run_all()
    page.click("Start")

Nothing leaves the machine: the server listens on localhost with a token, its folders are under `folder`,
its kernel is this interpreter, and the browser is the one that is installed.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Seconds to wait for JupyterLab to do something; generous, since no requirement speaks of it.
PATIENCE_S = 90.0


def browser_path() -> str:
    """The Chromium or Chrome that is installed; RuntimeError with the cure where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise RuntimeError("the live view's tests need Chromium; cure: sudo apt-get install chromium")


def wait_for(true: Callable[[], Any], what: str, patience: float = PATIENCE_S) -> Any:
    """Ask until it is true; TimeoutError, naming `what`, when it does not come true in time."""
    end = time.monotonic() + patience
    while not (value := true()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {patience:.0f} s")
        time.sleep(0.02)
    return value


def notebook(path: Path, *cells: str) -> Path:
    """Write a notebook of code cells."""
    rows = [
        {"cell_type": "code", "id": f"cell-{i}", "metadata": {}, "outputs": [], "execution_count": None}
        | {"source": cell}
        for i, cell in enumerate(cells)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    data = {"cells": rows, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


class Lab:
    """A JupyterLab server and a browser.

    Args:
        folder: what it serves, as `folder/work`; its own files lie beside.
        dark: the dark theme.
        subshells: widgets talk to a shell of their own, as JupyterLab does where the kernel can; without,
            to the one that runs the cells, as older kernels and other front ends do.
    """

    def __init__(self, folder: Path, dark: bool = False, subshells: bool = True) -> None:
        self.work = folder / "work"
        self.work.mkdir(parents=True, exist_ok=True)
        self.token = secrets.token_hex(16)
        self._folder, self._dark, self._subshells = folder, dark, subshells
        self._log = open(folder / "server.log", "wb")  # noqa: SIM115 - closed in __exit__
        self._playwright: Any = None

    def _environment(self) -> dict[str, str]:
        folders = {
            "HOME": "home",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        for name in folders.values():
            (self._folder / name).mkdir(exist_ok=True)
        kernel = self._folder / "data" / "kernels" / "python3"
        kernel.mkdir(parents=True, exist_ok=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
        (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        theme = "JupyterLab Dark" if self._dark else "JupyterLab Light"
        self._setting("apputils-extension", "themes", {"theme": theme})
        self._setting("apputils-extension", "notification", {"fetchNews": "false", "checkForUpdates": False})
        comms = "perCommTarget" if self._subshells else "disabled"
        self._setting("apputils-extension", "kernels-settings", {"commsOverSubshells": comms})
        known = [str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        path = os.pathsep.join(known).rstrip(os.pathsep)
        own = {name: str(self._folder / place) for name, place in folders.items()}
        # Ours are the kernels and settings that count, not those of the virtual environment.
        return {**os.environ, **own, "JUPYTER_PREFER_ENV_PATH": "0", "PYTHONPATH": path}

    def _setting(self, extension: str, name: str, values: dict[str, Any]) -> None:
        path = self._folder / "settings" / "@jupyterlab" / extension / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")

    def __enter__(self) -> Lab:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
        command += [f"--IdentityProvider.token={self.token}", "--ServerApp.port_retries=0"]
        command += ["--LabApp.extension_manager=readonly", "--expose-app-in-browser", "--allow-root"]
        self._server = subprocess.Popen(
            command,
            cwd=self.work,
            env=self._environment(),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_for(self._answers, "JupyterLab's server")
            from playwright.sync_api import sync_playwright

            self._playwright = sync_playwright().start()
            self.browser = self._playwright.chromium.launch(executable_path=browser_path(), args=FLAGS)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _answers(self) -> bool:
        if self._server.poll() is not None:
            raise RuntimeError((self._folder / "server.log").read_text(errors="replace")[-2000:])
        try:
            return bool(self.api("GET", "status"))
        except OSError:
            return False

    def api(self, method: str, path: str, data: Any = None) -> Any:
        """Ask the server's REST interface."""
        request = urllib.request.Request(
            f"{self.url}/api/{path}",
            None if data is None else json.dumps(data).encode(),
            {"Authorization": f"token {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def kernels(self) -> list[str]:
        """Ids of the running kernels."""
        return [kernel["id"] for kernel in self.api("GET", "kernels")]

    @property
    def browser_version(self) -> str:
        """Of Chromium."""
        return str(self.browser.version)

    def pids(self) -> list[int]:
        """The server's process and all below it, kernels included."""
        import psutil

        server = psutil.Process(self._server.pid)
        return [process.pid for process in (server, *server.children(recursive=True))]

    @contextmanager
    def open(self, name: str, width: int = 1100, height: int = 900) -> Iterator[LabPage]:
        """Open a notebook of `work` in a page of its own; its kernel ends with it."""
        context = self.browser.new_context(viewport={"width": width, "height": height})
        page = LabPage(self, context.new_page(), name)
        try:
            page.load()
            yield page
        finally:
            context.close()
            for kernel in self.kernels():
                self.api("DELETE", f"kernels/{kernel}")

    def __exit__(self, *_: object) -> None:
        if self._playwright is not None:
            self.browser.close()
            self._playwright.stop()
        self._server.send_signal(signal.SIGTERM)
        try:
            self._server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        self._log.close()


class LabPage:
    """One notebook in the browser. `page` is Playwright's own, for what has no method here."""

    def __init__(self, lab: Lab, page: Any, name: str) -> None:
        self.lab, self.page, self.name = lab, page, name
        page.set_default_timeout(PATIENCE_S * 1000)

    def load(self) -> None:
        """Open (or reload) the notebook and wait for its kernel."""
        # A workspace of its own, so that nothing of an earlier page is restored.
        workspace = secrets.token_hex(4)
        place = f"{self.lab.url}/lab/workspaces/{workspace}/tree/{self.name}?token={self.lab.token}"
        self.page.goto(place)
        self.page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for()
        self.idle()

    def command(self, name: str, **args: Any) -> None:
        """Run a command of JupyterLab, such as "notebook:run-all-cells"."""
        self.page.evaluate(
            "([name, args]) => { void window.jupyterapp.commands.execute(name, args) }", [name, args]
        )

    def idle(self) -> None:
        """Wait until the kernel has nothing more to do."""
        status = "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status"
        wait_for(lambda: self.page.evaluate(status) == "idle", "the kernel is idle")

    def busy_main(self) -> None:
        """Wait until a cell is running."""
        self.page.locator(".jp-CodeCell .jp-InputPrompt", has_text="[*]").first.wait_for()
        time.sleep(0.3)  # the prompt is set when the request leaves, not when the kernel has it

    def idle_main(self) -> None:
        """Wait until no cell is running. (Widgets make the kernel look busy now and then.)"""
        self.page.locator(".jp-CodeCell .jp-InputPrompt", has_text="[*]").wait_for(state="detached")

    def shows(self, after: int = 0) -> None:
        """Wait until the page shows a picture, or more than `after`."""
        wait_for(lambda: self.shown() > after, "a picture is shown")

    def run_all(self) -> None:
        """Run all cells and wait for their end."""
        self.command("notebook:run-all-cells")
        last = self.page.locator(".jp-CodeCell .jp-InputPrompt").last
        wait_for(lambda: "[*]" not in (t := last.inner_text()) and any(c.isdigit() for c in t), "run all")
        self.idle()

    def cell(self, index: int) -> Any:
        """The cell at `index`, counted from 0."""
        return self.page.locator(f'.jp-Cell[data-windowed-list-index="{index}"]')

    def select(self, index: int) -> None:
        """Make a cell the active one."""
        self.cell(index).locator(".jp-InputPrompt").click()

    def run_cell(self, index: int) -> None:
        """Run one cell; does not wait."""
        self.select(index)
        self.command("notebook:run-cell")

    def output(self, index: int) -> str:
        """The text a cell has printed."""
        return str(self.cell(index).locator(".jp-OutputArea").inner_text())

    def button(self, text: str) -> Any:
        """A widget's button by its words."""
        return self.page.locator("button.jupyter-button", has_text=text).first

    def click(self, text: str) -> None:
        """Press a widget's button, once it can be pressed."""
        self.button(text).click()

    def move_slider(self, label: str, key: str, times: int = 1) -> None:
        """Press `key` (ArrowRight, Home, …) on a slider's handle."""
        row = self.page.locator(".widget-slider", has_text=label).first
        handle = row.locator(".noUi-handle").first
        handle.focus()
        for _ in range(times):
            handle.press(key)

    def text(self, pattern: str = ".edgekit-live") -> str:
        """What stands in the view."""
        return str(self.page.locator(pattern).first.inner_text())

    def shown(self) -> int:
        """How many pictures the page has shown."""
        return int(self.page.locator(".edgekit-picture canvas").first.get_attribute("data-shown") or 0)

    def picture(self) -> bytes:
        """The picture on display, as PNG."""
        return bytes(self.page.locator(".edgekit-picture").first.screenshot())

    def screenshot(self, path: Path) -> None:
        """Save the page as it looks now."""
        self.page.screenshot(path=str(path))
