//! What a client is told, and why a session ends.
//!
//! One place maps every failure to an ERR packet. Numbers and SQLSTATEs are MySQL's own. Texts
//! that drivers take as "reconnect and run it again" ("server has gone away", "Lost connection")
//! are not used where the statement may have run.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::auth::AuthError;
use crate::backend;
use crate::cluster::{Cluster, Hold, MemberStatus};
use crate::config::units::format_duration;
use crate::metrics::Side as Blame;
use crate::net::ReadError;
use crate::pool;
use crate::protocol::ErrPacket;

/// Why a session ends. Whatever could be said to the client has been said.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// COM_QUIT.
    #[error("the client left")]
    Quit,
    /// The client closed its connection, or the network did.
    #[error("the client is gone: {0}")]
    ClientGone(String),
    /// The client was idle for longer than `wait_timeout`.
    #[error("the client was idle for too long")]
    Idle,
    /// The client has stopped in the midst of a command: `net_read_timeout`.
    #[error("the client has stopped in the midst of a command")]
    ReadStalled,
    /// The client takes nothing of a response: `net_write_timeout`.
    #[error("the client takes nothing of what it is sent")]
    WriteStalled,
    /// The client sent what no client may send, or did not log in.
    #[error("refused: {0}")]
    Refused(String),
    /// A server's connection broke inside a response: nothing but closing tells the client.
    #[error("the server's connection broke inside a response: {0}")]
    ServerLost(String),
    /// A server ended the session: KILL, or a fatal error that it had sent.
    #[error("killed")]
    Killed,
    /// lagwise is being stopped.
    #[error("lagwise is being stopped")]
    Shutdown,
}

impl From<ReadError> for End {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Stalled(_) => Self::ReadStalled,
            _ => Self::ClientGone(error.to_string()),
        }
    }
}

impl End {
    /// What could not be written to the client.
    pub fn of_write(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::WriteStalled,
            _ => Self::ClientGone(error.to_string()),
        }
    }

    /// As what it is counted, if it is an error.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Refused(_) => Some(Kind::BadPacket),
            Self::ClientGone(_) => Some(Kind::Vanished),
            Self::Idle => Some(Kind::Idle),
            Self::ReadStalled | Self::WriteStalled => Some(Kind::Stalled),
            Self::Quit | Self::ServerLost(_) | Self::Killed | Self::Shutdown => None,
        }
    }
}

/// Kinds of error for metrics, by [`Kind::index`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A packet that is not the protocol.
    BadPacket,
    /// The client went away inside a command or a response.
    Vanished,
    /// The client was idle for too long.
    Idle,
    /// The client has stopped in the midst of a command or a response.
    Stalled,
    /// A command or feature that lagwise does not pass on.
    Unsupported,
    /// No connection to a server came about.
    Connect,
    /// A server's connection broke while a statement ran.
    Lost,
    /// A server refused to take over the session's state.
    Sync,
    /// A limit of lagwise's own.
    Limit,
    /// A rule of the configuration, or `when_all_lag`, refused a statement.
    Refused,
    /// A failure that should not be.
    Internal,
}

impl Kind {
    /// The label values.
    pub const NAMES: &'static [&'static str] = &[
        "bad_packet",
        "vanished",
        "idle",
        "stalled",
        "unsupported",
        "connect",
        "lost",
        "sync",
        "limit",
        "refused",
        "internal",
    ];

    /// Position in [`Kind::NAMES`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Whose fault it is.
    pub fn blame(self) -> Blame {
        match self {
            Self::BadPacket | Self::Vanished | Self::Idle | Self::Stalled | Self::Unsupported => {
                Blame::Client
            }
            Self::Connect | Self::Lost | Self::Sync => Blame::Server,
            Self::Limit | Self::Refused | Self::Internal => Blame::Proxy,
        }
    }
}

/// ER_HANDSHAKE_ERROR
pub fn bad_handshake() -> ErrPacket {
    ErrPacket::new(1043, b"08S01", "Bad handshake")
}

/// ER_CON_COUNT_ERROR
pub fn too_many_connections() -> ErrPacket {
    ErrPacket::new(1040, b"08004", "Too many connections")
}

/// ER_HOST_NOT_PRIVILEGED, as the servers word it.
pub fn host_not_allowed(address: IpAddr, is_mariadb: bool) -> ErrPacket {
    let make = if is_mariadb { "MariaDB" } else { "MySQL" };
    let text = format!("Host '{address}' is not allowed to connect to this {make} server");
    ErrPacket::new(1130, b"HY000", text)
}

