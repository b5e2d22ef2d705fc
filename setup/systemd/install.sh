#!/usr/bin/env bash
# Put the kiosk's unit, settings and log rotation in place, and start it; or take them away again.
#   sudo setup/systemd/install.sh              the kit's environment .venv must be there (setup/jetson.sh makes it)
#   setup/systemd/install.sh --dry-run         print the commands, change nothing
#   sudo setup/systemd/install.sh --remove     stop it and remove all but the results in /var/lib/edgekit
# EDGEKIT_VENV and EDGEKIT_ROOTFS as in the other scripts.
set -euo pipefail
# shellcheck source=setup/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/../common.sh"

HERE=$SETUP_DIR/systemd
ETC=${ROOTFS%/}/etc
UNIT=$ETC/systemd/system/edgekit-kiosk.service
SHOW=yes

# put FROM TO [MODE]: a file of this folder, with its paths filled in.
put() {
  local text
  text=$(cat -- "$HERE/$1")
  text=${text//@KIT_VENV@/$VENV}
  text=${text//@KIT@/$ROOT}
  show write "$2"
  if [ -n "$DRY_RUN" ]; then return 0; fi
  mkdir -p -- "$(dirname -- "$2")"
  printf '%s\n' "$text" >"$2.new"
  chmod 644 "$2.new"
  mv -- "$2.new" "$2"
}

# systemd splits at white space and knows % and $ in paths: none of them is worth the trouble.
check_path() {
  case $VENV in *[!A-Za-z0-9/._+-]*) die "the path $VENV has a character that a unit file takes for its own." \
    "Cure: copy the kit to /opt/edgekit and set it up there." ;; esac
  [ -x "$PY" ] || die "there is no environment in $VENV. Cure: run setup/jetson.sh (elsewhere setup/demo.sh) first."
}

# Whether the kiosk's user can run the kit's Python; Ubuntu's home folders are closed to other users.
check_reach() {
  [ -n "$DRY_RUN" ] || runuser -u edgekit -- "$PY" -c 'import edgekit' 2>/dev/null ||
    die "the user edgekit cannot read $ROOT or $VENV, or the kit is not installed there (home folders are closed to" \
      "other users). Cure: copy the kit to /opt/edgekit, run setup/jetson.sh there, and run this again from there."
}

install_kiosk() {
  local group groups=''
  check_path
  getent passwd edgekit >/dev/null ||
    act useradd --system --user-group --home-dir /var/lib/edgekit --no-create-home --shell /usr/sbin/nologin edgekit
  check_reach
  put edgekit-kiosk.service "$UNIT"
  # systemd starts nothing with a group that does not exist: name those that do.
  for group in video render jtop; do
    if getent group "$group" >/dev/null; then groups="$groups $group"; fi
  done
  show write "$UNIT.d/groups.conf"
  if [ -z "$DRY_RUN" ]; then
    mkdir -p -- "$UNIT.d"
    printf '[Service]\nSupplementaryGroups=\nSupplementaryGroups=%s\n' "${groups# }" >"$UNIT.d/groups.conf"
  fi
  [ -e "$ETC/default/edgekit-kiosk" ] || put edgekit-kiosk.default "$ETC/default/edgekit-kiosk"
  put edgekit-kiosk.logrotate "$ETC/logrotate.d/edgekit-kiosk"
  put edgekit-journald.conf "$ETC/systemd/journald.conf.d/edgekit.conf"
  act systemctl daemon-reload
  act systemctl try-restart systemd-journald.service
  act systemctl enable --now edgekit-kiosk.service
  say "It starts at every boot now. Look: systemctl status edgekit-kiosk; journalctl -u edgekit-kiosk -f"
  say "Change what runs: sudoedit /etc/default/edgekit-kiosk && sudo systemctl restart edgekit-kiosk"
}

remove_kiosk() {
  act systemctl disable --now edgekit-kiosk.service || true
  act rm -rf -- "$UNIT" "$UNIT.d" "$ETC/default/edgekit-kiosk" "$ETC/logrotate.d/edgekit-kiosk" \
    "$ETC/systemd/journald.conf.d/edgekit.conf"
  act systemctl daemon-reload
  say "Kept: the results in /var/lib/edgekit, the plans in /var/cache/edgekit and the user edgekit."
}

case ${1:-} in
  '' | --remove) ;;
  --dry-run) DRY_RUN=yes ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit 2 ;;
esac
[ -n "$DRY_RUN" ] || [ "$(id -u)" = 0 ] || die "this writes below /etc. Cure: sudo $0 $*"
if [ "${1:-}" = --remove ]; then remove_kiosk; else install_kiosk; fi
