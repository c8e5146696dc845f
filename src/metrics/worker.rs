//! The counters of one worker thread.
//!
//! A query touches half a dozen counters. Shared between threads, each of those would move a
//! cache line from core to core; so every worker thread counts in an allocation of its own,
//! aligned to and padded to whole pairs of cache lines, and a scrape adds the workers up. An
//! increment is one relaxed atomic addition at an offset computed from label indices: no hash,
//! no lock, no allocation.
//!
//! Labels that belong to other modules (route targets and reasons, error kinds, …) are handed in
//! as static lists and used by index. An index outside its list counts as [`OTHER`], so that a
//! mistake shows up on the scrape instead of as a panic or a missing count.

use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::{BUCKETS, bucket_of};

/// The label value for an index outside its list.
pub const OTHER: &str = "other";

/// The label values that other modules own. An index into a list stands for its value.
#[derive(Clone, Copy, Debug)]
pub struct LabelSets {
    /// `target` of `lagwise_queries_total`.
    pub targets: &'static [&'static str],
    /// `reason` of `lagwise_queries_total`.
    pub reasons: &'static [&'static str],
    /// `command` of `lagwise_commands_total`.
    pub commands: &'static [&'static str],
    /// `cause` of `lagwise_pins_total`.
    pub pin_causes: &'static [&'static str],
    /// `reason` of `lagwise_holding_sessions`.
    pub holds: &'static [&'static str],
    /// `cause` of `lagwise_clients_rejected_total`.
    pub reject_causes: &'static [&'static str],
    /// `kind` of `lagwise_errors_total`.
    pub error_kinds: &'static [&'static str],
}

/// Declares an enum whose discriminants index a label list of the same order.
macro_rules! label_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The label values, in the order of the variants.
            pub const NAMES: &'static [&'static str] = &[$($text),*];

            /// The label value.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

label_enum! {
    /// How a login ended.
    LoginResult {
        /// The client is in.
        Ok = "ok",
        /// A server (or a proof that one gave earlier) refused the account.
        Denied = "denied",
        /// The login broke: bad packet, client gone, no server to ask.
        Error = "error",
        /// The client or a server did not finish in time.
        Timeout = "timeout",
    }
}

label_enum! {
    /// What became of a query whose client had gone.
    Abandoned {
        /// The server was told to end it, or had ended it.
        Killed = "killed",
        /// The server could not be told.
        Failed = "failed",
    }
}

label_enum! {
    /// Whose fault an error is.
    Side {
        /// The client broke the protocol or vanished.
        Client = "client",
        /// A server failed, vanished or could not be reached.
        Server = "server",
        /// lagwise itself refused or gave up.
        Proxy = "proxy",
    }
}

label_enum! {
    /// Which way bytes went.
    Direction {
        /// Read from a client.
        FromClient = "from_client",
        /// Written to a client.
        ToClient = "to_client",
        /// Read from a server.
        FromServer = "from_server",
        /// Written to a server.
        ToServer = "to_server",
    }
}

label_enum! {
    /// How a statement came to be prepared.
    PrepareBy {
        /// A client's PREPARE, which a server ran.
        Client = "client",
        /// A client's PREPARE, answered by what a server had answered lately.
        Memory = "memory",
        /// An execution on a connection that did not have it.
        Lagwise = "lagwise",
    }
}

label_enum! {
    /// Where a read went that had waited.
    WaitOutcome {
        /// To a replica.
        Replica = "replica",
        /// To the primary: no replica had what it must see in time.
        Primary = "primary",
        /// To the primary, which then showed what the session had read on a replica.
        Shown = "shown",
        /// To the primary, which did not in time.
        NotShown = "not_shown",
    }
}

label_enum! {
    /// What became of a statement that had waited for a primary.
    PrimaryWait {
        /// It was sent.
        Served = "served",
        /// None took it within `primary_wait`.
        Expired = "expired",
    }
}

label_enum! {
    /// What a server is in its topology.
    Role {
        /// Takes writes.
        Primary = "primary",
        /// Follows the primary.
        Replica = "replica",
    }
}

/// Where each counter lies in a worker's array; equal for all workers of one `Metrics`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub targets: usize,
    pub reasons: usize,
    pub commands: usize,
    pub pin_causes: usize,
    pub holds: usize,
    pub reject_causes: usize,
    pub error_kinds: usize,
    commands_at: usize,
    pins_at: usize,
    holds_at: usize,
    rejected_at: usize,
    errors_at: usize,
    queries_at: usize,
    len: usize,
}