/// ER_HOST_NOT_PRIVILEGED, as MariaDB words it.
pub fn proxy_header_refused(address: Option<IpAddr>) -> ErrPacket {
    let from = address.map_or_else(|| "localhost".to_owned(), |address| address.to_string());
    ErrPacket::new(1130, b"HY000", format!("Proxy header is not accepted from {from}"))
}

/// ER_SECURE_TRANSPORT_REQUIRED, as MySQL words it.
pub fn insecure_transport() -> ErrPacket {
    let text = "Connections using insecure transport are prohibited while \
                --require_secure_transport=ON.";
    ErrPacket::new(3159, b"HY000", text)
}

/// ER_ACCESS_DENIED_ERROR, as the servers word it; `host` is where they see lagwise, if that is known.
pub fn access_denied(user: &[u8], host: Option<&str>, has_password: bool) -> ErrPacket {
    let user = String::from_utf8_lossy(user);
    let host = host.map_or_else(String::new, |host| format!("@'{host}'"));
    let using = if has_password { "YES" } else { "NO" };
    let text = format!("Access denied for user '{user}'{host} (using password: {using})");
    ErrPacket::new(1045, b"28000", text)
}

/// ER_TOO_MANY_USER_CONNECTIONS, as the servers word it.
pub fn too_many_of_account(user: &[u8]) -> ErrPacket {
    let user = String::from_utf8_lossy(user);
    let text =
        format!("User {user} already has more than 'max_user_connections' active connections");
    ErrPacket::new(1203, b"42000", text)
}

/// ER_UNKNOWN_COM_ERROR, with the cause.
pub fn unsupported(what: &str) -> ErrPacket {
    ErrPacket::new(1047, b"08S01", format!("lagwise does not pass on {what}"))
}

/// ER_NET_PACKETS_OUT_OF_ORDER
pub fn out_of_order() -> ErrPacket {
    ErrPacket::new(1156, b"08S01", "Got packets out of order")
}

/// ER_NET_PACKET_TOO_LARGE
pub fn too_large() -> ErrPacket {
    let text = "Got a packet bigger than lagwise's 'max_packet' bytes";
    ErrPacket::new(1153, b"08S01", text)
}

/// ER_NET_PACKET_TOO_LARGE
pub fn statement_too_large() -> ErrPacket {
    let text = "Got a packet bigger than lagwise's 'max_statement_size' bytes";
    ErrPacket::new(1153, b"08S01", text)
}

/// ER_MAX_PREPARED_STMT_COUNT_REACHED, as the servers word it.
pub fn too_many_statements(max: usize) -> ErrPacket {
    let text =
        format!("Can't create more than max_prepared_stmt_count statements (current value: {max})");
    ErrPacket::new(1461, b"42000", text)
}

/// ER_HOST_IS_BLOCKED, with another cure than the servers'.
pub fn host_blocked(host: IpAddr, unblock_after: Duration) -> ErrPacket {
    let text = format!(
        "Host '{host}' is blocked because of many connection errors; lagwise lets it in again \
         after {}",
        format_duration(unblock_after)
    );
    ErrPacket::new(1129, b"HY000", text)
}

/// ER_CLIENT_INTERACTION_TIMEOUT, as MySQL words it.
pub fn idle() -> ErrPacket {
    let text = "The client was disconnected by the server because of inactivity. See wait_timeout \
                and interactive_timeout for configuring this behavior.";
    ErrPacket::new(4031, b"HY000", text)
}

/// ER_NET_READ_INTERRUPTED
pub fn read_timeout() -> ErrPacket {
    ErrPacket::new(1159, b"08S01", "Got timeout reading communication packets")
}

/// ER_SERVER_SHUTDOWN
pub fn shutdown() -> ErrPacket {
    ErrPacket::new(1053, b"08S01", "Server shutdown in progress")
}

/// ER_QUERY_INTERRUPTED
pub fn killed() -> ErrPacket {
    ErrPacket::new(1317, b"70100", "Query execution was interrupted")
}

/// ER_KILL_DENIED_ERROR, as the servers word it.
pub fn not_owner(id: u64) -> ErrPacket {
    ErrPacket::new(1095, b"HY000", format!("You are not owner of thread {id}"))
}

