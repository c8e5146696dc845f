#!/usr/bin/env bash
# What lagwise costs, and what it saves, beside a direct connection, HAProxy in TCP mode and MySQL
# Router: all against the same servers, interleaved in one run, so that a noisy machine disturbs all
# alike. Prints medians over the rounds.
#
#   scripts/bench.sh [--quick] [PART…]
#   ROUNDS=5 DURATION=5 PATHS="direct haproxy router lagwise" scripts/bench.sh pages
#
# Parts; without any, all of them:
#   queries  sysbench's point selects on connections that stay: queries/s, latency, and the proxy's own
#            CPU per query. THREADS="1 8" MODES="text prepared". Here the others are pointed at the
#            replica that lagwise reads from; in the other parts at the primary, as an application is.
#   pages    connect, SET NAMES, three prepared reads that are closed again, a write (`full`, or none:
#            `read`), quit; and connect, a query, quit (`query`); as a caching_sha2_password account: pages/s, latency, CPU of the primary
#            and of the proxy per page. CLIENTS_AT_A_TIME=16
#   scarce   the same pages where the servers are what is scarce, as in a spike of many web servers: each
#            may use SERVER_CPUS=0.25 of a core, by control groups (needs root); SCARCE_REPLICAS=2
#   storm    STORM_CLIENTS=5000 clients that connect within 5 s for a page each: how many are served
#            direct, and by lagwise with 20 connections to each server
#   prepare  PREPARE, EXECUTE and CLOSE on one connection that stays, as Laravel asks: latency
#   consistency  point selects as in `queries`, by lagwise alone with different [consistency], side by side,
#            while something else is written about 90 times a second through each (WRITES=no: nothing):
#            nothing asked for (`off`), the defaults (`session`), `global` by table, and `cluster`: what
#            consistency costs a read. ASKED="off session global cluster"
#   memory   what idle clients cost lagwise (scripts/memory.sh): CLIENTS="1000 10000"
#
# HAProxy has one thread; MySQL Router forwards without looking into the traffic; lagwise has its
# defaults and one replica (scarce: two). Raw results of `queries`: target/bench/*.json. LAGWISE=/path measures a
# program that was built before; BEFORE=/path measures another one beside it, as the path `before`.

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/fetch.sh
source "$ROOT/scripts/lib/fetch.sh"
# shellcheck source=lib/packages.sh
source "$ROOT/scripts/lib/packages.sh"
# shellcheck source=lib/proxy.sh
source "$ROOT/scripts/lib/proxy.sh"
# shellcheck source=lib/pages.sh
source "$ROOT/scripts/lib/pages.sh"

PARTS=()
for argument in "$@"; do
  case $argument in
    --quick)
      ROUNDS=${ROUNDS:-1}
      DURATION=${DURATION:-2}
      STORM_CLIENTS=${STORM_CLIENTS:-1000}
      export CLIENTS=${CLIENTS:-1000}
      ;;
    queries | pages | scarce | storm | prepare | consistency | memory) PARTS+=("$argument") ;;
    *)
      sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
      [ "$argument" = --help ] && exit 0
      exit 2
      ;;
  esac
