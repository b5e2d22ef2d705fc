#!/usr/bin/env bash
# What the container runs: `lab` is JupyterLab, behind its token and for this machine alone; a command of edgekit
# needs no "edgekit" before it (doctor, run yolo …); anything else is run as it is (bash).
set -euo pipefail

case ${1:-lab} in
  lab)
    if [ $# -gt 0 ]; then shift; fi
    if [ ! -e notebooks ] && [ -w . ]; then cp -r /opt/edgekit/notebooks notebooks; fi
    exec python -m jupyterlab --ip="${EDGEKIT_LAB_IP:-127.0.0.1}" --no-browser "$@"
    ;;
  doctor | selftest | sources | models | build | run | bench | log | report | power) exec edgekit "$@" ;;
  *) exec "$@" ;;
esac
