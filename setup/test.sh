#!/usr/bin/env bash
# Set up and run every check: ruff, mypy, pytest. Arguments go to pytest: ./setup/test.sh -k letterbox
# Tests that need PyTorch, a GPU, a Jetson, GStreamer, a browser, a C compiler or jetson-stats are left out where
# there is none; the first lines of the part "pytest" say how to have the last four.
set -euo pipefail
# shellcheck source=setup/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

# Debian's names of what the tests with GStreamer and the browser need (on Ubuntu, Chromium is a snap).
GSTREAMER="gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
gstreamer1.0-plugins-ugly gstreamer1.0-libav gir1.2-gst-plugins-base-1.0 gir1.2-gst-rtsp-server-1.0 python3-gi"

has_gstreamer() {
  local element
  for element in x264enc avdec_h264 rtspsrc y4menc mpegtsmux; do
    gst-inspect-1.0 --exists "$element" 2>/dev/null || return 1
  done
  /usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' >/dev/null 2>&1
}

has_browser() {
  local name
  for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then return 0; fi
  done
  return 1
}

has_compiler() { printf '#include <linux/videodev2.h>\n' | cc -fsyntax-only -x c - 2>/dev/null; }

has_jtop() { can_unshare && install_jetson_stats >&2; }

# The marker expression for this machine, for example "not (train or gpu or jetson)"; empty: everything.
markers() {
  local absent=''
  "$PY" -c 'import torch' >/dev/null 2>&1 || absent="$absent or train"
  "$PY" -c 'import ctypes; assert ctypes.CDLL("libcuda.so.1").cuInit(0) == 0' >/dev/null 2>&1 || absent="$absent or gpu"
  on_jetson || absent="$absent or jetson"
  has_gstreamer || absent="$absent or gstreamer"
  has_browser || absent="$absent or browser"
  has_compiler || absent="$absent or compiler"
  has_jtop || absent="$absent or jtop"
  if [ -n "$absent" ]; then say "not (${absent# or })"; fi
}

set_up dev
cd -- "$ROOT"
failed=()
say "ruff"
"$PY" -m ruff check . || failed+=(ruff)
"$PY" -m ruff format --check . || failed+=("ruff format")
say "mypy"
"$PY" -m mypy || failed+=(mypy)
say "pytest"
chosen=$(markers)
case $chosen in *gstreamer*) say "Left out: tests with GStreamer. To have them: sudo apt install $GSTREAMER" ;; esac
case $chosen in *compiler*) say "Left out: tests with an emulated camera. To have them: sudo apt install gcc libc6-dev" ;; esac
case $chosen in *browser*) say "Left out: tests in a browser. To have them: sudo apt install chromium" ;; esac
case $chosen in *jtop*) say "Left out: tests with jtop's real service. To have them: run this once with network," \
  "where unshare may mount (util-linux; in a container: docker run --privileged)" ;; esac
export EDGEKIT_JETSON_STATS=$VENV
# Two at a time; one where they would share a GPU. What counts seconds, in the browser and of jtop, runs alone.
workers=2
case $chosen in *gpu*) ;; *) workers=0 ;; esac
ran=
run_tests() {
  local code=0
  "$PY" -m pytest "$@" || code=$?
  if [ "$code" -eq 5 ]; then return 0; fi # none of its kind among those asked for
  ran=yes
  return "$code"
}
run_tests -n "$workers" --dist loadfile -m "${chosen:+$chosen and }not (browser or jtop)" "$@" || failed+=(pytest)
run_tests -m "${chosen:+$chosen and }(browser or jtop)" "$@" || failed+=("pytest of what runs alone")
if [ -z "$ran" ]; then failed+=("pytest: no test was chosen"); fi
if [ ${#failed[@]} -gt 0 ]; then
  die "failed: $(printf '%s, ' "${failed[@]}" | sed 's/, $//')"
fi
