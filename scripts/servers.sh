#!/usr/bin/env bash
# Real servers for the demo, the tests and the benchmark: a primary and its replicas
# with GTID replication, on 127.0.0.1, in a folder of their own. Nothing of the system
# is touched; only processes that were started here are ever ended.
#
#   servers.sh fetch   --make mysql|mariadb
#   servers.sh start   --make mysql|mariadb --dir DIR [--replicas N] [--owner PID] [--no-fetch]
#                      [--set name=value]… [--hosts] [--disk MIB]
#   servers.sh restart --dir DIR --server I      # after a kill, or instead of one
#   servers.sh cable   --dir DIR --server I up|down
#   servers.sh stop    --dir DIR [--remove]
#
# `start` returns when every replica has applied what the primary wrote, and leaves
# DIR/env: lines KEY=value with ports, sockets and process ids. Server 0 is the primary;
# server I has server_id I + 1. With --owner, the servers end and DIR goes when that process ends.
# --set passes an option to every server; --set I:name=value to server I alone.
# --hosts gives each server a host of its own (a network namespace), whose cable can be pulled out;
# --disk a disk of so many MiB for its data. Both need root.
# MYSQLD=/path or MARIADBD=/path name an installed server instead of a fetched one.

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/fetch.sh
source "$ROOT/scripts/lib/fetch.sh"
# shellcheck source=lib/hosts.sh
source "$ROOT/scripts/lib/hosts.sh"
# shellcheck source=lib/mysql.sh
source "$ROOT/scripts/lib/mysql.sh"
# shellcheck source=lib/mariadb.sh
source "$ROOT/scripts/lib/mariadb.sh"

READY_SECONDS=90

usage() {
  sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

# ---- arguments

COMMAND=${1:-}
[ $# -gt 0 ] && shift
MAKE='' DIR='' REPLICAS=2 OWNER='' SERVER_INDEX='' REMOVE='' HOSTS='' DISK='' CABLE=''
# The network of the hosts of their own, if they have any.
SUBNET=''
SETTINGS=()
while [ $# -gt 0 ]; do
  case $1 in
    --remove) REMOVE=yes ;;
    --hosts) HOSTS=yes ;;
    up | down) CABLE=$1 ;;
    --no-fetch) export NO_FETCH=yes ;;
    --*=*)
      # --name=value is --name value.
      set -- "$1" "${1%%=*}" "${1#*=}" "${@:2}"
      ;;
    --make | --dir | --replicas | --owner | --server | --set | --disk)
      [ $# -ge 2 ] || usage
      case $1 in
        --make) MAKE=$2 ;;
        --dir) DIR=$2 ;;
        --replicas) REPLICAS=$2 ;;
        --owner) OWNER=$2 ;;
        --server) SERVER_INDEX=$2 ;;
        --set) SETTINGS+=("$2") ;;
        --disk) DISK=$2 ;;
      esac
      shift
      ;;
    *) usage ;;
  esac
  shift
done

# need_make : checks --make and finds or fetches its programs.
need_make() {
  case $MAKE in mysql | mariadb) ;; *) die "--make is mysql or mariadb" ;; esac
  RUN_AS=()
  if [ "$(id -u)" = 0 ]; then RUN_AS=(--user=root); fi
  "${MAKE}_programs"
  "${MAKE}_options"
}

