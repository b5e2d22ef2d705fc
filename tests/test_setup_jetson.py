"""setup/jetson.sh on boards that are not here.

A folder holds the board's files; sudo, apt, pip and venv only write down that they were called.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from boards import make_board, write

ROOT = Path(__file__).resolve().parents[1]
TOOLS = (
    *("bash", "sh", "env", "cat", "dirname", "sed", "grep", "tee", "tail", "head", "ls", "mkdir", "rm", "tr"),
    *("awk", "find", "cmp", "cp", "uname", "sort", "cksum"),
)
DPKG = """Package: nvidia-l4t-core
Status: install ok installed
Priority: standard
Maintainer: NVIDIA Corporation
Architecture: arm64
Version: {l4t}-20250107174145
Description: NVIDIA Core Package
 with more words

"""

#: A Python that makes environments and calls pip by word alone. It imports from `site` beside it, the
#: environment's, then from the board's dist-packages.
PYTHON = """#!/bin/bash
here=$(dirname -- "$0")
for site in "$here/site" '{site}'; do export PYTHONPATH=${{PYTHONPATH:-}}:$site; done
case "$*" in
  *"-m venv"*)
    echo "venv ${{*: -1}}" >>'{calls}'
    mkdir -p -- "${{@: -1}}/bin/site"
    echo "include-system-site-packages = true" >"${{@: -1}}/pyvenv.cfg"
    cp -- "$0" "${{@: -1}}/bin/python" ;;
  *"-m pip"*)
    shift 2
    echo "pip $* | ${{PIP_NO_INDEX:-}} ${{PIP_FIND_LINKS:-}} ${{CUDA_ROOT:-}}" >>'{calls}'
    if [ -e '{folder}/pip' ]; then source '{folder}/pip'; fi ;;
  *"-m edgekit doctor"*) echo "doctor" >>'{calls}'; echo "THE REPORT" ;;
  *version_info*) echo {version} ;;
  *Python.h*) [ -e '{root}/usr/include/Python.h' ] ;;
  *ensurepip* | *"import pip") ;;
  "- "*"/setup "*) # the hash of what an installation depends on, which test_setup.py tests
    (echo "$*"; cat "$2/requirements.txt" "$2/pyproject.toml" "$3"/constraints*) | cksum ;;
  -*) if [ "$1" != - ]; then exec '{real}' -S "$@"; fi
    # a script on standard input: the folder of packages is this environment's, not the test's
    exec '{real}' -S -c "import sys, sysconfig; sysconfig.get_path = lambda name: '$here/site'
exec(sys.stdin.read())" "${{@:2}}" ;;
  *) exec '{real}' -S "$@" ;;
esac
"""


@dataclass
class Board:
    """A board's files in `root`, its environment in `venv`, what was called in `calls`."""

    folder: Path
    root: Path
    kit: Path
    answers: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def venv(self) -> Path:
        return self.folder / "a venv"

    @property
    def site(self) -> Path:
        return self.root / "dist-packages"

    def module(self, name: str, version: str, body: str = "", site: Path | None = None) -> None:
        write(site or self.site, f"{name}/__init__.py", f"__version__ = {version!r}\n{body}")

    def tool(self, name: str, code: str) -> None:
        file = self.folder / "path" / name
        file.unlink(missing_ok=True)
        write(self.folder, f"path/{name}", f"#!/bin/bash\n{code}\n").chmod(0o755)

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "calls").write_text("")
        environment = {"PATH": str(self.folder / "path"), "HOME": str(self.folder), "LC_ALL": "C.UTF-8"}
        environment |= {"EDGEKIT_ROOTFS": str(self.root), "EDGEKIT_VENV": str(self.venv), **self.variables}
        return subprocess.run(
            ["bash", self.kit / "setup/jetson.sh", *options], input=self.answers, capture_output=True,
            text=True, timeout=120, check=False, env=environment, cwd=self.folder,
        )  # fmt: skip

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    def called(self, start: str) -> list[str]:
        return [call for call in self.calls if call.startswith(start)]

    def service(self, version: str) -> None:
        """The service of jetson-stats, installed."""
        write(self.root, "etc/systemd/system/jtop.service", "ExecStart=/opt/jetson-stats/bin/jtop --force\n")
        write(self.root, "opt/jetson-stats/bin/jtop", f"#!/bin/sh\necho jtop {version}\n").chmod(0o755)

    def finished(self) -> None:
        """What the commands that were only written down would have left on the board."""
        unit = write(
            self.root, "etc/systemd/system/jtop.service", "ExecStart=/opt/jetson-stats/bin/jtop --force\n"
        )
        assert unit.is_file()
        write(self.root, "opt/jetson-stats/bin/jtop", "#!/bin/sh\necho jtop 7.2.2\n").chmod(0o755)
        write(self.root, "etc/group", "video:x:44:student\nrender:x:109:student\njtop:x:998:student\n")
        write(self.root, "etc/fstab", "/edgekit.swap none swap sw 0 0\n")


