"""A training in a process of its own: one that is killed, or that starts others like itself (DDP)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def in_a_process(
    folder: Path, test: str, call: str, *, before: str = "", ends: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a script whose main part is `call`.

    Args:
        folder: of the script; DDP starts it again for each process after the first.
        test: `__file__` of the test, which the script knows as `t`.
        call: one statement; `Path` is known.
        before: lines that each process runs first.
        ends: the exit status that is right.
    """
    script = folder / "go.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(test).parent)!r})\n"
        "from pathlib import Path\n"
        f"import {Path(test).stem} as t\n"
        f"{before}\n"
        "if __name__ == '__main__':\n"
        f"    {call}\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == ends, done.stderr[-2000:]
    return done
