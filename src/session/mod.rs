//! One client: login, then command after command until either side ends it.
//!
//! In reading order:
//! - [`context`]: what all sessions share. [`registry`]: sessions by id, for KILL and shutdown.
//! - [`arrival`]: a client arrives. [`visitor`]: who has come, and from where. [`access`]: who may come in. [`login`]: from its socket to a proven account. [`prove`]: which server judges it.
//!   [`proofs`]: what one has said lately. [`credentials`]: passwords that one has accepted.
//!   [`guesses`]: wrong ones. [`limits`]: clients of each account and address. [`logins`]: those that
//!   have not logged in. [`connect_errors`]: logins that were broken off.
//!   [`advice`]: what the log says about logins that cannot work.
//! - [`commands`]: what each command leads to. [`incoming`]: one command as it comes. [`idle`]: none.
//! - [`execute`]: one statement: decide, connect, send, relay, observe. [`job`]: what that is. [`routing`]: where it goes.
//!   [`rules`]: what operator and application say to that. [`failure`]: when it fails, [`farewell`]: without having run. [`learned`]:
//!   functions that replicas refuse.
//! - [`consistency`]: what a read must see, and waiting for it. [`seen`]: what the session has read. [`scope`]: what others wrote. [`key`]: the key that an application gives.
//! - [`found_rows`]: FOUND_ROWS(). [`strays`]: variables of GET DIAGNOSTICS. [`read_only`]: READ
//!   ONLY transactions on a replica. [`tracking`]: lagwise's own trackers. [`untold`]: what they miss.
//! - [`known_sets`]: SET and USE that need no server. [`holds`]: what keeps a connection between
//!   statements.
//! - [`prepare`], [`statements`]: the COM_STMT_* family. [`text_execute`]: EXECUTE on a replica. [`control`]:
//!   KILL, COM_CHANGE_USER and kin.
//! - [`abandoned`]: queries whose client has gone.
//! - [`servers`], `held`: the session's connections. [`relay`]: forwarding one response.
//! - [`state`], [`replayed`], [`diagnostics`], [`effects`], [`names`], [`pin`], [`prepared`],
//!   [`text_prepared`], [`tracked`]: what is known of the session. [`known_statements`],
//!   [`signature`]: which prepared statements sessions may share. [`prepare_answers`], [`recent`]: what
//!   servers have said to PREPARE. Pure.
//! - `finished`: what a statement took, for all who want to know. `trace`: for its client. [`reply`], [`error`]: what lagwise itself says.
//!
//! Deliberately absent: the choice of a server ([`crate::route`], [`crate::cluster`]).

mod abandoned;
pub mod access;
pub mod advice;
mod arrival;
mod commands;
mod conditions;
mod connect_errors;
mod consistency;
pub mod context;
mod control;
pub mod credentials;
mod diagnostics;
mod effects;
pub mod error;
mod execute;
mod failure;
mod farewell;
mod finished;
mod found_rows;
mod guesses;
mod held;
mod holds;
mod idle;
mod incoming;
mod job;
mod key;
mod known_sets;
mod known_statements;
mod learned;
mod limits;
mod login;
mod logins;
mod names;
mod pin;
mod prepare;
mod prepare_answers;
mod prepared;
mod primary_wait;
mod proofs;
mod prove;
mod read_only;
mod recent;
pub mod registry;
mod relay;
mod replayed;
mod reply;
mod routing;
mod rules;
mod scope;
mod seen;
mod servers;
mod signature;
mod state;
mod statements;
mod strays;
mod text_execute;
mod text_prepared;
mod trace;
mod tracked;
mod tracking;
mod untold;
mod visitor;

use std::sync::Arc;

use tokio::time::Instant;

