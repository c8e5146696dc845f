#!/usr/bin/env bash
# Replaces lagwise by SIGUSR2 under thousands of client connections (such that come and go, such that
# stay, transactions) and says how many connections were refused and how many statements failed; it must
# be none.
#
#   scripts/upgrade.sh [--clients N] [--rounds N] [--make mysql|mariadb]
#
# N is 2000 clients that stay, besides those that come and go, and 5 rounds, if nothing else is said.
# Without --make both are run.

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/long_test.sh
source "$ROOT/scripts/lib/long_test.sh"

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit "${1:-2}"
}

CLIENTS=2000 ROUNDS=5 MAKE=''
while [ $# -gt 0 ]; do
  case $1 in
    -h | --help) usage 0 ;;
    --clients | --rounds | --make)
      [ $# -ge 2 ] || usage
      case $1 in
        --clients) CLIENTS=$2 ;;
        --rounds) ROUNDS=$2 ;;
        --make) MAKE=$2 ;;
      esac
      shift 2
      ;;
    *) usage ;;
  esac
done

case $MAKE in '' | mysql | mariadb) ;; *) die "--make is mysql or mariadb" ;; esac
[[ $CLIENTS =~ ^[1-9][0-9]{0,3}$ ]] || die "--clients is 1 to 9999"
[[ $ROUNDS =~ ^[1-9][0-9]{0,2}$ ]] || die "--rounds is 1 to 999"

# Two descriptors for each client, in the test and in lagwise.
ulimit -n $((CLIENTS * 2 + 2000)) 2>/dev/null || say "cannot raise the limit of descriptors"
build_test upgrade "$MAKE"
export UPGRADE_CLIENTS=$CLIENTS UPGRADE_ROUNDS=$ROUNDS
LOG=$LOGS/upgrade.log
say "==> $ROUNDS upgrades under $CLIENTS connections; log: $LOG"
run_test "${MAKE:-m}" "$LOG" || die "clients have noticed; see $LOG"
say "==> no client has noticed"
