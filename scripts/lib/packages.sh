# shellcheck shell=bash
# Debian packages that the scripts use: tools only, no package that starts a service.

# installed PACKAGE
installed() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# need_packages PACKAGE… : installs those that are missing; asks nothing.
need_packages() {
  local package missing=()
  command -v dpkg-query >/dev/null || {
    say "not a Debian system: assuming that these are installed: $*"
    return 0
  }
  for package in "$@"; do
    installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  run_step "Installing ${missing[*]}" install_packages "${missing[@]}"
}

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  with_retries as_root apt-get -q update || die "apt-get update failed; is the network up?"
  with_retries as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y --no-install-recommends install "$@" || die "apt-get could not install: $*"
}

# need_cargo : cargo, and a C compiler for the crates that need one.
need_cargo() {
  command -v cargo >/dev/null || die "cargo is not installed; see https://rustup.rs"
  command -v cc >/dev/null || need_packages gcc libc6-dev
}

# need_components COMPONENT… : of the Rust toolchain.
need_components() {
  local component
  for component in "$@"; do
    cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 && continue
    command -v rustup >/dev/null || die "cargo has no $component; install that component"
    run_step "Installing $component" with_retries rustup component add "$component"
  done
}