def release(l4t: str) -> str:
    major, rest = l4t.split(".", 1)
    return f"# R{major} (release), REVISION: {rest}, GCID: 1, BOARD: generic, EABI: aarch64, DATE: 2026\n"


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tools")
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool) or f"/missing/{tool}")
    return folder


@pytest.fixture
def board(tmp_path: Path, tools: Path) -> Board:
    """An Orin Nano with JetPack 6.2, 8 GB, as JetPack leaves it; the user `student`."""
    made = Board(tmp_path, make_board(tmp_path / "board", "orin-nano"), tmp_path / "my kit")
    shutil.copytree(ROOT / "setup", made.kit / "setup", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        "requirements.txt",
        "pyproject.toml",
        "edgekit/__init__.py",
        "edgekit/device.py",
        "edgekit/limits.py",
    ):
        (made.kit / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, made.kit / name)
    shutil.copytree(tools, tmp_path / "path", symlinks=True)
    for name in ("sudo", "apt-get", "systemctl"):
        more = f"{tmp_path}/{name}"
        made.tool(
            name, f"echo \"{name} $*\" >>'{tmp_path}/calls'; if [ -e '{more}' ]; then source '{more}'; fi"
        )
    made.tool("id", "case $1 in -u) echo 1000 ;; *) echo student ;; esac")
    made.tool(
        "df", 'printf "Filesystem 1024-blocks Used Available\\n/dev/x 60000000 1 %s\\n" ${FREE:-30000000}'
    )
    made.tool("date", 'case $* in +%Y) echo ${YEAR:-2026} ;; *) echo "some day" ;; esac')
    made.tool("g++", "exit 1")
    write(made.root, "usr/include/Python.h")
    write(made.root, "usr/local/cuda/bin/nvcc", "#!/bin/sh\n").chmod(0o755)
    write(made.root, "etc/fstab", "/dev/root / ext4 defaults 0 1\n")
    write(made.root, "usr/local/cuda/include/cuda.h")
    write(made.root, "usr/local/cuda/include/curand.h")
    python = PYTHON.format(
        site=made.site,
        calls=tmp_path / "calls",
        folder=tmp_path,
        root=made.root,
        version="3.10",
        real=sys.executable,
    )
    write(made.root, "usr/bin/python3", python).chmod(0o755)
    made.module("pip", "22.0.2")
    made.module("tensorrt", "10.3.0")
    made.module("cv2", "4.8.0", "def getBuildInformation(): return 'GStreamer:   YES (1.20.3)'")
    made.module("numpy", "1.21.5")
    return made


# --- what is run, in which order ----------------------------------------------------------------


