#!/usr/bin/env bash
# Set up and open the notebooks in JupyterLab, for this machine only and behind a token.
# Arguments go to JupyterLab: ./setup/lab.sh --port 8890
set -euo pipefail
# shellcheck source=setup/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

# No screen, or logged in from elsewhere: there is no browser to open here.
headless() {
  [ "$(uname)" = Darwin ] && [ -z "${SSH_CONNECTION:-}" ] && return 1
  [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] || [ -n "${SSH_CONNECTION:-}" ]
}

# The port that the arguments ask for, or JupyterLab's own.
port() {
  local before='' word
  for word in "$@"; do
    case $before$word in --port=*) say "${word#--port=}" && return ;; --port[0-9]*) say "$word" && return ;; esac
    if [ "$word" = --port ]; then before=--port; else before=''; fi
  done
  say 8888
}

set_up
cd -- "$ROOT"
options=(--ip=localhost --LabApp.default_url=/lab/tree/notebooks)
if [ "$(id -u)" = 0 ]; then options+=(--allow-root); fi
if headless; then
  options+=(--no-browser)
  say "No screen here. To see the notebooks from your own computer, run there:"
  say "  ssh -L $(port "$@"):localhost:$(port "$@") $(id -un)@$(hostname)"
  say "and open the address with the token that JupyterLab prints below. (If that has another port, because"
  say "this one is taken, change both numbers.)"
fi
exec "$PY" -m jupyterlab "${options[@]}" "$@"
