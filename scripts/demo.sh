#!/usr/bin/env bash
# Shows lagwise at work: fetches a real server program, builds the release, starts a primary
# with two replicas and lagwise in front of them, runs a few statements through it as an
# ordinary client, and says where each went and why. Then everything stays up to be tried by
# hand until Ctrl-C, which stops every process that was started here.
#
#   scripts/demo.sh [--mariadb] [--once]
#
# --once ends after the tables. MYSQLD=/path/to/mysqld (or MARIADBD=…) uses an installed
# server instead of a fetched one.

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/fetch.sh
source "$ROOT/scripts/lib/fetch.sh"
# shellcheck source=lib/packages.sh
source "$ROOT/scripts/lib/packages.sh"
# shellcheck source=lib/proxy.sh
source "$ROOT/scripts/lib/proxy.sh"

MAKE=mysql ONCE=''
for argument in "$@"; do
  case $argument in
    --mariadb) MAKE=mariadb ;;
    --once) ONCE=yes ;;
    *)
      sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
      exit 2
      ;;
  esac
done
REPLICAS=2
DIR=$TARGET/demo/$MAKE-$$
STARTED=$(clock)

# ---- everything that is started is stopped

# shellcheck disable=SC2317  # called by the trap
finish() {
  trap - EXIT INT TERM HUP
  say ""
  say "Stopping lagwise and the servers …"
  if [ -n "${CLIENT_PID:-}" ]; then kill "$CLIENT_PID" 2>/dev/null || true; fi
  stop_proxy "$DIR"
  "$ROOT/scripts/servers.sh" stop --dir "$DIR" --remove
  say "Stopped."
}

# prefer_port PORT : that port if it is free, or any free one.
prefer_port() {
  if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then free_port; else echo "$1"; fi
}

# ---- the workload: one session, as an application would have it

# Title or statement, one a line.
WORKLOAD=(
  "-- Reads go to the replicas"
  "SELECT name, price FROM items WHERE id = 7"
  "SELECT COUNT(*) FROM items WHERE price > 100"
  "SHOW TABLES"
  "WITH dear AS (SELECT * FROM items WHERE price > 120) SELECT COUNT(*) FROM dear"
  "-- What locks or depends on the connection goes to the primary"
  "SELECT stock FROM items WHERE id = 7 FOR UPDATE"
  "SELECT LAST_INSERT_ID()"
  "-- A write, and at once a read of it: never stale"
  "INSERT INTO orders (item_id, quantity) VALUES (7, 2)"
  "SELECT COUNT(*) FROM orders WHERE item_id = 7"
  "-- A transaction stays whole"
  "START TRANSACTION"
  "SELECT stock FROM items WHERE id = 7"
  "UPDATE items SET stock = stock - 2 WHERE id = 7"
  "COMMIT"
  "-- One second later the replicas have applied all of it"
  "@wait"
  "SELECT stock FROM items WHERE id = 7"
  "START TRANSACTION READ ONLY"
  "SELECT SUM(quantity) FROM orders"
  "COMMIT"
)

# open_session : the server's own command-line client through lagwise, its statements from
# CLIENT_IN, its words to CLIENT_OUT. -vvv makes it say when a statement is done.
open_session() {
  coproc SESSION {
    MYSQL_PWD=app_password exec "$CLIENT" --no-defaults --host=127.0.0.1 --port="$PORT" --user=app \
      --protocol=tcp --comments --unbuffered --force -vvv "${CLIENT_OPTIONS[@]}" shop 2>&1
  }
  CLIENT_PID=$SESSION_PID
  exec {CLIENT_OUT}<&"${SESSION[0]}" {CLIENT_IN}>&"${SESSION[1]}"
}

# run_statement TEXT : runs it; fails when it does.
run_statement() {
  local line
  printf '%s;\n' "$1" >&"$CLIENT_IN" || die "the client has ended"
  while IFS= read -r -t 20 -u "$CLIENT_OUT" line; do
    case $line in
      *ERROR*) die "$1: $line" ;;
      *" sec)") return 0 ;;
    esac
  done
  die "no answer to: $1"
}

