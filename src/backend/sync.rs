//! Session state as statements that bring it about on another connection.
//!
//! What a session's variables are, lagwise knows from the server's session trackers, as values.
//! Setting the same values elsewhere gives the same session, whatever expression set them first.
//! Values that cannot be written as a literal that every sql_mode and character set reads alike
//! are not replayed: the session then stays where it is.

/// Turns on every tracker that lagwise relies on.
///
/// MySQL 8.4 Reference, "Server Tracking of Client Session State"; MariaDB Knowledge Base,
/// "Session Tracking". Setting a variable to itself makes the server report its value; of these the
/// reading of statements depends on, and they are not always the server's defaults. (Setting
/// character_set_client to itself would not do: it puts the default collation in the place of the
/// client's.)
///
/// With `read_only`, every transaction of the connection is READ ONLY unless it says otherwise,
/// those of single statements included: error 1792 for any write, by a function too, also where the
/// server is not read-only and where the account may write nevertheless (SUPER,
/// CONNECTION_ADMIN, READ ONLY ADMIN). Measured on MySQL 9.7 and MariaDB 10.11.
pub fn tracking_statement(is_mariadb: bool, read_only: bool) -> Vec<u8> {
    let read_only: &[u8] = match (read_only, is_mariadb) {
        (false, _) => b"",
        // Its name up to MariaDB 11.0, and an alias since.
        (true, true) => b", tx_read_only=1",
        (true, false) => b", transaction_read_only=1",
    };
    let reported = b", sql_mode=@@sql_mode, collation_connection=@@collation_connection";
    [&trackers(is_mariadb, true, true), &reported[..], read_only].concat()
}

/// Turns the trackers alone on, or gives them the server's defaults. MySQL lets those of GTIDs be only
/// while a transaction is open (error 1766): without `gtids` they are left out.
pub fn trackers(is_mariadb: bool, on: bool, gtids: bool) -> Vec<u8> {
    const TRACKERS: &[(&str, &str)] = &[
        ("schema", "ON"),
        ("state_change", "ON"),
        ("system_variables", "'*'"),
        ("transaction_info", "'CHARACTERISTICS'"),
        ("gtids", "OWN_GTID"),
    ];
    let mut sql = Vec::new();
    for (name, value) in TRACKERS {
        if *name == "gtids" && (is_mariadb || !gtids) {
            continue;
        }
        let value = if on { value } else { "DEFAULT" };
        sql.extend_from_slice(if sql.is_empty() { b"SET SESSION " } else { b", " });
        sql.extend_from_slice(format!("session_track_{name}={value}").as_bytes());
    }
    sql
}

/// What is done about a system variable that changed in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// It is set on the other connections of the session too.
    Set,
    /// It governs writes: it is set on a new connection to the primary, and nowhere else.
    SetOnPrimary,
    /// It follows from something else, or is reported and cannot be set.
    Ignore,
    /// It cannot be set elsewhere with the same effect: the session keeps to one connection.
    Hold,
}

/// Variables that follow from the default schema or the last statement, and those of the trackers.
const IGNORED: &[&[u8]] = &[
    b"character_set_database",
    b"collation_database",
    b"error_count",
    b"identity",
    b"last_gtid",
    b"last_insert_id",
    b"session_track_gtids",
    b"session_track_schema",
    b"session_track_state_change",
    b"session_track_system_variables",
    b"session_track_transaction_info",
    b"statement_id",
    b"warning_count",
];

/// Variables that govern writes. A replica's connection is READ ONLY whatever the session is.
const OF_WRITES: &[&[u8]] = &[
    b"autocommit",
    b"binlog_format",
    b"binlog_row_image",
    b"binlog_rows_query_log_events",
    b"foreign_key_checks",
    b"gtid_domain_id",
    b"server_id",
    b"skip_parallel_replication",
    b"skip_replication",
    b"sql_log_bin",
    b"transaction_read_only",
    b"tx_read_only",
    b"unique_checks",
];

/// Variables whose effect is bound to one connection.
const HELD: &[&[u8]] = &[
    b"debug",
    b"debug_sync",
    b"gtid_next",
    b"gtid_seq_no",
    b"insert_id",
    b"pseudo_replica_mode",
    b"pseudo_slave_mode",
    b"pseudo_thread_id",
    b"rand_seed1",
    b"rand_seed2",
];

/// What is done about the variable `name`.
pub fn replay(name: &[u8], value: &[u8]) -> Replay {
    if IGNORED.binary_search(&name).is_ok() {
        Replay::Ignore
    } else if OF_WRITES.binary_search(&name).is_ok() && literal(name, value).is_some() {
        Replay::SetOnPrimary
    } else if HELD.binary_search(&name).is_ok() || literal(name, value).is_none() {
        Replay::Hold
    } else {
        Replay::Set
    }
}

/// `value` as a literal, or `None` if there is none that is read alike everywhere.
pub(super) fn literal(name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') || name.is_empty() {
        return None;
    }
    // The one common variable that can be NULL, which the tracker reports as empty.
    if name == b"character_set_results" && value.is_empty() {
        return Some(b"NULL".to_vec());
    }
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let number = !digits.is_empty()
        && digits.first().is_some_and(u8::is_ascii_digit)
        && digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
        && digits.iter().filter(|byte| **byte == b'.').count() <= 1;
    if number {
        return Some(value.to_vec());
    }
    let plain = |byte: &u8| (b' '..=b'~').contains(byte) && !matches!(byte, b'\'' | b'\\');
    value.iter().all(plain).then(|| [b"'", value, b"'"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        assert!(IGNORED.is_sorted() && HELD.is_sorted() && OF_WRITES.is_sorted());
    }

    #[test]
    fn trackers_of_gtids_are_mysqls_and_left_alone_in_a_transaction() {
        let check = |is_mariadb, gtids, want| {
            let on = String::from_utf8(trackers(is_mariadb, true, gtids)).unwrap();
            let off = String::from_utf8(trackers(is_mariadb, false, gtids)).unwrap();
            assert_eq!(
                (on.contains("gtids=OWN_GTID"), off.contains("gtids=DEFAULT")),
                (want, want)
            );
            assert!(on.starts_with("SET SESSION session_track_schema=ON, "), "{on}");
        };
        check(false, true, true);
        check(false, false, false);
        check(true, true, false);
    }

    #[track_caller]
    fn check(name: &str, value: &str, want: Option<&str>) {
        let set = replay(name.as_bytes(), value.as_bytes()) == Replay::Set;
        let got = literal(name.as_bytes(), value.as_bytes()).filter(|_| set);
        assert_eq!(got.map(|sql| String::from_utf8(sql).unwrap()).as_deref(), want, "{name}");
    }

    #[test]
    fn literals() {
        check("sql_mode", "ANSI,TRADITIONAL", Some("'ANSI,TRADITIONAL'"));
        check("sql_mode", "", Some("''"));
        check("sql_select_limit", "18446744073709551615", Some("18446744073709551615"));
        check("timestamp", "1700000000.123456", Some("1700000000.123456"));
        check("time_zone", "+02:00", Some("'+02:00'"));
        check("character_set_results", "", Some("NULL"));
        check("autocommit", "OFF", None);
        check("rand_seed1", "5", None);
        check("x", "it's", None);
        check("x", "a\\b", None);
        check("x y", "1", None);
        check("x", "é", None);
    }
}
