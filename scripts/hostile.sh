#!/usr/bin/env bash
# Floods of bad clients at full size, with good ones beside them: garbage, connections that never log
# in, TLS handshakes, clients that read nothing of a result of 1 GB. Prints for each how many there were,
# how long it took, what the good clients saw (queries of one that stays, and whole logins with a
# query) and lagwise's memory. Fails if a good client does, or memory is not bounded. Ctrl-C ends it and
# cleans up.
#
#   scripts/hostile.sh [CONNECTIONS]
#
# CONNECTIONS of each kind, 100000 if it is not said.

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/long_test.sh
source "$ROOT/scripts/lib/long_test.sh"

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit "${1:-2}"
}

[ $# -le 1 ] || usage
case ${1:-100000} in
  -h | --help) usage 0 ;;
  '' | 0* | *[!0-9]*) usage ;;
esac
export HOSTILE_CONNECTIONS=${1:-100000}

build_test hostile mysql
LOG=$LOGS/hostile.log
ulimit -n "$(ulimit -Hn)"
say "==> $HOSTILE_CONNECTIONS connections of each kind; log: $LOG"
run_test floods "$LOG" || die "see $LOG"
say "==> no good client has failed"