/// ER_UNKNOWN_COM_ERROR, as the servers word it.
pub fn unknown_command() -> ErrPacket {
    ErrPacket::new(1047, b"08S01", "Unknown command")
}

/// ER_MALFORMED_PACKET
pub fn malformed(what: &str) -> ErrPacket {
    ErrPacket::new(1835, b"HY000", format!("Malformed communication packet: {what}"))
}

/// ER_UNKNOWN_STMT_HANDLER, as the servers word it: MariaDB names the command.
pub fn unknown_statement(id: u32, command: &str, is_mariadb: bool) -> ErrPacket {
    let command = if is_mariadb { command } else { "mysql_stmt_precheck" };
    let text = format!("Unknown prepared statement handler ({id}) given to {command}");
    ErrPacket::new(1243, b"HY000", text)
}

/// ER_CONNECT_TO_FOREIGN_DATA_SOURCE, the nearest that servers have. The client libraries' own 2003
/// would say it better, but MariaDB's library takes a server that sends a number of a client's for
/// a broken one.
const CONNECT_FAILED: u16 = 1429;

/// No server has been reached since lagwise started.
pub fn no_server_yet() -> ErrPacket {
    let text =
        "Can't connect to any MySQL server through lagwise: none has answered yet; see its log";
    ErrPacket::new(CONNECT_FAILED, b"HY000", text)
}

/// ER_OPTION_PREVENTS_STATEMENT. The words "--read-only option" are left out: to some drivers they
/// mean that the primary has moved, and that connecting anew helps.
pub fn read_only_rule(rule: &str) -> ErrPacket {
    let text = format!(
        "The MySQL server is running with lagwise's rule '{rule}', read_only = true, so it cannot \
         execute this statement"
    );
    ErrPacket::new(1290, b"HY000", text)
}

/// A rule keeps the session on replicas, none of which can serve; `reasons` says why.
pub fn no_replica_for_rule(rule: &str, tag: Option<&str>, reasons: &str) -> ErrPacket {
    let which = which_replicas(tag);
    let reasons = if reasons.is_empty() { "there is none" } else { reasons };
    let text = format!(
        "Can't connect to MySQL server through lagwise: its rule '{rule}' allows replicas {which} \
         only, and none can serve now ({reasons})"
    );
    ErrPacket::new(CONNECT_FAILED, b"HY000", text)
}

/// `when_all_lag = "error"`, and no replica can serve a read; `reasons` says why. To connect anew would
/// not help, so the text has none of the words that make drivers do it.
pub fn read_refused(tag: Option<&str>, reasons: &str) -> ErrPacket {
    let which = which_replicas(tag);
    let text = format!(
        "lagwise: no replica {which} can serve this read now ({reasons}), and when_all_lag = \
         \"error\" keeps it from the primary"
    );
    ErrPacket::new(CONNECT_FAILED, b"HY000", text)
}

fn which_replicas(tag: Option<&str>) -> String {
    tag.map_or_else(|| "without a tag".to_owned(), |tag| format!("with tag '{tag}'"))
}

/// ER_NOT_SUPPORTED_AUTH_MODE: a server asks for what lagwise cannot give.
pub fn cannot_log_in(server: &str, error: &AuthError) -> ErrPacket {
    ErrPacket::new(1251, b"08004", format!("lagwise cannot log in to '{server}': {error}"))
}

/// A server that cannot be reached: nothing was sent, the statement may be run again.
pub fn unreachable(server: &str, error: &pool::Error) -> ErrPacket {
    match error {
        pool::Error::Backend(backend::Error::Server(err)) => err.clone(),
        pool::Error::Exhausted(_) | pool::Error::AccountExhausted(_) => {
            ErrPacket::new(1040, b"08004", format!("Too many connections: {server}: {error}"))
        }
        pool::Error::Backend(_) | pool::Error::Closed => {
            let text = format!("Can't connect to MySQL server '{server}' through lagwise: {error}");
            ErrPacket::new(CONNECT_FAILED, b"HY000", text)
        }
    }
}

/// A statement whose reply was lost. It must not be repeated blindly, so the text has none of the
/// phrases that make drivers do so.
pub fn outcome_unknown(server: &str, error: &backend::Error) -> ErrPacket {
    let text = format!(
        "lagwise: the connection to '{server}' broke while the statement ran ({error}); whether \
         it took effect is not known"
    );
    ErrPacket::new(1158, b"08S01", text)
}