def test_everything_that_is_run_and_its_order(board: Board) -> None:
    done = board.run("--yes")
    assert done.returncode == 0, done.stdout
    venv, held = board.venv, f"-c {board.kit}/setup/constraints-jetpack6.txt"
    pip = "pip install --disable-pip-version-check --no-input --retries 3 --progress-bar off"
    wheels = f"{venv}/jetson-stats"
    assert board.calls == [
        f"venv {venv}",
        f"{pip} {held} -r {venv}/requirements.txt |   ",
        f"{pip} --no-deps -e {board.kit} |   ",
        f"{pip} {held} pycuda>=2024.1 |   {board.root}/usr/local/cuda",
        f"{pip} {held} jetson-stats>=7 |   ",
        f"pip wheel --disable-pip-version-check --no-input -q -w {wheels} jetson-stats |   ",
        f"sudo {board.root}/usr/bin/python3 -m venv --clear --system-site-packages /opt/jetson-stats",
        "sudo /opt/jetson-stats/bin/python -m pip install --disable-pip-version-check --no-index "
        f"--find-links {wheels} jetson-stats",
        "sudo groupadd -f jtop",
        "sudo ln -sf /opt/jetson-stats/bin/jtop /usr/local/bin/jtop",
        f"sudo install -m 644 {venv}/jtop.service /etc/systemd/system/jtop.service",
        "sudo systemctl daemon-reload",
        "sudo systemctl enable --now jtop.service",
        "sudo usermod -aG video,render,jtop student",
        "sudo fallocate -l 4G /edgekit.swap",
        "sudo chmod 600 /edgekit.swap",
        "sudo mkswap /edgekit.swap",
        "sudo swapon /edgekit.swap",
        "sudo sh -c echo '/edgekit.swap none swap sw 0 0' >>/etc/fstab",
        "doctor",
    ]
    assert "ExecStart=/opt/jetson-stats/bin/jtop --force" in (venv / "jtop.service").read_text()
    asked = (venv / "requirements.txt").read_text()
    assert "opencv-python" in asked
    assert "tegra" not in asked
    assert "Keeping the system's cv2 4.8.0" in done.stdout
    assert list((venv / "bin/site").glob("opencv_python-4.8.0.dist-info/METADATA"))
    assert "THE REPORT" in done.stdout
    assert done.stdout == (board.kit / "out/jetson-setup.log").read_text()


def test_a_second_run_does_nothing(board: Board) -> None:
    board.service("7.2.2")
    board.run("--yes")
    board.finished()
    again = board.run("--yes")
    assert again.returncode == 0, again.stdout
    assert board.calls == ["doctor"]
    assert "+ " not in again.stdout


def test_a_dry_run_prints_all_of_it_and_changes_nothing(board: Board) -> None:
    before = {path: path.stat().st_mtime_ns for path in board.folder.rglob("*")}
    dry = board.run("--dry-run")
    assert dry.returncode == 0, dry.stdout + dry.stderr
    assert board.calls == []
    (board.folder / "calls").unlink()
    after = {
        path: path.stat().st_mtime_ns for path in board.folder.rglob("*") if "__pycache__" not in path.parts
    }
    assert set(after) == set(before)
    planned = [line.strip()[2:] for line in dry.stdout.splitlines() if line.startswith("  + ")]
    wet = board.run("--yes")
    ran = [line.strip()[2:] for line in wet.stdout.splitlines() if line.startswith("  + ")]
    assert planned == ran
    assert len(ran) == len(board.calls) - 1  # all but the doctor


@pytest.mark.parametrize(
    ("l4t", "name", "said", "held", "cuda"),
    [
        ("36.3.0", "agx-orin", "AGX Orin Developer Kit: JetPack 6.0 (L4T 36.3.0)", 6, "cuda-toolkit-12-2"),
        ("36.4.0", "orin-nano", "JetPack 6.1 (L4T 36.4.0), 7.4 GiB", 6, "cuda-toolkit-12-6"),
        ("36.5.0", "orin-nano", "JetPack 6.2.2 (L4T 36.5.0)", 6, "cuda-toolkit-12-6"),
        ("38.2.0", "thor", "AGX Thor Developer Kit: JetPack 7.0 (L4T 38.2.0)", 7, "cuda-toolkit-13-0"),
        ("39.2.0", "orin-nano", "JetPack 7.2 (L4T 39.2.0)", 7, "cuda-toolkit-13-2"),
        ("41.1.0", None, "a Jetson: JetPack unknown (L4T 41.1.0)", 7, "sudo apt install cuda-toolkit "),
    ],
)  # fmt: skip
def test_boards(board: Board, l4t: str, name: str | None, said: str, held: int, cuda: str) -> None:
    make_board(board.root, name or "orin-nano")
    write(board.root, "etc/nv_tegra_release", release(l4t))
    if name is None:
        (board.root / "proc/device-tree/model").unlink()
    shutil.rmtree(board.root / "usr/local/cuda/bin")
    done = board.run("--yes", "--no-jtop", "--swap", "0")
    assert done.returncode == 0, done.stdout
    assert said in done.stdout
    assert f"-c {board.kit}/setup/constraints-jetpack{held}.txt -r" in board.called("pip install")[0]
    assert cuda in done.stdout
    assert "No such file" not in done.stdout
    assert ("newer than the kit" in done.stdout) == (l4t == "41.1.0")
    assert not [call for call in board.calls if "pycuda>=" in call]


