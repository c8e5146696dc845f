#!/usr/bin/env bash
# Runs the differential test on ever new random scripts, for as long as you like: each script on
# a direct connection and through lagwise, every packet compared. Says how far it is about once
# a minute; Ctrl-C ends it and cleans up.
#
#   scripts/soak.sh DURATION [--make mysql|mariadb] [--seed N]
#
# DURATION is a number and s, m or h: 90s, 30m, 8h. Without --make both are run, side by side.
# Seeds begin with N, or with one that no earlier run had. A difference is printed with its seed
# and the shortest script that shows it; the run goes on, and fails in the end.

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit "${1:-2}"
}

DURATION='' MAKE='' SEED=$(($(date +%s) * 1000))
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage 0 ;;
    --*=*)
      # --name=value is --name value.
      set -- "$1" "${1%%=*}" "${1#*=}" "${@:2}"
      ;;
    --make | --seed)
      [ $# -ge 2 ] || usage
      if [ "$1" = --make ]; then MAKE=$2; else SEED=$2; fi
      shift
      ;;
    -*) usage ;;
    *)
      [ -z "$DURATION" ] || usage
      DURATION=$1
      ;;
  esac
  shift
done

[[ $DURATION =~ ^([1-9][0-9]{0,6})([smh])$ ]] || usage
case ${BASH_REMATCH[2]} in
  s) WANTED=${BASH_REMATCH[1]} ;;
  m) WANTED=$((BASH_REMATCH[1] * 60)) ;;
  h) WANTED=$((BASH_REMATCH[1] * 3600)) ;;
esac
case $MAKE in '' | mysql | mariadb) ;; *) die "--make is mysql or mariadb" ;; esac
[[ $SEED =~ ^[0-9]{1,18}$ ]] || die "--seed is a number"

cd "$ROOT"
need cargo cargo
for make in ${MAKE:-mysql mariadb}; do scripts/servers.sh fetch --make "$make"; done
run_step "Building the test" cargo test --test differential --no-run
# The log of run_step names the program.
PROGRAM=$(sed -n 's/.*Executable .*(\(.*\))$/\1/p' "$LOGS/Building-the-test.log")
[ -x "$PROGRAM" ] || die "found no test program in $LOGS/Building-the-test.log"

PID=''

# stop : ends the test program with what it has started. The servers end by themselves, as the
# program that owns them has ended.
stop() {
  local children=()
  trap - EXIT INT TERM
  if [ -n "$PID" ] && kill -0 "$PID" 2>/dev/null; then
    mapfile -t children < <(pgrep -P "$PID" -x lagwise || true)
    kill -KILL "$PID" 2>/dev/null || true
    for child in "${children[@]}"; do kill -TERM "$child" 2>/dev/null || true; done
    wait "$PID" 2>/dev/null || true
    await 60 servers_gone || say "servers are still running in $TARGET/lab/$PID-*"
    rm -rf "$TARGET/lab/proxy-$PID-"*
  fi
}

servers_gone() {
  ! compgen -G "$TARGET/lab/$PID-*" >/dev/null
}

trap stop EXIT
trap 'say "Stopped."; exit 130' INT TERM

LOG=$LOGS/soak.log
say "==> $DURATION of scripts from seed $SEED on; log: $LOG"
LAGWISE_DIFF_SEED=$SEED LAGWISE_DIFF_SECONDS=$WANTED LAGWISE_DIFF_FAILURES=${FAILURES:-20} \
  RUST_BACKTRACE=0 "$PROGRAM" "scripts_on_$MAKE" --nocapture </dev/null > >(tee "$LOG") 2>&1 &
PID=$!
status=0
wait "$PID" || status=$?
PID=''
[ "$status" = 0 ] || die "scripts differ; see $LOG"
say "==> no difference"
