//! The SQL console: lagwise itself, asked over the MySQL protocol.
//!
//! - [`login`]: its own accounts. [`statement`]: what is asked; pure. [`noise`]: what clients ask
//!   without being told to. [`shows`]: tables of what there is. [`answer`]: how they look on the wire.
//!
//! What it shows comes from the same sources as the HTTP endpoints. Because it shares the process with
//! the proxy, everything about it is bounded: see [`Limits`].
//!
//! Deliberately absent: prepared statements, compression, and passing anything on to a server.

mod answer;
mod login;
mod noise;
mod shows;
mod statement;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admin::{DrainRefusal, ServerStates, SessionSource};
use crate::auth::RsaKey;
use crate::config::ConsoleRole;
use crate::metrics::{DigestRow, SlowStatement};
use crate::net::listen::{Accepted, Listener};
use crate::net::{PacketStream, ReadError, Socket, Transport};
use crate::protocol::frame::build_packet;
use crate::protocol::{Command, ErrPacket};
use answer::Answer;
use statement::Statement;

pub use login::Users;

/// The bounds of the console.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; one more gets error 1040.
    pub connections: usize,
    /// Time for a login.
    pub login_timeout: Duration,
    /// Time from one command to the next, and for a client to take an answer.
    pub idle_timeout: Duration,
    /// Bytes of a statement.
    pub statement: usize,
    /// What a wrong password costs.
    pub denial_delay: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16,
            login_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            statement: 64 << 10,
            denial_delay: Duration::from_millis(500),
        }
    }
}

/// A TLS configuration of now; `None`: there is no TLS.
pub type Tls = dyn Fn() -> Option<Arc<rustls::ServerConfig>> + Send + Sync;

/// A reload that was asked for: what changed, a sentence each, or what is wrong.
pub type Reload = Pin<Box<dyn Future<Output = Result<Vec<String>, String>> + Send>>;

/// What only the console asks of the running program. No answer holds a secret; none but that of
/// [`Desk::reload`] waits for anything.
pub trait Desk: Send + Sync {
    /// The keys of the configuration in force, and their values.
    fn config(&self) -> Vec<(String, Option<String>)>;

    /// Where a statement of this user in this schema would run, in lines.
    fn explain(&self, user: &str, schema: &str, statement: &str) -> String;

    /// Statements so far by target and reason.
    fn routes(&self) -> Vec<(&'static str, &'static str, u64)>;

    /// Statements by their digest, the most time first, each with the reason for most of its routes.
    fn queries(&self) -> Vec<(DigestRow, &'static str)>;

    /// The slow statements of late, the newest first.
    fn slow(&self) -> Vec<SlowStatement>;

    /// Forgets both.
    fn reset_statistics(&self);

    /// Asks for a reload.
    fn reload(&self) -> Reload;

    /// Ends a session. False: there is none of that id.
    fn kill(&self, session: u32) -> bool;
}

/// How long RELOAD waits; while a new process begins to take over, none is done.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What the console knows and may change.
#[derive(Clone)]
pub struct ConsoleState {
    /// Its accounts.
    pub users: Users,
    /// The servers.
    pub servers: Arc<dyn ServerStates>,
    /// The sessions.
    pub sessions: Arc<dyn SessionSource>,
    /// The rest.
    pub desk: Arc<dyn Desk>,
    /// How TLS is spoken.
    pub tls: Arc<Tls>,
    /// Never used, as no password crosses the wire; the login wants one.
    pub rsa_key: Arc<RsaKey>,
    /// See [`Limits`].
    pub limits: Limits,
}

/// Somebody who is logged in.
struct Visitor {
    client: PacketStream,
    user: String,
    role: ConsoleRole,
    deprecate_eof: bool,
    id: u32,
}

/// Serves the console until it is dropped, and all of its connections with it.
pub async fn serve(listener: Listener, state: ConsoleState) {
    let places = Arc::new(Semaphore::new(state.limits.connections));
    let mut connections = JoinSet::new();
    let mut id = 0_u32;
    loop {
        let accepted = listener.accept().await;
        while connections.try_join_next().is_some() {}
        id = id.wrapping_add(1);
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            if let Some(mut client) = stream(accepted, &state.limits) {
                let err = ErrPacket::new(1040, b"08004", "Too many connections");
                let mut bytes = Vec::new();
                build_packet(&mut bytes, 0, |out| err.write_without_state(out));
                // It is small, and the socket new: this does not wait.
                let _ = timeout(Duration::from_millis(10), send(&mut client, &bytes)).await;
            }
            continue;
        };
        let state = state.clone();
        connections.spawn(async move {
            serve_one(accepted, id, &state).await;
            drop(place);
        });
    }
}

fn stream(accepted: Accepted, limits: &Limits) -> Option<PacketStream> {
    const DEAD_AFTER: Duration = Duration::from_secs(60);
    let socket = match accepted {
        Accepted::Tcp(stream, _) => Socket::tcp(stream, DEAD_AFTER).ok()?,
        Accepted::Unix(stream) => Socket::Unix(stream),
    };
    let mut client = PacketStream::new(Transport::Plain(socket));
    client.set_stalls(limits.login_timeout, limits.login_timeout);
    Some(client)
}

