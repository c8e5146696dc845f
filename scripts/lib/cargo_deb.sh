# shellcheck shell=bash
# cargo-deb, of which the version decides on the bytes of a package. Sourced, after common.sh.

CARGO_DEB=3.8.0

# need_cargo_deb : makes `cargo deb` that version, installed under target/ if it is not there.
need_cargo_deb() {
  export PATH=$TARGET/tools/bin:$PATH
  if [ "$(cargo deb --version 2>/dev/null)" != "cargo-deb $CARGO_DEB" ]; then
    # With a compressor of its own: the system's may give other bytes.
    run_step "Installing cargo-deb" cargo install cargo-deb --version "$CARGO_DEB" --locked \
      --features static-lzma --root "$TARGET/tools"
  fi
}
