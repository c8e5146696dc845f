#!/usr/bin/env bash
# Installs a package into a copy of this system that is gone when the script ends, boots systemd there, and has
# it start, reload, replace, activate and stop lagwise as docs/packaging.md says. As root.
#
#   systemd.sh PACKAGE CLIENT SOCKET FOLDER     SOCKET is that of a primary
set -euo pipefail
umask 022
PACKAGE=$1 CLIENT=$2 SOCKET=$3 FOLDER=$4
ROOT=$FOLDER/root

# begin : in namespaces of its own, becomes the first process of the copy.
begin() {
  local node
  mount -t tmpfs tmpfs "$FOLDER"
  mkdir "$FOLDER"/{written,work,root}
  mount -t overlay overlay -o "lowerdir=/,upperdir=$FOLDER/written,workdir=$FOLDER/work" "$ROOT"
  mount -t proc proc "$ROOT/proc"
  # What is set there is set for this system, too.
  mount --bind "$ROOT/proc/sys" "$ROOT/proc/sys"
  mount -o remount,ro,bind "$ROOT/proc/sys"
  mount -t sysfs -o ro sysfs "$ROOT/sys"
  mount -t cgroup2 cgroup2 "$ROOT/sys/fs/cgroup"
  mount -t tmpfs -o mode=755 tmpfs "$ROOT/run"
  mount -t tmpfs -o mode=755 tmpfs "$ROOT/dev"
  for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "$ROOT/dev/${node%:*}" c 1 "${node#*:}"
  done
  mknod -m 666 "$ROOT/dev/tty" c 5 0
  mkdir "$ROOT"/dev/{shm,pts}
  mount -t devpts devpts "$ROOT/dev/pts"
  ln -s pts/ptmx "$ROOT/dev/ptmx"
  ln -s /proc/self/fd "$ROOT/dev/fd"
  # Nothing is started but what is asked for here.
  rm -rf "$ROOT"/etc/systemd/system/*.wants
  mkdir "$ROOT/old"
  # The folder lets nobody in but root.
  touch "$ROOT/run/primary.sock"
  mount --bind "$SOCKET" "$ROOT/run/primary.sock"
  cp "$PACKAGE" "$ROOT/lagwise.deb"
  if chroot "$ROOT" getent passwd lagwise; then chroot "$ROOT" userdel lagwise; fi
  chroot "$ROOT" dpkg --install --no-triggers --force-unsafe-io /lagwise.deb </dev/null
  ip link set lo up
  cd "$ROOT"
  # Not chroot: within that nobody may make user namespaces, as PrivateUsers= does.
  pivot_root . old
  umount -l old
  exec env -i container=lagwise-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=basic.target --log-target=console --show-status=no
}

if [ "${5:-}" = begin ]; then begin; fi

unshare --mount --pid --fork --kill-child --net --uts --ipc --cgroup --propagation private \
  bash "$0" "$@" begin </dev/null &
BOOTED=$!
trap 'kill -KILL "$BOOTED" 2>/dev/null || true' EXIT

# expect WHAT WANTED COMMAND… : what the command prints, within ten seconds.
expect() {
  local what=$1 wanted=$2 found='' _
  shift 2
  for _ in $(seq 100); do
    found=$("$@" 2>&1) || true
    # shellcheck disable=SC2053  # a pattern
    if [[ $found == $wanted ]]; then
      return 0
    fi
    sleep 0.1
  done
  echo "$what: expected $wanted, found $found" >&2
  inside systemctl status --no-pager --lines 50 lagwise >&2 || true
  exit 1
}

# inside COMMAND… : in the copy.
inside() {
  local first
  first=$(<"/proc/$BOOTED/task/$BOOTED/children")
  nsenter --target "${first% }" --mount --pid --net --uts --ipc --cgroup "$@"
}

# query ARGUMENT… : through lagwise, as the application.
query() {
  inside env MYSQL_PWD=app_password "$CLIENT" --no-defaults --user=app --batch --skip-column-names "$@" \
    --execute='SELECT 40 + 2'
}

show() {
  inside systemctl show --value --property "$1" lagwise
}

expect "the system" running inside systemctl is-system-running
inside tee /etc/lagwise/proxy.toml >/dev/null <<'TOML'
listen = ["0.0.0.0:3307", "unix:/run/lagwise/mysql.sock"]
primary = "unix:/run/primary.sock"
replicas = []
monitor.user = "monitor"
monitor.password = "monitor_password"
TOML
expect "what systemd has to say of the units" "" inside systemd-analyze verify \
  /usr/lib/systemd/system/lagwise.service /usr/lib/systemd/system/lagwise.socket
inside systemctl enable --now lagwise
expect "state" active show ActiveState
expect "query" 42 query --socket=/run/lagwise/mysql.sock

inside systemctl reload lagwise
expect "log" "*reloaded, nothing has changed*" inside journalctl --no-pager --unit lagwise
expect "state after a reload" active show ActiveState

FIRST=$(show MainPID)
inside systemctl kill --kill-who=main --signal=SIGUSR2 lagwise
expect "the first process is gone" "" inside ps -o pid= -p "$FIRST"
expect "state after an upgrade" active show ActiveState
[ "$(show MainPID)" != "$FIRST" ] || { echo "the main process is still $FIRST" >&2; exit 1; }
expect "query after an upgrade" 42 query --socket=/run/lagwise/mysql.sock

inside systemctl stop lagwise
expect "state when stopped" inactive show ActiveState
expect "result" success show Result
inside systemctl start lagwise.socket
expect "query that activates" 42 query --host=127.0.0.1 --port=3307
expect "state when activated" active show ActiveState
inside systemctl restart lagwise
expect "query after a restart" 42 query --host=127.0.0.1 --port=3307

inside dpkg --remove --no-triggers --force-unsafe-io lagwise
expect "state when removed" inactive show ActiveState
echo "all as expected"
