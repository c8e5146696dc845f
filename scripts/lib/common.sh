# shellcheck shell=bash
# What every script here shares: where things are, how progress is shown, how a
# condition is waited for. Sourced, never run.
#
# Everything that is fetched, built or written by a run lives under $TARGET.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
LOGS=$TARGET/log
export ROOT TARGET LOGS

# say TEXT… : one line of progress, on standard error so that results stay clean.
say() {
  printf '%s\n' "$*" >&2
}

# die TEXT… : says what failed and ends the script.
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# need COMMAND PACKAGE : fails with the package to install when a command is missing.
need() {
  command -v "$1" >/dev/null || die "'$1' is not installed (Debian package: $2)"
}

# as_root COMMAND… : runs as root, by sudo when we are not.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -n "$@" || die "needs root: 'sudo $1 …' failed; run as root or allow sudo"
  else
    die "needs root to run '$*', and there is no sudo"
  fi
}

# await SECONDS COMMAND… : waits until the command succeeds; fails at the deadline.
await() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}

# clock : milliseconds since the epoch.
clock() {
  date +%s%3N
}

# seconds_since MS : elapsed time for people, with one decimal.
seconds_since() {
  local ms=$(($(clock) - $1))
  printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
}

# run_step LABEL COMMAND… : runs a long command with its output in a log file,
# shows that it is alive, and on failure prints the end of that log.
run_step() {
  local label=$1 log started status=0 pid beat
  shift
  mkdir -p "$LOGS"
  log=$LOGS/$(printf '%s' "$label" | tr -cs 'A-Za-z0-9' '-').log
  started=$(clock)
  printf '==> %s ' "$label" >&2
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  beat=$((SECONDS + 2))
  while kill -0 "$pid" 2>/dev/null; do
    if [ "$SECONDS" -ge "$beat" ]; then
      printf '.' >&2
      beat=$((SECONDS + 2))
    fi
    sleep 0.1
  done
  wait "$pid" || status=$?
  if [ "$status" != 0 ]; then
    printf ' FAILED after %s\n' "$(seconds_since "$started")" >&2
    tail -n 60 "$log" | sed 's/^/    /' >&2
    die "'$label' failed with status $status; whole log: $log"
  fi
  printf ' %s\n' "$(seconds_since "$started")" >&2
}

# free_port : a TCP port on 127.0.0.1 that nothing listens on now. Below the
# ephemeral range, so that no outgoing connection takes it; the caller still
# retries when another program was faster.
free_port() {
  local port
  for _ in $(seq 200); do
    port=$((15000 + (RANDOM * 32768 + RANDOM) % 16000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
  die "found no free TCP port on 127.0.0.1"
}

# alive PID MARK : true when the process exists and its command line holds MARK,
# so that a reused process id is never taken for ours.
alive() {
  local line
  [ -n "$1" ] || return 1
  # Read once: between two looks it may have become another program.
  line=$({ tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null) || return 1
  case $line in *"$2"*) return 0 ;; esac
  # For a moment, while a process becomes another program, its command line is empty. So is that
  # of one that has ended and was not waited for, but for good.
  [ -z "$line" ] && grep -q '^State:[[:space:]]*[^ZX]' "/proc/$1/status" 2>/dev/null
}

# end_process PID MARK SECONDS : SIGTERM, and SIGKILL when it has not ended in time.
# With 0 seconds it is killed at once.
end_process() {
  alive "$1" "$2" || return 0
  # A stopped process acts on no SIGTERM until it is continued.
  kill -CONT "$1" 2>/dev/null || true
  if [ "$3" != 0 ]; then
    kill -TERM "$1" 2>/dev/null || true
    await "$3" gone "$1" "$2" && return 0
  fi
  kill -KILL "$1" 2>/dev/null || true
  await 10 gone "$1" "$2" || die "process $1 does not end"
}

# gone PID MARK : the opposite of alive, for await.
gone() {
  ! alive "$1" "$2"
}
