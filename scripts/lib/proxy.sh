# shellcheck shell=bash
# Runs lagwise in front of the servers of a folder that `servers.sh start` has made.

# server_value DIR KEY : a value of DIR/env.
server_value() {
  sed -n "s/^$2=//p" "$1/env"
}

# build_release : sets LAGWISE to the release program, unless LAGWISE=/path names one already.
# Cargo shows its own progress.
build_release() {
  if [ -n "${LAGWISE:-}" ]; then
    [ -x "$LAGWISE" ] || die "LAGWISE=$LAGWISE is not a program"
    return 0
  fi
  need_cargo
  say "==> Building lagwise (release)"
  (cd "$ROOT" && cargo build --release --bin lagwise >&2) || die "the build failed"
  LAGWISE=$TARGET/release/lagwise
}

# write_proxy_config DIR LISTEN_PORT HTTP_PORT REPLICAS : DIR/proxy.toml, for the servers of
# DIR, with the first so many of its replicas.
write_proxy_config() {
  local dir=$1 i replicas=''
  for i in $(seq 1 "$4"); do
    replicas=$replicas${replicas:+, }\"127.0.0.1:$(server_value "$dir" "S${i}_PORT")\"
  done
  cat >"$dir/proxy.toml" <<TOML
listen = "127.0.0.1:$2"
primary = "127.0.0.1:$(server_value "$dir" S0_PORT)"
replicas = [$replicas]

[monitor]
user = "monitor"
password = "monitor_password"

[http]
listen = "127.0.0.1:$3"
TOML
}

# start_proxy DIR HTTP_PORT [COMMAND PREFIX…] : runs lagwise on DIR/proxy.toml until it is ready;
# sets PROXY_PID. Out of reach of a Ctrl-C at the terminal: whoever started it ends it.
start_proxy() {
  local dir=$1 http=$2
  shift 2
  setsid "$@" "$LAGWISE" run --config "$dir/proxy.toml" </dev/null >"$dir/lagwise.log" 2>&1 &
  PROXY_PID=$!
  if ! await 20 proxy_settled "$http" || ! proxy_ready "$http"; then
    tail -n 30 "$dir/lagwise.log" | sed 's/^/    /' >&2
    die "lagwise did not become ready; its log: $dir/lagwise.log"
  fi
}

proxy_ready() {
  curl -fs -o /dev/null --max-time 2 "http://127.0.0.1:$1/readyz"
}

# proxy_settled HTTP_PORT : ready, or ended.
proxy_settled() {
  proxy_ready "$1" || ! kill -0 "$PROXY_PID" 2>/dev/null
}

# stop_proxy DIR : SIGTERM to the one that start_proxy started.
stop_proxy() {
  [ -n "${PROXY_PID:-}" ] || return 0
  end_process "$PROXY_PID" "$1/proxy.toml" 10
  PROXY_PID=''
}
