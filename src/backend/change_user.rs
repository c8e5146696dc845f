//! Handing a connection to another account: COM_CHANGE_USER.
//!
//! Where many accounts share few connections, one of another account need not be closed and a new one
//! be opened: that costs the server a thread, and both sides a TLS handshake. And at no moment does the
//! server count two where lagwise has one. (MySQL counts a connection for a while after it has closed
//! its socket; see `UNCOUNTED_AFTER` in `reuse`.)
//!
//! Nothing is left of the session before: servers treat it as a login, but for `init_connect`, so that
//! connections of servers that have one are not handed on. MySQL Internals, "COM_CHANGE_USER".

use tokio::time::Instant;
use zeroize::Zeroize;

use super::connect::{Login, authenticate};
use super::connection::{Connection, Phase};
use super::error::{Error, codes};
use super::statements::Statements;
use super::text_statements::TextStatements;
use crate::auth::ServerLogin;
use crate::protocol::OkPacket;
use crate::protocol::command::code;
use crate::protocol::flags::Capabilities;
use crate::protocol::frame::build_packet;
use crate::protocol::handshake::ChangeUser;

/// Names the plugin of an auth response that is left out. No account has it, so that the server asks
/// for the account's own, with a new nonce. (That of the greeting is long used up.)
const NO_PLUGIN: &[u8] = b"none";

impl Connection {
    /// Whether the connection, as it was opened, can be that of this login.
    pub fn can_change_user(&self, login: &Login<'_>) -> bool {
        let semantic = login.capabilities & Capabilities::SEMANTIC;
        self.is_resettable()
            && self.facts().capabilities & Capabilities::SEMANTIC == semantic
            && self.client_tls == login.client_tls
            // To the server it stays the client that it was opened for.
            && self.told_client == login.credential.client
    }

    /// Logs in anew on the same connection, which nobody uses: another account may.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::TimedOut`] once `deadline` has passed. The connection must be closed then.
    pub async fn change_user(&mut self, login: Login<'_>, deadline: Instant) -> Result<(), Error> {
        match tokio::time::timeout_at(deadline, self.log_in_anew(login)).await {
            Ok(result) => result,
            Err(_) => Err(Error::TimedOut("logging in")),
        }
    }

    async fn log_in_anew(&mut self, login: Login<'_>) -> Result<(), Error> {
        let request = ChangeUser {
            user: login.credential.user.clone(),
            auth_data: Vec::new(),
            schema: login.schema.map(<[u8]>::to_vec),
            charset: Some(login.charset),
            auth_plugin: Some(NO_PLUGIN.to_vec()),
            attributes: login.attributes.map(<[u8]>::to_vec),
        };
        let mut packet = Vec::new();
        build_packet(&mut packet, 0, |out| {
            out.push(code::CHANGE_USER);
            request.write(self.facts().capabilities, out);
        });
        self.send(&packet).await?;
        packet.zeroize();
        self.finish_owed().await?;
        let is_secure = self.stream.is_secure();
        let auth = ServerLogin::asked(&login.credential.secret, is_secure);
        let result = authenticate(&mut self.stream, auth).await;
        if let Err(Error::Server(_)) = result {
            // It has answered, and hears a goodbye.
            self.mark_ready();
        }
        let ok = result?;
        self.mark_ready();
        self.forget_session(ok)?;
        self.begin(&login).await
    }

    /// Forgets the session before the login that was answered so.
    fn forget_session(&mut self, ok: Vec<u8>) -> Result<(), Error> {
        self.status = OkPacket::parse(&ok, true)?.status;
        self.login_ok = ok;
        self.statements = Statements::default();
        self.text_statements = TextStatements::default();
        (self.session, self.insert_id) = (0, Some(0));
        (self.at_login, self.tracking_stopped) = (None, None);
        (self.has_conditions, self.read_only) = (false, false);
        Ok(())
    }
}

/// Makes `old`, which nobody uses, the connection of a login. `None`: it is closed, and one must be
/// opened.
///
/// # Errors
/// The server lets that account in on no connection.
pub async fn hand_on(
    mut old: Box<Connection>,
    login: Login<'_>,
    deadline: Instant,
) -> Result<Option<Box<Connection>>, Error> {
    if !old.is_usable(Instant::now()) || old.come_here().is_err() || !old.can_change_user(&login) {
        old.quit().await;
        return Ok(None);
    }
    let result = old.change_user(login, deadline).await;
    if result.is_ok() && old.phase() == Phase::Ready {
        return Ok(Some(old));
    }
    old.quit().await;
    match result {
        // What stands between here and the server may not know the command.
        Err(Error::Server(err)) if err.code != codes::UNKNOWN_COM => Err(Error::Server(err)),
        Err(error) => {
            tracing::debug!(%error, "a connection could not be handed to another account");
            Ok(None)
        }
        Ok(()) => Ok(None),
    }
}
