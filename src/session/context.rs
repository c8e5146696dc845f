//! What all sessions share, and what a reload exchanges.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, watch};

use super::abandoned::Abandoned;
use super::access::{Access, ListenerTls, WrongPassword};
use super::advice::Advice;
use super::connect_errors::ConnectErrors;
use super::credentials::Credentials;
use super::guesses::Guesses;
use super::known_sets::KnownSets;
use super::known_statements::KnownStatements;
use super::learned::LearnedFunctions;
use super::limits::{Clients, Place, Who};
use super::logins::{Bounds, Logins};
use super::prepare_answers::PrepareAnswers;
use super::proofs::Proofs;
use super::registry::Registry;
use super::visitor::RejectCause;
use crate::auth::{Credential, KnownAccount, Plugin, RsaKey};
use crate::cluster::ClusterHandle;
use crate::cluster::native_hashes::NativeHashes;
use crate::config::{LogSql, Pin, PoolMode, Scope, WhenAllLag};
use crate::consistency::Writes;
use crate::metrics::{Metrics, RuleCount};
use crate::route::Policy;

/// Connections beside the limits for KILL, at a time.
const MAX_ASIDES: usize = 2;

/// The configuration as sessions need it; exchanged whole by a reload.
#[derive(Debug)]
pub struct Settings {
    /// What routing goes by.
    pub policy: Policy,
    /// `[routing] max_lag`, which a hint may make less.
    pub max_lag: Duration,
    /// What becomes of reads for which every replica lags too much.
    pub when_all_lag: WhenAllLag,
    /// Counters of the policy's rules, in their order.
    pub rule_counts: Vec<RuleCount>,
    /// Functions that a replica refused to run since this configuration is in force.
    pub learned: LearnedFunctions,
    /// When a session that wrote may read from a replica again.
    pub pin: Pin,
    /// How long a read waits for a replica that has what it must see.
    pub wait: Duration,
    /// No session is shown an older state than it has read.
    pub monotonic_reads: bool,
    /// Whose writes a read sees.
    pub scope: Scope,
    /// Only those to its own tables.
    pub by_table: bool,
    /// Who may come in.
    pub access: Access,
    /// Some server is told where clients are.
    pub tells_clients: bool,
    /// Most sessions at a time.
    pub max_clients: usize,
    /// Most sessions of one account; 0: no limit.
    pub max_clients_per_account: usize,
    /// Most sessions from one address; 0: no limit.
    pub max_clients_per_address: usize,
    /// Most clients that log in at a time.
    pub logins: Bounds,
    /// Logins that an address may break off one after the other; 0: no limit.
    pub max_connect_errors: u32,
    /// For how long it is blocked then.
    pub unblock_after: Duration,
    /// From accept to OK.
    pub login_timeout: Duration,
    /// From the start of connecting to a server to the end of that login.
    pub connect_timeout: Duration,
    /// How long a statement for the primary waits while none takes it.
    pub primary_wait: Duration,
    /// How long a statement may wait for a connection.
    pub checkout_timeout: Duration,
    /// Prepared statements that are kept on one connection.
    pub max_prepared_statements: usize,
    /// For how long a session has a server connection to itself.
    pub pool_mode: PoolMode,
    /// Longest command of a client, in bytes.
    pub max_packet: usize,
    /// Longest text of a statement, in bytes.
    pub max_statement_size: usize,
    /// Most prepared statements of one session.
    pub max_open_statements: usize,
    /// How long a client may be idle; zero: for ever.
    pub wait_timeout: Duration,
    /// The same for those that say that they are interactive.
    pub interactive_timeout: Duration,
    /// How long a client may be silent in the midst of a command.
    pub net_read_timeout: Duration,
    /// How long a client may take nothing of a response.
    pub net_write_timeout: Duration,
    /// TLS towards clients.
    pub tls: ListenerTls,
    /// Whether statements are logged, and with which text.
    pub log_sql: LogSql,
    /// Of so many statements one is logged.
    pub log_sql_one_in: u32,
    /// What takes as long is a slow statement; zero: none is.
    pub slow_query: Duration,
    /// The compressed protocol is offered.
    pub compression: bool,
    /// The plugin that the greeting names.
    pub greeting_plugin: Plugin,
    /// `[[account]]` entries by user name.
    pub accounts: std::collections::HashMap<Vec<u8>, Arc<KnownAccount>>,
}

/// Where lagwise is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// Serving.
    Running,
    /// Another process gets the new sessions; those that are here go on.
    Leaving,
    /// No new sessions; running ones may finish what they are at.
    Draining,
    /// Sessions end now.
    Closing,
}

