#!/usr/bin/env bash
# Set up and run every check: ruff, mypy, pytest. Arguments go to pytest: ./setup/test.sh -k letterbox
# Tests that need PyTorch, a GPU or a Jetson are left out where there is none.
set -euo pipefail
# shellcheck source=setup/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

# The marker expression for this machine, for example "not (train or gpu or jetson)"; empty: everything.
markers() {
  local absent=''
  "$PY" -c 'import torch' >/dev/null 2>&1 || absent="$absent or train"
  "$PY" -c 'import ctypes; assert ctypes.CDLL("libcuda.so.1").cuInit(0) == 0' >/dev/null 2>&1 || absent="$absent or gpu"
  on_jetson || absent="$absent or jetson"
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
"$PY" -m pytest -m "$(markers)" "$@" || failed+=(pytest)
if [ ${#failed[@]} -gt 0 ]; then
  die "failed: $(printf '%s, ' "${failed[@]}" | sed 's/, $//')"
fi