# routes : the counts of lagwise_queries_total, one "target reason count" a line.
routes() {
  curl -fs --max-time 5 "http://127.0.0.1:$HTTP/metrics" \
    | sed -nE 's/^lagwise_queries_total\{(.*)\} ([0-9.e+]+)$/\1 \2/p' \
    | sed -E 's/.*target="([^"]*)".*reason="([^"]*)"[^ ]*/\1 \2/; t; s/.*reason="([^"]*)".*target="([^"]*)"[^ ]*/\2 \1/' \
    | sort
}

# why BEFORE : target and reason that were counted since.
why() {
  comm -13 <(printf '%s\n' "$1") <(routes) | tail -n 1
}

# where_logged TAG : the server whose own general log holds the tag.
where_logged() {
  local i
  for i in $(seq 0 "$REPLICAS"); do
    if grep -qsF "$1" "$DIR/s$i/general.log"; then
      if [ "$i" = 0 ]; then printf 'primary'; else printf 'replica %s' "$i"; fi
      printf '  :%s\n' "$(server_value "$DIR" "S${i}_PORT")"
      return
    fi
  done
  echo "(no server)"
}

run_workload() {
  local entry before route number=0
  printf '\n%-62s %-18s %s\n' "STATEMENT" "WENT TO" "BECAUSE"
  for entry in "${WORKLOAD[@]}"; do
    case $entry in
      @wait) sleep 1 ;;
      --*) printf '%s\n' "$entry" ;;
      *)
        number=$((number + 1))
        before=$(routes)
        run_statement "$entry /* demo $number */"
        route=$(why "$before")
        printf '  %-60.60s %-18s %s\n' "$entry" "$(where_logged "/* demo $number */")" "$(cut -d' ' -f2 <<<"$route")"
        ;;
    esac
  done
}

print_lag() {
  printf '\n%-24s %-10s %s\n' SERVER ROLE LAG
  curl -fs --max-time 5 "http://127.0.0.1:$HTTP/metrics" >"$DIR/metrics"
  local i address lag role
  for i in $(seq 0 "$REPLICAS"); do
    address=127.0.0.1:$(server_value "$DIR" "S${i}_PORT")
    lag=$(sed -nE "s/^lagwise_server_lag_seconds\{[^}]*server=\"$address\"[^}]*\} //p" "$DIR/metrics")
    if [ "$i" = 0 ]; then role=primary; else role="replica $i"; fi
    printf '%-24s %-10s %s\n' "$address" "$role" "${lag:+$lag s}"
  done
}

# ---- go

need curl curl
[ "$MAKE" = mysql ] || need openssl openssl
build_release
trap finish EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$DIR"
say "==> Starting a $MAKE primary and $REPLICAS replicas"
"$ROOT/scripts/servers.sh" start --make "$MAKE" --dir "$DIR" --replicas "$REPLICAS" --owner $$ >/dev/null
CLIENT=$(server_value "$DIR" CLIENT)
for i in $(seq 0 "$REPLICAS"); do
  "$CLIENT" --no-defaults --user=root --socket="$(server_value "$DIR" "S${i}_SOCKET")" \
    --execute="SET GLOBAL general_log=ON"
done
PORT=$(prefer_port 3307)
HTTP=$(prefer_port 9104)
write_proxy_config "$DIR" "$PORT" "$HTTP" "$REPLICAS"
say "==> Starting lagwise on 127.0.0.1:$PORT"
start_proxy "$DIR" "$HTTP"
say "==> Up after $(seconds_since "$STARTED")"
CLIENT_OPTIONS=()
# Without TLS this client asks for the key that protects the password only when told to.
if [ "$MAKE" = mysql ]; then CLIENT_OPTIONS=(--get-server-public-key); fi
open_session
run_workload
print_lag
exec {CLIENT_IN}>&-
CLIENT_PID=''
[ -z "$ONCE" ] || exit 0

cat <<TEXT

lagwise is running. Try it (password: app_password):

  $CLIENT --host=127.0.0.1 --port=$PORT --user=app -p ${CLIENT_OPTIONS[*]} shop

Metrics: http://127.0.0.1:$HTTP/metrics    Configuration: $DIR/proxy.toml
Log:     $DIR/lagwise.log
Ctrl-C stops everything.
TEXT
# Ends by itself only when lagwise does, which it should not.
tail --pid="$PROXY_PID" -f /dev/null &
wait $! || true
die "lagwise has ended; its log: $DIR/lagwise.log"
