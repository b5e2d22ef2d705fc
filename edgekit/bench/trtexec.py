"""TensorRT's own benchmark, `trtexec`, on the same file: its figure beside ours."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from edgekit.engine.choose import PLANS
from edgekit.engine.shapes import spell

#: Where JetPack and NVIDIA's containers put it.
PLACES = ("/usr/src/tensorrt/bin/trtexec", "/usr/local/tensorrt/bin/trtexec")
#: "[I] Latency: min = 0.9 ms, max = 1.2 ms, mean = 1.0 ms, median = 0.99 ms, percentile(95%) = 1.1 ms":
#: host time of one query, copies included, as ours is. TensorRT 8.6 and 10 both print it so.
LATENCY = re.compile(r"\]\s*Latency:\s*(.*)$", re.MULTILINE)
FIGURE = re.compile(r"([a-z]+)(?:\((\d+)%\))?\s*[=:]\s*([\d.eE+-]+)\s*ms")
THROUGHPUT = re.compile(r"\]\s*Throughput:\s*([\d.eE+-]+)\s*qps", re.MULTILINE)
VERSION = re.compile(r"TensorRT version:\s*([\d.]+)")


def find_trtexec() -> str | None:
    """The program, or None."""
    return shutil.which("trtexec") or next((p for p in PLACES if Path(p).is_file()), None)


def run_trtexec(
    program: str,
    file: Path,
    precision: str,
    shapes: dict[str, tuple[int, ...]],
    seconds: float,
    time_limit: float,
) -> dict[str, Any]:
    """Time a plan or an ONNX file.

    Args:
        shapes: of the dynamic inputs.
        seconds: at least so long.

    Returns:
        {"trtexec_ms": median, "trtexec_p95_ms", "trtexec_qps"}, or {"trtexec_failed": why}.
    """
    words = [program, f"--duration={max(1, round(seconds))}", "--warmUp=500"]
    if file.suffix in PLANS:
        words.append(f"--loadEngine={file}")
    else:
        words.append(f"--onnx={file}")
        words += {"fp16": ["--fp16"], "int8": ["--int8", "--fp16"]}.get(precision, [])
    if shapes:
        words.append("--shapes=" + ",".join(f"{name}:{spell(shape)}" for name, shape in shapes.items()))
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=time_limit,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return {"trtexec_failed": f"trtexec did not run to its end ({type(error).__name__})"}
    text = done.stdout + done.stderr
    found = parse(text)
    if done.returncode != 0 or not found:
        lines = [line for line in text.splitlines() if "[E]" in line or "FAILED" in line]
        why = lines[0].strip()[:200] if lines else f"code {done.returncode}, no latency printed"
        return {"trtexec_failed": f"trtexec: {why}"}
    return found


def parse(text: str) -> dict[str, Any]:
    """The figures in trtexec's output; {} where there are none."""
    lines = LATENCY.findall(text)
    if not lines:
        return {}
    figures = {name + percent: float(value) for name, percent, value in FIGURE.findall(lines[-1])}
    if "median" not in figures:
        return {}
    found = {"trtexec_ms": figures["median"], "trtexec_p95_ms": figures.get("percentile95")}
    rates = THROUGHPUT.findall(text)
    version = VERSION.search(text)
    return {
        **found,
        "trtexec_qps": float(rates[-1]) if rates else None,
        "trtexec_version": version[1] if version else None,
    }
