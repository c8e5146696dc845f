//! System variables by name: which of them a session shares between its connections, and which
//! belong to one connection, one server, or the next transaction.

use super::mode::Make;
use super::statement::Flags;

/// Session variables that lagwise keeps equal on every connection of a session, so that reading one
/// asks for nothing that only the primary knows. Everything else is taken for the server's own.
const SYNCED: &[&str] = &[
    "autocommit",
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "collation_connection",
    "default_week_format",
    "div_precision_increment",
    "foreign_key_checks",
    "group_concat_max_len",
    "lc_time_names",
    "max_execution_time",
    "sql_auto_is_null",
    "sql_big_selects",
    "sql_mode",
    "sql_notes",
    "sql_safe_updates",
    "sql_select_limit",
    "time_zone",
    "transaction_isolation",
    "tx_isolation",
    "unique_checks",
];

/// About the conditions of the statement before.
const CONDITION_COUNTS: &[&str] = &["warning_count", "error_count"];

/// State of the primary's connection. (A replica's is always READ ONLY.)
const SESSION: &[&str] = &[
    "identity",
    "insert_id",
    "last_insert_id",
    "pseudo_thread_id",
    "rand_seed1",
    "rand_seed2",
    "transaction_read_only",
    "tx_read_only",
];

/// Session variables whose SET cannot be repeated on another connection, or must not be.
const UNREPLAYABLE: &[&str] = &[
    "gtid_domain_id",
    "gtid_next",
    "gtid_next_list",
    "gtid_seq_no",
    "identity",
    "insert_id",
    "last_insert_id",
    "pseudo_replica_mode",
    "pseudo_slave_mode",
    "pseudo_thread_id",
    "rand_seed1",
    "rand_seed2",
    "server_id",
    "skip_replication",
    "sql_log_bin",
    "sql_log_off",
];

/// Characteristics of the next transaction when set as `SET @@name` without a scope.
const ONE_SHOT: &[&str] =
    &["transaction_isolation", "transaction_read_only", "tx_isolation", "tx_read_only"];

/// Session variables that can be set to themselves without effect, so that MariaDB tells what they are. (Not
/// so timestamp, which stops then.) In order.
const ASKABLE: &[&str] = &[
    "auto_increment_increment",
    "auto_increment_offset",
    "completion_type",
    "default_week_format",
    "div_precision_increment",
    "foreign_key_checks",
    "group_concat_max_len",
    "innodb_lock_wait_timeout",
    "interactive_timeout",
    "join_buffer_size",
    "lc_messages",
    "lc_time_names",
    "lock_wait_timeout",
    "long_query_time",
    "low_priority_updates",
    "max_error_count",
    "max_heap_table_size",
    "max_recursive_iterations",
    "max_sort_length",
    "max_statement_time",
    "net_read_timeout",
    "net_write_timeout",
    "optimizer_switch",
    "sort_buffer_size",
    "sql_auto_is_null",
    "sql_big_selects",
    "sql_mode",
    "sql_notes",
    "sql_quote_show_create",
    "sql_safe_updates",
    "sql_select_limit",
    "sql_warnings",
    "time_zone",
    "tmp_table_size",
    "unique_checks",
    "wait_timeout",
];

fn holds(names: &[&str], name: &[u8]) -> bool {
    names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

fn unquoted(name: &[u8]) -> &[u8] {
    let inner = name.strip_prefix(b"`").and_then(|name| name.strip_suffix(b"`"));
    inner.or_else(|| name.strip_prefix(b"\"")?.strip_suffix(b"\"")).unwrap_or(name)
}

/// Scope and name of `@@name` or `@@scope.name`, without quotes.
fn parts(token: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let whole = token.strip_prefix(b"@@").unwrap_or(token);
    match whole.iter().rposition(|&byte| byte == b'.') {
        Some(dot) => {
            let (scope, name) = whole.split_at(dot);
            (Some(unquoted(scope)), unquoted(name.get(1..).unwrap_or_default()))
        }
        None => (None, unquoted(whole)),
    }
}

/// What reading the `@@…` of `token` means.
pub(super) fn reads(token: &[u8]) -> Flags {
    let (scope, name) = parts(token);
    let session = scope.is_none_or(|scope| {
        scope.eq_ignore_ascii_case(b"session") || scope.eq_ignore_ascii_case(b"local")
    });
    if !session {
        Flags::SERVER_VARIABLE
    } else if holds(SYNCED, name) {
        Flags::SYNCED_VARIABLE
    } else if holds(CONDITION_COUNTS, name) {
        Flags::CONDITION_COUNT
    } else if holds(SESSION, name) {
        Flags::SESSION_FUNCTION
    } else {
        Flags::SERVER_VARIABLE
    }
}

/// What assigning to the `@@…` of `token` means. MariaDB 10.11 reports what is assigned by `name`
/// and by `@@SESSION.name`, and not what is assigned by `@@name`.
pub(super) fn assigns_at(token: &[u8], make: Make) -> Flags {
    let (scope, name) = parts(token);
    let is = |word: &str| scope.is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes()));
    let mut flags = assigns(name);
    if is("global") || is("persist") || is("persist_only") {
        flags |= Flags::SETS_GLOBAL;
    }
    if scope.is_none() && holds(ONE_SHOT, name) {
        flags |= Flags::ONE_SHOT_TRANSACTION;
    } else if make == Make::MariaDb
        && unreported(token).is_none()
        && scope.is_none()
        && flags.is_empty()
    {
        flags |= Flags::SETS_UNREPLAYABLE;
    }
    flags
}

/// The variable that `token` assigns, if it is an `@@name` without a scope that can be asked for.
pub(super) fn unreported(token: &[u8]) -> Option<&'static str> {
    let (scope, name) = parts(token);
    let known = ASKABLE.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(name));
    known.copied().filter(|_| scope.is_none())
}

/// What assigning to a plain name means.
pub(super) fn assigns(name: &[u8]) -> Flags {
    const TRACK: &[u8] = b"session_track_";
    let name = unquoted(name);
    if name.get(..TRACK.len()).is_some_and(|head| head.eq_ignore_ascii_case(TRACK)) {
        Flags::SETS_SESSION_TRACK
    } else if name.eq_ignore_ascii_case(b"autocommit") {
        Flags::SETS_AUTOCOMMIT
    } else if holds(UNREPLAYABLE, name) {
        Flags::SETS_UNREPLAYABLE
    } else {
        Flags::empty()
    }
}

/// Whether an identifier, quoted or not, names one of the servers' own schemas.
#[inline]
pub(super) fn is_server_schema(quoted: &[u8]) -> bool {
    may_be_server_schema(quoted.len()) && is_server_schema_of_length(quoted)
}

/// Whether an identifier of this length, quoted or not, may be one of them. Most names are told by
/// their length alone.
#[inline(always)]
pub(super) fn may_be_server_schema(length: usize) -> bool {
    // With quotes, two bytes more.
    matches!(length, 3 | 5 | 7 | 18 | 20)
}

fn is_server_schema_of_length(quoted: &[u8]) -> bool {
    let name = unquoted(quoted);
    match name.len() {
        3 => name.eq_ignore_ascii_case(b"sys"),
        5 => name.eq_ignore_ascii_case(b"mysql"),
        18 => holds(&["information_schema", "performance_schema"], name),
        _ => false,
    }
}
