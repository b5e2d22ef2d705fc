#!/usr/bin/env bash
# First look: set up, find the people in the sample clip, say where the results are.
#   ./setup/demo.sh            EDGEKIT_OUT=DIR puts the results elsewhere than out/demo
set -euo pipefail
# shellcheck source=setup/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

demo() {
  local file out=${EDGEKIT_OUT:-$ROOT/out/demo}
  "$VENV/bin/edgekit" run yolo --source sample --out "$out"
  say ""
  say "Results in $out:"
  for file in "$out"/*; do say "  $file"; done
  say ""
  say "Next:"
  say "  source \"$VENV/bin/activate\""
  say "  edgekit doctor                                 what this machine has, and what it lacks"
  say "  edgekit run yolo --source FILE|DIR|0 --out DIR your own video, pictures or camera"
  say "  edgekit build edgekit-person --precision fp16  on your Jetson: make its TensorRT plan"
  say "  ./setup/lab.sh                                 the notebooks"
}

set_up
demo "$@"