/// A connection that held a transaction or other state is gone; nothing of this statement was sent.
/// Outside a transaction a driver that connects anew and runs it again does right, and finds the
/// words that it looks for.
pub fn state_lost(server: &str, in_transaction: bool) -> ErrPacket {
    let text = if in_transaction {
        format!(
            "lagwise: the connection to '{server}' was closed by the server, and the open \
             transaction with it"
        )
    } else {
        format!(
            "MySQL server has gone away: the connection to '{server}' was closed by the server, \
             and with it variables, temporary tables or locks of this session"
        )
    };
    ErrPacket::new(1158, b"08S01", text)
}

/// The server of a transaction, or of other state of the session, is no longer the primary. Nothing was
/// committed: a driver that begins the transaction anew does right, and finds number and words for that.
pub fn demoted(server: &str, in_transaction: bool) -> ErrPacket {
    if in_transaction {
        let text = format!(
            "lagwise: '{server}' is no longer the primary, and the open transaction was rolled back; \
             try restarting transaction"
        );
        // ER_LOCK_DEADLOCK
        return ErrPacket::new(1213, b"40001", text);
    }
    let text = format!(
        "MySQL server has gone away: '{server}' is no longer the primary, and variables, temporary \
         tables or locks of this session were lost with it"
    );
    ErrPacket::new(1158, b"08S01", text)
}

/// No server takes what is for the primary, and none has for so long. Nothing was run.
pub fn no_primary(cluster: &Cluster, waited: Duration) -> ErrPacket {
    let server = &cluster.primary().config().name;
    let read_only = |status: &MemberStatus| status.read_only.is_some_and(|it| it.read_only);
    let is_read_only = cluster.primary().with_status(read_only);
    let cause = match cluster.hold() {
        Some(Hold::Down) => format!("'{server}' is down"),
        Some(Hold::ReadOnly) => format!("'{server}' is read-only, and no other has taken over"),
        Some(Hold::Drained) => format!("'{server}' is drained, and no other has taken over"),
        Some(Hold::Undecided) => "which server it is cannot be told; see lagwise's log".to_owned(),
        None if is_read_only => format!("'{server}' is read-only"),
        None => format!("'{server}' does not take it"),
    };
    let waited = format_duration(waited);
    let text = format!(
        "lagwise: no primary takes this statement ({cause}); it has waited {waited} (primary_wait), and \
         was not run"
    );
    ErrPacket::new(CONNECT_FAILED, b"HY000", text)
}

/// What the last statement has left went with the connection, which others needed.
pub fn diagnostics_lost() -> ErrPacket {
    let text = "lagwise: the warnings and ROW_COUNT() of the last statement are not known any more: the \
                session was silent, and others needed its server connection (raise max_connections, or \
                ask at once)";
    ErrPacket::new(1105, b"HY000", text.to_owned())
}

/// The connection that had a prepared statement's long data or cursor is gone. Nothing of this
/// command was sent; a driver that connects anew and begins again does right.
pub fn statement_state_lost(server: &str) -> ErrPacket {
    let text = format!(
        "MySQL server has gone away: the connection to '{server}' was closed by the server, and \
         with it the long data or the cursor of this statement"
    );
    ErrPacket::new(1158, b"08S01", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_outcome_is_not_worded_as_an_invitation_to_repeat() {
        let lost = backend::Error::Lost(std::io::ErrorKind::ConnectionReset.into());
        for err in [outcome_unknown("db1", &lost), state_lost("db1", true)] {
            let text = String::from_utf8(err.message).unwrap().to_lowercase();
            for phrase in ["gone away", "lost connection", "is dead", "try restarting"] {
                assert!(!text.contains(phrase), "{text}");
            }
        }
    }

    #[test]
    fn where_nothing_was_sent_drivers_find_the_words_to_repeat_it() {
        let text = String::from_utf8(state_lost("db1", false).message).unwrap();
        assert!(text.contains("server has gone away"), "{text}");
    }

    #[test]
    fn every_kind_has_a_name() {
        assert_eq!(Kind::NAMES[Kind::Internal.index()], "internal");
        assert_eq!(Kind::NAMES[Kind::BadPacket.index()], "bad_packet");
        assert_eq!(Kind::NAMES.len(), Kind::Internal.index() + 1);
    }
}
