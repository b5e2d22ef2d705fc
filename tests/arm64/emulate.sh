#!/usr/bin/env bash
# An arm64 system, emulated on this machine, in which the kit is installed and run: what can be said of a Jetson's
# packages without one. Makes the system where it is absent, runs the checks for each Python, prints a table.
#
#   sudo tests/arm64/emulate.sh [-r ROOT] [-s SUITE] [-m MIRROR] [-p PYTHON]… [-u UV] [CHECK…]
#
#   -r ROOT    folder of the emulated system               (default: /var/tmp/edgekit-arm64)
#   -s SUITE   of Debian or Ubuntu: bookworm (Python 3.11), jammy (3.10, as JetPack 6), noble (3.12, as JetPack 7)
#              (default: bookworm)
#   -m MIRROR  its archive; for Ubuntu the one that has arm64 ("ubuntu-ports")  (default: debootstrap's)
#   -p PYTHON  interpreter inside of ROOT, may be repeated  (default: /usr/bin/python3)
#   -u UV      a uv of this machine, which chooses and unpacks the same wheels in seconds; without it pip does so inside,
#              emulated, as on a board
#   -w DIR     a wheelhouse of setup/wheelhouse.sh for this Python: setup/jetson.sh --offline is run on it, with no
#              network at all, twice
#   CHECK      of: packages wheels import doctor demo same jetson-stats board again (default: all; the last two with -w)
#
# Needs root, Debian or Ubuntu, and: apt install debootstrap qemu-user-static (and for "same" a ./setup/demo.sh run
# once on this machine). Takes 4 GB and 7 minutes to make the system, then for each Python 6 minutes with -u and an
# hour without. The kernel must know qemu (binfmt_misc); where it does not, this script tells it, until the next boot.
# Nothing of a GPU, a camera or a board's sensors is emulated. What was seen: README.md beside this file.
set -euo pipefail

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)
KIT=${HERE%/tests/arm64}
ROOT=/var/tmp/edgekit-arm64
SUITE=bookworm
MIRROR=
PYTHONS=()
UV=
WHEELHOUSE=
ALL=(packages wheels import doctor demo same jetson-stats board again)
# onnxruntime 1.29 to 1.31 end in a segmentation fault when imported under qemu 7.2; 1.23 and 1.26 run. There was
# no board to tell whether that is qemu's fault.
HELD='onnxruntime<1.27'
SYSTEM_PYTHON=
ROWS=()
FAILED=0

die() {
  printf 'edgekit: %s\n' "$*" >&2
  exit 1
}

# --- the emulated system -----------------------------------------------------------------------

register_qemu() {
  local binfmt=/proc/sys/fs/binfmt_misc
  [ -e "$binfmt/qemu-aarch64" ] && return 0
  [ -e "$binfmt/register" ] || mount -t binfmt_misc none "$binfmt" || die "binfmt_misc cannot be mounted here."
  cat /usr/lib/binfmt.d/qemu-aarch64.conf >"$binfmt/register" || die "the kernel does not take qemu for arm64."
}

# inside COMMAND…: in the emulated system, with no variable of this one but a proxy's. Cortex-A76 is the nearest that
# qemu 7.2 knows to Orin's A78AE; its own default also emulates pointer authentication, which is slow.
inside() {
  local proxy=() name
  for name in http_proxy https_proxy HTTP_PROXY HTTPS_PROXY; do
    if [ -n "${!name:-}" ]; then proxy+=("$name=${!name}"); fi
  done
  chroot "$ROOT" /usr/bin/env -i ${proxy[@]+"${proxy[@]}"} HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin OMP_NUM_THREADS=1 \
    QEMU_CPU=cortex-a76 PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 "$@"
}

make_root() {
  if [ ! -e "$ROOT/.edgekit-made" ]; then
    mkdir -p -- "$ROOT"
    debootstrap --arch=arm64 --variant=minbase "$SUITE" "$ROOT" ${MIRROR:+"$MIRROR"}
    cp /etc/resolv.conf "$ROOT/etc/resolv.conf"
    inside apt-get update
    inside apt-get install -y --no-install-recommends ca-certificates python3 python3-venv python3-dev g++ make \
      libgl1 libglib2.0-0 libxcb1 # opencv-python's wheel takes these from the system; a desktop has them
    # a network whose certificates are its own: what this machine trusts is trusted there
    cat /etc/ssl/certs/ca-certificates.crt >"$ROOT/etc/ssl/certs/ca-certificates.crt"
    : >"$ROOT/.edgekit-made"
  fi
  mountpoint -q "$ROOT/proc" || mount -t proc proc "$ROOT/proc"
  mountpoint -q "$ROOT/sys" || mount -t sysfs -o ro sysfs "$ROOT/sys" # without it onnxruntime aborts when imported
  mountpoint -q "$ROOT/dev" || mount --rbind --make-rslave /dev "$ROOT/dev"
}

