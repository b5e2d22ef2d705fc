#!/usr/bin/env bash
# Set up a Jetson (JetPack 6.0 to 7.x), then print the doctor's report. Run it as yourself, not with sudo: it asks for
# what needs root. A second run with nothing changed does nothing.
#   ./setup/jetson.sh                 asks before it touches anything outside this folder
#   ./setup/jetson.sh --dry-run       prints every command and changes nothing
# All options: ./setup/jetson.sh --help
set -euo pipefail
# shellcheck source=setup/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'HELP'
Usage: ./setup/jetson.sh [options]

Makes the virtual environment .venv, which sees JetPack's TensorRT and cv2 and leaves them as they are; compiles
pycuda against the board's CUDA; then, asking first: apt packages that are missing, the service of jetson-stats
(power, heat), your groups (camera, GPU), swap on boards with up to 8 GB. Ends with the doctor's report.

  --dry-run         print every command that would change something; change nothing
  --yes             answer every question with yes (for unattended use)
  --no-sudo         do nothing that needs root; print those commands at the end
  --offline DIR     install from a folder that ./setup/wheelhouse.sh has filled; no network is used
  --swap SIZE       a swap file of this size, for example 4G, whatever the board's memory; 0: none, and no question
  --no-jtop         leave out the service of jetson-stats
  --extra NAME      an extra of pyproject.toml too: evaluate, parquet, train … (may be given more than once)
  --help            this text

EDGEKIT_VENV=DIR    puts the environment elsewhere. Everything printed is also added to out/jetson-setup.log.
Exit code: 0 set up; 1 it is not, and the last lines say why.
HELP
}

YES='' NO_SUDO='' OFFLINE='' SWAP='' NO_JTOP='' JTOP_ASKED='' EXTRAS=() LATER=()
JTOP_HOME=/opt/jetson-stats
SWAP_FILE=/edgekit.swap
LOG=$ROOT/out/jetson-setup.log

parse() {
  while [ $# -gt 0 ]; do
    case $1 in --offline | --swap | --extra) [ $# -gt 1 ] || die "$1 needs a value (see --help)." ;; esac
    case $1 in
      --dry-run) DRY_RUN=yes ;;
      --yes | -y) YES=yes ;;
      --no-sudo) NO_SUDO=yes ;;
      --no-jtop) NO_JTOP=yes ;;
      --offline) OFFLINE=$2 && shift ;;
      --swap) SWAP=$2 && shift ;;
      --extra) EXTRAS+=("$2") && shift ;;
      --help | -h) usage && exit 0 ;;
      *) die "unknown option $1 (see --help)." ;;
    esac
    shift
  done
  case $SWAP in '' | 0 | [1-9]G | [1-9][0-9]G) ;; *) die "--swap $SWAP is no size in gigabytes, like 4G (0: none)." ;; esac
}

# --- asking, and root --------------------------------------------------------------------------

# ask QUESTION: whether the answer is yes. No answer at all (no terminal) is a no.
ask() {
  local answer=''
  printf '%s [y/N] ' "$1"
  if [ -n "$YES$DRY_RUN" ]; then
    say yes
    return 0
  fi
  read -r answer || say "(nobody answers; --yes says yes)"
  case $answer in [yYjJ]*) return 0 ;; *) return 1 ;; esac
}

# as_root COMMAND…: show it and run it as root; with --no-sudo keep it for the end.
as_root() {
  if [ "$(id -u)" = 0 ] && [ "$ROOTFS" = / ]; then # another root folder is a test's: its sudo decides
    act "$@" </dev/null
  elif [ -n "$NO_SUDO" ]; then
    LATER+=("sudo $(quoted "$@")")
  else
    act sudo "$@" </dev/null
  fi
}

not_done() { warn "$1 failed (see above); the rest goes on. Run this again to repeat it."; }

# --- the steps ---------------------------------------------------------------------------------

step() { say "" && say "== $*"; }

# The user whom groups are for.
person() { say "${SUDO_USER:-$(id -un)}"; }

