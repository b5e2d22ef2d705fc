#!/usr/bin/env bash
# What the set-up scripts know of a Jetson: which one it is, what of JetPack must stay as it is, and the packages that
# only a board gets. Sourced by common.sh, never run.

# --- which board -------------------------------------------------------------------------------

# The version of a package by dpkg's own list, as "36.4.3-20250107174145"; fails where it is not installed.
dpkg_version() {
  awk -v want="$1" '$1 == "Package:" { name = $2 } $1 == "Status:" { here = $NF == "installed" }
    $1 == "Version:" && name == want && here { print $2; found = 1; exit } END { exit !found }' \
    "${ROOTFS%/}/var/lib/dpkg/status" 2>/dev/null
}

# The L4T version as "36.4.3"; fails where this is no Jetson. In a container nv_tegra_release may be absent.
l4t() {
  local file=${ROOTFS%/}/etc/nv_tegra_release version
  if [ -r "$file" ]; then
    sed -n '1s/^# R\([0-9][0-9]*\) (release), REVISION: \([0-9.]*\).*/\1.\2/p' "$file" | grep . && return 0
  fi
  version=$(dpkg_version nvidia-l4t-core) || return 1
  say "${version%%-*}"
}

on_jetson() { l4t >/dev/null; }

# The board's own name, "NVIDIA Jetson Orin Nano Developer Kit"; "a Jetson" where the kernel does not tell.
board_name() {
  local name
  name=$(tr -d '\0' 2>/dev/null <"${ROOTFS%/}/proc/device-tree/model") || true
  say "${name:-a Jetson}"
}

check_jetson() {
  local version
  version=$(l4t) || return 0
  [ "${version%%.*}" -lt 36 ] || return 0
  case $(board_name) in
    *Orin*) die "$(board_name) runs L4T $version, which is JetPack 5; edgekit needs JetPack 6 or 7 (L4T 36 or newer," \
      "Python 3.10 or newer): flash JetPack 6.2 or 7.2 with NVIDIA's SDK Manager, then run this again." ;;
    *) die "$(board_name) runs L4T $version, and edgekit needs JetPack 6 or 7 (L4T 36 or newer), which run on Orin and" \
      "Thor alone: use one of these, or let this board send its camera's picture by RTSP to an Orin or a PC that" \
      "runs edgekit there (edgekit run yolo --source rtsp://…)." ;;
  esac
}

# --- what of JetPack must stay as it is --------------------------------------------------------

# Whether the environment imports the system's packages, where JetPack's TensorRT and cv2 are.
venv_sees_system() { grep -q -i '^include-system-site-packages *= *true' "$VENV/pyvenv.cfg"; }

# The constraints file that this board needs, or nothing (no Jetson; JetPack 7 whose own NumPy is 2 already).
constraints() {
  local version
  version=$(l4t) || return 0
  if [ "${version%%.*}" = 36 ]; then
    say "$SETUP_DIR/constraints-jetpack6.txt"
  elif ! "$(system_python)" -s -c 'import numpy, sys; sys.exit(numpy.__version__.startswith("1."))' 2>/dev/null; then
    say "$SETUP_DIR/constraints-jetpack7.txt"
  fi
}

# JetPack's TensorRT is made for the system's Python alone.
system_python() { say "${ROOTFS%/}/usr/bin/python3"; }

# On a Jetson the system's cv2 (built with GStreamer) has no pip metadata, so pip would lay the wheel
# opencv-python, which has no GStreamer, over it. A note in the venv tells pip that it is there.
keep_system_cv2() {
  "$PY" - <<'PY'
import importlib.metadata, pathlib, sys, sysconfig
try:
    import cv2
except Exception as error:  # none, or one that does not import: pip's wheel is the better choice
    sys.exit(print(f"The system's cv2 does not import ({error}); pip's opencv-python, without GStreamer, takes its place."))
site = pathlib.Path(sysconfig.get_path("purelib"))
if site in pathlib.Path(cv2.__file__).parents:
    sys.exit(0)
try:
    importlib.metadata.version("opencv-python")
except importlib.metadata.PackageNotFoundError:
    name = f"opencv_python-{cv2.__version__}.dist-info"
    (site / name).mkdir(exist_ok=True)
    (site / name / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: opencv-python\nVersion: {cv2.__version__}\n"
        f"Summary: Not the wheel: stands for the system's {cv2.__file__}\n"
    )
    (site / name / "INSTALLER").write_text("edgekit\n")
    (site / name / "RECORD").write_text(f"{name}/METADATA,,\n{name}/INSTALLER,,\n{name}/RECORD,,\n")
    print(f"Keeping the system's cv2 {cv2.__version__} ({cv2.__file__})")
PY
}

