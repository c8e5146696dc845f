#!/usr/bin/env bash
# Two hosts with the example for keepalived: the address goes to the one that is ready, and to the other when
# the first no longer is. In namespaces of its own, so that all is gone when the script ends:
# unshare --net --mount --pid --fork --kill-child --propagation private.
#
#   keepalived.sh EXAMPLE FOLDER
set -euo pipefail
EXAMPLE=$1 FOLDER=$2
ADDRESS=10.0.0.10

mount -t proc proc /proc
# What keepalived knows its processes by; each host has its own.
mount -t tmpfs tmpfs /run

# The second host; the first is this script's own namespace.
mkdir "$FOLDER"/{first,second}
unshare --net sleep infinity &
SECOND=$!

on() {
  local host=$1
  shift
  if [ "$host" = first ]; then "$@"; else nsenter --net="/proc/$SECOND/ns/net" "$@"; fi
}

# within SECONDS WHAT COMMAND… : waits until the command succeeds; else all that was logged, and the end.
within() {
  local what=$2 end=$((SECONDS + $1))
  shift 2
  until "$@"; do
    [ $SECONDS -lt $end ] || {
      echo "not in time: $what" >&2
      cat "$FOLDER"/*/log >&2
      exit 1
    }
    sleep 0.05
  done
}

other_network() {
  [ "$(readlink "/proc/$SECOND/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}

has_address() {
  [ -n "$(on "$1" ip -oneline -4 addr show dev eth0 to "$ADDRESS/32")" ]
}

has_none() {
  ! has_address "$1"
}

ready() {
  on "$1" curl --fail --silent --output /dev/null http://127.0.0.1:9104/readyz
}

# prepare HOST IP : its network, and what answers for lagwise: ready is who has a file of that name.
prepare() {
  on "$1" ip link set lo up
  on "$1" ip addr add "$2/24" dev eth0
  on "$1" ip link set eth0 up
  touch "$FOLDER/$1/readyz"
  on "$1" python3 -m http.server --bind 127.0.0.1 --directory "$FOLDER/$1" 9104 &>"$FOLDER/$1/http" &
  within 10 "$1 is ready" ready "$1"
}

# start HOST IP PEER : keepalived, as the example has it but for these addresses.
start() {
  local folder=$FOLDER/$1
  sed -e "s/unicast_src_ip .*/unicast_src_ip $2/" \
    -e "/unicast_peer {/,/}/s/10\.0\.0\.12/$3/" "$EXAMPLE" >"$folder/keepalived.conf"
  on "$1" keepalived --dont-fork --log-console --log-detail --vrrp --use-file "$folder/keepalived.conf" \
    --pid "/run/$1.pid" --vrrp_pid "/run/$1-vrrp.pid" &>"$folder/log" &
}

within 5 "a second host" other_network
ip link add eth0 type veth peer name eth0 netns "$SECOND"
prepare first 10.0.0.11
prepare second 10.0.0.12
start first 10.0.0.11 10.0.0.12
within 15 "the first host takes the address" has_address first
start second 10.0.0.12 10.0.0.11
within 15 "the second host waits" grep -qs 'Entering BACKUP STATE' "$FOLDER/second/log"
has_address first
has_none second

# Three checks, a second apart, until it is down; the other one is told at once.
rm "$FOLDER/first/readyz"
within 10 "the second host takes the address" has_address second
within 5 "the first host gives it up" has_none first

if grep -hE 'Unknown keyword|WARNING|SECURITY' "$FOLDER"/*/log >&2; then exit 1; fi
echo "moved"
