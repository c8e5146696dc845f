#!/usr/bin/env bash
# Prometheus and promtool of Debian 12, for the tests of the metrics, the alert rules and the dashboard.
# They lie under target/prometheus; nothing of the system is touched, and no service is started.
#
#   prometheus.sh fetch

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/fetch.sh
source "$ROOT/scripts/lib/fetch.sh"

FOLDER=$TARGET/prometheus

# Without what it depends on, which are pages for browsers; the C library is all that it needs to run.
prometheus_fetch() {
  fetched "$FOLDER" || fetch_step "Fetching Prometheus from Debian 12" \
    fetch_packages "$FOLDER" bookworm libc6 prometheus
  write_wrapper "$FOLDER" usr/bin/prometheus
  write_wrapper "$FOLDER" usr/bin/promtool
}

[ "$*" = fetch ] || {
  sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}
locked prometheus prometheus_fetch