pub use arrival::serve;
pub use context::{Context, Settings};
use error::End;
use finished::Running;
use found_rows::FoundRowsUse;
use guesses::Origin;
pub use holds::Hold;
use known_sets::Learning;
pub use learned::LearnedFunctions;
use limits::Place;
use login::Established;
pub use logins::Bounds;
use pin::Pin;
pub use pin::PinView;
use prepared::Prepared;
use proofs::Welcome;
use registry::{Activity, Interrupt, Registration};
use scope::{SeenTables, Unacknowledged};
use seen::Seen;
use servers::{LoginRecord, Servers};
use state::SessionState;
use strays::Stray;
pub use text_prepared::TextPrepared;
pub use visitor::RejectCause;

use crate::auth::Nonce;
use crate::cluster::Flavor;
use crate::config::PoolMode;
use crate::consistency::Group;
use crate::metrics::{HoldCount, PinCount};
use crate::net::PacketStream;
use crate::route::{PinCause, Side, UserRules};
use crate::sql::{ClientCharset, LexMode, Make};

/// A client that is logged in.
#[derive(Debug)]
pub struct Session {
    context: Arc<Context>,
    handle: Registration,
    client: PacketStream,
    login: LoginRecord,
    /// The greeting's nonce.
    nonce: Nonce,
    servers: Servers,
    state: SessionState,
    prepared: Prepared,
    text_prepared: TextPrepared,
    /// User variables on the replica that belong on the primary.
    strays: Vec<Stray>,
    found_rows: FoundRowsUse,
    /// What it has read.
    seen: Seen,
    /// By table, where the configuration wants it so.
    seen_tables: SeenTables,
    /// What it has written and others do not know of yet.
    unacknowledged: Unacknowledged,
    /// The key that the application has given the session.
    key: Option<Group>,
    /// The statement by which it did, as long as no server has it.
    key_text: Option<Box<[u8]>>,
    /// Variables that the primary's connection is to be asked for.
    untold: Vec<&'static str>,
    /// The operator's rules for its user.
    rules: UserRules,
    /// Where its client is.
    origin: Origin,
    /// Its place among those of its account.
    place: Place,
    /// When its account was last known to be let in, or looked at again.
    proven_at: std::time::Instant,
    /// A command has come and its response has not ended.
    busy: bool,
    running: Running,
    /// What SHOW WARNINGS says besides, after a statement that was traced.
    trace: Option<Box<str>>,
    /// A response to the current command has begun to reach the client.
    touched: bool,
    /// Room for rewritten packets.
    scratch: Vec<u8>,
    pin_count: Option<PinCount>,
    /// Of the pin that others see: when its last write ended.
    pin_shown: Option<std::time::Instant>,
    /// Why it keeps a server connection while it waits for a command.
    hold_count: Option<(Hold, HoldCount)>,
    /// The SET that runs, if its answer is to be remembered.
    learning: Option<Box<Learning>>,
    /// When connections are asked for what only they know.
    settle_at: Option<Instant>,
    /// It has asked for the id of its connection to the primary.
    knows_thread: bool,
    /// It has opened a cursor, or sent long data.
    uses_cursors: bool,
}

impl Session {
    fn new(
        client: PacketStream,
        handle: Registration,
        context: Arc<Context>,
        established: Established,
    ) -> Self {
        let Established { login, welcome, first, schema, nonce, rules, origin, place } =
            established;
        let state = new_state(&welcome, &login, schema);
        let mut session = Self {
            context,
            handle,
            client,
            login,
            nonce,
            servers: Servers::default(),
            state,
            prepared: Prepared::default(),
            text_prepared: TextPrepared::default(),
            strays: Vec::new(),
            found_rows: FoundRowsUse::default(),
            seen: Seen::default(),
            seen_tables: SeenTables::default(),
            unacknowledged: Unacknowledged::default(),
            key: None,
            key_text: None,
            untold: Vec::new(),
            rules,
            origin,
            place,
            proven_at: std::time::Instant::now(),
            busy: false,
            running: Running::begin(std::time::Instant::now()),
            trace: None,
            touched: false,
            scratch: Vec::new(),
            pin_count: None,
            pin_shown: None,
            hold_count: None,
            learning: None,
            settle_at: None,
            knows_thread: false,
            uses_cursors: false,
        };
        session.take_first(first);
        session
    }

