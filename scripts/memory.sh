#!/usr/bin/env bash
# What an idle client costs lagwise in memory: clients log in and then say nothing, without TLS and
# with it. Prints, for each number of clients, lagwise's resident memory with them, and the bytes
# that one of them costs beyond the first ten.
#
#   scripts/memory.sh
#   CLIENTS="1000 10000" KINDS="plain tls" scripts/memory.sh
#
# LAGWISE=/path measures a program that was built before. Each client needs one file descriptor on
# either side: see `ulimit -n`.

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/proxy.sh
source "$ROOT/scripts/lib/proxy.sh"

if [ $# -gt 0 ]; then
  sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
fi
read -r -a CLIENTS <<<"${CLIENTS:-1000 10000}"
read -r -a KINDS <<<"${KINDS:-plain tls}"
DIR=$TARGET/memory/servers-$$

# shellcheck disable=SC2317  # called by the trap
finish() {
  trap - EXIT INT TERM HUP
  stop_proxy "$DIR"
  "$ROOT/scripts/servers.sh" stop --dir "$DIR" --remove
}

build_release
trap finish EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$DIR"
say "==> Starting a primary and a replica"
"$ROOT/scripts/servers.sh" start --make mysql --dir "$DIR" --replicas 1 --owner $$ >/dev/null
ulimit -n "$(ulimit -Hn)"
printf '%-6s %8s %14s %12s\n' client clients 'lagwise, KiB' 'bytes each'
for kind in "${KINDS[@]}"; do
  # A process for each: what others have left must not count.
  port=$(free_port)
  http=$(free_port)
  write_proxy_config "$DIR" "$port" "$http" 1
  sed -i '1i max_clients = 100000' "$DIR/proxy.toml"
  start_proxy "$DIR" "$http"
  python3 "$ROOT/scripts/lib/idle_clients.py" "$port" "$PROXY_PID" "$kind" "${CLIENTS[@]}" \
    | while read -r name clients resident each; do
      printf '%-6s %8s %14s %12s\n' "$name" "$clients" "$resident" "$each"
    done
  stop_proxy "$DIR"
done