@pytest.mark.parametrize(
    ("name", "l4t", "cure"),
    [
        ("xavier-nx", "35.4.1", "let this board send its camera's picture by RTSP to an Orin or a PC"),
        ("nano", "32.7.1", "run on Orin and Thor alone"),
        ("orin-nano", "35.3.1", "flash JetPack 6.2 or 7.2"),
    ],
)
def test_too_old_is_one_clear_sentence(board: Board, name: str, l4t: str, cure: str) -> None:
    make_board(board.root, name)
    write(board.root, "etc/nv_tegra_release", release(l4t))
    done = board.run("--yes")
    assert done.returncode == 1
    assert f"L4T {l4t}" in done.stdout
    assert cure in done.stdout
    assert done.stdout.count("edgekit: ") == 1
    assert board.calls == []


def test_a_container_is_known_by_its_packages(board: Board) -> None:
    (board.root / "etc/nv_tegra_release").unlink()
    write(board.root, "var/lib/dpkg/status", DPKG.format(l4t="36.4.3"))
    assert "JetPack 6.2 (L4T 36.4.3)" in board.run("--dry-run").stdout
    write(
        board.root,
        "var/lib/dpkg/status",
        DPKG.format(l4t="36.4.3").replace("ok installed", "ok config-files"),
    )
    done = board.run("--yes")
    assert done.returncode == 1
    assert "this is no Jetson" in done.stdout
    assert "./setup/demo.sh" in done.stdout


# --- questions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("answers", "said"), [("n\n" * 9, "[y/N]"), ("", "nobody answers; --yes says yes")])
def test_without_a_yes_nothing_outside_the_folder_is_touched(board: Board, answers: str, said: str) -> None:
    board.answers = answers
    done = board.run()
    assert done.returncode == 0, done.stdout
    assert said in done.stdout
    assert board.called("sudo") == []
    assert board.calls[-1] == "doctor"


def test_each_question_is_its_own(board: Board) -> None:
    board.answers = "n\ny\nn\n"  # jetson-stats, groups, swap
    board.run()
    assert board.called("sudo") == ["sudo usermod -aG video,render student"]


def test_without_sudo_the_commands_are_left_for_later(board: Board) -> None:
    done = board.run("--yes", "--no-sudo")
    assert done.returncode == 0, done.stdout
    assert board.called("sudo") == []
    later = done.stdout[done.stdout.index("Left for somebody who may use sudo") :]
    assert later.index("groupadd -f jtop") < later.index("sudo systemctl enable --now jtop.service")
    assert (
        "  sudo usermod -aG video\\,render\\,jtop student\n" in later
        or "usermod -aG video,render,jtop" in later
    )


def test_what_root_cannot_do_stops_nothing_else(board: Board) -> None:
    (board.folder / "sudo").write_text(
        "case $* in *groupadd*) echo 'a password is required' >&2; exit 1 ;; esac\n"
    )
    done = board.run("--yes")
    assert done.returncode == 0, done.stdout
    assert "installing the service of jetson-stats failed" in done.stdout
    assert not board.called("sudo systemctl")
    assert board.called("sudo usermod")
    assert board.calls[-1] == "doctor"


