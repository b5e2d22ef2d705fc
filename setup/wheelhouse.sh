#!/usr/bin/env bash
# Fill a folder, on a computer with a network, from which ./setup/jetson.sh --offline sets up any number of boards.
#   ./setup/wheelhouse.sh --jetpack 6.2
# All options: ./setup/wheelhouse.sh --help
set -euo pipefail
# shellcheck source=setup/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'HELP'
Usage: ./setup/wheelhouse.sh --jetpack VERSION [options]

Fills a folder with all that boards of this JetPack need and a network would bring: Python packages for aarch64 (as
source code where there is no wheel: pycuda, jetson-stats), what building these needs, the kit as it is in the last
commit, and the models of engines/downloads. Runs on any computer with bash and Python. A second run fetches what
changed.

  --jetpack VERSION   6.0, 6.1, 6.2 (one folder serves all of 6) or 7.0, 7.1, 7.2 (one for all of 7)
  --out DIR           the folder to fill (default: out/wheelhouse-jetpack6 or 7), for example a USB disk
  --extra NAME        an extra of pyproject.toml too: evaluate, parquet, train … (may be given more than once)
  --upgrade           take the newest packages, instead of those that an earlier run chose
  --help              this text

Other models: edgekit models fetch NAME, then run this again.
HELP
}

# Packages of which no wheel is to be had, or none that fits a Jetson.
SOURCES="pycuda jetson-stats antlr4-python3-runtime"
# What building them, and the kit, needs.
BUILDERS="pip setuptools wheel hatchling editables"
JETPACK='' OUT='' EXTRAS=() UPGRADE=()

parse() {
  while [ $# -gt 0 ]; do
    case $1 in --jetpack | --out | --extra) [ $# -gt 1 ] || die "$1 needs a value (see --help)." ;; esac
    case $1 in
      --jetpack) JETPACK=$2 && shift ;;
      --out) OUT=$2 && shift ;;
      --extra) EXTRAS+=("$2") && shift ;;
      --upgrade) UPGRADE=(--upgrade) ;;
      --help | -h) usage && exit 0 ;;
      *) die "unknown option $1 (see --help)." ;;
    esac
    shift
  done
  # Ubuntu 22.04 has Python 3.10 and glibc 2.35, 24.04 has 3.12 and 2.39
  case $JETPACK in
    6 | 6.*) JETPACK=6 PYTHON=3.10 GLIBC=35 ;;
    7 | 7.*) JETPACK=7 PYTHON=3.12 GLIBC=39 ;;
    '') die "say for which boards: --jetpack 6.2 or --jetpack 7.2 (on a board, edgekit doctor or ./setup/jetson.sh" \
      "--dry-run tells)." ;;
    *) die "--jetpack $JETPACK: edgekit runs on JetPack 6 and 7. Boards with an older one: see ./setup/jetson.sh there." ;;
  esac
  OUT=${OUT:-$ROOT/out/wheelhouse-jetpack$JETPACK}
  mkdir -p -- "$OUT/packages" "$OUT/models" 2>/dev/null || die "cannot write to $OUT. Cure: another folder with --out."
  OUT=$(cd -- "$OUT" && pwd -P)
}

# pip and uv, which chooses packages for another machine (pip would ask this one's name and Python): of the Python
# here, or in an environment of their own.
find_tools() {
  local python
  python=$(find_python) || exit 1
  if "$python" -c 'import pip, uv' 2>/dev/null; then
    PY=$python
    return 0
  fi
  if ! venv_works; then make_venv "$python"; fi
  "$PY" -c 'import uv' 2>/dev/null || pip_install 'uv>=0.5' || exit 1
}

# All that is asked for, one a line; the extras' names are checked.
asked() {
  local extra
  grep -v tegra "$ROOT/requirements.txt"
  printf '%s\n' 'pycuda>=2024.1' 'jetson-stats>=7'
  # shellcheck disable=SC2086  # a list
  printf '%s\n' $BUILDERS
  for extra in ${EXTRAS[@]+"${EXTRAS[@]}"}; do
    extra_requirements "$extra" || exit 1
  done
}

# Choose a version of every package, as packages.txt in the folder. What was chosen before stays, where it fits.
choose() {
  local package options=(--only-binary :all:)
  for package in $SOURCES; do options+=(--no-binary "$package"); done
  # uv reads none of pip's settings
  if [ -n "${PIP_INDEX_URL:-}" ]; then export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}; fi
  if [ -n "${PIP_NO_INDEX:-}" ]; then options+=(--no-index --find-links "${PIP_FIND_LINKS:?}"); fi
  "$PY" -m uv pip compile --quiet --no-config --no-header --no-annotate --python-platform "aarch64-manylinux_2_$GLIBC" \
    --python-version "$PYTHON" -c "$SETUP_DIR/constraints-jetpack$JETPACK.txt" "${options[@]}" \
    ${UPGRADE[@]+"${UPGRADE[@]}"} -o "$OUT/packages.txt" "$1" >"$OUT/.log" 2>&1 || {
    tail -n 25 -- "$OUT/.log" >&2
    explain_failure "$OUT/.log"
    exit 1
  }
}

