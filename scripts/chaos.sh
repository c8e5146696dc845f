#!/usr/bin/env bash
# Inflicts faults on real servers while clients write and read through lagwise: replicas and primaries
# are killed, frozen, restarted and cut off from the network, disks are full, replication breaks, roles are
# switched, lagwise reloads and is replaced. Every write is accounted for; says after each fault how long
# the longest pause of a reader and of a writer was and what errors there were, and in the end what was
# lost, doubled or stale: nothing.
#
#   scripts/chaos.sh [FAULTS] [--make mysql|mariadb] [--seed N]
#
# FAULTS is 100 if nothing else is said, 1 to 9999. Without --make both are run, one after the other. The
# seed says which servers are hit. Needs root: each server has a network namespace and a disk of its own.
# Ctrl-C ends it and cleans up.

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/long_test.sh
source "$ROOT/scripts/lib/long_test.sh"

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit "${1:-2}"
}

FAULTS='' MAKE='' SEED=1
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
      [ -z "$FAULTS" ] || usage
      FAULTS=$1
      ;;
  esac
  shift
done

FAULTS=${FAULTS:-100}
[[ $FAULTS =~ ^[1-9][0-9]{0,3}$ ]] || die "the number of faults is 1 to 9999"
case $MAKE in '' | mysql | mariadb) ;; *) die "--make is mysql or mariadb" ;; esac
[[ $SEED =~ ^[0-9]{1,18}$ ]] || die "--seed is a number"

build_test chaos "$MAKE"
export LAGWISE_CHAOS_FAULTS=$FAULTS LAGWISE_CHAOS_SEED=$SEED
for make in ${MAKE:-mysql mariadb}; do
  LOG=$LOGS/chaos-$make.log
  say "==> $FAULTS faults on $make from seed $SEED; log: $LOG"
  run_test "on_$make" "$LOG" || die "something was lost; see $LOG"
done
say "==> nothing was lost"
