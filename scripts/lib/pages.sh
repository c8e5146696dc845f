# shellcheck shell=bash
# shellcheck disable=SC2153  # bench.sh sets what is read here
# The parts of bench.sh that are about short connections: pages, storm, prepare. All paths lead to the
# primary; the load generator is benches/pages.rs.

# build_pages : sets PAGES to the load generator, unless PAGES=/path names one already.
build_pages() {
  if [ -n "${PAGES:-}" ]; then return 0; fi
  say "==> Building the load generator"
  PAGES=$(cd "$ROOT" && cargo bench --bench pages --no-run --message-format=json 2>/dev/null |
    sed -n 's/.*"name":"pages".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
  [ -x "$PAGES" ] || die "the load generator could not be built: cargo bench --bench pages --no-run"
}

# primary_ticks : CPU time of the primary's process, in clock ticks.
primary_ticks() {
  cpu_ticks "$(<"$DIR/s0/pid")"
}

# measure_load WHAT PATH CLIENTS SECONDS KIND : runs the load; sets DONE, FAILED, RATE, P50, P99, and CPU
# microseconds per unit of the primary (PRIMARY_CPU) and of the proxy (PROXY_CPU).
measure_load() {
  local what=$1 path=$2 clients=$3 seconds=$4 kind=$5 pid before=0 after=0 primary took
  pid=${PID_OF[$path]:-}
  [ -z "$pid" ] || before=$(cpu_ticks "$pid")
  primary=$(primary_ticks)
  read -r DONE FAILED took P50 P99 < <("$PAGES" "$what" "${PORT_OF[$path]}" "$clients" "$seconds" "$kind" 2>>"$DIR/errors-$path") \
    || die "the load generator failed: $(tail -n 3 "$DIR/errors-$path")"
  primary=$(($(primary_ticks) - primary))
  [ -z "$pid" ] || after=$(cpu_ticks "$pid")
  read -r RATE PRIMARY_CPU PROXY_CPU < <(awk -v d="$DONE" -v s="$took" -v p="$primary" -v x=$((after - before)) -v hz="$TICKS" \
    'BEGIN { n = d > 0 ? d : 1; printf "%.1f %.0f %.0f\n", d / s, p * 1e6 / hz / n, x * 1e6 / hz / n }')
  TOOK=$took
}

# run_loads PART WHAT KIND… : rounds over all paths, a line of $DIR/rows-PART each.
run_loads() {
  local part=$1 what=$2 kind round index clients count=${#PATHS[@]}
  shift 2
  : >"$DIR/rows-$part"
  clients=$CLIENTS_AT_A_TIME
  [ "$what" = load ] || clients=1
  for index in "${!PATHS[@]}"; do
    measure_load "$what" "${PATHS[index]}" "$clients" 1 "$1"
  done
  for round in $(seq "$ROUNDS"); do
    say "==> $part: round $round of $ROUNDS"
    for kind in "$@"; do
      # Each round begins with another path.
      for index in "${!PATHS[@]}"; do
        local path=${PATHS[(index + round) % count]}
        measure_load "$what" "$path" "$clients" "$DURATION" "$kind"
        printf '%s %s %s %s %s %s %s %s\n' "$kind" "$path" "$RATE" "$P50" "$P99" "$PRIMARY_CPU" "$PROXY_CPU" "$FAILED" >>"$DIR/rows-$part"
      done
    done
  done
}

# print_loads PART UNIT : medians over the rounds.
print_loads() {
  awk -v paths="${PATHS[*]}" -v unit="$2" "$AWK_MEDIAN"'
    { key = $1 " " $2; if (!(($1) in seen)) { kinds[++nk] = $1; seen[$1] = 1 }
      n[key]++; for (c = 3; c <= 8; c++) v[key, c, n[key]] = $c; failed[key] += $8 }
    END {
      np = split(paths, p, " ")
      printf "%-8s %-8s %9s %9s %9s %9s %14s %9s %12s %7s\n", unit, "path", "per s", "of direct", "p50 ms", "p99 ms", "primary CPU us", "of direct", "proxy CPU us", "failed"
      for (k = 1; k <= nk; k++) for (i = 1; i <= np; i++) {
        key = kinds[k] " " p[i]; direct = kinds[k] " direct"
        ratio = n[direct] ? sprintf("%.2f", median(key, 3) / median(direct, 3)) : "-"
        cpu = n[direct] && median(direct, 6) > 0 ? sprintf("%.2f", median(key, 6) / median(direct, 6)) : "-"
        proxy = p[i] == "direct" ? "-" : sprintf("%.0f", median(key, 7))
        printf "%-8s %-8s %9.0f %9s %9.2f %9.2f %14.0f %9s %12s %7d\n", kinds[k], p[i], median(key, 3), ratio, median(key, 4), median(key, 5), median(key, 6), cpu, proxy, failed[key]
      }
    }' "$DIR/rows-$1"
}

# run_storm : so many clients within 5 s, direct and through lagwise, which has 20 connections to each
# server.
run_storm() {
  local path most
  printf '%-8s %8s %8s %9s %9s %9s %22s\n' storm served failed seconds 'p50 ms' 'p99 ms' 'primary connections'
  for path in direct lagwise; do
    query 0 "FLUSH LOCAL STATUS"
    measure_load storm "$path" "$STORM_CLIENTS" 5 full
    most=$(query 0 "SHOW GLOBAL STATUS LIKE 'Max_used_connections'" | cut -f 2)
    printf '%-8s %8s %8s %9s %9s %9s %22s\n' "$path" "$DONE" "$FAILED" "$TOOK" "$P50" "$P99" "$most"
    if [ -s "$DIR/errors-$path" ]; then say "    $path: $(sort "$DIR/errors-$path" | uniq -c | sort -rn | head -n 1)"; fi
  done
}

# limit_servers CPUS : gives each server so much CPU time, by control groups; false where there are none
# that may be written to.
limit_servers() {
  local cpus=$1 server group
  for server in $(seq 0 "$REPLICAS"); do
    if [ -w /sys/fs/cgroup/cpu/cgroup.procs ]; then
      group=/sys/fs/cgroup/cpu/lagwise-bench-$$-$server
      mkdir "$group" && awk -v c="$cpus" 'BEGIN { print c * 100000 }' >"$group/cpu.cfs_quota_us" || return 1
    elif [ -w /sys/fs/cgroup/cgroup.subtree_control ]; then
      group=/sys/fs/cgroup/lagwise-bench-$$-$server
      echo +cpu >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || return 1
      mkdir "$group" && awk -v c="$cpus" 'BEGIN { print c * 100000, 100000 }' >"$group/cpu.max" || return 1
    else
      return 1
    fi
    GROUPS_MADE+=("$group")
    cat "$DIR/s$server/pid" >"$group/cgroup.procs" || return 1
  done
}

# free_servers : undoes limit_servers.
free_servers() {
  local group pid
  for group in "${GROUPS_MADE[@]}"; do
    while read -r pid; do echo "$pid" >"${group%/*}/cgroup.procs" || true; done <"$group/cgroup.procs"
    rmdir "$group" || true
  done
  GROUPS_MADE=()
}