# --- what must not happen -----------------------------------------------------------------------


def breaks(board: Board, name: str, version: str, body: str = "") -> None:
    """pip, when it installs the requirements, lays a module over JetPack's."""
    board.module(name, version, body, site=board.folder / "wheel")
    code = f'case "$*" in *requirements.txt*) cp -r -- \'{board.folder}/wheel/.\' "$here/site" ;; esac\n'
    (board.folder / "pip").write_text(code)


@pytest.mark.parametrize(
    ("name", "version", "body", "said"),
    [
        ("numpy", "2.2.6", "", "NumPy is 2.2.6, and JetPack's cv2 and TensorRT are made for 1.21.5"),
        ("tensorrt", "10.3.0", "", "TensorRT is 10.3.0 ("),
        ("cv2", "4.11.0", "def getBuildInformation(): return 'GStreamer: NO'", "no GStreamer, hides"),
        ("cv2", "4.11.0", "raise ImportError('made for NumPy 1')", "cv2 does not import: ImportError"),
    ],
)  # fmt: skip
def test_an_installation_that_hides_jetpacks_own_is_caught(
    board: Board, name: str, version: str, body: str, said: str
) -> None:
    breaks(board, name, version, body)
    done = board.run("--yes")
    assert done.returncode == 1
    assert said in done.stdout
    assert "JetPack itself is as it was" in done.stdout
    assert "go back with: rm -r" in done.stdout
    assert board.called("sudo") == []
    assert not list(board.venv.glob(".edgekit-*"))


def test_after_going_back_all_is_installed_anew(board: Board) -> None:
    breaks(board, "numpy", "2.2.6")
    board.run("--yes")
    (board.folder / "pip").unlink()
    shutil.rmtree(board.venv)
    assert board.run("--yes").returncode == 0
    assert board.called("pip install")


def test_a_newer_numpy_of_the_same_major_is_right(board: Board) -> None:
    breaks(board, "numpy", "1.26.4")
    done = board.run("--yes")
    assert done.returncode == 0, done.stdout
    assert "numpy: 1.26.4" in done.stdout


def test_no_network(board: Board) -> None:
    (board.folder / "pip").write_text("echo 'ConnectTimeoutError: Connection timed out'; exit 1\n")
    done = board.run("--yes")
    assert done.returncode == 1
    assert "the Python package registry could not be reached" in done.stdout
    assert "./setup/jetson.sh --offline" in done.stdout
    assert board.called("sudo") == []
    assert not list(board.venv.glob(".edgekit-*"))


def test_a_full_disk_is_seen_before_and_while(board: Board) -> None:
    board.variables = {"FREE": "2000000"}
    done = board.run("--yes")
    assert done.returncode == 1
    assert "only 1 GiB are free" in done.stdout
    assert board.called("pip") == []
    board.variables = {}
    (board.folder / "pip").write_text("echo 'OSError: [Errno 28] No space left on device'; exit 1\n")
    done = board.run("--yes")
    assert done.returncode == 1
    assert "the disk is full" in done.stdout


def test_a_clock_that_went_back(board: Board) -> None:
    board.variables = {"YEAR": "1970"}
    done = board.run("--yes")
    assert done.returncode == 1
    assert "timedatectl set-ntp true" in done.stdout
    assert board.calls == []


def test_not_with_sudo(board: Board) -> None:
    board.tool("id", "echo 0")
    board.variables = {"SUDO_USER": "student"}
    done = board.run("--yes")
    assert done.returncode == 1
    assert "run this as student, without sudo" in done.stdout


def test_an_environment_that_does_not_see_jetpack(board: Board) -> None:
    board.run("--yes")
    write(board.venv, "pyvenv.cfg", "include-system-site-packages = false\n")
    done = board.run("--yes")
    assert done.returncode == 1
    assert "does not see JetPack's TensorRT and cv2" in done.stdout


@pytest.mark.parametrize("words", [["--swap", "4"], ["--swap"], ["--offlin", "x"], ["--offline", "/nowhere"]])
def test_bad_options(board: Board, words: list[str]) -> None:
    done = board.run(*words)
    assert done.returncode == 1
    assert "edgekit: " in done.stdout + done.stderr
    assert board.calls == []