/// One histogram: its buckets, then the sum in nanoseconds.
pub(super) const HISTOGRAM_LEN: usize = BUCKETS + 1;
pub(super) const SESSIONS_STARTED: usize = 0;
pub(super) const SESSIONS_ENDED: usize = 1;
pub(super) const PINS_STARTED: usize = 2;
pub(super) const PINS_ENDED: usize = 3;
pub(super) const READ_RETRIES: usize = 4;
pub(super) const FUNCTION_REFUSALS: usize = 5;
pub(super) const BAD_HINTS: usize = 6;
pub(super) const LOGINS_REMEMBERED: usize = 7;
pub(super) const LOGINS_DELAYED: usize = 8;
pub(super) const SETS_REMEMBERED: usize = 9;
pub(super) const READ_WAITS: usize = 10;
const BYTES_AT: usize = READ_WAITS + WaitOutcome::NAMES.len();
pub(super) const PRIMARY_WAITS: usize = BYTES_AT + Direction::NAMES.len();
const LOGINS_AT: usize = PRIMARY_WAITS + PrimaryWait::NAMES.len();
const ABANDONED_AT: usize = LOGINS_AT + LoginResult::NAMES.len();
const PREPARES_AT: usize = ABANDONED_AT + Abandoned::NAMES.len();
const PROXY_SECONDS_AT: usize = PREPARES_AT + PrepareBy::NAMES.len();
const SERVER_SECONDS_AT: usize = PROXY_SECONDS_AT + HISTOGRAM_LEN;
const FIXED_LEN: usize = SERVER_SECONDS_AT + HISTOGRAM_LEN * Role::NAMES.len();

impl Layout {
    /// Each list gets one place more than it has values: the last one counts [`OTHER`].
    pub(super) fn new(labels: &LabelSets) -> Self {
        let [targets, reasons, commands, pin_causes, holds, reject_causes, error_kinds] = [
            labels.targets,
            labels.reasons,
            labels.commands,
            labels.pin_causes,
            labels.holds,
            labels.reject_causes,
            labels.error_kinds,
        ]
        .map(|list| list.len() + 1);
        let commands_at = FIXED_LEN;
        let pins_at = commands_at + commands;
        let holds_at = pins_at + pin_causes;
        let rejected_at = holds_at + 2 * holds;
        let errors_at = rejected_at + reject_causes;
        let queries_at = errors_at + Side::NAMES.len() * error_kinds;
        let len = queries_at + targets * reasons;
        Self {
            targets,
            reasons,
            commands,
            pin_causes,
            holds,
            reject_causes,
            error_kinds,
            commands_at,
            pins_at,
            holds_at,
            rejected_at,
            errors_at,
            queries_at,
            len,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) const fn login(&self, result: usize) -> usize {
        LOGINS_AT + result
    }

    pub(super) const fn abandoned(&self, outcome: usize) -> usize {
        ABANDONED_AT + outcome
    }

    pub(super) const fn prepare(&self, by: usize) -> usize {
        PREPARES_AT + by
    }

    pub(super) const fn bytes(&self, direction: usize) -> usize {
        BYTES_AT + direction
    }

    pub(super) fn command(&self, command: usize) -> usize {
        self.commands_at + command.min(self.commands - 1)
    }

    pub(super) fn pin(&self, cause: usize) -> usize {
        self.pins_at + cause.min(self.pin_causes - 1)
    }

    /// Where holds that have begun are counted.
    pub(super) fn hold(&self, reason: usize) -> usize {
        self.holds_at + reason.min(self.holds - 1)
    }

    /// Where holds that have ended are counted.
    pub(super) fn hold_end(&self, reason: usize) -> usize {
        self.hold(reason) + self.holds
    }

    pub(super) fn rejected(&self, cause: usize) -> usize {
        self.rejected_at + cause.min(self.reject_causes - 1)
    }

    pub(super) fn error(&self, side: usize, kind: usize) -> usize {
        self.errors_at + side * self.error_kinds + kind.min(self.error_kinds - 1)
    }

    pub(super) fn query(&self, target: usize, reason: usize) -> usize {
        self.queries_at + target.min(self.targets - 1) * self.reasons + reason.min(self.reasons - 1)
    }

    pub(super) const fn proxy_seconds(&self) -> usize {
        PROXY_SECONDS_AT
    }

    pub(super) const fn server_seconds(&self, role: usize) -> usize {
        SERVER_SECONDS_AT + role * HISTOGRAM_LEN
    }
}

/// Counters per line: 128 bytes, because x86 fetches cache lines in pairs.
const LINE: usize = 16;

/// The alignment keeps two workers' counters out of one (pair of) cache line(s).
#[repr(align(128))]
#[derive(Default)]
struct Line([AtomicU64; LINE]);

/// The counters of one worker thread. Any thread may use any worker's counters and no count is
/// lost; it is only faster when each keeps to its own ([`super::Metrics::local`]).
pub struct WorkerMetrics {
    lines: Box<[Line]>,
    layout: Layout,
}

impl WorkerMetrics {
    pub(super) fn new(layout: Layout) -> Self {
        let lines = (0..layout.len().div_ceil(LINE)).map(|_| Line::default()).collect();
        Self { lines, layout }
    }