check_start() {
  local year
  on_jetson || die "this is no Jetson: there is no /etc/nv_tegra_release and no package nvidia-l4t-core. Cure: on a PC" \
    "./setup/demo.sh sets up all that is needed."
  check_jetson
  if [ -n "${SUDO_USER:-}" ] && [ "$(id -u)" = 0 ]; then
    die "run this as $SUDO_USER, without sudo, or the environment will belong to root. It asks for root where it needs it."
  fi
  year=$(date +%Y)
  [ "$year" -ge 2025 ] || die "the clock says $(date): downloads and builds fail with it. Cure: sudo timedatectl set-ntp" \
    "true, or without a network sudo date -s '2030-01-31 12:00'; then run this again."
}

describe() {
  local version jetpack
  version=$(l4t)
  jetpack=$("$(system_python)" -s "$SETUP_DIR/board.py" jetpack "$version" 2>/dev/null) || true
  say "$(board_name): JetPack ${jetpack:-unknown} (L4T $version), $(memory_gib) GiB"
  case ${version%%.*} in 36 | 38 | 39) ;; *) say "This L4T is newer than the kit; it goes on as for JetPack 7." ;; esac
}

memory_gib() { awk '/^MemTotal/ { printf "%.1f", $2 / 1048576 }' "${ROOTFS%/}/proc/meminfo"; }

# apt packages that the kit needs and that are missing.
install_system_packages() {
  local python missing=()
  python=$(system_python)
  [ -x "$python" ] || missing+=(python3)
  "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || missing+=(python3-venv)
  if cuda_root >/dev/null; then
    "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' 2>/dev/null || missing+=(python3-dev)
    command -v g++ >/dev/null || missing+=(g++)
  fi
  if [ -n "$(find "${ROOTFS%/}/usr/lib" -maxdepth 2 -name 'libnvinfer.so.*' 2>/dev/null | head -n 1)" ]; then
    "$python" -s -c 'import tensorrt' 2>/dev/null || missing+=(python3-libnvinfer)
  else
    warn "JetPack's TensorRT is not installed: models run on ONNX Runtime. Cure: sudo apt update && sudo apt install" \
      "nvidia-jetpack, then run this again."
  fi
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ -n "$OFFLINE" ]; then
    warn "missing apt packages: ${missing[*]}. Cure: connect the board to a network once and sudo apt install ${missing[*]}"
  elif ask "Install ${missing[*]} with apt?"; then
    { as_root apt-get update && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y "${missing[@]}"; } ||
      not_done "apt"
  fi
}

# From here on pip sees the wheelhouse alone; its builds too.
use_wheelhouse() {
  local for_python python
  OFFLINE=$(cd -- "$OFFLINE" 2>/dev/null && pwd -P) || die "--offline: there is no such folder."
  python=$(system_python)
  say "Checking every file of $OFFLINE"
  "$python" "$SETUP_DIR/wheelhouse.py" verify "$OFFLINE" || die "$OFFLINE is not whole (see above), so nothing was" \
    "installed. Cure: copy it again, or fill it again with ./setup/wheelhouse.sh."
  for_python=$("$python" "$SETUP_DIR/wheelhouse.py" value "$OFFLINE" python)
  [ "$for_python" = "$(python_version "$python")" ] || die "$OFFLINE was filled for Python $for_python, this board has" \
    "$(python_version "$python"). Cure: ./setup/wheelhouse.sh --jetpack $("$python" -s "$SETUP_DIR/board.py" jetpack "$(l4t)")"
  export PIP_NO_INDEX=1
  PIP_FIND_LINKS=$("$python" -c 'import pathlib, sys; print((pathlib.Path(sys.argv[1]) / "packages").as_uri())' "$OFFLINE")
  export PIP_FIND_LINKS
  unset PIP_INDEX_URL PIP_EXTRA_INDEX_URL
}

# Models of the wheelhouse, beside those that are here.
copy_models() {
  local file
  for file in "$OFFLINE"/models/*; do
    [ -f "$file" ] || continue
    # lock.json holds what this board's user vouched for: never over one that is here
    if [ "${file##*/}" = lock.json ] && [ -e "$ROOT/engines/downloads/lock.json" ]; then continue; fi
    if cmp -s -- "$file" "$ROOT/engines/downloads/${file##*/}"; then continue; fi
    act mkdir -p -- "$ROOT/engines/downloads"
    act cp -- "$file" "$ROOT/engines/downloads/"
  done
}