# --- packages of a board alone -----------------------------------------------------------------

# The folder of the CUDA toolkit that has nvcc; fails where there is none.
cuda_root() {
  local folder
  for folder in "${ROOTFS%/}"/usr/local/cuda "${ROOTFS%/}"/usr/local/cuda-*; do
    if [ -x "$folder/bin/nvcc" ]; then
      say "$folder"
      return 0
    fi
  done
  return 1
}

# NVIDIA's name of the CUDA toolkit's package for this board.
cuda_package() {
  case $(l4t) in
    36.[0-3]*) say cuda-toolkit-12-2 ;;
    36.*) say cuda-toolkit-12-6 ;;
    38.*) say cuda-toolkit-13-0 ;;
    39.*) say cuda-toolkit-13-2 ;;
    *) say cuda-toolkit ;;
  esac
}

# pycuda runs TensorRT's plans, and is compiled against the board's CUDA. Without it models run on ONNX Runtime.
install_pycuda() {
  local root header
  if ! root=$(cuda_root); then
    warn "no nvcc in /usr/local/cuda/bin, so pycuda cannot be compiled: no TensorRT plan can run, models run on ONNX" \
      "Runtime. Cure: sudo apt update && sudo apt install $(cuda_package) (or nvidia-jetpack, which brings it and" \
      "TensorRT), then run this again."
    return 1
  fi
  stamp_matches pycuda "$root" && return 0
  for header in cuda.h curand.h; do
    if [ ! -e "$root/include/$header" ]; then
      warn "$root is only a part of the CUDA toolkit, without $header: pycuda cannot be compiled, models run on ONNX" \
        "Runtime. Cure: sudo apt update && sudo apt install $(cuda_package), then run this again."
      return 1
    fi
  done
  say "Compiling pycuda against $root (some minutes)"
  PATH=$root/bin:$PATH CUDA_ROOT=$root pip_install "$@" 'pycuda>=2024.1' || {
    warn "pycuda is not installed; the rest goes on, and models run on ONNX Runtime. It needs nvcc, a C++ compiler and" \
      "Python's headers. Cure: sudo apt install g++ python3-dev $(cuda_package), then run this again."
    return 1
  }
  write_stamp pycuda "$root"
}

# The version of jetson-stats whose service is installed; fails where none is.
jtop_service_version() {
  local program
  program=$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "${ROOTFS%/}/etc/systemd/system/jtop.service" 2>/dev/null | head -n 1)
  [ -n "$program" ] || return 1
  { # where jtop itself does not answer, the environment that it is installed in does
    "${ROOTFS%/}$program" --version 2>/dev/null </dev/null ||
      "${ROOTFS%/}${program%/*}/python" -c 'from importlib.metadata import version
print(version("jetson-stats"))' 2>/dev/null </dev/null
  } | grep -o -E '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1
}

# The client of jetson-stats. Client and service must agree in major and minor version.
install_jtop_client() {
  local package='jetson-stats>=7' version
  if version=$(jtop_service_version); then package="jetson-stats==${version%.*}.*"; fi
  stamp_matches jtop "$package" && return 0
  pip_install "$@" "$package" || {
    warn "$package is not installed; the rest goes on, and power is read from /sys. Cure: run this again."
    return 1
  }
  write_stamp jtop "$package"
}

# Neither stops the kit.
install_board_packages() {
  local held options=()
  held=$(constraints)
  if [ -n "$held" ]; then options=(-c "$held"); fi
  install_pycuda ${options[@]+"${options[@]}"} || true
  install_jtop_client ${options[@]+"${options[@]}"} || true
}
