//! What goes wrong with a server connection.

use std::io;

use crate::auth::AuthError;
use crate::net::ReadError;
use crate::protocol::flags::Capabilities;
use crate::protocol::{ErrPacket, Malformed};

/// A failure of a server connection. The side is always the server's or the network's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection came about.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The TLS handshake failed, or the server offers no TLS where it is required.
    #[error("TLS: {0}")]
    Tls(String),
    /// The deadline passed.
    #[error("no answer in time ({0})")]
    TimedOut(&'static str),
    /// The connection broke.
    #[error("connection lost: {0}")]
    Lost(#[source] io::Error),
    /// The server answered with an error of its own.
    #[error("{0}")]
    Server(ErrPacket),
    /// The server's bytes are not the protocol.
    #[error("{0} from the server")]
    Protocol(#[from] Malformed),
    /// The login could not be carried on.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The server lacks what the client negotiated with the primary.
    #[error("the server lacks capabilities that the client uses: {0:?}")]
    Capabilities(Capabilities),
    /// The connection cannot be brought into the session's state; another one can.
    #[error("the connection cannot be brought into the session's state")]
    State,
}

impl Error {
    /// True if the server cannot be reached or does not work, rather than that it refused this
    /// account or statement: what a health check should hear of.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Connect(_) | Self::TimedOut(_) | Self::Lost(_) | Self::Protocol(_) => true,
            Self::Server(err) => matches!(err.code, codes::CON_COUNT | codes::SERVER_SHUTDOWN),
            Self::Tls(_) | Self::Auth(_) | Self::Capabilities(_) | Self::State => false,
        }
    }

    /// True if it is about this one connection, so that another may do.
    pub fn is_of_connection(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::State)
    }

    /// The same error once more, for another who waited for the same thing.
    pub fn duplicate(&self) -> Self {
        let io = |error: &io::Error| io::Error::new(error.kind(), error.to_string());
        match self {
            Self::Connect(error) => Self::Connect(io(error)),
            Self::Tls(text) => Self::Tls(text.clone()),
            Self::TimedOut(what) => Self::TimedOut(what),
            Self::Lost(error) => Self::Lost(io(error)),
            Self::Server(err) => Self::Server(err.clone()),
            Self::Protocol(malformed) => Self::Protocol(*malformed),
            Self::Auth(error) => Self::Auth(error.clone()),
            Self::Capabilities(missing) => Self::Capabilities(*missing),
            Self::State => Self::State,
        }
    }

    /// The server's own error, if it is one.
    pub fn server(&self) -> Option<&ErrPacket> {
        match self {
            Self::Server(err) => Some(err),
            _ => None,
        }
    }
}

/// Server error numbers that lagwise acts on.
pub mod codes {
    /// ER_CON_COUNT_ERROR: too many connections.
    pub const CON_COUNT: u16 = 1040;
    /// ER_DBACCESS_DENIED_ERROR
    pub const DB_ACCESS_DENIED: u16 = 1044;
    /// ER_ACCESS_DENIED_ERROR
    pub const ACCESS_DENIED: u16 = 1045;
    /// ER_UNKNOWN_COM_ERROR
    pub const UNKNOWN_COM: u16 = 1047;
    /// ER_BAD_DB_ERROR
    pub const BAD_DB: u16 = 1049;
    /// ER_SERVER_SHUTDOWN
    pub const SERVER_SHUTDOWN: u16 = 1053;
    /// ER_NO_SUCH_THREAD
    pub const NO_SUCH_THREAD: u16 = 1094;
    /// ER_HOST_IS_BLOCKED
    pub const HOST_IS_BLOCKED: u16 = 1129;
    /// ER_TOO_MANY_USER_CONNECTIONS: more than `max_user_connections`.
    pub const TOO_MANY_USER_CONNECTIONS: u16 = 1203;
    /// ER_USER_LIMIT_REACHED: a resource limit of the account, for now.
    pub const USER_LIMIT_REACHED: u16 = 1226;
    /// ER_NEED_REPREPARE
    pub const NEED_REPREPARE: u16 = 1615;
    /// ER_MAX_PREPARED_STMT_COUNT_REACHED
    pub const MAX_PREPARED_STMT_COUNT: u16 = 1461;
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(error) => Self::Lost(error),
            ReadError::Closed | ReadError::Truncated => {
                Self::Lost(io::Error::new(io::ErrorKind::UnexpectedEof, error.to_string()))
            }
            ReadError::Stalled(_) => Self::TimedOut("the rest of a packet"),
            ReadError::TooLarge { .. } => Self::Protocol(Malformed("oversized packet")),
        }
    }
}