# Fetch the lines of packages.txt that are not here yet: wheels for the boards' machine, else source code.
fetch() {
  local line name platform wheels=$OUT/.wheels.txt options=()
  : >"$wheels"
  "$PY" "$SETUP_DIR/wheelhouse.py" missing "$OUT" >"$OUT/.missing.txt"
  while read -r line; do
    name=${line%%==*}
    case " $SOURCES " in
      *" $name "*) download --no-binary "$name" "$line" ;;
      *) say "$line" >>"$wheels" ;;
    esac
  done <"$OUT/.missing.txt"
  if [ ! -s "$wheels" ]; then return 0; fi
  for ((platform = GLIBC; platform >= 17; platform--)); do options+=(--platform "manylinux_2_${platform}_aarch64"); done
  download --only-binary :all: "${options[@]}" --platform manylinux2014_aarch64 --platform linux_aarch64 \
    --implementation cp --python-version "$PYTHON" -r "$wheels"
}

download() {
  "$PY" -m pip download --disable-pip-version-check --no-input --retries 3 --progress-bar off --no-deps \
    -d "$OUT/packages" "$@" 2>&1 </dev/null | tee -- "$OUT/.log" | { grep --line-buffered -E '^ *Downloading .*MB\)' || true; } || {
    tail -n 25 -- "$OUT/.log" >&2
    explain_failure "$OUT/.log"
    exit 1
  }
}

# The kit as it is in the last commit, or, where this is no git checkout, as it is here.
pack_kit() {
  KIT=edgekit COMMIT=none
  if [ -e "$ROOT/.git" ]; then COMMIT=$(git -C "$ROOT" rev-parse --verify -q HEAD) || COMMIT=none; fi
  if [ "$COMMIT" = none ]; then
    KIT=${ROOT##*/}
    tar -C "$ROOT/.." --exclude '*/.venv*' --exclude '*/out' --exclude '*/runs' --exclude '*/engines/built' \
      --exclude '*/engines/downloads' --exclude __pycache__ -czf "$OUT/edgekit.tar.gz" "$KIT"
    return 0
  fi
  if [ -n "$(git -C "$ROOT" status --porcelain --untracked-files=no)" ]; then
    warn "the checkout has changes that are not committed; the folder gets the last commit, without them."
  fi
  [ -f "$OUT/edgekit.tar.gz" ] && [ "$("$PY" "$SETUP_DIR/wheelhouse.py" value "$OUT" kit)" = "$COMMIT" ] && return 0
  git -C "$ROOT" archive --format=tar.gz -1 --prefix=edgekit/ -o "$OUT/edgekit.tar.gz" HEAD
}

copy_models() {
  local file
  for file in "$ROOT"/engines/downloads/*; do
    if [ -f "$file" ] && ! cmp -s -- "$file" "$OUT/models/${file##*/}"; then cp -- "$file" "$OUT/models/"; fi
  done
}

main() {
  parse "$@"
  ensure_home
  find_tools
  asked >"$OUT/.asked.txt"
  local inputs
  inputs=$("$PY" "$SETUP_DIR/wheelhouse.py" hash "$OUT/.asked.txt" "$SETUP_DIR/constraints-jetpack$JETPACK.txt")
  if [ ${#UPGRADE[@]} -eq 0 ] && [ "$("$PY" "$SETUP_DIR/wheelhouse.py" value "$OUT" inputs)" = "$inputs" ]; then
    say "Nothing else is asked for than before; the packages stay those of packages.txt"
  else
    say "Choosing packages for JetPack $JETPACK (aarch64, Python $PYTHON)"
    choose "$OUT/.asked.txt"
  fi
  "$PY" "$SETUP_DIR/wheelhouse.py" prune "$OUT"
  fetch
  pack_kit
  copy_models
  "$PY" "$SETUP_DIR/wheelhouse.py" write "$OUT" "jetpack=$JETPACK" "python=$PYTHON" "extras=${EXTRAS[*]:-none}" \
    "kit=$COMMIT" "inputs=$inputs"
  say "On each board, with this folder at hand (a USB disk will do):"
  say "  tar -xzf ${OUT##*/}/edgekit.tar.gz && cd $(quoted "$KIT")"
  say "  ./setup/jetson.sh --offline ../${OUT##*/}"
}

VENV=${EDGEKIT_VENV:-$ROOT/.venv-wheelhouse}
PY=$VENV/bin/python
main "$@"
