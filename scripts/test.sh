#!/usr/bin/env bash
# Sets up everything and runs every test, those against real servers included. Nothing is
# skipped: what is missing is installed or fetched, and what cannot be had is an error.
# Works from a fresh clone on a Debian machine with cargo, as root: for the packages named
# below, and for the network namespaces and disks of the servers in some tests.
#
#   scripts/test.sh

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/fetch.sh
source "$ROOT/scripts/lib/fetch.sh"
# shellcheck source=lib/packages.sh
source "$ROOT/scripts/lib/packages.sh"
# shellcheck source=lib/cargo_deb.sh
source "$ROOT/scripts/lib/cargo_deb.sh"

[ $# = 0 ] || die "test.sh takes no arguments"
[ "$(id -u)" = 0 ] || die "some tests make network namespaces and mount disks: run as root"

# Longer than this is a test that hangs.
TEST_LIMIT_SECONDS=3600
# For each fuzz target: enough to see that they run and find nothing at once.
FUZZ_SECONDS=10

PACKAGES=(
  # Clients whose behaviour is tested, Laravel's database layer, MariaDB's command-line tools.
  php-cli php-mysql php-illuminate-database python3-pymysql python3-mysqldb sysbench
  mariadb-client
  # The status page is looked at in it.
  chromium-headless-shell
  # The fuzzer is written in C++.
  g++
  # For the Debian package, and the manifest for Kubernetes.
  dpkg-dev python3-yaml
  # Booted in namespaces of its own, to run the package.
  systemd
  # The example for it; without a configuration in /etc its service does not start.
  keepalived
  # What the scripts and tests themselves call.
  shellcheck openssl curl iproute2 procps util-linux groff-base
)

cd "$ROOT"
export CARGO_TERM_PROGRESS_WHEN=never
STARTED=$(clock)

run_tests() {
  local log=$LOGS/cargo-test.log status=0
  say "==> cargo test"
  mkdir -p "$LOGS"
  timeout --signal=TERM --kill-after=10 "$TEST_LIMIT_SECONDS" \
    cargo test --no-fail-fast 2>&1 </dev/null | tee "$log" || status=$?
  [ "$status" != 124 ] || die "the tests did not end within $TEST_LIMIT_SECONDS s"
  [ "$status" = 0 ] || die "tests failed; whole log: $log"
  if grep -E '^test result: .* [1-9][0-9]* ignored' "$log" >&2; then
    die "tests were skipped (see above): here every test runs"
  fi
}

need_packages "${PACKAGES[@]}"
need_cargo
need_components rustfmt clippy
scripts/servers.sh fetch --make mysql
scripts/servers.sh fetch --make mariadb
scripts/prometheus.sh fetch

run_step "cargo fmt --check" cargo fmt --check
mapfile -t SCRIPTS < <(find scripts .ci -type f | sort)
[ ${#SCRIPTS[@]} -ge 8 ] || die "found only ${#SCRIPTS[@]} scripts to check"
SHELL_SCRIPTS=()
for script in "${SCRIPTS[@]}"; do
  case $script in *.sh | .ci/*) SHELL_SCRIPTS+=("$script") ;; esac
done
run_step "shellcheck" shellcheck -x "${SHELL_SCRIPTS[@]}"
run_step "cargo clippy" cargo clippy --all-targets -- -D warnings
scripts/deny.sh
need_cargo_deb
run_step "Building the tests" cargo test --no-run
run_tests
scripts/fuzz.sh "$FUZZ_SECONDS"
say "==> all passed in $(seconds_since "$STARTED")"