    #[inline]
    fn add(&self, slot: usize, count: u64) {
        if let Some(line) = self.lines.get(slot / LINE) {
            line.0[slot % LINE].fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Adds this worker's counters to `totals`, slot by slot.
    pub(super) fn merge_into(&self, totals: &mut [u64]) {
        let counters = self.lines.iter().flat_map(|line| line.0.iter());
        for (total, counter) in totals.iter_mut().zip(counters) {
            *total = total.wrapping_add(counter.load(Ordering::Relaxed));
        }
    }

    #[inline]
    fn observe(&self, histogram: usize, nanos: u64) {
        self.add(histogram + bucket_of(nanos), 1);
        self.add(histogram + BUCKETS, nanos);
    }

    /// Counts an accepted client; [`super::Metrics::session`] pairs it with its end.
    pub(super) fn session_started(&self) {
        self.add(SESSIONS_STARTED, 1);
    }

    pub(super) fn session_ended(&self) {
        self.add(SESSIONS_ENDED, 1);
    }

    /// Counts a pin by index into [`LabelSets::pin_causes`]; [`super::Metrics::pin`] pairs it
    /// with its end.
    pub(super) fn pin_started(&self, cause: usize) {
        self.add(self.layout.pin(cause), 1);
        self.add(PINS_STARTED, 1);
    }

    pub(super) fn pin_ended(&self) {
        self.add(PINS_ENDED, 1);
    }

    /// Counts a prepared statement.
    pub fn prepare(&self, by: PrepareBy) {
        self.add(self.layout.prepare(by as usize), 1);
    }

    /// Counts a hold by index into [`LabelSets::holds`]; [`super::Metrics::hold`] pairs it with its
    /// end.
    pub(super) fn hold_started(&self, reason: usize) {
        self.add(self.layout.hold(reason), 1);
    }

    pub(super) fn hold_ended(&self, reason: usize) {
        self.add(self.layout.hold_end(reason), 1);
    }

    /// Counts the end of one login attempt.
    pub fn login(&self, result: LoginResult) {
        self.add(self.layout.login(result as usize), 1);
    }

    /// Counts a client turned away; `cause` indexes [`LabelSets::reject_causes`].
    pub fn client_rejected(&self, cause: usize) {
        self.add(self.layout.rejected(cause), 1);
    }

    /// Counts one command; `command` indexes [`LabelSets::commands`].
    #[inline]
    pub fn command(&self, command: usize) {
        self.add(self.layout.command(command), 1);
    }

    /// Counts one routed statement; `target` indexes [`LabelSets::targets`], `reason`
    /// [`LabelSets::reasons`].
    #[inline]
    pub fn query(&self, target: usize, reason: usize) {
        self.add(self.layout.query(target, reason), 1);
    }

    /// Counts one error; `kind` indexes [`LabelSets::error_kinds`].
    pub fn error(&self, side: Side, kind: usize) {
        self.add(self.layout.error(side as usize, kind), 1);
    }

    /// Counts a query whose client has gone.
    pub fn abandoned(&self, outcome: Abandoned) {
        self.add(self.layout.abandoned(outcome as usize), 1);
    }

    /// Counts a read that has waited for a replica that has what it must see.
    pub fn read_waited(&self, outcome: WaitOutcome) {
        self.add(READ_WAITS + outcome as usize, 1);
    }

    /// Counts a statement that has waited for a primary.
    pub fn primary_waited(&self, outcome: PrimaryWait) {
        self.add(PRIMARY_WAITS + outcome as usize, 1);
    }

    /// Counts a read that is run again on another server.
    pub fn read_retried(&self) {
        self.add(READ_RETRIES, 1);
    }

    /// Counts a read that a replica refused, for a function in it that writes.
    pub fn function_refused(&self) {
        self.add(FUNCTION_REFUSALS, 1);
    }

    /// Counts a login that was answered by what a server had said before.
    pub fn login_remembered(&self) {
        self.add(LOGINS_REMEMBERED, 1);
    }

    /// Counts a SET or USE that was answered by what a server had said before.
    pub fn set_remembered(&self) {
        self.add(SETS_REMEMBERED, 1);
    }

    /// Counts a login that is held back because of wrong passwords before.
    pub fn login_delayed(&self) {
        self.add(LOGINS_DELAYED, 1);
    }

    /// Counts a statement whose hint is ignored.
    pub fn bad_hint(&self) {
        self.add(BAD_HINTS, 1);
    }

    /// Adds bytes of the MySQL protocol, after decryption and before compression is undone.
    #[inline]
    pub fn bytes(&self, direction: Direction, count: u64) {
        self.add(self.layout.bytes(direction as usize), count);
    }

    /// Records lagwise's own time for one command, in nanoseconds.
    #[inline]
    pub fn proxy_time(&self, nanos: u64) {
        self.observe(self.layout.proxy_seconds(), nanos);
    }

    /// Records a server's time to the first byte of a response, in nanoseconds.
    #[inline]
    pub fn server_time(&self, role: Role, nanos: u64) {
        self.observe(self.layout.server_seconds(role as usize), nanos);
    }
}
