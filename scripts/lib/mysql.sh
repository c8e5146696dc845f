# shellcheck shell=bash
# shellcheck disable=SC2034  # servers.sh reads what is set here
# What is particular to MySQL 9: where the programs come from, how a data folder is
# made, which options a server gets, how replication is set up.

# mysql_programs : sets SERVER (the server program), CLIENT (its command-line client)
# and SERVER_BASE (options that name its folders). Fetches them when MYSQLD names none.
mysql_programs() {
  local folder=$TARGET/mysql root=$TARGET/mysql/root
  if [ -n "${MYSQLD:-}" ]; then
    SERVER=$MYSQLD
    CLIENT=${MYSQL_CLIENT:-$(dirname "$MYSQLD")/mysql}
    [ -x "$CLIENT" ] || CLIENT=$(command -v mysql) || die "found no mysql client beside MYSQLD; name one: MYSQL_CLIENT=…"
    [ -x "$SERVER" ] || die "MYSQLD=$MYSQLD is not a program"
    SERVER_BASE=()
    return
  fi
  locked mysql mysql_fetch
  SERVER=$folder/bin/mysqld
  CLIENT=$folder/bin/mysql
  SERVER_BASE=(
    --basedir="$root/usr"
    --lc-messages-dir="$root/usr/share/mysql"
    --plugin-dir="$root/usr/lib/mysql/plugin"
    --character-sets-dir="$root/usr/share/mysql/charsets"
  )
}

mysql_fetch() {
  local folder=$TARGET/mysql lib=$TARGET/mysql/root/usr/lib
  fetched "$folder" || fetch_step "Fetching MySQL 9 from Debian unstable" \
    fetch_packages "$folder" sid "mysql-server-core mysql-client-core mysql-router"
  write_wrapper "$folder" usr/sbin/mysqld "$lib/mysql/private"
  local tool
  for tool in mysql mysqldump mysqladmin mysqlcheck mysqlshow mysqlimport; do
    write_wrapper "$folder" "usr/bin/$tool"
  done
  write_wrapper "$folder" usr/bin/mysqlrouter "$lib/mysql-router"
}

# mysql_initialise DATA : an empty data folder with root and no password.
mysql_initialise() {
  "$SERVER" --no-defaults "${SERVER_BASE[@]}" "${RUN_AS[@]}" --datadir="$1" \
    --innodb-redo-log-capacity=16M --initialize-insecure
}

# mysql_options : fills MAKE_OPTIONS. Small, and quick rather than durable: the data
# lives as long as a test.
mysql_options() {
  MAKE_OPTIONS=(
    --mysqlx=OFF
    --performance-schema=OFF
    --innodb-redo-log-capacity=16M
    --innodb-doublewrite=OFF
    --innodb-log-writer-threads=OFF
    --gtid-mode=ON
    --enforce-gtid-consistency=ON
    --relay-log=relay
    --replica-net-timeout=10
  )
}

# mysql_replica_options : what a replica has besides.
mysql_replica_options() {
  REPLICA_OPTIONS=(--super-read-only=ON)
}

# mysql_accounts : SQL for the accounts that only this make has.
mysql_accounts() {
  cat <<'SQL'
GRANT REPLICATION CLIENT ON *.* TO monitor@'%';
CREATE USER sha2@'%' IDENTIFIED WITH caching_sha2_password BY 'sha2_password';
GRANT ALL ON shop.* TO sha2@'%';
SQL
}

# mysql_follow HOST PORT : SQL that makes a server a replica of the one there.
mysql_follow() {
  cat <<SQL
CHANGE REPLICATION SOURCE TO SOURCE_HOST='$1', SOURCE_PORT=$2, SOURCE_USER='repl',
  SOURCE_PASSWORD='repl_password', SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1,
  SOURCE_CONNECT_RETRY=1, SOURCE_RETRY_COUNT=100000, SOURCE_HEARTBEAT_PERIOD=1;
START REPLICA;
SQL
}

# mysql_position : SQL for what a primary has written, in one value.
mysql_position() {
  echo "SELECT REPLACE(@@GLOBAL.gtid_executed, CHAR(10), '')"
}

# mysql_applied POSITION SECONDS : SQL that waits; prints 0 once all is applied.
mysql_applied() {
  echo "SELECT WAIT_FOR_EXECUTED_GTID_SET('$1', $2)"
}
