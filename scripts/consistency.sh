#!/usr/bin/env bash
# Runs the consistency checker for as long as you like: concurrent sessions write and read through
# lagwise while replicas lag, stop and restart at random, and every read is held against what it must
# show. Says after each mode what was read and what was wrong; Ctrl-C ends it and cleans up.
#
#   scripts/consistency.sh DURATION [--make mysql|mariadb] [--mode NAME] [--seed N]
#   scripts/consistency.sh --reads N [--make mysql|mariadb] [--mode NAME] [--seed N]
#   scripts/consistency.sh shares [DURATION] [--make mysql|mariadb] [--seed N]
#
# DURATION is a number and s, m or h: 90s, 30m, 8h; --reads are of each make, of all modes together
# that promise something. Without --make both are run, side by side. Modes are those of
# tests/checker/modes.rs: session, wait, pin-session, account, global, unclear, position, keys,
# cluster, and off and narrow, in which something must be found. Seeds begin with N, or with one that
# no earlier run had. `shares` measures how many reads replicas serve, mode by mode.

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/long_test.sh
source "$ROOT/scripts/lib/long_test.sh"

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit "${1:-2}"
}

DURATION='' MAKE='' MODE='' READS='' SEED=$(date +%s)
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage 0 ;;
    --*=*)
      # --name=value is --name value.
      set -- "$1" "${1%%=*}" "${1#*=}" "${@:2}"
      ;;
    --make | --mode | --reads | --seed)
      [ $# -ge 2 ] || usage
      case $1 in
        --make) MAKE=$2 ;;
        --mode) MODE=$2 ;;
        --reads) READS=$2 ;;
        --seed) SEED=$2 ;;
      esac
      shift
      ;;
    -*) usage ;;
    shares) MODE=shares ;;
    *)
      [ -z "$DURATION" ] || usage
      DURATION=$1
      ;;
  esac
  shift
done

[ -n "$DURATION$READS" ] || [ "$MODE" = shares ] || usage
[ -z "$DURATION" ] || WANTED=$(seconds_of "$DURATION") || usage
case $MAKE in '' | mysql | mariadb) ;; *) die "--make is mysql or mariadb" ;; esac
[[ $SEED =~ ^[0-9]{1,12}$ ]] || die "--seed is a number"
[[ $READS =~ ^([1-9][0-9]{0,11})?$ ]] || die "--reads is a number"

build_test checker "$MAKE"
[ -z "$DURATION" ] || export LAGWISE_CHECK_SECONDS=$WANTED
[ -z "$READS" ] || export LAGWISE_CHECK_READS=$READS
[ -z "$MODE" ] || export LAGWISE_CHECK_MODE=$MODE
export LAGWISE_CHECK_SEED=$SEED
LOG=$LOGS/consistency.log
say "==> ${DURATION:-${READS:+$READS reads}} ${MODE:-all modes} from seed $SEED on; log: $LOG"
run_test "must_on_$MAKE" "$LOG" || die "reads are not what they must be; see $LOG"
say "==> all reads are what they must be"