/// What all sessions share.
#[derive(Debug)]
pub struct Context {
    /// The servers.
    pub cluster: Arc<ClusterHandle>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What a reload exchanges.
    pub settings: ArcSwap<Settings>,
    /// Sessions by connection id.
    pub registry: Arc<Registry>,
    /// Proven passwords.
    pub credentials: Credentials,
    /// Logins that a server has accepted lately.
    pub proofs: Arc<Proofs>,
    /// SET and USE that a server has accepted lately.
    pub known_sets: KnownSets,
    /// Wrong passwords.
    pub guesses: Guesses,
    /// What servers say to them.
    pub wrong_password: WrongPassword,
    /// Queries whose client has gone.
    pub abandoned: Abandoned,
    /// Clients by account and address.
    pub clients: Arc<Clients>,
    /// Clients that log in.
    pub logins: Arc<Logins>,
    /// Logins that were broken off.
    pub connect_errors: ConnectErrors,
    /// Hashes of mysql_native_password accounts as the servers store them.
    pub native_hashes: Arc<ArcSwap<NativeHashes>>,
    /// Which users the log has spoken of.
    pub advice: Advice,
    /// Texts of prepared statements.
    pub known_statements: KnownStatements,
    /// What servers have answered to PREPARE lately.
    pub prepare_answers: PrepareAnswers,
    /// What was written lately that others must see.
    pub writes: Arc<Writes>,
    /// Connections beside the limits, for KILL.
    pub asides: Semaphore,
    /// For passwords of clients without TLS.
    pub rsa_key: Arc<RsaKey>,
    /// Where lagwise is in its life.
    pub lifecycle: watch::Receiver<Lifecycle>,
    sessions: AtomicUsize,
}

impl Context {
    /// A context without sessions.
    pub fn new(
        cluster: Arc<ClusterHandle>,
        metrics: Arc<Metrics>,
        settings: Settings,
        rsa_key: RsaKey,
        lifecycle: watch::Receiver<Lifecycle>,
    ) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            metrics,
            settings: ArcSwap::from_pointee(settings),
            registry: Arc::default(),
            credentials: Credentials::default(),
            proofs: Arc::default(),
            known_sets: KnownSets::default(),
            guesses: Guesses::default(),
            wrong_password: WrongPassword::default(),
            abandoned: Abandoned::default(),
            clients: Arc::default(),
            logins: Arc::default(),
            connect_errors: ConnectErrors::default(),
            native_hashes: Arc::default(),
            advice: Advice::default(),
            known_statements: KnownStatements::default(),
            prepare_answers: PrepareAnswers::default(),
            writes: Arc::new(Writes::new(Instant::now())),
            asides: Semaphore::new(MAX_ASIDES),
            rsa_key: Arc::new(rsa_key),
            lifecycle,
            sessions: AtomicUsize::new(0),
        })
    }

    /// A server does not let an account in with this secret any more: what was remembered of the two
    /// is forgotten, and idle connections that it opened are closed.
    pub fn refused(&self, credential: &Credential) {
        self.credentials.refused(&credential.user, &credential.secret);
        self.proofs.forget(credential);
        for member in self.cluster.snapshot().members() {
            member.pool().clear_keys(|key| *key.login.credential == *credential);
        }
    }

    /// Answers to PREPARE are asked of servers again: other servers may give others.
    pub fn forget_prepare_answers(&self) {
        self.prepare_answers.forget_all();
    }

    /// Sessions, those that are logging in included.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Counts a session among those from its address, if it has one, until the place is dropped; `None`
    /// if there are `max_clients_per_address` already.
    pub fn place_of(&self, address: Option<IpAddr>) -> Option<Option<Place>> {
        let max = self.settings.load().max_clients_per_address;
        let Some(address) = address else { return Some(None) };
        self.clients.take(Who::Address(address), max).map(Some)
    }

    /// Counts a session until the permit is dropped; `None` if there are `max_clients` already, and none of
    /// those that have not logged in gives way.
    pub fn admit(self: &Arc<Self>) -> Option<Permit> {
        let max = self.settings.load().max_clients;
        let taken = self.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            (count < max).then_some(count + 1)
        });
        if taken.is_err() {
            // Who gives way is counted until it is gone, which is at once.
            if !self.logins.make_room(RejectCause::MaxClients, Instant::now()) {
                return None;
            }
            self.sessions.fetch_add(1, Ordering::Relaxed);
        }
        Some(Permit(Arc::clone(self)))
    }
}

/// A session's place among `max_clients`.
#[derive(Debug)]
pub struct Permit(Arc<Context>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}
