#!/usr/bin/env bash
# Builds the Debian package of lagwise, and prints its path: program, systemd units, the example as
# /etc/lagwise/proxy.toml, manual pages and completions.
#
#   scripts/package.sh [--program FILE] [--output FOLDER] [--fast]
#
# With --fast it is made in seconds, and larger. Without --program it makes a release build. The same program and sources give the same bytes, whoever
# packages them, when and where: all times are SOURCE_DATE_EPOCH, by default that of the last commit.
# MAINTAINER="NAME <ADDRESS>" is whom users of the package should turn to.
#
# It is made by cargo-deb as Cargo.toml says ([package.metadata.deb]), which is installed under target/ if
# there is none; that takes some minutes once.

# shellcheck source=lib/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib/common.sh"
# shellcheck source=lib/cargo_deb.sh
source "$ROOT/scripts/lib/cargo_deb.sh"
# shellcheck source=lib/notices.sh
source "$ROOT/scripts/lib/notices.sh"

PROGRAM=
OUTPUT=$TARGET/package
OPTIONS=()
while [ $# -gt 0 ]; do
  case $1 in
    --program) PROGRAM=$(realpath "${2:?--program FILE}") ;;
    --output) OUTPUT=${2:?--output FOLDER} ;;
    --fast)
      OPTIONS+=(--fast)
      shift
      continue
      ;;
    *) die "usage: scripts/package.sh [--program FILE] [--output FOLDER] [--fast]" ;;
  esac
  shift 2
done

need cargo cargo
need dpkg-shlibdeps dpkg-dev
need strip binutils
need flock util-linux
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

# generate FILE ARGUMENT… : what the program prints.
generate() {
  local file=$FILES/$1
  shift
  mkdir -p "$(dirname "$file")"
  "$PROGRAM" "$@" >"$file"
}

# fill : what Cargo.toml names under target/release/packaged.
fill() {
  local command
  rm -rf "$FILES"
  mkdir -p "$FILES/doc"
  cp "$PROGRAM" "$FILES/lagwise"
  # Names of functions stay, for backtraces and profilers; the lines of the sources go.
  strip --strip-debug "$FILES/lagwise"
  for command in bash zsh fish; do generate "lagwise.$command" completions "$command"; done
  generate man1/lagwise.1 man
  # The page of the program names the others.
  while read -r command; do
    generate "man1/lagwise-$command.1" man "$command"
  done < <(sed -n 's/^lagwise\\-\([a-z]*\)(1)$/\1/p' "$FILES/man1/lagwise.1")
  cp "$ROOT/CHANGELOG.md" "$FILES/doc/changelog"
  notices >"$FILES/doc/NOTICES"
  gzip -9n "$FILES"/man1/* "$FILES"/doc/*
}

need_cargo_deb
[ -n "$PROGRAM" ] || build
export CARGO_TARGET_DIR=$TARGET
FILES=$TARGET/release/packaged
mkdir -p "$OUTPUT" "$TARGET/release"
# One at a time: they have one folder.
exec {LOCK}>"$TARGET/release/packaged.lock"
flock "$LOCK"
fill
VERSION=$("$PROGRAM" --version)
PACKAGE=$OUTPUT/lagwise_${VERSION#lagwise }_$(dpkg --print-architecture).deb
cargo deb --quiet --manifest-path "$ROOT/Cargo.toml" --no-build --no-strip --locked "${OPTIONS[@]}" \
  --maintainer "${MAINTAINER:-The lagwise project <root@localhost>}" --output "$PACKAGE" >&2
printf '%s\n' "$PACKAGE"
