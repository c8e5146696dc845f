# shellcheck shell=bash
# Servers on hosts of their own: each in a network namespace behind a cable that can be pulled out, so
# that nothing comes from there any more: no answer, no refusal, no acknowledgement. The cables meet in a
# namespace of their own, whose firewall nobody has set up. Needs root.

# net_of SOCKETS : what the names of these servers' namespaces begin with.
net_of() {
  printf 'lw-%s' "${1##*.}"
}

# host_of I : the address of server I.
host_of() {
  if [ -n "$SUBNET" ]; then echo "$SUBNET.$(($1 + 1))"; else echo 127.0.0.1; fi
}

# on_host I : what a program is begun with to run on the host of server I, a word a line.
on_host() {
  if [ -n "$SUBNET" ]; then printf '%s\n' nsenter "--net=/run/netns/$(net_of "$SOCKETS")-$1"; fi
}

# make_hosts COUNT : sets SUBNET.
make_hosts() {
  need ip iproute2
  need nsenter util-linux
  [ "$(id -u)" = 0 ] || die "servers on hosts of their own (network namespaces) need root"
  local net number i
  net=$(net_of "$SOCKETS")
  ip netns add "$net-hub"
  # Of the networks for measurements between hosts (RFC 2544). That the name of a cable can be there
  # once only keeps two labs from taking the same.
  for number in $(seq 0 255 | shuf); do
    SUBNET=198.18.$number
    [ -z "$(ip -o -4 addr show to "$SUBNET.0/24")" ] || continue
    ip link add "lab-$number" type veth peer name here netns "$net-hub" 2>/dev/null && break
    SUBNET=''
  done
  [ -n "$SUBNET" ] || die "found no network for the servers' hosts within 198.18.0.0/16"
  ip -n "$net-hub" link add hub type bridge
  ip -n "$net-hub" link set hub up
  ip -n "$net-hub" link set here master hub up
  ip addr add "$SUBNET.254/24" dev "lab-$number"
  ip link set "lab-$number" up
  for ((i = 0; i < $1; i++)); do
    ip netns add "$net-$i"
    ip -n "$net-hub" link add "s$i" type veth peer name cable netns "$net-$i"
    ip -n "$net-hub" link set "s$i" master hub up
    ip -n "$net-$i" addr add "$(host_of "$i")/24" dev cable
    ip -n "$net-$i" link set cable up
  done
}

# remove_hosts SOCKETS : the hosts of these servers, if they have any.
remove_hosts() {
  local net name
  net=$(net_of "$1")
  for name in "$net-hub" "$net"-{0..9}; do
    if [ -e "/run/netns/$name" ]; then ip netns del "$name"; fi
  done
}

# set_cable I up|down : puts the cable of server I in, or pulls it out.
set_cable() {
  [ -n "$SUBNET" ] || die "these servers have no hosts of their own (start --hosts)"
  ip -n "$(net_of "$SOCKETS")-hub" link set "s$1" "$2"
}

# ---- disks of their own, which can be full

# make_disk FOLDER MIB : a disk of that size, in memory.
make_disk() {
  [ "$(id -u)" = 0 ] || die "servers with disks of their own need root"
  mount -t tmpfs -o "size=$2m,mode=0755" lagwise-lab "$1"
}

# remove_disks FOLDER : those of the servers in a folder.
remove_disks() {
  local data
  for data in "$1"/s*/data; do
    if mountpoint -q "$data"; then umount --lazy "$data"; fi
  done
}