free_gib() { df -Pk -- "$1" | awk 'NR == 2 { print int($4 / 1048576) }'; }

check_room() {
  local folder=$VENV free
  stamp_matches runtime && return 0
  while [ ! -e "$folder" ]; do folder=$(dirname -- "$folder"); done
  free=$(free_gib "$folder")
  [ "$free" -ge 3 ] || die "only $free GiB are free for $VENV, and the environment needs 3. Cure: make room (df -h; sudo" \
    "apt clean), or put the environment on another disk with EDGEKIT_VENV=/path/on/it/venv."
}

# JetPack's own modules must be what they were; else the next run installs anew.
check_modules() {
  if [ -n "$DRY_RUN" ]; then return 0; fi
  say "What the environment sees of JetPack:"
  "$PY" "$SETUP_DIR/board.py" compare "$1" && return 0
  rm -f -- "$VENV"/.edgekit-*
  die "the installation took something of JetPack's away (see above). JetPack itself is as it was: all of it is in $VENV." \
    "Cure: the commands above, or go back with: rm -r $(quoted "$VENV") and run this again."
}

# jetson-stats' service, in an environment of its own that belongs to root, which sees the system's pylibjetsonpower
# (Thor): as upstream's scripts/install_jtop_torun_without_sudo.sh does. The wheels are made as this user, so root
# downloads and compiles nothing.
install_jtop_service() {
  local version wheels=$VENV/jetson-stats unit=$VENV/jtop.service
  if version=$(jtop_service_version); then
    say "jetson-stats $version and its service are here."
    return 0
  fi
  ask "Install jetson-stats (AGPL-3.0) and its service jtop, which reads power and heat, into $JTOP_HOME?" || return 0
  JTOP_ASKED=yes
  pip_wheels "$wheels" || {
    not_done "making the wheels of jetson-stats"
    return 0
  }
  if [ -z "$DRY_RUN" ]; then jtop_unit >"$unit"; fi
  {
    as_root "$(system_python)" -m venv --clear --system-site-packages "$JTOP_HOME" &&
      as_root "$JTOP_HOME/bin/python" -m pip install --disable-pip-version-check --no-index --find-links "$wheels" jetson-stats &&
      as_root groupadd -f jtop &&
      as_root ln -sf "$JTOP_HOME/bin/jtop" /usr/local/bin/jtop &&
      as_root install -m 644 "$unit" /etc/systemd/system/jtop.service &&
      as_root systemctl daemon-reload &&
      as_root systemctl enable --now jtop.service
  } || not_done "installing the service of jetson-stats"
}

# The wheels of jetson-stats, of the version that the environment has, and of what it needs.
pip_wheels() {
  local version=''
  if [ -x "$PY" ]; then
    version=$("$PY" -c 'from importlib.metadata import version; print("==" + version("jetson-stats"))' 2>/dev/null) || true
  fi
  show "$PY" -m pip wheel -w "$1" "jetson-stats$version"
  if [ -n "$DRY_RUN" ]; then return 0; fi
  "$PY" -m pip wheel --disable-pip-version-check --no-input -q -w "$1" "jetson-stats$version" </dev/null
}

jtop_unit() {
  cat <<UNIT
[Unit]
Description=jtop service of jetson-stats
After=systemd-modules-load.service

[Service]
Environment="JTOP_SERVICE=True"
ExecStart=$JTOP_HOME/bin/jtop --force
Restart=on-failure
RestartSec=10s
TimeoutStartSec=30s
TimeoutStopSec=30s

[Install]
WantedBy=multi-user.target
UNIT
}

# Groups that exist and lack this user: camera (video), GPU (render), sensors (i2c), jtop.
add_groups() {
  local name user absent='' line
  user=$(person)
  if [ "$user" = root ]; then return 0; fi
  for name in video render i2c gpio jtop; do
    line=$(grep "^$name:" "${ROOTFS%/}/etc/group") || {
      # the service of jetson-stats makes its group, a moment ago or with --no-sudo later
      if [ "$name" != jtop ] || [ -z "$JTOP_ASKED" ]; then continue; fi
    }
    case ",${line##*:}," in *",$user,"*) ;; *) absent=$absent,$name ;; esac
  done
  [ -n "$absent" ] || return 0
  ask "Add $user to the groups ${absent#,} (camera, GPU, sensors)?" || return 0
  as_root usermod -aG "${absent#,}" "$user" || not_done "usermod"
  say "Log out and in (or reboot) for the groups to count."
}

