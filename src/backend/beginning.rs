//! What a connection is asked and told right after its login, and what a reset does not bring back of
//! it.

use std::sync::Arc;

use super::connect::Login;
use super::connection::Connection;
use super::error::Error;
use super::image::{Image, login_names};
use super::sync;
use crate::protocol::response::ResponseKind;
use crate::protocol::text_row::Row;

/// What a connection is like right after its login, as far as a reset does not bring it back.
#[derive(Debug)]
pub(super) struct AtLogin {
    /// NAMES of the login; `None` if they cannot be said in a SET.
    pub names: Option<Vec<u8>>,
    /// The role that the login activated; only of MariaDB, which has no statement for that.
    pub role: Option<Row>,
    /// The statement that brings the roles of a login back (MySQL), or tells them (MariaDB).
    pub roles: &'static str,
    /// The server has an `init_connect`: a session begins with what that does, which neither a reset
    /// nor DEFAULT repeats.
    pub has_init_connect: bool,
}

/// Asked in this order, before anything has changed in the session.
const OF_MYSQL: &[u8] = b"SELECT @@global.init_connect, @@global.activate_all_roles_on_login";
const OF_MARIADB: &[u8] = b"SELECT @@global.init_connect, CURRENT_ROLE()";
/// A reset leaves the active role as it is, on both makes (measured on MySQL 9.7 and MariaDB 10.11).
const ROLE_OF_MARIADB: &str = "SELECT CURRENT_ROLE()";

impl AtLogin {
    fn new(is_mariadb: bool, rows: Vec<Row>, initial_state: &[u8]) -> Self {
        let mut values = rows.into_iter().next().unwrap_or_default().into_iter();
        let (init_connect, role) = (values.next().flatten(), values.next().flatten());
        let all_roles = role.as_deref() == Some(b"1");
        Self {
            names: login_names(initial_state),
            has_init_connect: init_connect.is_none_or(|init_connect| !init_connect.is_empty()),
            roles: match (is_mariadb, all_roles) {
                (true, _) => ROLE_OF_MARIADB,
                (false, true) => "SET ROLE ALL",
                (false, false) => "SET ROLE DEFAULT",
            },
            role: is_mariadb.then(|| vec![role]),
        }
    }

    /// Whether what a reset has left is as after the login; `rows` is what the server has said to
    /// [`AtLogin::roles`].
    pub fn has_roles(&self, rows: &[Row]) -> bool {
        self.role.as_ref().is_none_or(|role| rows.first() == Some(role))
    }
}

impl Connection {
    /// After a login: what the connection begins with, and the trackers if they are wanted.
    ///
    /// # Errors
    /// As [`Connection::start_tracking`].
    pub(super) async fn begin(&mut self, login: &Login<'_>) -> Result<(), Error> {
        self.image = Arc::new(Image::new(false, login.schema.unwrap_or_default(), None, []));
        if login.track {
            self.read_only = login.read_only;
            self.start_tracking().await?;
        }
        Ok(())
    }

    /// Turns on the trackers that tell lagwise what the session's state is, and makes the connection
    /// READ ONLY if it is to be. After the login, asks for what [`AtLogin`] holds, in the same round trip.
    ///
    /// # Errors
    /// The server refuses, or the connection breaks.
    pub async fn start_tracking(&mut self) -> Result<(), Error> {
        let is_mariadb = self.facts().is_mariadb;
        self.tracking_stopped = None;
        let mut packets = Vec::new();
        let asks = self.at_login.is_none();
        if asks {
            self.build_query(&mut packets, if is_mariadb { OF_MARIADB } else { OF_MYSQL });
        }
        self.build_query(&mut packets, &sync::tracking_statement(is_mariadb, self.read_only));
        self.send(&packets).await?;
        let rows = if asks { self.finish_rows().await? } else { Vec::new() };
        let summary = self.finish(ResponseKind::Results).await?;
        self.initial_state = summary.state;
        if asks {
            self.at_login = Some(AtLogin::new(is_mariadb, rows, &self.initial_state));
        }
        self.forget_warnings(summary.warnings).await
    }
}