# The root is again what it was: no board, its own python3, nothing mounted.
release_root() {
  rm -f -- "$ROOT/etc/nv_tegra_release"
  if [ -n "$SYSTEM_PYTHON" ]; then ln -sfn "$SYSTEM_PYTHON" "$ROOT/usr/bin/python3"; fi
  umount -R "$ROOT/dev" "$ROOT/sys" "$ROOT/proc" "$ROOT/wheelhouse" 2>/dev/null || true
}

copy_kit() {
  rm -rf -- "$ROOT/kit"
  mkdir -p -- "$ROOT/kit"
  (cd -- "$KIT" && git ls-files -z --recurse-submodules -- . ':!notebooks' ':!tests' |
    while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%s\0' "$file"; fi; done |
    tar -c --null -T - | tar -x -C "$ROOT/kit")
}

# --- the checks --------------------------------------------------------------------------------

# check NAME WHAT COMMAND…: one row of the table; the words of a failure are shown, and kept in ROOT.
check() {
  local name=$1 what=$2 begun=$SECONDS log=$ROOT/var/log/edgekit-$1-$VERSION.log outcome=ok words
  shift 2
  case " ${CHECKS[*]} " in *" $name "*) ;; *) return 0 ;; esac
  "$@" >"$log" 2>&1 </dev/null || outcome=FAILED
  words=$(tail -n 1 -- "$log" | cut -c 1-90)
  if [ "$outcome" = FAILED ]; then
    FAILED=$((FAILED + 1))
    tail -n 20 -- "$log" >&2
  fi
  ROWS+=("$(printf '%-7s %-13s %-6s %4d s  %s: %s' "$VERSION" "$name" "$outcome" $((SECONDS - begun)) "$what" "$words")")
  printf '%s\n' "${ROWS[${#ROWS[@]} - 1]}"
}

packages() {
  grep -v tegra "$ROOT/kit/requirements.txt" >"$ROOT/tmp/requirements.txt"
  printf '%s\n' "$HELD" >"$ROOT/tmp/held.txt"
  if [ -n "$UV" ]; then
    packages_by_uv
  else
    inside "$PYTHON" -m venv --clear "$VENV" &&
      inside "$VENV/bin/python" -m pip install --progress-bar off -c /tmp/held.txt -r /tmp/requirements.txt &&
      inside "$VENV/bin/python" -m pip install --progress-bar off --no-deps -e /kit &&
      inside "$VENV/bin/python" -m pip check
  fi
}

