"""The real jtop service over an emulated board, in a mount namespace of its own. Nothing of this machine is
changed, and neither root nor a board is needed.

`Machine` is the board: a process that holds the namespace, in which /sys, /run, /etc and /usr/bin are the
board's. Services and clients of both versions of jetson-stats enter it by nsenter.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from edgekit.telemetry.boards import BoardTree, find_board

POWERLESS = ("setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all")
VERSIONS = ("4.3.2", "7.2.2")
ROOT = Path(__file__).resolve().parents[2]
L4T = {"nano": "32.7.1", "xavier-nx": "35.4.1", "agx-xavier": "35.4.1", "thor": "38.2.0"}

NVPMODEL = """#!/bin/sh
# -q: the mode; -p: all of them; -m N: change it
names="%s"
name() { i=0; for n in $names; do if [ $i = "$1" ]; then echo $n; fi; i=$((i+1)); done; }
state=/run/nvpmodel.state
case "$1" in
 -q) n=$(cat $state 2>/dev/null || echo 0); echo "NV Power Mode: $(name $n)"; echo $n ;;
 -p) echo "NVPM VERB: PM_CONFIG: DEFAULT=$(name 0)(0)"; i=0
     for n in $names; do echo "NVPM VERB: POWER_MODEL: ID=$i NAME=$n"; i=$((i+1)); done ;;
 -m) echo "$2" >$state ;;
esac
"""
JETSON_CLOCKS = """#!/bin/sh
case "$1" in
 --show) echo "SOC family:tegra234  Machine:emulated"
   echo "GPU MinFreq=306000000 MaxFreq=624750000 CurrentFreq=306000000"
   echo "cpu0: Online=1 Governor=schedutil MinFreq=115200 MaxFreq=1510400 CurrentFreq=729600"
   echo "EMC MinFreq=204000000 MaxFreq=2133000000 CurrentFreq=2133000000 FreqOverride=0" ;;
 --store) touch "$2" ;;
esac
"""
#: Read by the service's Python: its settings go below /run, and it ends with the test that started it.
SITE = """
import os, signal, sys, threading
sys.base_prefix = "/run"
def follow():
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)
if os.environ.get("JTOP_SERVICE"):
    threading.Thread(target=follow, daemon=True).start()
"""


@lru_cache
def unshare() -> tuple[str, ...]:
    """The command for a namespace of one's own: root's way, or else everybody's."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0:
        return ("unshare", "-m")
    return ("unshare", "-rm")


def jetson_stats(version: str) -> Path:
    """Folder with that version of jetson-stats and what it needs."""
    base = os.environ.get("EDGEKIT_JETSON_STATS") or os.environ.get("EDGEKIT_VENV") or str(ROOT / ".venv")
    folder = Path(base) / f"jtop-{version}"
    assert (folder / "jtop").is_dir(), f"no jetson-stats in {folder}; ./setup/test.sh installs it"
    return folder