# need_dir : --dir as an absolute path.
need_dir() {
  [ -n "$DIR" ] || usage
  case $DIR in /*) ;; *) DIR=$PWD/$DIR ;; esac
}

# ---- one server

# mark I : what the command line of server I holds and no other process's does.
mark() {
  printf -- '--datadir=%s/s%s/data' "$DIR" "$1"
}

pid_of() {
  cat "$DIR/s$1/pid" 2>/dev/null || true
}

# spawn I : starts server I from its saved command line, out of reach of a Ctrl-C at
# the terminal, and without this script's descriptors.
spawn() {
  local command
  mapfile -d '' command <"$DIR/s$1/command"
  setsid "${command[@]}" </dev/null >>"$DIR/s$1/output.log" 2>&1 &
  echo $! >"$DIR/s$1/pid"
  # Until it has become what it is to run, it has this script's command line, and would be
  # taken for gone.
  await 30 begun "$1" || die "server $1 was not started"
}

# begun I : the process of server I runs the server, or has ended already.
begun() {
  alive "$(pid_of "$1")" "$(mark "$1")" || ! kill -0 "$(pid_of "$1")" 2>/dev/null
}

# client SOCKET [OPTION…] : the make's own client, as root, SQL from standard input.
client() {
  local socket=$1
  shift
  "$CLIENT" --no-defaults --user=root --socket="$socket" --batch --skip-column-names "$@"
}

# query I SQL : prints the answer.
query() {
  client "$SOCKETS/s$1.sock" <<<"$2"
}

answers() {
  query "$1" 'SELECT 1' >/dev/null 2>&1
}

# settled I : true when server I answers, or has ended.
settled() {
  if [ -S "$SOCKETS/s$1.sock" ] && answers "$1"; then return 0; fi
  gone "$(pid_of "$1")" "$(mark "$1")"
}

# bring_up I : waits until a spawned server answers.
bring_up() {
  await "$READY_SECONDS" settled "$1" || {
    tail_logs "$1"
    die "server $1 does not answer after $READY_SECONDS s"
  }
  answers "$1"
}

tail_logs() {
  tail -n 30 "$DIR/s$1/error.log" "$DIR/s$1/output.log" 2>/dev/null | sed 's/^/    /' >&2 || true
}

# write_command I PORT : what server I is run with.
write_command() {
  local index=$1 port=$2 role=() set host on_host
  host=$(host_of "$index")
  mapfile -t on_host < <(on_host "$index")
  if [ "$index" != 0 ]; then
    "${MAKE}_replica_options"
    role=("${REPLICA_OPTIONS[@]}")
  fi
  local command=(
    "${on_host[@]}" "$SERVER" --no-defaults "${SERVER_BASE[@]}" "${RUN_AS[@]}" "$(mark "$index")"
    --port="$port" --bind-address="$host" --socket="$SOCKETS/s$index.sock"
    --pid-file="$DIR/s$index/server.pid" --log-error="$DIR/s$index/error.log"
    --general-log-file="$DIR/s$index/general.log" --tmpdir="$DIR/s$index/tmp"
    --secure-file-priv="$DIR/s$index/tmp"
    --server-id=$((index + 1)) --log-bin=binlog
    --report-host="$host" --report-port="$port"
    --skip-name-resolve --local-infile=ON --log-bin-trust-function-creators=ON
    --innodb-buffer-pool-size=64M --innodb-flush-log-at-trx-commit=0 --sync-binlog=0
    --key-buffer-size=1M --table-open-cache=400 --max-connections=500
    --max-allowed-packet=64M
    # Tests compare status flags, and SERVER_QUERY_WAS_SLOW would be a matter of the machine's load.
    --long-query-time=3600
    "${MAKE_OPTIONS[@]}" "${role[@]}"
  )
  for set in "${SETTINGS[@]}"; do
    case $set in
      [0-9]*:*) if [ "${set%%:*}" = "$index" ]; then command+=("--${set#*:}"); fi ;;
      *) command+=("--$set") ;;
    esac
  done
  printf '%s\0' "${command[@]}" >"$DIR/s$index/command"
}

# start_server I : fresh port, spawn, wait; once more when another program took the port.
start_server() {
  local index=$1 port
  for _ in 1 2 3; do
    port=$(free_port)
    echo "$port" >"$DIR/s$index/port"
    write_command "$index" "$port"
    spawn "$index"
    if bring_up "$index"; then return 0; fi
    grep -qsE "Address already in use|Do you already have another" "$DIR/s$index/error.log" || break
  done
  tail_logs "$index"
  die "server $index ($MAKE) did not start; its log: $DIR/s$index/error.log"
}

# ---- the template data folder

# template : folder with an initialised data folder and the fixture in it. Made once for
# a server version and these scripts, then only copied.
template() {
  local key
  key=$({ "$SERVER" --version; cat "$ROOT"/scripts/lib/{fixture.sql,mysql.sh,mariadb.sh} "$ROOT/scripts/servers.sh"; } | cksum | cut -d' ' -f1)
  TEMPLATE=$TARGET/servers/template-$MAKE-$key
  [ -e "$TEMPLATE/complete" ] || locked "template-$MAKE" make_template_once
}

make_template_once() {
  [ -e "$TEMPLATE/complete" ] || run_step "Initialising a $MAKE data folder" make_template
}

make_template() {
  local DIR=$TEMPLATE.new SOCKETS
  rm -rf "$DIR" "$TARGET/servers/template-$MAKE-"*
  mkdir -p "$DIR/s0/tmp"
  SOCKETS=$(mktemp -d "${TMPDIR:-/tmp}/lw.XXXXXX")
  # run_step runs this in a subshell of its own.
  trap 'end_process "$(pid_of 0)" "$(mark 0)" 0; rm -rf "$SOCKETS"' EXIT
  "${MAKE}_initialise" "$DIR/s0/data" >"$DIR/initialise.log" 2>&1 || {
    tail -n 30 "$DIR/initialise.log" >&2
    die "could not initialise a data folder for $MAKE"
  }
  # Without a binary log: all copies begin equal, with no transaction to replicate.
  local SETTINGS=(skip-log-bin)
  if [ "$MAKE" = mysql ]; then SETTINGS+=(gtid-mode=OFF enforce-gtid-consistency=OFF log-replica-updates=OFF); fi
  start_server 0
  { cat "$ROOT/scripts/lib/fixture.sql"; "${MAKE}_accounts"; } | client "$SOCKETS/s0.sock" \
    || die "could not create accounts and tables on $MAKE"
  end_process "$(pid_of 0)" "$(mark 0)" 30
  rm -f "$DIR/s0/data/auto.cnf"
  mv "$DIR" "$TEMPLATE"
  touch "$TEMPLATE/complete"
}

# ---- commands

write_env() {
  local i
  {
    echo "MAKE=$MAKE"
    echo "COUNT=$((REPLICAS + 1))"
    echo "SOCKETS=$SOCKETS"
    echo "CLIENT=$CLIENT"
    echo "SUBNET=$SUBNET"
    for i in $(seq 0 "$REPLICAS"); do
      echo "S${i}_HOST=$(host_of "$i")"
      echo "S${i}_PORT=$(cat "$DIR/s$i/port")"
      echo "S${i}_SOCKET=$SOCKETS/s$i.sock"
      echo "S${i}_PID=$(pid_of "$i")"
      echo "S${i}_DIR=$DIR/s$i"
    done
  } >"$DIR/env.new"
  mv "$DIR/env.new" "$DIR/env"
}

# read_env : what start wrote; the values are data, so the file is not sourced.
read_env() {
  local key value
  [ -r "$DIR/env" ] || die "$DIR holds no servers"
  while IFS='=' read -r key value; do
    case $key in
      MAKE) MAKE=$value ;;
      COUNT) REPLICAS=$((value - 1)) ;;
      SOCKETS) SOCKETS=$value ;;
      CLIENT) CLIENT=$value ;;
      SUBNET) SUBNET=$value ;;
    esac
  done <"$DIR/env"
}

# watch_owner : in the background, ends the servers when the owner has ended in
# whatever way, and the folder has not been stopped before.
watch_owner() {
  # shellcheck disable=SC2016  # expanded by the inner shell
  setsid bash -c '
    tail --pid="$1" -f /dev/null
    exec "$2" stop --dir "$3" --remove
  ' watch-owner "$OWNER" "$ROOT/scripts/servers.sh" "$DIR" </dev/null >/dev/null 2>&1 &
  echo $! >"$DIR/watch.pid"
}

start() {
  local i jobs=() job position
  need_make
  need_dir
  [ ! -e "$DIR/env" ] || die "$DIR holds servers already; stop them first"
  mkdir -p "$DIR"
  template
  SOCKETS=$(mktemp -d "${TMPDIR:-/tmp}/lw.XXXXXX")
  trap 'stop_all 0; remove_disks "$DIR"' EXIT
  write_env_early
  if [ -n "$OWNER" ]; then watch_owner; fi
  if [ -n "$HOSTS" ]; then make_hosts $((REPLICAS + 1)); fi
  for i in $(seq 0 "$REPLICAS"); do
    mkdir -p "$DIR/s$i/tmp" "$DIR/s$i/data"
    if [ -n "$DISK" ]; then make_disk "$DIR/s$i/data" "$DISK"; fi
    cp -r --reflink=auto "$TEMPLATE/s0/data/." "$DIR/s$i/data"
    start_server "$i" &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || die "not all servers started"; done
  # One real transaction, so that "caught up" says something.
  query 0 "CREATE DATABASE lab_started"
  for i in $(seq 1 "$REPLICAS"); do
    query "$i" "$("${MAKE}_follow" "$(host_of 0)" "$(cat "$DIR/s0/port")")"
  done
  position=$(query 0 "$("${MAKE}_position")")
  for i in $(seq 1 "$REPLICAS"); do
    [ "$(query "$i" "$("${MAKE}_applied" "$position" 60)")" = 0 ] || {
      tail_logs "$i"
      die "replica $i does not follow the primary"
    }
  done
  write_env
  trap - EXIT
  cat "$DIR/env"
}

# write_env_early : enough for `stop` to find everything should we be killed midway.
write_env_early() {
  printf 'MAKE=%s\nCOUNT=%s\nSOCKETS=%s\nCLIENT=%s\n' "$MAKE" $((REPLICAS + 1)) "$SOCKETS" "$CLIENT" >"$DIR/env"
}

# stop_all SECONDS : ends every server; those that ignore SIGTERM for so long are killed.
stop_all() {
  local i jobs=() job
  for i in $(seq 0 "$REPLICAS"); do
    end_process "$(pid_of "$i")" "$(mark "$i")" "$1" &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || true; done
  remove_hosts "$SOCKETS"
  rm -rf "$SOCKETS"
  rm -f "$DIR/env"
}

remove_dir() {
  remove_disks "$DIR"
  rm -rf "$DIR"
}

stop() {
  local watcher
  need_dir
  if [ ! -r "$DIR/env" ]; then
    # Stopped before; only ever remove a folder that start has made.
    if [ -n "$REMOVE" ] && [ -e "$DIR/s0/command" ]; then remove_dir; fi
    return 0
  fi
  read_env
  watcher=$(cat "$DIR/watch.pid" 2>/dev/null || true)
  # Not when we are what the watcher became.
  if [ "$watcher" != $$ ] && alive "$watcher" watch-owner; then kill -TERM -- "-$watcher"; fi
  # What is to be thrown away needs no orderly end.
  if [ -n "$REMOVE" ]; then
    stop_all 0
    remove_dir
  else
    stop_all 30
  fi
}

restart() {
  need_dir
  read_env
  [ -n "$SERVER_INDEX" ] || usage
  end_process "$(pid_of "$SERVER_INDEX")" "$(mark "$SERVER_INDEX")" 30
  # A killed server leaves its lock file, and its process id may still be taken.
  rm -f "$SOCKETS/s$SERVER_INDEX.sock" "$SOCKETS/s$SERVER_INDEX.sock.lock"
  spawn "$SERVER_INDEX"
  bring_up "$SERVER_INDEX" || {
    tail_logs "$SERVER_INDEX"
    die "server $SERVER_INDEX did not start again"
  }
  write_env
}

cable() {
  need_dir
  read_env
  if [ -z "$SERVER_INDEX" ] || [ -z "$CABLE" ]; then usage; fi
  set_cable "$SERVER_INDEX" "$CABLE"
}

case $COMMAND in
  fetch) need_make ;;
  start) start ;;
  restart) restart ;;
  cable) cable ;;
  stop) stop ;;
  *) usage ;;
esac
