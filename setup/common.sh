#!/usr/bin/env bash
# Shared by all set-up scripts: find a Python, make the virtual environment, install into it.
# A second run with nothing changed installs nothing. Sourced, never run.
#
# EDGEKIT_PYTHON   the interpreter to use            (default: the first of 3.12, 3.11, 3.10 that works)
# EDGEKIT_VENV     where the virtual environment is  (default: .venv in the checkout)
# EDGEKIT_ROOTFS   where /etc, /proc … are read from (default: /; the tests use another one)

SETUP_DIR=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
ROOT=$(dirname -- "$SETUP_DIR")
VENV=${EDGEKIT_VENV:-$ROOT/.venv}
case $VENV in /*) ;; *) VENV=$PWD/$VENV ;; esac
ROOTFS=${EDGEKIT_ROOTFS:-/}
PY=$VENV/bin/python # every tool is run as "$PY" -m …, so that a moved checkout still works

say() { printf '%s\n' "$*"; }
warn() { printf 'edgekit: %s\n' "$*" >&2; }
die() {
  warn "$@"
  exit 1
}

# pip, Jupyter and matplotlib want a home folder; cron jobs and containers may have none.
ensure_home() {
  if [ -z "${HOME:-}" ]; then
    unset HOME
    HOME=~
    case $HOME in /*) ;; *) HOME=${TMPDIR:-/tmp} ;; esac
    export HOME
  fi
}

# --- what is done, and shown -------------------------------------------------------------------

SHOW=''    # yes: every command that changes something is printed first (jetson.sh)
DRY_RUN='' # yes: and not run (jetson.sh --dry-run)

# The words as they would be typed.
quoted() {
  local line
  printf -v line ' %q' "$@"
  say "${line# }"
}

show() { if [ -n "$SHOW" ]; then say "  + $(quoted "$@")"; fi; }

# act COMMAND…: show it and run it.
act() {
  show "$@"
  if [ -z "$DRY_RUN" ]; then "$@"; fi
}

# shellcheck source=setup/board.sh
source "$SETUP_DIR/board.sh"

# --- which Python ------------------------------------------------------------------------------

# "3.11" if the command runs and is Python 3; nothing otherwise. A pyenv shim may exist and not run.
python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null; }

version_fits() {
  case $1 in 3.10 | 3.11 | 3.12 | 3.13) return 0 ;; *) return 1 ;; esac
}

# Prints the interpreter to use, or says what is missing and fails.
find_python() {
  local candidates=(python3.12 python3.11 python3.10 python3.13 python3 python) name version seen='' no_venv=''
  if on_jetson; then candidates=("$(system_python)"); fi
  if [ -n "${EDGEKIT_PYTHON:-}" ]; then candidates=("$EDGEKIT_PYTHON"); fi
  for name in "${candidates[@]}"; do
    version=$(python_version "$name") || continue
    if ! version_fits "$version"; then
      seen="$seen $name is $version."
    elif ! "$name" -c 'import ensurepip, venv' >/dev/null 2>&1; then
      no_venv="$version"
    else
      command -v -- "$name"
      return 0
    fi
  done
  if [ -n "$no_venv" ]; then
    warn "Python $no_venv is here, its venv module is not. Cure: sudo apt install python$no_venv-venv" \
      "(on a Jetson: python3-venv), then run this again."
  elif [ -n "${EDGEKIT_PYTHON:-}" ]; then
    warn "EDGEKIT_PYTHON=$EDGEKIT_PYTHON is not a Python 3.10 to 3.13 that runs.$seen"
  else
    warn "no Python 3.10 to 3.13 found.$seen Cure: install one (Debian, Ubuntu: sudo apt install python3 python3-venv;" \
      "pyenv: pyenv global 3.12), or name one: EDGEKIT_PYTHON=/path/to/python3.12 $0"
  fi
  return 1
}

# --- the virtual environment -------------------------------------------------------------------

venv_works() { [ -f "$VENV/pyvenv.cfg" ] && "$PY" -c 'import pip' >/dev/null 2>&1 </dev/null; }

make_venv() {
  local python=$1 options=()
  if [ -e "$VENV" ] && [ ! -f "$VENV/pyvenv.cfg" ] && [ -n "$(ls -A -- "$VENV" 2>/dev/null)" ]; then
    die "$VENV exists and is not a virtual environment. Cure: move it away, or name another folder with EDGEKIT_VENV."
  fi
  [ -n "$DRY_RUN" ] || { mkdir -p -- "$VENV" 2>/dev/null && [ -w "$VENV" ]; } || die "cannot write to $VENV. Cure: copy" \
    "the kit to a folder of your own, or name a folder that you can write to with EDGEKIT_VENV."
  if on_jetson; then options=(--system-site-packages); fi
  say "Making the virtual environment $VENV with Python $(python_version "$python")"
  # ${a[@]+…}: bash 3.2 calls an empty array unbound
  act "$python" -m venv --clear ${options[@]+"${options[@]}"} -- "$VENV" || die "python -m venv failed (see above)." \
    "Cure: check the free disk space (df -h), and that the package python3-venv is installed."
}

# What an installation depends on, as one hash: a change of any of it installs anew.
fingerprint() {
  "$PY" - "$ROOT" "$SETUP_DIR" "$@" <<'PY'
import hashlib, pathlib, sys
root, setup = map(pathlib.Path, sys.argv[1:3])
digest = hashlib.sha256(repr((sys.version_info[:3], sys.argv[1:])).encode())
for file in (root / "requirements.txt", root / "pyproject.toml", *sorted(setup.glob("constraints*.txt"))):
    digest.update(file.read_bytes())
print(digest.hexdigest())
PY
}

# stamp_matches NAME [WORD…] / write_stamp NAME [WORD…]: NAME is "runtime", an extra of pyproject.toml or a package.
stamp_matches() { [ -x "$PY" ] && [ "$(cat -- "$VENV/.edgekit-$1" 2>/dev/null)" = "$(fingerprint "$@")" ]; }
write_stamp() { [ -n "$DRY_RUN" ] || fingerprint "$@" >"$VENV/.edgekit-$1"; }

# pip ARGUMENTS…: downloads and builds are shown, the rest goes to install.log.
pip_install() {
  local log=$VENV/install.log
  show "$PY" -m pip install "$@"
  if [ -n "$DRY_RUN" ]; then return 0; fi
  if "$PY" -m pip install --disable-pip-version-check --no-input --retries 3 --progress-bar off "$@" 2>&1 </dev/null |
    tee -- "$log" | { grep --line-buffered -E '^ *Downloading .*MB\)|^ *Building wheel|Retrying' || true; }; then
    return 0
  fi
  tail -n 25 -- "$log" >&2
  explain_failure "$log"
  return 1
}

explain_failure() {
  if grep -q -i 'no space left' "$1"; then
    warn "the disk is full. Cure: make room (df -h), or put the environment elsewhere with EDGEKIT_VENV, and run this again."
  elif grep -q -i -E 'connection|timed out|name or service|name resolution|unreachable|proxy|ssl|retrying|HTTP error' "$1"; then
    warn "a download failed: the Python package registry could not be reached. Cure: check the network (behind a proxy" \
      "set HTTPS_PROXY) and run this again; what is already here is kept. With no network at all, bring the packages" \
      "in a folder and say so: PIP_NO_INDEX=1 PIP_FIND_LINKS=/path/to/wheels $0"
    if on_jetson; then
      warn "For boards: ./setup/wheelhouse.sh on a laptop fills such a folder, ./setup/jetson.sh --offline FOLDER uses it."
    fi
  else
    warn "the installation failed; the end of pip's words is above, all of them are in $1."
  fi
}

# Install the kit and what it needs at run time.
install_runtime() {
  local held options=() list=$VENV/requirements.txt
  stamp_matches runtime && return 0
  say "Installing what the kit needs (some minutes the first time; later runs skip this)"
  if on_jetson; then
    [ -n "$DRY_RUN" ] || keep_system_cv2
    held=$(constraints)
    if [ -n "$held" ]; then options=(-c "$held"); fi
  fi
  [ -n "$DRY_RUN" ] || grep -v tegra "$ROOT/requirements.txt" >"$list"
  pip_install ${options[@]+"${options[@]}"} -r "$list" || return 1
  modern_pip || return 1
  pip_install --no-deps -e "$ROOT" || return 1
  write_stamp runtime
}

# pip 21.3 is the first that installs a pyproject in place (PEP 660); the first Pythons 3.10 bring an older one.
modern_pip() {
  if [ -n "$DRY_RUN" ]; then return 0; fi
  "$PY" -c 'import pip, sys; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (21, 3))' 2>/dev/null ||
    pip_install 'pip>=22'
}

# The requirements of one extra, one a line.
extra_requirements() {
  "$PY" - "$ROOT/pyproject.toml" "$1" <<'PY'
import sys
try:
    import tomllib
except ImportError:  # Python 3.10
    from pip._vendor import tomli as tomllib
with open(sys.argv[1], "rb") as file:
    extras = tomllib.load(file)["project"]["optional-dependencies"]
if sys.argv[2] not in extras:
    sys.exit(f"edgekit: pyproject.toml has no extra \"{sys.argv[2]}\". It has: {', '.join(extras)}")
print(*extras[sys.argv[2]], sep="\n")
PY
}

# Install one extra of pyproject.toml on top of the run-time packages.
install_extra() {
  local held options=() list=$VENV/requirements-$1.txt
  stamp_matches "$1" && return 0
  say "Installing the packages of [$1]"
  held=$(constraints)
  if [ -n "$held" ]; then options=(-c "$held"); fi
  [ -n "$DRY_RUN" ] || extra_requirements "$1" >"$list" || return 1
  pip_install ${options[@]+"${options[@]}"} -r "$list" || return 1
  write_stamp "$1"
}

# jetson-stats for the tests with jtop's real service: each version in a folder of its own, since it is no part
# of the kit (AGPL-3.0) and both must be supported. Quiet; fails where it cannot be had.
install_jetson_stats() {
  local version folder stamp
  for version in 4.3.2 7.2.2; do
    folder=$VENV/jtop-$version
    stamp="$version $("$PY" -V)"
    [ "$(cat -- "$folder/.edgekit" 2>/dev/null)" = "$stamp" ] && continue
    say "Installing jetson-stats $version for the tests, into $folder"
    rm -rf -- "$folder"
    "$PY" -m pip install --disable-pip-version-check --no-input --retries 1 --target "$folder" \
      "jetson-stats==$version" >"$VENV/jetson-stats.log" 2>&1 </dev/null || return 1
    printf '%s\n' "$stamp" >"$folder/.edgekit"
  done
}

# Whether a process may have mounts of its own here, by root's way or by everybody's.
can_unshare() {
  local how
  for how in -m -rm; do
    unshare $how --propagation private mount -t overlay overlay -o lowerdir=/etc:/usr /etc 2>/dev/null && return 0
  done
  return 1
}

# set_up [EXTRA…]: everything above, in order. Ends the script with a message where it cannot go on.
# shellcheck disable=SC2120  # demo.sh and lab.sh need no extra
set_up() {
  local python extra have
  ensure_home
  check_jetson
  if ! venv_works; then
    # a dry run may have left out what apt would have brought
    python=$(find_python) || { [ -n "$DRY_RUN" ] && python=$(system_python); } || exit 1
    make_venv "$python"
  else
    have=$(python_version "$PY")
    if ! version_fits "$have" || [ "$have" != "$(python_version "${EDGEKIT_PYTHON:-$PY}")" ]; then
      die "$VENV was made with Python $have. Cure: remove that folder and run this again, or name another with EDGEKIT_VENV."
    fi
    if on_jetson && ! venv_sees_system; then
      die "$VENV does not see JetPack's TensorRT and cv2: it was made without --system-site-packages. Cure: remove that" \
        "folder and run this again, or name another with EDGEKIT_VENV."
    fi
  fi
  install_runtime || exit 1
  if on_jetson; then install_board_packages; fi
  for extra in "$@"; do install_extra "$extra" || exit 1; done
}