    /// The connection id that the client was told.
    fn id(&self) -> u32 {
        self.handle.id
    }

    /// Takes the connection that proved the login into use, if there was need for one.
    fn take_first(&mut self, first: Option<(Side, servers::Held)>) {
        let Some((side, first)) = first else { return };
        self.servers.put(side, first, &self.handle);
    }

    /// Runs commands until the session ends by itself or is ended.
    async fn until_end(&mut self) -> End {
        let handle = Arc::clone(&self.handle);
        let mut commands = std::pin::pin!(self.commands());
        loop {
            tokio::select! {
                biased;
                end = &mut commands => return end,
                // Whatever it is about, the commands are polled again.
                () = handle.news() => match handle.interrupt() {
                    Interrupt::None => {}
                    // The command loop sees it when it is done with what it is at.
                    Interrupt::Drain if handle.activity() != Activity::Idle => {}
                    Interrupt::Drain | Interrupt::Close => return End::Shutdown,
                    Interrupt::Kill => return End::Killed,
                },
            }
        }
    }

    /// Says why, if the client can still be told.
    async fn farewell(&mut self, end: &End) {
        let err = match end {
            End::Shutdown => error::shutdown(),
            // As a server: a statement is answered, an idle connection just closed.
            End::Killed if self.busy => error::killed(),
            // MySQL says it as the first of its words, MariaDB just closes.
            End::Idle if self.state.lex_mode().make == Make::MySql => {
                let _ = reply::err(&mut self.client, 0, &error::idle()).await;
                return self.client.shutdown().await;
            }
            End::ReadStalled => error::read_timeout(),
            // Not even the end would be taken.
            End::WriteStalled => return,
            End::Idle
            | End::Killed
            | End::ServerLost(_)
            | End::Refused(_)
            | End::ClientGone(_)
            | End::Quit => {
                return self.client.shutdown().await;
            }
        };
        if !self.touched {
            // Sequence id 1, as the answer to the command that runs or comes next.
            let _ = reply::err(&mut self.client, 1, &err).await;
        }
        self.client.shutdown().await;
    }

    /// Gives back the connections to the servers.
    fn leave(&mut self) {
        for side in [Side::Primary, Side::Replica] {
            self.give_back(side);
        }
    }

    /// Gives back the connection of a side, of which nothing is needed any more.
    fn give_back(&mut self, side: Side) {
        let settings = self.context.settings.load();
        let clean = settings.pool_mode == PoolMode::Transaction && self.leaves_clean(side);
        self.servers.give_back(side, &self.state, &self.handle, clean);
    }

    /// Keeps the gauge of pinned sessions right.
    fn pin_gauge(&mut self, pinned: Option<PinCause>) {
        match pinned {
            None if self.pin_count.is_some() => self.pin_count = None,
            Some(cause) if self.pin_count.is_none() => {
                self.pin_count = Some(self.context.metrics.pin(cause as usize));
            }
            _ => {}
        }
    }
}

/// The state of a session that begins with this welcome.
fn new_state(welcome: &Welcome, login: &LoginRecord, schema: Vec<u8>) -> SessionState {
    let lex_mode = LexMode {
        make: if welcome.is_mariadb { Make::MariaDb } else { Make::MySql },
        server_version: welcome.version_number,
        charset: ClientCharset::from_collation(u16::from(login.charset)),
        ..LexMode::default()
    };
    let flavor = if welcome.is_mariadb { Flavor::MariaDb } else { Flavor::MySql };
    let mut state = SessionState::new(welcome.status, schema, lex_mode, Pin::new(flavor));
    state.begin_with(&welcome.initial_state);
    state
}

#[cfg(test)]
mod tests;