def test_help_names_every_option(board: Board) -> None:
    done = board.run("--help")
    assert done.returncode == 0
    text = (ROOT / "setup/jetson.sh").read_text()
    options = [
        line.split(")")[0].split(" |")[0].strip() for line in text.splitlines() if line.startswith("      --")
    ]
    assert len(options) == 8
    assert all(option in done.stdout for option in options)


# --- pycuda, jetson-stats, apt, swap ------------------------------------------------------------


def test_pycuda_waits_for_nvcc_and_is_compiled_once_it_is_there(board: Board) -> None:
    nvcc = board.root / "usr/local/cuda/bin/nvcc"
    nvcc.rename(board.folder / "nvcc")
    done = board.run("--yes")
    assert done.returncode == 0, done.stdout
    assert "no nvcc in /usr/local/cuda/bin" in done.stdout
    assert "sudo apt install cuda-toolkit-12-6" in done.stdout
    (board.folder / "nvcc").rename(nvcc)
    board.run("--yes")
    assert len([call for call in board.calls if "pycuda>=" in call]) == 1
    (board.folder / "pip").write_text('case "$*" in *pycuda*) echo "error: g++ failed"; exit 1 ;; esac\n')
    (board.venv / ".edgekit-pycuda").unlink()
    done = board.run("--yes")
    assert done.returncode == 0
    assert "pycuda is not installed; the rest goes on" in done.stdout
    assert not (board.venv / ".edgekit-pycuda").exists()


def test_half_a_cuda_toolkit_is_told_before_minutes_of_compiling(board: Board) -> None:
    (board.root / "usr/local/cuda/include/curand.h").unlink()
    done = board.run("--yes", "--no-jtop", "--swap", "0")
    assert done.returncode == 0, done.stdout
    assert "without curand.h" in done.stdout
    assert not [call for call in board.calls if "pycuda>=" in call]


def test_cuda_in_a_folder_with_its_version(board: Board) -> None:
    (board.root / "usr/local/cuda").rename(board.root / "usr/local/cuda-12.6")
    board.run("--yes")
    compiled = [call for call in board.calls if "pycuda>=" in call]
    assert [call.endswith(f" {board.root}/usr/local/cuda-12.6") for call in compiled] == [True]


def test_client_and_service_of_jetson_stats_agree(board: Board) -> None:
    board.service("4.3.2")
    done = board.run("--yes")
    assert [call for call in board.calls if "jetson-stats==4.3.* " in call]
    assert not [call for call in board.calls if "/opt/jetson-stats" in call]
    assert "jetson-stats 4.3.2 and its service are here" in done.stdout


def test_apt_packages_that_are_missing(board: Board) -> None:
    (board.root / "usr/include/Python.h").unlink()
    (board.folder / "path/g++").unlink()
    shutil.rmtree(board.site / "tensorrt")
    board.answers = "y\n"
    done = board.run()
    assert board.called("sudo")[:2] == [
        "sudo apt-get update",
        "sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y python3-dev g++ python3-libnvinfer",
    ]
    assert "Install python3-dev g++ python3-libnvinfer with apt?" in done.stdout


@pytest.mark.parametrize(
    ("memory", "swap", "options", "made"),
    [
        (7_802_000, 0, (), "4G"),
        (7_802_000, 3_900_000, (), None),
        (64_300_000, 0, (), None),
        (64_300_000, 0, ("--swap", "8G"), "8G"),
        (7_802_000, 0, ("--swap", "0"), None),
        (7_802_000, 0, ("--swap", "30G"), None),
    ],
)
def test_swap(board: Board, memory: int, swap: int, options: tuple[str, ...], made: str | None) -> None:
    write(board.root, "proc/meminfo", f"MemTotal: {memory} kB\nMemAvailable: 1 kB\nSwapTotal: {swap} kB\n")
    done = board.run("--yes", "--no-jtop", *options)
    assert board.called("sudo fallocate") == ([f"sudo fallocate -l {made} /edgekit.swap"] if made else [])
    assert ("2 must stay free" in done.stdout) == ("30G" in options)


