#!/usr/bin/env bash
# Installs a package into a copy of this system that is gone when the script ends, runs lagwise there as its
# unit says, and removes it again. Within a mount namespace of its own: unshare --mount --propagation private.
#
#   installed.sh PACKAGE CONFIGURATION FOLDER     stops lagwise at the end of standard input
set -euo pipefail
umask 022
PACKAGE=$1 CONFIGURATION=$2 FOLDER=$3

# What is written is in memory, and over this system's own files.
mount -t tmpfs tmpfs "$FOLDER"
mkdir "$FOLDER"/{written,work,root}
ROOT=$FOLDER/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$FOLDER/written,workdir=$FOLDER/work" "$ROOT"
mount --rbind /proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"

inside() {
  chroot "$ROOT" "$@"
}

# expect WHAT WANTED FOUND
expect() {
  [ "$2" = "$3" ] || {
    echo "$1: expected $2, found $3" >&2
    exit 1
  }
}

# install_package : as dpkg does it, but without waiting for disks, and for others who index the files.
install_package() {
  inside dpkg --install --no-triggers --force-unsafe-io --force-confold /lagwise.deb </dev/null
}

rights() {
  inside stat -c '%a %U:%G' "$1"
}

cp "$PACKAGE" "$ROOT/lagwise.deb"
if inside getent passwd lagwise; then
  inside userdel lagwise
fi
install_package
expect "configuration" "640 root:lagwise" "$(rights /etc/lagwise/proxy.toml)"
expect "its folder" "750 root:lagwise" "$(rights /etc/lagwise)"
expect "program" "755 root:root" "$(rights /usr/bin/lagwise)"
expect "shell" /usr/sbin/nologin "$(inside getent passwd lagwise | cut -d: -f7)"
expect "sums" "" "$(inside dpkg --verify lagwise)"

# What the operator wrote, and whom they let read it, is there after the package is installed anew.
printf '%s\n' "$CONFIGURATION" >"$ROOT/etc/lagwise/proxy.toml"
inside chmod 0600 /etc/lagwise/proxy.toml
inside chown lagwise /etc/lagwise/proxy.toml
install_package
expect "configuration after an upgrade" "600 lagwise:lagwise" "$(rights /etc/lagwise/proxy.toml)"
expect "its folder after an upgrade" "750 root:lagwise" "$(rights /etc/lagwise)"
expect "configuration after an upgrade" "$CONFIGURATION" "$(cat "$ROOT/etc/lagwise/proxy.toml")"

unit() {
  sed -n "s/^$1=//p" "$ROOT/usr/lib/systemd/system/lagwise.service"
}
read -ra COMMAND < <(unit ExecStart)
chroot "$ROOT" setpriv --reuid="$(unit User)" --regid="$(unit Group)" --clear-groups --no-new-privs \
  "${COMMAND[@]}" </dev/null &
LAGWISE=$!
cat >/dev/null
expect "user" lagwise "$(inside ps -o user= -p "$LAGWISE")"
kill -TERM "$LAGWISE"
wait "$LAGWISE"

inside dpkg --purge --no-triggers --force-unsafe-io lagwise
expect "files that are left" "" "$(ls -d "$ROOT"/etc/lagwise "$ROOT"/usr/bin/lagwise 2>/dev/null || true)"
echo "all as expected"