# Swap in GiB, zram included.
swap_gib() { awk '/^SwapTotal/ { printf "%d", $2 / 1048576 + 0.5 }' "${ROOTFS%/}/proc/meminfo"; }

add_swap() {
  local size=$SWAP free
  if [ "$size" = 0 ]; then return 0; fi
  if grep -q "^$SWAP_FILE " "${ROOTFS%/}/etc/fstab" 2>/dev/null; then
    say "The swap file $SWAP_FILE is here."
    return 0
  fi
  if [ -z "$size" ]; then
    awk '/^MemTotal/ { exit !($2 < 9 * 1048576) }' "${ROOTFS%/}/proc/meminfo" || return 0
    [ "$(swap_gib)" -lt 2 ] || return 0
    if [ -e "${ROOTFS%/}/etc/systemd/nvzramconfig.sh" ] &&
      ask "This board has $(memory_gib) GiB and $(swap_gib) GiB swap. Switch on JetPack's compressed swap in memory (zram)?"; then
      as_root systemctl enable --now nvzramconfig.service || not_done "systemctl"
    fi
    ask "Add a swap file of 4 GB, $SWAP_FILE, so that TensorRT builds do not run out of memory?" || return 0
    size=4G
  fi
  free=$(free_gib "${ROOTFS%/}/")
  if [ "$free" -lt $((${size%G} + 2)) ]; then
    warn "no swap file: $free GiB are free, and 2 must stay free beside its $size. Cure: make room, or --swap 2G"
    return 0
  fi
  {
    as_root fallocate -l "$size" "$SWAP_FILE" &&
      as_root chmod 600 "$SWAP_FILE" &&
      as_root mkswap "$SWAP_FILE" &&
      as_root swapon "$SWAP_FILE" &&
      as_root sh -c "echo '$SWAP_FILE none swap sw 0 0' >>/etc/fstab"
  } || not_done "the swap file"
}

report() {
  local line
  if [ -n "$DRY_RUN" ]; then
    say "" && say "Nothing was changed: this was --dry-run."
    return 0
  fi
  step "The doctor's report"
  "$PY" -m edgekit doctor || say "The red lines above stop the kit; their cures are beside them."
  if [ ${#LATER[@]} -gt 0 ]; then
    say "" && say "Left for somebody who may use sudo, in this order:"
    for line in "${LATER[@]}"; do say "  $line"; done
  fi
  say "" && say "Set up. Next:"
  say "  source $(quoted "$VENV/bin/activate")"
  say "  edgekit build edgekit-person --precision fp16    this board's TensorRT plan of the demo"
  say "  edgekit run yolo --source sample --out out/demo   and its first run"
}

main() {
  local before
  if [ -z "$DRY_RUN" ]; then say "$(date '+%Y-%m-%d %H:%M:%S'): $0 $*"; fi
  check_start
  describe
  ensure_home
  step "Packages of the system"
  install_system_packages
  if [ -n "$OFFLINE" ]; then
    step "The wheelhouse"
    use_wheelhouse
  fi
  step "The environment $VENV"
  check_room
  before=$("$(system_python)" "$SETUP_DIR/board.py" facts)
  set_up ${EXTRAS[@]+"${EXTRAS[@]}"}
  check_modules "$before"
  if [ -n "$OFFLINE" ]; then copy_models; fi
  step "Power, groups, memory"
  if [ -z "$NO_JTOP" ]; then install_jtop_service; fi
  add_groups
  add_swap
  report
}

SHOW=yes
parse "$@"
if [ -n "$DRY_RUN" ]; then
  main "$@"
else
  mkdir -p -- "${LOG%/*}" 2>/dev/null || die "cannot write to $ROOT. Cure: copy the kit to a folder of your own."
  main "$@" 2>&1 | tee -a -- "$LOG"
fi