done
[ ${#PARTS[@]} -gt 0 ] || PARTS=(queries pages scarce storm prepare consistency memory)
ROUNDS=${ROUNDS:-5}
DURATION=${DURATION:-5}
read -r -a THREADS <<<"${THREADS:-1 8}"
read -r -a MODES <<<"${MODES:-text prepared}"
read -r -a PATHS <<<"${PATHS:-direct haproxy router lagwise${BEFORE:+ before}}"
CLIENTS_AT_A_TIME=${CLIENTS_AT_A_TIME:-16}
STORM_CLIENTS=${STORM_CLIENTS:-5000}
SERVER_CPUS=${SERVER_CPUS:-0.25}
SCARCE_REPLICAS=${SCARCE_REPLICAS:-2}
TABLE_SIZE=10000

DIR=$TARGET/bench/servers-$$
RESULT=$TARGET/bench/$(date +%Y%m%d-%H%M%S).json
TICKS=$(getconf CLK_TCK)
declare -A PORT_OF PID_OF
RAW=()
GROUPS_MADE=()
WRITERS=()
# Of the n[key] figures v[key, c, …], in awk.
AWK_MEDIAN='
    function median(key, c,   i, j, t, a, m) {
      m = n[key]
      for (i = 1; i <= m; i++) a[i] = v[key, c, i] + 0
      for (i = 2; i <= m; i++) for (j = i; j > 1 && a[j] < a[j - 1]; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
      return m % 2 ? a[(m + 1) / 2] : (a[m / 2] + a[m / 2 + 1]) / 2
    }
'

# shellcheck disable=SC2317  # called by the trap
finish() {
  trap - EXIT INT TERM HUP
  stop_paths
  free_servers
  if [ -d "$DIR" ]; then stop_servers; fi
}

# ---- the paths

stop_paths() {
  local path
  for path in "${WRITERS[@]}"; do kill -- "-$path" 2>/dev/null || true; done
  WRITERS=()
  for path in haproxy router before off session global cluster; do
    end_process "${PID_OF[$path]:-}" "$DIR/$path" 5
  done
  stop_proxy "$DIR"
  PID_OF=()
}

# start_paths PORT [CONFIGURATION…] : all paths to the server on that port, and lagwise with these lines
# more.
start_paths() {
  TARGET_PORT=$1
  shift
  EXTRA=("$@")
  PORT_OF[direct]=$TARGET_PORT
  local path
  for path in haproxy router before lagwise; do
    wants "$path" || continue
    PORT_OF[$path]=$(free_port)
    "start_$path"
  done
  for path in "${PATHS[@]}"; do
    await 20 load "${PORT_OF[$path]}" --time=0 --events=1 run >/dev/null 2>&1 \
      || die "$path does not answer: $(tail -n 5 "$DIR/$path.log" 2>/dev/null)"
  done
}

fetch_haproxy() {
  fetch_packages "$TARGET/haproxy" bookworm haproxy
  write_wrapper "$TARGET/haproxy" usr/sbin/haproxy
}

start_haproxy() {
  fetched "$TARGET/haproxy" || run_step "Fetching HAProxy" fetch_haproxy
  cat >"$DIR/haproxy.cfg" <<CFG
global
  nbthread 1
  maxconn 5000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen bench
  bind 127.0.0.1:${PORT_OF[haproxy]}
  server replica 127.0.0.1:$TARGET_PORT
CFG
  setsid "$TARGET/haproxy/bin/haproxy" -db -f "$DIR/haproxy.cfg" </dev/null >"$DIR/haproxy.log" 2>&1 &
  PID_OF[haproxy]=$!
}

start_router() {
  local lib=$TARGET/mysql/root/usr/lib/mysqlrouter
  [ -x "$TARGET/mysql/bin/mysqlrouter" ] || die "MySQL Router comes with the fetched MySQL; \
with MYSQLD=… leave it out: PATHS='direct haproxy lagwise'"
  mkdir -p "$DIR/router.d"
  cat >"$DIR/router.conf" <<CFG
[DEFAULT]
logging_folder=$DIR/router.d
runtime_folder=$DIR/router.d
data_folder=$DIR/router.d
plugin_folder=$lib/plugin
max_total_connections=10000
[logger]
level=WARNING
[routing:bench]
bind_address=127.0.0.1
bind_port=${PORT_OF[router]}
destinations=127.0.0.1:$TARGET_PORT
routing_strategy=first-available
protocol=classic
client_ssl_mode=PASSTHROUGH
server_ssl_mode=AS_CLIENT
CFG
  setsid "$TARGET/mysql/bin/mysqlrouter" --config="$DIR/router.conf" </dev/null >"$DIR/router.log" 2>&1 &
  PID_OF[router]=$!
}

start_lagwise() {
  LAGWISE_HTTP=$(free_port)
  write_proxy_config "$DIR" "${PORT_OF[lagwise]}" "$LAGWISE_HTTP" "$REPLICAS"
  printf '%s\n' "${EXTRA[@]}" >>"$DIR/proxy.toml"
  start_proxy "$DIR" "$LAGWISE_HTTP"
  PID_OF[lagwise]=$PROXY_PID
}

# start_before : another program of lagwise, with the same configuration but for its ports.
start_before() {
  [ -x "${BEFORE:-}" ] || die "BEFORE=${BEFORE:-} is not a program"
  start_beside before "$BEFORE" "${EXTRA[@]}"
}

# start_beside NAME PROGRAM [CONFIGURATION…] : a lagwise beside the first one.
start_beside() {
  local name=$1 program=$2 http
  shift 2
  http=$(free_port)
  write_proxy_config "$DIR" "${PORT_OF[$name]}" "$http" "$REPLICAS"
  printf '%s\n' "$@" >>"$DIR/proxy.toml"
  mv "$DIR/proxy.toml" "$DIR/$name.toml"
  setsid "$program" run --config "$DIR/$name.toml" </dev/null >"$DIR/$name.log" 2>&1 &
  PID_OF[$name]=$!
  await 20 proxy_ready "$http" || die "$program did not become ready: $(tail -n 3 "$DIR/$name.log")"
}

# query SERVER SQL : as root, direct.
query() {
  "$(server_value "$DIR" CLIENT)" --no-defaults --user=root --batch --skip-column-names \
    --socket="$(server_value "$DIR" "S$1_SOCKET")" --execute="$2"
}

# prepared_table : true once all replicas have the whole table.
prepared_table() {
  local server
  for server in $(seq "$REPLICAS"); do
    [ "$(query "$server" "SELECT COUNT(*) FROM shop.sbtest1" 2>/dev/null)" = "$TABLE_SIZE" ] || return 1
  done
}

load() {
  sysbench oltp_point_select --mysql-host=127.0.0.1 --mysql-port="$1" --mysql-user=app \
    --mysql-password=app_password --mysql-db=shop --tables=1 --table-size="$TABLE_SIZE" "${@:2}"
}

# ---- one measurement

# cpu_ticks PID : user and system time of the process, all its threads, in clock ticks.
cpu_ticks() {
  local stat
  stat=$(<"/proc/$1/stat")
  # The name in parentheses may hold blanks; utime and stime are the 12th and 13th after it.
  awk '{ print $12 + $13 }' <<<"${stat##*) }"
}

# read_sysbench : queries, queries/s, p50 ms, p95 ms from its report with a histogram.
read_sysbench() {
  awk '
    # "       0.028 |**                 123"
    $2 ~ /^\|/ && $1 ~ /^[0-9.]+$/ { value[n] = $1; count[n] = $NF; total += $NF; n++ }
    $1 == "queries:" { queries = $2; rate = $3; sub(/\(/, "", rate) }
    END {
      for (i = 0; i < n; i++) {
        seen += count[i]
        if (p50 == "" && seen >= total * 0.50) p50 = value[i]
        if (p95 == "" && seen >= total * 0.95) p95 = value[i]
      }
      if (queries == "" || p95 == "") exit 1
      print queries, rate, p50, p95
    }'
}

# measure ROUND MODE THREADS PATH : one run, appended to RAW; with ROUND 0 it is a warm-up.
measure() {
  local round=$1 mode=$2 threads=$3 path=$4 ps=auto pid before=0 after=0 report queries rate p50 p95 cpu
  local seconds=$DURATION
  if [ "$mode" = text ]; then ps=disable; fi
  if [ "$round" = 0 ]; then seconds=1; fi
  pid=${PID_OF[$path]:-}
  if [ -n "$pid" ]; then before=$(cpu_ticks "$pid"); fi
  report=$(load "${PORT_OF[$path]}" --threads="$threads" --time="$seconds" --db-ps-mode="$ps" --histogram=on run 2>&1) \
    || die "sysbench ($path, $mode, $threads threads) failed:"$'\n'"$report"
  if [ -n "$pid" ]; then after=$(cpu_ticks "$pid"); fi
  read -r queries rate p50 p95 < <(read_sysbench <<<"$report") \
    || die "could not read sysbench's report:"$'\n'"$report"
  [ "$round" != 0 ] || return 0
  cpu=$(awk -v t=$((after - before)) -v hz="$TICKS" -v q="$queries" 'BEGIN { printf "%.2f", t * 1e6 / hz / q }')
  RAW+=("{\"round\":$round,\"mode\":\"$mode\",\"threads\":$threads,\"path\":\"$path\",\"queries\":$queries,\"queries_per_second\":$rate,\"p50_ms\":$p50,\"p95_ms\":$p95,\"cpu_us_per_query\":$cpu}")
  printf '%s %s %s %s %s %s %s\n' "$mode" "$threads" "$path" "$rate" "$p50" "$p95" "$cpu" >>"$DIR/rows"
}

run_rounds() {
  local round mode threads index count=${#PATHS[@]} done=0 all
  all=$((ROUNDS * ${#MODES[@]} * ${#THREADS[@]} * count))
  for index in "${!PATHS[@]}"; do
    for mode in "${MODES[@]}"; do measure 0 "$mode" 4 "${PATHS[index]}"; done
  done
  for round in $(seq "$ROUNDS"); do
    for mode in "${MODES[@]}"; do
      for threads in "${THREADS[@]}"; do
        # Each round begins with another path.
        for index in "${!PATHS[@]}"; do
          done=$((done + 1))
          # On a terminal one line that changes, in a log one line a round.
          if [ -t 2 ]; then
            printf '\r==> round %d of %d: measurement %d of %d ' "$round" "$ROUNDS" "$done" "$all" >&2
          elif [ $((done % (all / ROUNDS))) = 1 ]; then
            say "==> round $round of $ROUNDS"
          fi
          measure "$round" "$mode" "$threads" "${PATHS[(index + round) % count]}"
        done
      done
    done
  done
  if [ -t 2 ]; then say ""; fi
}

# ---- results

print_medians() {
  awk -v paths="${PATHS[*]}" -v modes="${MODES[*]}" -v threads="${THREADS[*]}" "$AWK_MEDIAN"'
    { key = $1 " " $2 " " $3; n[key]++; for (c = 4; c <= 7; c++) v[key, c, n[key]] = $c }
    END {
      np = split(paths, p, " "); nm = split(modes, mo, " "); nt = split(threads, th, " ")
      printf "%-9s %7s %-8s %11s %9s %9s %9s %13s\n", "mode", "threads", "path", "queries/s", "of direct", "p50 ms", "p95 ms", "proxy CPU us"
      for (m = 1; m <= nm; m++) for (t = 1; t <= nt; t++) for (i = 1; i <= np; i++) {
        key = mo[m] " " th[t] " " p[i]
        direct = mo[m] " " th[t] " direct"
        ratio = n[direct] ? sprintf("%.2f", median(key, 4) / median(direct, 4)) : "-"
        cpu = p[i] == "direct" ? "-" : sprintf("%.1f", median(key, 7))
        printf "%-9s %7s %-8s %11.0f %9s %9.3f %9.3f %13s\n", mo[m], th[t], p[i], median(key, 4), ratio, median(key, 5), median(key, 6), cpu
      }
    }' "$DIR/rows"
}

write_json() {
  local separator='' run
  {
    printf '{"rounds":%s,"seconds":%s,"cores":%s,"server":"%s","lagwise":"%s","runs":[' \
      "$ROUNDS" "$DURATION" "$(nproc)" "$(query 1 'SELECT VERSION()')" \
      "$("${LAGWISE:-true}" --version)"
    for run in "${RAW[@]}"; do
      printf '%s\n%s' "$separator" "$run"
      separator=,
    done
    printf '\n]}\n'
  } >"$RESULT"
}

# reads_on_replica : the comparison is fair only if lagwise's reads went to the replica.
check_reads() {
  local counts
  counts=$(curl -fs --max-time 5 "http://127.0.0.1:$LAGWISE_HTTP/metrics" | grep '^lagwise_queries_total{')
  awk '/target="replica"/ { r += $NF } { all += $NF } END { exit !(all > 0 && r / all > 0.99) }' <<<"$counts" \
    || die "lagwise did not send these reads to the replica:"$'\n'"$counts"
}

# ---- go

wants() { [[ " ${PATHS[*]} " == *" $1 "* ]]; }
does() { [[ " ${PARTS[*]} " == *" $1 "* ]]; }

# does_any PART… : one of these is to be done.
does_any() {
  local part
  for part in "$@"; do
    if does "$part"; then return 0; fi
  done
  return 1
}

run_queries() {
  start_paths "$REPLICA_PORT"
  run_rounds
  if wants lagwise; then check_reads; fi
  stop_paths
  write_json
  print_medians
  say "raw results: $RESULT"
}

run_consistency() {
  local path PATHS RAW=()
  read -r -a PATHS <<<"${ASKED:-off session global cluster}"
  local -A ASKS=(
    [off]=$'pin = "none"\nmonotonic_reads = false'
    [session]=''
    [global]='scope = "global"'
    [cluster]='scope = "cluster"'
  )
  query 0 "GRANT SHOW VIEW, TRIGGER, SHOW_ROUTINE ON *.* TO monitor@'%'"
  for path in "${PATHS[@]}"; do
    PORT_OF[$path]=$(free_port)
    start_beside "$path" "$LAGWISE" '[consistency]' "${ASKS[$path]}"
  done
  for path in "${PATHS[@]}"; do
    await 20 load "${PORT_OF[$path]}" --time=0 --events=1 run >/dev/null 2>&1 || die "$path does not answer"
    if [ "${WRITES:-yes}" = no ]; then continue; fi
    # shellcheck disable=SC2016  # its own arguments
    setsid bash -c '
      while sleep 0.01; do echo "INSERT INTO visits (client) VALUES (1);"; done |
        "$1" --no-defaults --host=127.0.0.1 --port="$2" --user=app --password=app_password shop
    ' writer "$(server_value "$DIR" CLIENT)" "${PORT_OF[$path]}" </dev/null >"$DIR/$path.writer" 2>&1 &
    WRITERS+=($!)
  done
  : >"$DIR/rows"
  run_rounds
  stop_paths
  print_medians
}

run_pages() {
  start_paths "$PRIMARY_PORT"
  if does pages; then
    run_loads pages load full read query
    print_loads pages page
  fi
  if does prepare; then
    run_loads prepare prepare read
    print_loads prepare query
  fi
  stop_paths
}

run_scarce() {
  start_paths "$PRIMARY_PORT"
  if limit_servers "$SERVER_CPUS"; then
    run_loads scarce load full read query
    say "servers with $SERVER_CPUS of a core each, $REPLICAS replicas:"
    print_loads scarce page
  else
    say "scarce: left out, no control groups here that may be written to"
  fi
  free_servers
  stop_paths
}

run_storms() {
  local server extra=('[pool]' 'checkout_timeout = "1m"')
  for server in "$PRIMARY_PORT" "$REPLICA_PORT"; do
    extra+=('[[server]]' "address = \"127.0.0.1:$server\"" 'max_connections = 20')
  done
  local PATHS=(direct lagwise)
  start_paths "$PRIMARY_PORT" "${extra[@]}"
  run_storm
  stop_paths
}

# start_servers REPLICAS : a primary with so many, and the tables of all parts.
start_servers() {
  REPLICAS=$1
  mkdir -p "$DIR"
  say "==> Starting a primary and $REPLICAS replica(s)"
  "$ROOT/scripts/servers.sh" start --make mysql --dir "$DIR" --replicas "$REPLICAS" --owner $$ >/dev/null
  PRIMARY_PORT=$(server_value "$DIR" S0_PORT)
  REPLICA_PORT=$(server_value "$DIR" S1_PORT)
  load "$PRIMARY_PORT" prepare >"$DIR/prepare.log" 2>&1 \
    || die "sysbench could not fill its table: $(tail -n 3 "$DIR/prepare.log")"
  query 0 "CREATE TABLE shop.visits (id INT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL)"
  await 60 prepared_table || die "the replicas did not get sysbench's table"
}

stop_servers() {
  "$ROOT/scripts/servers.sh" stop --dir "$DIR" --remove
}

need_packages sysbench curl
# In this order: to build the load generator is to build the program with what tests want of its
# dependencies, which makes it slower, and the program that is measured must be as users have it.
if does_any pages scarce storm prepare; then build_pages; fi
if wants lagwise; then build_release; fi
trap finish EXIT
trap 'exit 130' INT TERM HUP
ulimit -n "$(ulimit -Hn)"
if does_any queries pages storm prepare consistency; then
  start_servers 1
  if does queries; then run_queries; fi
  if does_any pages prepare; then run_pages; fi
  if does storm; then run_storms; fi
  if wants lagwise && does consistency; then run_consistency; fi
  stop_servers
fi
if does scarce; then
  start_servers "$SCARCE_REPLICAS"
  run_scarce
  stop_servers
fi
if wants lagwise && does memory; then
  export LAGWISE
  "$ROOT/scripts/memory.sh"
fi
