#!/usr/bin/env bash
# Looks at what lagwise depends on: licences, banned crates, where they come from (deny.toml says what
# may be). Needs no network once cargo-deny is there; advisories, which need it, are asked for with
# --advisories. cargo-deny is installed under target/ if there is none, which takes some minutes once.
#
#   scripts/deny.sh [--advisories]

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

CHECKS=(licenses bans sources)
case ${1:-} in
  '') ;;
  --advisories) CHECKS+=(advisories) ;;
  *)
    sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac

cd "$ROOT"
need cargo cargo
export PATH=$TARGET/tools/bin:$PATH
command -v cargo-deny >/dev/null ||
  run_step "Installing cargo-deny" cargo install cargo-deny --locked --root "$TARGET/tools"
run_step "What lagwise depends on: ${CHECKS[*]}" cargo deny check "${CHECKS[@]}"
