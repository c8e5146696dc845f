//! Session state as statements that bring it about on another connection.
//!
//! What a session's variables are, lagwise knows from the server's session trackers, as values.
//! Setting the same values elsewhere gives the same session, whatever expression set them first.
//! Values that cannot be written as a literal that every sql_mode and character set reads alike
//! are not replayed: the session then stays where it is.

/// Turns on every tracker that lagwise relies on.
///
/// MySQL 8.4 Reference, "Server Tracking of Client Session State"; MariaDB Knowledge Base,
/// "Session Tracking". Setting sql_mode to itself makes the server report its value, which the
/// reading of statements depends on.
pub fn tracking_statement(is_mariadb: bool) -> &'static [u8] {
    if is_mariadb {
        b"SET SESSION session_track_schema=ON, session_track_state_change=ON, \
          session_track_system_variables='*', session_track_transaction_info='CHARACTERISTICS'"
    } else {
        b"SET SESSION session_track_schema=ON, session_track_state_change=ON, \
          session_track_system_variables='*', session_track_gtids=OWN_GTID, \
          session_track_transaction_info=CHARACTERISTICS"
    }
}

/// What is done about a system variable that changed in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// It is set on the other connections of the session too.
    Set,
    /// It means nothing to a read on a replica.
    Ignore,
    /// It cannot be set elsewhere with the same effect: the session keeps to one connection.
    Hold,
}

/// Variables that mean nothing to a read elsewhere: they govern writes, the trackers themselves,
/// or follow from the default schema.
const IGNORED: &[&[u8]] = &[
    b"autocommit",
    b"binlog_format",
    b"binlog_row_image",
    b"binlog_rows_query_log_events",
    b"character_set_database",
    b"collation_database",
    b"error_count",
    b"foreign_key_checks",
    b"gtid_domain_id",
    b"gtid_seq_no",
    b"identity",
    b"insert_id",
    b"last_gtid",
    b"last_insert_id",
    b"server_id",
    b"session_track_gtids",
    b"session_track_schema",
    b"session_track_state_change",
    b"session_track_system_variables",
    b"session_track_transaction_info",
    b"skip_parallel_replication",
    b"skip_replication",
    b"sql_log_bin",
    b"statement_id",
    b"unique_checks",
    b"warning_count",
];

/// Variables whose effect is bound to one connection.
const HELD: &[&[u8]] = &[
    b"debug",
    b"debug_sync",
    b"gtid_next",
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
    } else if HELD.binary_search(&name).is_ok() || literal(name, value).is_none() {
        Replay::Hold
    } else {
        Replay::Set
    }
}

/// `value` as a literal, or `None` if there is none that is read alike everywhere.
fn literal(name: &[u8], value: &[u8]) -> Option<Vec<u8>> {
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

/// One SET statement that sets all of `variables`; `None` if there are none. Variables that
/// [`replay`] would not set are left out.
pub fn set_statement<'a>(
    variables: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for (name, value) in variables {
        if replay(name, value) != Replay::Set {
            continue;
        }
        let Some(literal) = literal(name, value) else { continue };
        out.extend_from_slice(if out.is_empty() { b"SET SESSION " } else { b", SESSION " });
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(&literal);
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted() {
        assert!(IGNORED.is_sorted() && HELD.is_sorted());
    }

    #[track_caller]
    fn check(name: &str, value: &str, want: Option<&str>) {
        let got = set_statement([(name.as_bytes(), value.as_bytes())]);
        assert_eq!(got.map(|sql| String::from_utf8(sql).unwrap()).as_deref(), want, "{name}");
    }

    #[test]
    fn literals() {
        check("sql_mode", "ANSI,TRADITIONAL", Some("SET SESSION sql_mode='ANSI,TRADITIONAL'"));
        check("sql_mode", "", Some("SET SESSION sql_mode=''"));
        check(
            "sql_select_limit",
            "18446744073709551615",
            Some("SET SESSION sql_select_limit=18446744073709551615"),
        );
        check("timestamp", "1700000000.123456", Some("SET SESSION timestamp=1700000000.123456"));
        check("time_zone", "+02:00", Some("SET SESSION time_zone='+02:00'"));
        check("character_set_results", "", Some("SET SESSION character_set_results=NULL"));
        check("autocommit", "OFF", None);
        check("rand_seed1", "5", None);
        check("x", "it's", None);
        check("x", "a\\b", None);
        check("x y", "1", None);
        check("x", "é", None);
    }

    #[test]
    fn several_variables() {
        let got = set_statement([(&b"a"[..], &b"1"[..]), (b"autocommit", b"ON"), (b"b", b"ON")]);
        assert_eq!(got.as_deref(), Some(&b"SET SESSION a=1, SESSION b='ON'"[..]));
        assert_eq!(set_statement([]), None);
    }
}