async fn serve_one(accepted: Accepted, id: u32, state: &ConsoleState) {
    let Some(client) = stream(accepted, &state.limits) else { return };
    let login = login::login(client, id, state);
    let Ok(Some(mut visitor)) = timeout(state.limits.login_timeout, login).await else { return };
    tracing::info!(user = visitor.user, role = %visitor.role, "console: logged in");
    let Limits { idle_timeout, statement, .. } = state.limits;
    while let Ok(read) = timeout(idle_timeout, visitor.client.packet(statement + 1)).await {
        let (seq, answer) = match read {
            Ok((seq, payload)) => (seq, visitor.command(&payload, state).await),
            // What follows is not read: the connection ends with this.
            Err(ReadError::TooLarge { .. }) => {
                let text = "Got a packet bigger than 'max_allowed_packet' bytes";
                let bytes = Answer::error(1153, b"08S01", text).packets(1, false);
                let _ = send(&mut visitor.client, &bytes).await;
                return;
            }
            Err(_) => return,
        };
        let Some(answer) = answer else { return };
        let bytes = answer.packets(seq.wrapping_add(1), visitor.deprecate_eof);
        if send(&mut visitor.client, &bytes).await.is_err() {
            return;
        }
    }
}

/// Looks at all sessions, which may take a while, beside this thread, which the monitors share.
async fn aside(look: impl FnOnce() -> Answer + Send + 'static) -> Answer {
    let answer = tokio::task::spawn_blocking(look).await;
    answer.unwrap_or_else(|error| Answer::error(1105, b"HY000", error.to_string()))
}

async fn send(client: &mut PacketStream, bytes: &[u8]) -> std::io::Result<()> {
    let stall = client.write_stall();
    client.write_all(bytes, stall).await
}

impl Visitor {
    /// What a command is answered with; `None` ends the connection.
    async fn command(&self, payload: &[u8], state: &ConsoleState) -> Option<Answer> {
        Some(match Command::parse(payload) {
            Ok(Command::Quit) => return None,
            Ok(Command::Query(text)) => self.query(&String::from_utf8_lossy(text), state).await,
            Ok(Command::Ping | Command::InitDb(_) | Command::SetOption(_)) => Answer::done(""),
            Ok(Command::ResetConnection) => Answer::done(""),
            Ok(Command::FieldList) => Answer::NoFields,
            _ => Answer::error(1047, b"08S01", "the console takes statements only (COM_QUERY)"),
        })
    }

    async fn query(&self, text: &str, state: &ConsoleState) -> Answer {
        let statement = match statement::parse(text) {
            Ok(statement) => statement,
            Err(problem) => return Answer::error(1064, b"42000", problem),
        };
        if statement.is_change() && self.role != ConsoleRole::Admin {
            let text = "Access denied; you need an account with role \"admin\" for this operation";
            return Answer::error(1227, b"42000", text);
        }
        match statement {
            Statement::Nothing => Answer::done(""),
            Statement::Select(columns) => noise::select(&columns, &self.user, self.id),
            Statement::ShowEmpty(columns) => Answer::empty(columns),
            Statement::ShowVariables(patterns) => noise::variables(&patterns),
            Statement::SelectNone(columns) => Answer::Table(columns, Vec::new()),
            Statement::Help => shows::help(),
            Statement::Servers => {
                let servers = Arc::clone(&state.servers);
                aside(move || shows::servers(&servers.servers())).await
            }
            Statement::Pools => {
                let servers = Arc::clone(&state.servers);
                aside(move || shows::pools(&servers.servers())).await
            }
            Statement::Sessions => {
                let sessions = Arc::clone(&state.sessions);
                aside(move || shows::sessions(&sessions.sessions(shows::MAX_SESSIONS))).await
            }
            Statement::Config => shows::config(state.desk.config()),
            Statement::Routes => shows::routes(&state.desk.routes()),
            Statement::Queries(most) => {
                let desk = Arc::clone(&state.desk);
                aside(move || shows::queries(&desk.queries(), most)).await
            }
            Statement::Slow(most) => shows::slow(&state.desk.slow(), most),
            Statement::ExplainRoute { user, schema, statement } => {
                shows::explanation(&state.desk.explain(&user, &schema, &statement))
            }
            Statement::Reload => self.reload(state).await,
            Statement::Kill(session) => self.kill(session, state),
            Statement::ResetStatistics => {
                tracing::info!(user = self.user, "console: statistics begin anew");
                state.desk.reset_statistics();
                Answer::done("done")
            }
            Statement::Drain { server, drained } => self.drain(&server, drained, state),
        }
    }

    async fn reload(&self, state: &ConsoleState) -> Answer {
        tracing::info!(user = self.user, "console: asked to reload");
        match timeout(RELOAD_TIMEOUT, state.desk.reload()).await {
            Ok(Ok(changed)) => shows::changed(changed),
            Ok(Err(why)) => Answer::error(1105, b"HY000", format!("reload failed: {why}")),
            Err(_) => {
                Answer::error(1205, b"HY000", "the reload waits, see the log for its outcome")
            }
        }
    }

    fn kill(&self, session: u32, state: &ConsoleState) -> Answer {
        tracing::info!(user = self.user, session, "console: asked to end a session");
        match state.desk.kill(session) {
            true => Answer::done("done"),
            false => Answer::error(1094, b"HY000", format!("Unknown thread id: {session}")),
        }
    }

    fn drain(&self, server: &str, drained: bool, state: &ConsoleState) -> Answer {
        tracing::info!(user = self.user, server, drained, "console: asked to drain or undrain");
        match state.servers.set_drained(server, drained) {
            Ok(()) => Answer::done("done"),
            Err(DrainRefusal::Unknown) => {
                let names = state.servers.servers().into_iter().map(|server| server.name);
                let names: Vec<_> = names.collect();
                let text = format!("there is no server '{server}': {}", names.join(", "));
                Answer::error(1477, b"HY000", text)
            }
            Err(DrainRefusal::Refused(why)) => {
                Answer::error(1105, b"HY000", format!("{server}: {why}"))
            }
        }
    }
}
