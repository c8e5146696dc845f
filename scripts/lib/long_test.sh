# shellcheck shell=bash
# For the scripts that run one of the tests for as long as you like: how long, the building, and
# that nothing is left when it ends. Sourced, after common.sh.

# The test program that runs, if any.
LONG_PID=''

# seconds_of DURATION : 90s, 30m or 8h in seconds; fails if it is none.
seconds_of() {
  [[ $1 =~ ^([1-9][0-9]{0,6})([smh])$ ]] || return 1
  case ${BASH_REMATCH[2]} in
    s) echo "${BASH_REMATCH[1]}" ;;
    m) echo $((BASH_REMATCH[1] * 60)) ;;
    h) echo $((BASH_REMATCH[1] * 3600)) ;;
  esac
}

# build_test NAME [MAKE] : fetches the servers, of both makes if none is named, and builds the test;
# its program is in LONG_PROGRAM.
build_test() {
  local make
  cd "$ROOT" || exit
  need cargo cargo
  for make in ${2:-mysql mariadb}; do scripts/servers.sh fetch --make "$make"; done
  run_step "Building the test" cargo test --test "$1" --no-run
  # The log of run_step names the program.
  LONG_PROGRAM=$(sed -n 's/.*Executable .*(\(.*\))$/\1/p' "$LOGS/Building-the-test.log")
  [ -x "$LONG_PROGRAM" ] || die "found no test program in $LOGS/Building-the-test.log"
}

# run_test FILTER LOG : runs the tests with that in their name, and returns their status.
run_test() {
  local status=0
  trap stop_test EXIT
  trap 'say "Stopped."; exit 130' INT TERM
  RUST_BACKTRACE=0 "$LONG_PROGRAM" "$1" --nocapture </dev/null > >(tee "$2") 2>&1 &
  LONG_PID=$!
  wait "$LONG_PID" || status=$?
  LONG_PID=''
  return "$status"
}

# stop_test : ends the test program with what it has started. The servers end by themselves, as the
# program that owns them has ended.
stop_test() {
  local children=() child
  trap - EXIT INT TERM
  if [ -n "$LONG_PID" ] && kill -0 "$LONG_PID" 2>/dev/null; then
    mapfile -t children < <(pgrep -P "$LONG_PID" -x lagwise || true)
    kill -KILL "$LONG_PID" 2>/dev/null || true
    for child in "${children[@]}"; do kill -TERM "$child" 2>/dev/null || true; done
    wait "$LONG_PID" 2>/dev/null || true
    await 60 servers_gone || say "servers are still running in $TARGET/lab/$LONG_PID-*"
    rm -rf "$TARGET/lab/proxy-$LONG_PID-"*
  fi
}

servers_gone() {
  ! compgen -G "$TARGET/lab/$LONG_PID-*" >/dev/null
}