def test_zram_is_offered_before_a_file(board: Board) -> None:
    write(board.root, "etc/systemd/nvzramconfig.sh")
    board.answers = "n\nn\ny\nn\n"  # jetson-stats, groups, zram, file
    board.run()
    assert board.called("sudo") == ["sudo systemctl enable --now nvzramconfig.service"]


def test_extras(board: Board) -> None:
    tomllib = pytest.importorskip("tomllib")
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][
        "parquet"
    ]
    board.run("--yes", "--extra", "parquet")
    assert (board.venv / "requirements-parquet.txt").read_text().split() == wanted


# --- without a network --------------------------------------------------------------------------


def wheelhouse(folder: Path, python: str = "3.10") -> Path:
    write(folder, "packages/one-1.0-py3-none-any.whl", "a wheel")
    write(folder, "models/yolox.onnx", "a model")
    write(folder, "models/lock.json", "{}")
    subprocess.run(
        [sys.executable, ROOT / "setup/wheelhouse.py", "write", folder, "jetpack=6", f"python={python}"],
        check=True,
    )
    return folder


def test_offline(board: Board) -> None:
    house = wheelhouse(board.folder / "usb disk")
    write(board.kit, "engines/downloads/lock.json", '{"mine": 1}')
    done = board.run("--yes", "--offline", "usb disk")
    assert done.returncode == 0, done.stdout
    pip = board.called("pip")
    assert len(pip) == 5
    assert all(f"| 1 {house.as_uri()}/packages" in call for call in pip)
    assert (board.kit / "engines/downloads/yolox.onnx").read_text() == "a model"
    assert (board.kit / "engines/downloads/lock.json").read_text() == '{"mine": 1}'


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("packages/one-1.0-py3-none-any.whl", "one-1.0-py3-none-any.whl is damaged"),
        ("packages/two-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl is not in the MANIFEST"),
        ("MANIFEST", "is missing"),
        (None, "filled for Python 3.12, this board has 3.10. Cure: ./setup/wheelhouse.sh --jetpack 6.2"),
    ],
)
def test_a_wheelhouse_that_does_not_fit_is_refused(board: Board, damage: str | None, said: str) -> None:
    house = wheelhouse(board.folder / "usb", "3.10" if damage else "3.12")
    if damage == "MANIFEST":
        (house / "models/yolox.onnx").unlink()
    elif damage:
        write(house, damage, "something else")
    done = board.run("--yes", "--offline", "usb")
    assert done.returncode == 1
    assert said in done.stdout
    assert board.called("pip") == []


def test_offline_leaves_apt_alone_and_says_so(board: Board) -> None:
    wheelhouse(board.folder / "usb")
    (board.root / "usr/include/Python.h").unlink()
    done = board.run("--yes", "--offline", "usb")
    assert "missing apt packages: python3-dev" in done.stdout
    assert not [call for call in board.calls if "apt-get" in call]


def test_the_facts_are_those_of_the_system_alone(board: Board) -> None:
    """A NumPy in ~/.local is no part of JetPack."""
    user = f".local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    board.module("numpy", "2.9.9", site=board.folder / user)
    done = subprocess.run(
        [board.root / "usr/bin/python3", ROOT / "setup/board.py", "facts"], capture_output=True, text=True,
        check=True, env=dict(os.environ, HOME=str(board.folder)),
    )  # fmt: skip
    assert json.loads(done.stdout)["numpy"]["version"] == "1.21.5"


def test_a_module_that_crashes_is_told_and_the_others_still_looked_at(board: Board) -> None:
    board.module("cv2", "4.8.0", "import os; os.abort()")
    done = subprocess.run(
        [board.root / "usr/bin/python3", ROOT / "setup/board.py", "facts"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert "crashes the interpreter" in found["cv2"]["error"]
    assert (found["tensorrt"]["version"], found["numpy"]["version"]) == ("10.3.0", "1.21.5")