# The same wheels, chosen for this Python on arm64 with glibc 2.35 (Ubuntu 22.04), unpacked at this machine's speed.
packages_by_uv() {
  local site
  inside "$PYTHON" -m venv --clear --without-pip "$VENV" &&
    site=$(inside "$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))') &&
    "$UV" pip install --no-config --python-platform aarch64-manylinux_2_35 --python-version "${VERSION%%[a-z]*}" \
      --only-binary :all: --target "$ROOT$site" -c "$ROOT/tmp/held.txt" -r "$ROOT/tmp/requirements.txt" pip setuptools wheel &&
    printf '/kit\n' >"$ROOT$site/kit.pth" &&
    inside "$VENV/bin/python" -m pip check
}

# Everything comes as a wheel for aarch64 or for any machine: nothing of requirements.txt was compiled.
wheels() {
  if grep -E 'Building wheel for' "$ROOT/var/log/edgekit-packages-$VERSION.log" | grep -v edgekit; then return 1; fi
  printf '%s packages, %s of them compiled for aarch64, none here\n' \
    "$(find "$ROOT$VENV/lib" -path '*.dist-info/WHEEL' | wc -l)" \
    "$(find "$ROOT$VENV/lib" -path '*.dist-info/WHEEL' -exec grep -l aarch64 {} + | wc -l)"
}

import_all() {
  inside "$VENV/bin/python" -c '
import edgekit, edgekit.cli, cv2, numpy, onnxruntime, av, scipy, platform
print("edgekit", edgekit.__version__, "numpy", numpy.__version__, "cv2", cv2.__version__, "onnxruntime",
      onnxruntime.__version__, "PyAV", av.__version__, platform.machine())'
}

# Exit 0 or 1: what it finds absent (a GPU, TensorRT) is its business; a crash would be another number.
doctor() {
  local code=0
  inside "$VENV/bin/python" -m edgekit doctor || code=$?
  [ "$code" -le 1 ]
}

demo() {
  inside "$VENV/bin/python" -m edgekit run yolo --source sample --frames 5 --backend onnxruntime-cpu \
    --precision fp32 --sampler none --quiet --out "/tmp/demo-$VERSION" &&
    grep -c '"person"' "$ROOT/tmp/demo-$VERSION/results.jsonl"
}

# The same frames on this machine: the boxes are the same ones.
same() {
  local here=${EDGEKIT_VENV:-$KIT/.venv}/bin/python
  PYTHONPATH=$KIT "$here" -m edgekit run yolo --source sample --frames 5 --backend onnxruntime-cpu --precision fp32 \
    --sampler none --quiet --no-video --out "$ROOT/tmp/demo-here" &&
    PYTHONPATH=$KIT "$here" "$HERE/same_boxes.py" "$ROOT/tmp/demo-here/results.jsonl" "$ROOT/tmp/demo-$VERSION/results.jsonl"
}

jetson_stats() {
  local version
  for version in 4.3.2 7.2.2; do
    inside "$VENV/bin/python" -m pip wheel --no-deps --progress-bar off -w /tmp/wheels "jetson-stats==$version" || return 1
  done
}

# setup/jetson.sh on what it takes for a JetPack 6 board, without a network (unshare -n), as root, with a stand-in for
# systemctl. JetPack's own packages (TensorRT, CUDA, cv2) are not there, so pycuda is not compiled.
board() {
  rm -rf -- "$ROOT/opt/board" "$ROOT/opt/jetson-stats"
  printf '# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: 2025\n' \
    >"$ROOT/etc/nv_tegra_release"
  printf '#!/bin/sh\necho "systemctl $*"\n' >"$ROOT/usr/local/bin/systemctl"
  chmod +x "$ROOT/usr/local/bin/systemctl"
  mkdir -p -- "$ROOT/wheelhouse"
  mountpoint -q "$ROOT/wheelhouse" || mount --bind "$WHEELHOUSE" "$ROOT/wheelhouse"
  ln -sfn "$PYTHON" "$ROOT/usr/bin/python3" # the one that a JetPack of this Python has
  jetson && test -x "$ROOT/opt/board/bin/edgekit"
}

again() {
  local before after
  before=$(stat -c %Y "$ROOT/opt/board/install.log") &&
    jetson &&
    after=$(stat -c %Y "$ROOT/opt/board/install.log") &&
    [ "$before" = "$after" ]
}

jetson() {
  unshare -n -- chroot "$ROOT" /usr/bin/env -i HOME=/root LANG=C.UTF-8 EDGEKIT_VENV=/opt/board \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PIP_NO_COMPILE=1 QEMU_CPU=cortex-a76 \
    /kit/setup/jetson.sh --yes --swap 0 --offline /wheelhouse
}

# --- main --------------------------------------------------------------------------------------

while getopts r:s:m:p:u:w:h option; do
  case $option in
    r) ROOT=$OPTARG ;;
    s) SUITE=$OPTARG ;;
    m) MIRROR=$OPTARG ;;
    p) PYTHONS+=("$OPTARG") ;;
    u) UV=$OPTARG ;;
    w) WHEELHOUSE=$OPTARG ;;
    *) sed -n '2,/^set -euo/p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//' && exit 2 ;;
  esac
done
shift $((OPTIND - 1))
CHECKS=("$@")
if [ $# -eq 0 ]; then CHECKS=("${ALL[@]}"); fi
if [ ${#PYTHONS[@]} -eq 0 ]; then PYTHONS=(/usr/bin/python3); fi
for name in "${CHECKS[@]}"; do
  case " ${ALL[*]} " in *" $name "*) ;; *) die "no check is called $name; there are: ${ALL[*]}." ;; esac
done
[ "$(id -u)" = 0 ] || die "an emulated system is made by root. Cure: sudo $0"
for tool in debootstrap qemu-aarch64-static; do
  command -v "$tool" >/dev/null || die "$tool is not installed. Cure: apt install debootstrap qemu-user-static"
done

register_qemu
trap release_root EXIT
make_root
copy_kit
SYSTEM_PYTHON=$(readlink -- "$ROOT/usr/bin/python3") || die "$ROOT/usr/bin/python3 is no link to a Python."
for PYTHON in "${PYTHONS[@]}"; do
  PYTHON=$(inside readlink -f "$PYTHON")
  VERSION=$(inside "$PYTHON" -c 'import platform; print(platform.python_version())') || die "$PYTHON does not run in $ROOT."
  VENV=/opt/venv-$VERSION
  check packages "requirements.txt resolves and installs" packages
  check wheels "nothing had to be compiled" wheels
  check import "the packages import" import_all
  check doctor "edgekit doctor" doctor
  check demo "frames of the sample clip with a person" demo
  check same "boxes beside this machine's" same
  check jetson-stats "4.3.2 and 7.2.2 build" jetson_stats
  if [ -n "$WHEELHOUSE" ]; then
    check board "setup/jetson.sh --offline, no network" board
    check again "a second run has nothing to do" again
  fi
done
printf '\n%s, %s (%s), %s\n' "$(date -u +%Y-%m-%d)" "$(sed -n 's/^PRETTY_NAME=//p' "$ROOT/etc/os-release")" \
  "$(inside uname -m)" "$(qemu-aarch64-static --version | head -n 1)"
printf '%s\n' "${ROWS[@]}"
[ "$FAILED" = 0 ] || die "$FAILED checks failed; their words are in $ROOT/var/log/edgekit-*.log."
