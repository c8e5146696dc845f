#!/usr/bin/env bash
# Builds the Debian package of lagwise, and prints its path: program, systemd units, the example as
# /etc/lagwise/proxy.toml, manual pages and completions.
#
#   scripts/package.sh [--program FILE] [--output FOLDER]
#
# Without --program it makes a release build. The same program and sources give the same bytes, whoever
# packages them, when and where: all times are SOURCE_DATE_EPOCH, by default that of the last commit.
# MAINTAINER="NAME <ADDRESS>" is whom users of the package should turn to.
#
# It is made by dpkg-deb, which is on every Debian system: the package is a list of files and three short
# scripts (packaging/debian), so a tool like cargo-deb would be one more to install and would leave the
# conffile's group, the manual pages, completions and notices to be done by hand as they are here.

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/notices.sh
source "$ROOT/scripts/lib/notices.sh"

PROGRAM=
OUTPUT=$TARGET/package
while [ $# -gt 0 ]; do
  case $1 in
    --program) PROGRAM=$(realpath "${2:?--program FILE}") ;;
    --output) OUTPUT=${2:?--output FOLDER} ;;
    *) die "usage: scripts/package.sh [--program FILE] [--output FOLDER]" ;;
  esac
  shift 2
done

need cargo cargo
need dpkg-deb dpkg
need dpkg-shlibdeps dpkg-dev
need strip binutils
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$ROOT" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH LC_ALL=C TZ=UTC
umask 022

# build : the program, without this machine's paths in it. In a folder of its own, since other flags would
# build everything anew next time.
build() {
  local cargo_home=${CARGO_HOME:-$HOME/.cargo}
  export CARGO_TARGET_DIR=$TARGET/package-build CARGO_INCREMENTAL=0
  export RUSTFLAGS="--remap-path-prefix=$ROOT=/usr/src/lagwise --remap-path-prefix=$cargo_home=/usr/src/cargo"
  export CFLAGS="-ffile-prefix-map=$cargo_home=/usr/src/cargo -ffile-prefix-map=$CARGO_TARGET_DIR=/usr/src/target"
  run_step "Building lagwise" cargo build --release --locked --manifest-path "$ROOT/Cargo.toml"
  PROGRAM=$CARGO_TARGET_DIR/release/lagwise
}

# place MODE SOURCE TARGET : a file in the package.
place() {
  install -D -m "$1" "$2" "$TREE/$3"
}

# generate TARGET ARGUMENT… : a file in the package that the program prints.
generate() {
  local target=$TREE/$1
  shift
  mkdir -p "$(dirname "$target")"
  "$PROGRAM" "$@" >"$target"
}

# fill : everything but the description.
fill() {
  local units=usr/lib/systemd/system share=usr/share unit command
  place 0755 "$PROGRAM" usr/bin/lagwise
  # Names of functions stay, for backtraces and profilers; the lines of the sources go.
  strip --strip-debug "$TREE/usr/bin/lagwise"
  for unit in lagwise.service lagwise@.service lagwise.socket; do
    place 0644 "$ROOT/systemd/$unit" "$units/$unit"
  done
  place 0644 "$ROOT/systemd/lagwise.sysusers.conf" usr/lib/sysusers.d/lagwise.conf
  # Its group is set when the package is installed: until then nobody knows its number.
  place 0640 "$ROOT/proxy.toml.example" etc/lagwise/proxy.toml
  chmod 0750 "$TREE/etc/lagwise"
  generate $share/bash-completion/completions/lagwise completions bash
  generate $share/zsh/vendor-completions/_lagwise completions zsh
  generate $share/fish/vendor_completions.d/lagwise.fish completions fish
  generate $share/man/man1/lagwise.1 man
  # The page of the program names the others.
  while read -r command; do
    generate "$share/man/man1/lagwise-$command.1" man "$command"
  done < <(sed -n 's/^lagwise\\-\([a-z]*\)(1)$/\1/p' "$TREE/$share/man/man1/lagwise.1")
  place 0644 "$ROOT/packaging/debian/copyright" $share/doc/lagwise/copyright
  place 0644 "$ROOT/CHANGELOG.md" $share/doc/lagwise/changelog
  place 0644 "$ROOT/systemd/notify-reload.conf" $share/doc/lagwise/examples/notify-reload.conf
  notices >"$TREE/$share/doc/lagwise/NOTICES"
  gzip -9n "$TREE/$share"/man/man1/* "$TREE/$share"/doc/lagwise/{changelog,NOTICES}
}

# depends : the libraries of the system that the program needs.
depends() {
  mkdir "$WORK/debian"
  printf 'Source: lagwise\n\nPackage: lagwise\nArchitecture: any\n' >"$WORK/debian/control"
  (cd "$WORK" && dpkg-shlibdeps -O "$TREE/usr/bin/lagwise" 2>"$WORK/shlibdeps.log") |
    sed -n 's/^shlibs:Depends=//p'
}

# describe : the package's own description, its scripts and sums.
describe() {
  local control=$TREE/DEBIAN depends size
  depends=$(depends)
  [ -n "$depends" ] || die "dpkg-shlibdeps finds no libraries: $(cat "$WORK/shlibdeps.log")"
  # Of the files alone: the size of a folder is the file system's affair.
  size=$(find "$TREE" -type f -printf '%s\n' | awk '{ sum += $1 } END { print int((sum + 1023) / 1024) }')
  mkdir "$control"
  sed -e "s/@VERSION@/$VERSION/" -e "s/@ARCHITECTURE@/$(dpkg --print-architecture)/" \
    -e "s/@DEPENDS@/$depends/" -e "s/@SIZE@/$size/" \
    -e "s/@MAINTAINER@/${MAINTAINER:-The lagwise project <root@localhost>}/" \
    "$ROOT/packaging/debian/control" >"$control/control"
  install -m 0644 "$ROOT/packaging/debian/conffiles" "$control/conffiles"
  install -m 0755 "$ROOT"/packaging/debian/{postinst,prerm,postrm} "$control"
  (cd "$TREE" && find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\0' |
    sort -z | xargs -0 md5sum) >"$control/md5sums"
  chmod 0644 "$control/control" "$control/md5sums"
}

[ -n "$PROGRAM" ] || build
VERSION=$("$PROGRAM" --version)
VERSION=${VERSION#lagwise }
mkdir -p "$TARGET" "$OUTPUT"
WORK=$(mktemp -d "$TARGET/package-XXXXXX")
trap 'rm -rf "$WORK"' EXIT
TREE=$WORK/tree
# mktemp lets nobody else in, and the package's root folder would do the same.
mkdir -m 0755 "$TREE"
fill
describe
find "$TREE" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
PACKAGE=$OUTPUT/lagwise_${VERSION}_$(dpkg --print-architecture).deb
# One thread: several give other bytes.
dpkg-deb --build --root-owner-group -Zzstd -z9 --threads-max=1 "$TREE" "$PACKAGE" >/dev/null
printf '%s\n' "$PACKAGE"
