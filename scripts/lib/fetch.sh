# shellcheck shell=bash
# Fetches Debian packages into a folder of their own, without touching the system:
# an apt configuration of its own, an empty package status, `dpkg -x` instead of an
# installation. The programs run through the loader and libraries of that folder,
# so that they work whatever C library this machine has.
#
# No mirror's address is written here: it is read from the system's apt sources.

# debian_mirror [FILE…] : address of the Debian mirror that the system's own apt uses.
# Reads one-line (.list) and deb822 (.sources) files; security mirrors are passed over
# because they do not carry the whole archive, and a mirror that calls itself debian goes
# before one that does not.
debian_mirror() {
  local files=() file mirrors mirror
  [ $# -gt 0 ] || set -- /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources
  for file in "$@"; do
    if [ -r "$file" ]; then files+=("$file"); fi
  done
  [ ${#files[@]} -gt 0 ] || return 1
  mirrors=$(
    awk '
      FNR == 1 { in_uris = 0 }
      /^[ \t]*#/ { next }
      # one-line: deb [options] URI suite component…
      $1 == "deb" {
        i = 2
        if ($i ~ /^\[/) { while ($i !~ /\]$/ && i < NF) i++; i++ }
        print $i; next
      }
      # deb822: "URIs: a b", continued on indented lines
      tolower($1) == "uris:" { in_uris = 1; for (i = 2; i <= NF; i++) print $i; next }
      in_uris && /^[ \t]/ { for (i = 1; i <= NF; i++) print $i; next }
      { in_uris = 0 }
    ' "${files[@]}" | grep -vE 'security|^cdrom:' || true
  )
  mirror=$(grep -E '/debian(\.list)?/?$' <<<"$mirrors" | head -n 1) \
    || mirror=$(grep -m 1 . <<<"$mirrors") || return 1
  printf '%s\n' "$mirror"
}

# apt_here FOLDER COMMAND… : an apt tool under the folder's own configuration.
apt_here() {
  local folder=$1
  shift
  APT_CONFIG=$folder/apt/apt.conf "$@"
}

# write_apt_configuration FOLDER SUITE
write_apt_configuration() {
  local apt=$1/apt suite=$2 mirror keyring options=
  mirror=$(debian_mirror) || die "found no Debian mirror in /etc/apt/sources.list and sources.list.d; \
install the servers yourself and name them: MYSQLD=/path/to/mysqld, MARIADBD=/path/to/mariadbd"
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  if [ -r "$keyring" ]; then options="[signed-by=$keyring] "; fi
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  : >"$apt/status"
  printf 'deb %s%s %s main\n' "$options" "$mirror" "$suite" >"$apt/sources.list"
  cat >"$apt/apt.conf" <<CONF
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "$apt/lists";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Debug::NoLocking "1";
APT::Sandbox::User "$(id -un)";
APT::Install-Recommends "0";
APT::Update::Error-Mode "any";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
CONF
}

# with_retries COMMAND… : three tries with a growing pause, for downloads.
with_retries() {
  local try
  for try in 1 2 3; do
    "$@" && return 0
    say "attempt $try of 3 failed: $*"
    [ "$try" = 3 ] || sleep $((try * 3))
  done
  return 1
}

# download_packages FOLDER PACKAGES BARE : the index anew each time, as unstable changes
# under a download that takes long.
download_packages() {
  apt_here "$1" apt-get -q update || return 1
  # shellcheck disable=SC2086  # lists of words
  apt_here "$1" apt-get -q -y --download-only install $2 || return 1
  # shellcheck disable=SC2086
  [ -z "$3" ] || (cd "$1/apt/cache/archives" && apt_here "$1" apt-get -q download $3)
}

# fetch_packages FOLDER SUITE PACKAGES [PACKAGES WITHOUT THEIR DEPENDENCIES]
# Leaves the programs under FOLDER/root. Idempotent: FOLDER/complete is written last.
fetch_packages() {
  local folder=$1 suite=$2 packages=$3 bare=${4:-} link file
  need apt-get apt
  need dpkg dpkg
  rm -rf "$folder"
  mkdir -p "$folder/root"
  write_apt_configuration "$folder" "$suite"
  with_retries download_packages "$folder" "$packages" "$bare" \
    || die "could not download $packages $bare from Debian $suite (mirror: $(debian_mirror)); is the network up?"
  for file in "$folder"/apt/cache/archives/*.deb; do
    # Only there because other packages' install scripts want it.
    case ${file##*/} in perl* | libperl* | dpkg_* | passwd_*) continue ;; esac
    dpkg -x "$file" "$folder/root" || die "unpacking ${file##*/} failed"
  done
  # Older packages still carry /lib beside /usr/lib.
  for link in lib lib64 bin sbin; do
    mkdir -p "$folder/root/usr/$link"
    if [ -d "$folder/root/$link" ] && [ ! -L "$folder/root/$link" ]; then
      cp -a "$folder/root/$link/." "$folder/root/usr/$link/"
      rm -rf "${folder:?}/root/$link"
    fi
    ln -sfn "usr/$link" "$folder/root/$link"
  done
  rm -rf "$folder/apt/cache" "$folder/apt/lists" "$folder"/root/usr/share/{doc,man,locale,perl}
  touch "$folder/complete"
}

# fetch_step LABEL COMMAND… : run_step for a download, unless NO_FETCH forbids it: a test
# that is run by itself must not spend its time on the network.
fetch_step() {
  [ -z "${NO_FETCH:-}" ] || die "the servers of the tests are not fetched yet: run scripts/test.sh once \
(or 'scripts/servers.sh fetch --make mysql', '… --make mariadb' and 'scripts/prometheus.sh fetch')"
  run_step "$@"
}

# fetched FOLDER : true when fetch_packages has done its work there before.
fetched() {
  [ -e "$1/complete" ]
}

# write_wrapper FOLDER PROGRAM [LIBRARY FOLDERS…] : FOLDER/bin/NAME, which runs the
# fetched program with the fetched loader and libraries.
write_wrapper() {
  local folder=$1 program=$2 loader library='' path
  shift 2
  loader=$(find "$folder"/root/usr/lib* -maxdepth 2 -type f -name 'ld-linux-*.so.*' | sort | head -n 1)
  [ -n "$loader" ] || die "found no dynamic loader under $folder/root"
  [ -x "$folder/root/$program" ] || die "the fetched packages hold no $program"
  for path in "$folder"/root/usr/lib/*-linux-gnu "$@"; do
    library=$library${library:+:}$path
  done
  mkdir -p "$folder/bin"
  cat >"$folder/bin/.new.$$" <<WRAPPER
#!/bin/sh
exec '$loader' --library-path '$library' '$folder/root/$program' "\$@"
WRAPPER
  chmod +x "$folder/bin/.new.$$"
  mv "$folder/bin/.new.$$" "$folder/bin/${program##*/}"
}

# locked NAME COMMAND… : one process at a time; others wait for it to finish.
locked() {
  local name=$1
  shift
  mkdir -p "$TARGET"
  (
    flock -w 900 9 || die "waited 15 minutes for another process that fetches $name"
    "$@" 9>&-
  ) 9>"$TARGET/.$name.lock"
}