class Machine:
    """A board. Its files are in `tree`; `top` is its root, as seen from here.

    Args:
        top: an empty folder.
        board: of `boards.BOARDS`.
    """

    def __init__(self, top: Path, board: str) -> None:
        self.top, self.board = top, find_board(board)
        self.tree = BoardTree(top, self.board)
        self.rootless = unshare() == ("unshare", "-rm")
        self.service: subprocess.Popen[bytes] | None = None
        self.log = top / "service.log"
        self._write_extras(L4T.get(board, "36.4.3"))
        (top / "run").mkdir()
        mounts = "".join(
            f"mount -t overlay overlay -o lowerdir='{top}/{upper}':{place} {place} && "
            for upper, place in (("etc", "/etc"), ("bin", "/usr/bin"))
        )
        mounts += (
            f"mount --bind '{top}/sys' /sys && mount --bind '{top}/run' /run && echo mounted && exec cat"
        )
        self.keeper = subprocess.Popen(
            [*unshare(), "--propagation", "private", "sh", "-c", mounts],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.keeper.stdout is not None
        assert self.keeper.stdout.readline() == b"mounted\n"

    def _write_extras(self, l4t: str) -> None:
        """What jtop needs beside what a sampler reads."""
        top, cpus = (
            self.top,
            os.sysconf("SC_NPROCESSORS_CONF"),
        )  # as many as in /proc/stat, which is this machine's
        major, _, rest = l4t.partition(".")
        files = {
            "sys/devices/virtual/dmi/id/product_name": f"EMULATED {self.board.title}",
            "sys/devices/virtual/dmi/id/sys_vendor": "edgekit",
            "sys/devices/system/cpu/online": f"0-{cpus - 1}",
            "sys/kernel/actmon_avg_activity/mc_all": "100000",
            "etc/nv_tegra_release": f"# R{major} (release), REVISION: {rest}, GCID: 0, BOARD: generic",
            "etc/group": self._groups(),
            "bin/nvpmodel": NVPMODEL % " ".join(self.board.modes),
            "bin/jetson_clocks": JETSON_CLOCKS,
            "site/sitecustomize.py": SITE,
        }
        for cpu in range(cpus):
            folder = f"sys/devices/system/cpu/cpu{cpu}"
            files[f"{folder}/online"] = "1"
            files[f"{folder}/cpufreq/scaling_governor"] = "schedutil"
            for kind in ("scaling", "cpuinfo"):
                for name, khz in (("min", 115_200), ("max", 1_510_400), ("cur", 729_600)):
                    files[f"{folder}/cpufreq/{kind}_{name}_freq"] = str(khz)
        clock = "sys/kernel/debug/bpmp/debug/clk/emc"
        for name, value in (("rate", 2133), ("max_rate", 2133), ("min_rate", 204), ("mrq_rate_locked", 0)):
            files[f"{clock}/{name}"] = str(value * 1_000_000)
        for name, text in files.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text + "\n")
        for program in (top / "bin").iterdir():
            program.chmod(0o755)
        (top / "sys/class/power_supply").mkdir(parents=True)

    def _groups(self) -> str:
        """/etc/group with a group jtop; without root, only one's own group can be given away."""
        lines = [line for line in Path("/etc/group").read_text().splitlines() if not line.startswith("jtop:")]
        taken = {line.split(":")[2] for line in lines if line.count(":") >= 2}
        free = next(str(number) for number in range(999, 0, -1) if str(number) not in taken)
        return "\n".join([*lines, f"jtop:x:{0 if self.rootless else free}:"])

    # who enters

    def enter(self, *command: str) -> list[str]:
        """The command line that runs `command` on the board."""
        user = ["-U", "--preserve-credentials"] if self.rootless else []
        return ["nsenter", "-t", str(self.keeper.pid), "-m", *user, *command]

    def python(self, version: str = "", *, powerless: bool = False, program: str = sys.executable) -> str:
        """A program like `python`, on the board, beside that version's client ("": beside none).

        Powerless: without root's right to open everything.
        """
        absent = self.top / "absent"
        absent.mkdir(exist_ok=True)
        (absent / "jtop.py").write_text("raise ImportError('no client here')\n")
        folder = jetson_stats(version) if version else absent
        name = self.top / f"{Path(program).name}-{version}{'-powerless' * powerless}"
        words = " ".join(f"'{word}'" for word in self.enter(*POWERLESS * powerless, program))
        name.write_text(f"#!/bin/sh\nPYTHONPATH='{folder}' exec {words} \"$@\"\n")
        name.chmod(0o755)
        return str(name)

    def start(self, version: str) -> Machine:
        """Start that version's service, and wait until it listens."""
        assert self.service is None
        environment = {**os.environ, "JTOP_SERVICE": "True"}
        environment["PATH"] += ":/usr/sbin:/sbin"  # it runs swapon, as systemd lets it
        environment["PYTHONPATH"] = f"{jetson_stats(version)}:{self.top / 'site'}"
        with self.log.open("wb") as log:
            self.service = subprocess.Popen(
                self.enter(sys.executable, "-m", "jtop", "--force"),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        end = time.monotonic() + 30
        while "service ready" not in self.log.read_text():
            assert self.service.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)
        return self

    def kill(self, number: int = signal.SIGTERM) -> None:
        """End the service as systemd does: SIGTERM to it, or SIGKILL to all of its processes."""
        service, self.service = self.service, None
        if service is None:
            return
        if number == signal.SIGTERM:
            service.terminate()
            with suppress(subprocess.TimeoutExpired):
                service.wait(3)
        with suppress(ProcessLookupError):
            os.killpg(service.pid, signal.SIGKILL)
        service.wait()
        assert service.stdin is not None
        service.stdin.close()

    def stall(self, on: bool) -> None:
        """Hold the service's processes still, or let them go on."""
        assert self.service is not None
        os.killpg(self.service.pid, signal.SIGSTOP if on else signal.SIGCONT)

    @property
    def socket(self) -> Path:
        return self.top / "run/jtop.sock"

    def close(self) -> None:
        """End everything."""
        self.kill(signal.SIGKILL)
        self.keeper.communicate()  # its input ends, and so does it
        shutil.rmtree(self.top, ignore_errors=True)
