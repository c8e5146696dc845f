#!/usr/bin/env bash
# Fuzzes every parser of bytes that come from outside, one target after the other.
# What it finds is kept under fuzz/artifacts, with the command that repeats it.
#
#   scripts/fuzz.sh SECONDS [TARGET…]     each target for that long; all by default
#
# cargo-fuzz is installed under target/ if there is none. Inputs that were found to be of interest are kept
# in target/fuzz-corpus; fuzz/seeds holds those to begin with.
#
# SANITIZER=address watches memory, too (see cargo fuzz build --help), at half the speed, and needs the
# nightly compiler (rustup toolchain install nightly). By default nothing does: lagwise has no unsafe code,
# and what is looked for are panics and broken assertions.

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"

case ${1:-} in
  '' | *[!0-9]*) die "usage: scripts/fuzz.sh SECONDS [TARGET…]" ;;
esac
SECONDS_EACH=$1
shift
SANITIZER=${SANITIZER:-none}

cd "$ROOT"
need cargo cargo
need c++ g++
if [ "$SANITIZER" = none ]; then
  # cargo-fuzz has options for the unstable parts of the compiler, and none of them is used then.
  export RUSTC_BOOTSTRAP=1
  CARGO=(cargo)
else
  need rustup rustup
  rustup run nightly rustc --version >/dev/null 2>&1 ||
    die "no nightly compiler: rustup toolchain install nightly"
  CARGO=(cargo +nightly)
fi
export CARGO_TARGET_DIR=$TARGET/fuzz
export PATH=$TARGET/tools/bin:$PATH
command -v cargo-fuzz >/dev/null ||
  run_step "Installing cargo-fuzz" cargo install cargo-fuzz --locked --root "$TARGET/tools"

TARGETS=("$@")
[ ${#TARGETS[@]} -gt 0 ] || mapfile -t TARGETS < <("${CARGO[@]}" fuzz list)
[ ${#TARGETS[@]} -gt 0 ] || die "found no fuzz targets"
run_step "Building the fuzz targets" "${CARGO[@]}" fuzz build --sanitizer "$SANITIZER"

FAILED=()
for target in "${TARGETS[@]}"; do
  corpus=$TARGET/fuzz-corpus/$target
  seeds=fuzz/seeds/$target
  mkdir -p "$corpus" "$seeds"
  # In a subshell: what one target finds does not keep the others from running.
  if (run_step "$target, $SECONDS_EACH s" "${CARGO[@]}" fuzz run --sanitizer "$SANITIZER" \
    "$target" "$corpus" "$seeds" -- -max_total_time="$SECONDS_EACH" -timeout=10 -rss_limit_mb=2048); then
    # Its log is named by run_step.
    log=$LOGS/$(printf '%s' "$target, $SECONDS_EACH s" | tr -cs 'A-Za-z0-9' '-').log
    printf '%-18s %s\n' "$target" "$(grep -E '^#[0-9]+.*DONE' "$log" | tail -n 1 | tr -s ' \t' ' ')"
  else
    FAILED+=("$target")
  fi
done
[ ${#FAILED[@]} = 0 ] || die "found something: ${FAILED[*]}; inputs are in fuzz/artifacts"
