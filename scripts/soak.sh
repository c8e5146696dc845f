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
# shellcheck source=lib/long_test.sh
source "$ROOT/scripts/lib/long_test.sh"

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

WANTED=$(seconds_of "$DURATION") || usage
case $MAKE in '' | mysql | mariadb) ;; *) die "--make is mysql or mariadb" ;; esac
[[ $SEED =~ ^[0-9]{1,18}$ ]] || die "--seed is a number"

build_test differential "$MAKE"
LOG=$LOGS/soak.log
say "==> $DURATION of scripts from seed $SEED on; log: $LOG"
export LAGWISE_DIFF_SEED=$SEED LAGWISE_DIFF_SECONDS=$WANTED LAGWISE_DIFF_FAILURES=${FAILURES:-20}
run_test "scripts_on_$MAKE" "$LOG" || die "scripts differ; see $LOG"
say "==> no difference"
