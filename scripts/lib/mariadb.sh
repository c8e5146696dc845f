# shellcheck shell=bash
# shellcheck disable=SC2034  # servers.sh reads what is set here
# What is particular to MariaDB 10.11; the same functions as in mysql.sh.

# mariadb_programs : sets SERVER, CLIENT, SERVER_BASE. Fetches when MARIADBD names none.
mariadb_programs() {
  local folder=$TARGET/mariadb root=$TARGET/mariadb/root
  if [ -n "${MARIADBD:-}" ]; then
    SERVER=$MARIADBD
    [ -x "$SERVER" ] || die "MARIADBD=$MARIADBD is not a program"
    CLIENT=${MARIADB_CLIENT:-$(dirname "$MARIADBD")/mariadb}
    [ -x "$CLIENT" ] || CLIENT=$(command -v mariadb) || die "found no mariadb client beside MARIADBD; name one: MARIADB_CLIENT=…"
    SERVER_BASE=()
    MARIADB_SHARE=${MARIADB_SHARE:-/usr/share/mysql}
    return
  fi
  locked mariadb mariadb_fetch
  SERVER=$folder/bin/mariadbd
  CLIENT=$folder/bin/mariadb
  MARIADB_SHARE=$root/usr/share/mysql
  SERVER_BASE=(
    --basedir="$root/usr"
    --lc-messages-dir="$MARIADB_SHARE"
    --character-sets-dir="$MARIADB_SHARE/charsets"
    --plugin-dir="$root/usr/lib/mysql/plugin"
  )
}

# The server package proper only for its plugins (auth_ed25519): its dependencies are
# those of a running service.
mariadb_fetch() {
  local folder=$TARGET/mariadb
  fetched "$folder" || fetch_step "Fetching MariaDB 10.11 from Debian 12" \
    fetch_packages "$folder" bookworm "mariadb-server-core mariadb-client-core libmariadb3" mariadb-server
  write_wrapper "$folder" usr/sbin/mariadbd
  write_wrapper "$folder" usr/bin/mariadb
}

# mariadb_initialise DATA : what mariadb-install-db does, without its search for
# programs in the system's folders.
mariadb_initialise() {
  local data=$1 file
  mkdir -p "$data/mysql"
  {
    # The bootstrap reader takes one statement a line.
    printf '%s;\n' 'CREATE DATABASE IF NOT EXISTS mysql' 'USE mysql' \
      'SET @auth_root_socket=NULL' 'SET @skip_auth_anonymous=1'
    for file in mysql_system_tables mysql_performance_tables mysql_system_tables_data \
      maria_add_gis_sp_bootstrap mysql_sys_schema; do
      cat "$MARIADB_SHARE/$file.sql"
      echo
    done
  } | "$SERVER" --no-defaults "${SERVER_BASE[@]}" "${RUN_AS[@]}" --datadir="$data" --bootstrap \
    --skip-log-bin --innodb-log-file-size=16M --max-allowed-packet=64M
  mariadb_certificates "$data"
}

# mariadb_certificates DATA : this make does not generate its own as MySQL does.
mariadb_certificates() {
  need openssl openssl
  openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=lagwise-test-ca \
    -keyout "$1/ca-key.pem" -out "$1/ca.pem"
  openssl req -newkey rsa:2048 -nodes -subj /CN=localhost \
    -keyout "$1/server-key.pem" -out "$1/server-req.pem"
  openssl x509 -req -days 3650 -set_serial 1 -CA "$1/ca.pem" -CAkey "$1/ca-key.pem" \
    -in "$1/server-req.pem" -out "$1/server-cert.pem"
}

# mariadb_options : fills MAKE_OPTIONS.
mariadb_options() {
  MAKE_OPTIONS=(
    --performance-schema=OFF
    --innodb-log-file-size=16M
    --innodb-doublewrite=OFF
    --gtid-strict-mode=ON
    --binlog-format=ROW
    --log-slave-updates=ON
    --relay-log=relay
    --slave-net-timeout=10
    --plugin-load-add=auth_ed25519
    --ssl-ca=ca.pem --ssl-cert=server-cert.pem --ssl-key=server-key.pem
  )
}

mariadb_replica_options() {
  REPLICA_OPTIONS=(--read-only=ON)
}

mariadb_accounts() {
  cat <<'SQL'
GRANT BINLOG MONITOR, SLAVE MONITOR ON *.* TO monitor@'%';
CREATE USER native@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('native_password');
GRANT ALL ON shop.* TO native@'%';
CREATE USER ed25519@'%' IDENTIFIED VIA ed25519 USING PASSWORD('ed25519_password');
GRANT ALL ON shop.* TO ed25519@'%';
SQL
}

mariadb_follow() {
  cat <<SQL
CHANGE MASTER TO MASTER_HOST='$1', MASTER_PORT=$2, MASTER_USER='repl',
  MASTER_PASSWORD='repl_password', MASTER_USE_GTID=slave_pos,
  MASTER_CONNECT_RETRY=1, MASTER_HEARTBEAT_PERIOD=1;
START SLAVE;
SQL
}

mariadb_position() {
  echo "SELECT @@GLOBAL.gtid_binlog_pos"
}

mariadb_applied() {
  echo "SELECT MASTER_GTID_WAIT('$1', $2)"
}
