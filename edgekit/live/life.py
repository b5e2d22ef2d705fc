"""What ends a live view from outside: the kernel is interrupted, or the cell that made it runs again."""

from __future__ import annotations

import signal
import threading
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.live.session_view import SessionView

_views: weakref.WeakSet[SessionView] = weakref.WeakSet()
_shell: Any = None
_cell_runs = False


def watch(view: SessionView) -> str | None:
    """Look after `view` from now on; returns the id of the cell that runs now, where there is one."""
    global _shell, _cell_runs
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()  # type: ignore[no-untyped-call]
    _views.add(view)
    if shell is None:
        return None
    if shell is not _shell:
        _shell, _cell_runs = shell, True
        shell.events.register("pre_run_cell", _before_cell)
        shell.events.register("post_run_cell", _after_cell)
    _listen_while_idle()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    cell: str | None = (parent.get("metadata") or {}).get("cellId")
    return cell


def cell_runs() -> bool:
    """The main thread is busy with a cell."""
    return _cell_runs


def _before_cell(info: Any) -> None:
    global _cell_runs
    _cell_runs = True
    cell = getattr(info, "cell_id", None)
    for view in list(_views):
        if cell is not None and view.cell == cell:
            view.close()


def _after_cell(result: Any) -> None:
    global _cell_runs
    _cell_runs = False
    # An interrupted cell that awaits has no result at all.
    if result is None or isinstance(result.error_in_exec, KeyboardInterrupt):
        _stop_all()
    _listen_while_idle()


def _listen_while_idle() -> None:
    """Let an interrupt stop the sessions also when no cell runs: the kernel ignores it then.

    ipykernel takes the handler back from `saved_sigint_handler` after each message; only its own "ignore" is
    replaced. Where that name is gone, interrupting works while a cell runs, and Stop works always.
    """
    kernel: Any = getattr(_shell, "kernel", None)
    if getattr(kernel, "saved_sigint_handler", None) is signal.SIG_IGN:
        kernel.saved_sigint_handler = _interrupted


def _interrupted(*_: Any) -> None:
    _stop_all()


def _stop_all() -> None:
    """In a thread, since a signal handler must not wait."""
    from edgekit.run import stop_all

    for view in list(_views):
        view.stopped_because("the kernel was interrupted")
    threading.Thread(target=stop_all, name="edgekit-stop", daemon=True).start()
