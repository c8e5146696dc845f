//! What lagwise counts about itself, for Prometheus.
//!
//! Counting must cost nothing that a benchmark can see, because every query passes here several
//! times. So each worker thread counts in its own memory ([`WorkerMetrics`]), and the work of
//! adding up, naming and formatting is done by the scrape ([`Metrics::render`]).
//!
//! Reading order: [`catalogue`] (every metric, by name), `worker` (the counters), `histogram`
//! (the buckets), `rules`
//! (counters by rule), `digests` (statements by digest), `slow` (slow statements), `servers` (what a
//! scrape asks of the topology), `certificates` (until when they are valid), `collector` (the scrape),
//! `moment` (what the status page shows).
//!
//! Deliberately absent: labels of Prometheus whose values clients choose, a clock (callers measure), and any
//! other module of the crate: label values of theirs are handed in as [`LabelSets`].

pub mod catalogue;
mod certificates;
mod collector;
mod digests;
mod histogram;
mod moment;
mod process;
mod rules;
mod servers;
mod slow;
mod worker;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Registry, TextEncoder};

pub use certificates::CertificateSample;
pub use digests::{DigestRow, Digests, Execution, MAX_REASONS, MAX_TEXT};
pub use moment::{Latency, Moment};
pub use rules::RuleCount;
pub use servers::{PrimarySample, ServerSample, ServerSource};
pub use slow::{Phases, SlowStatement, SlowStatements};
pub use worker::{
    Abandoned, Direction, LabelSets, LoginResult, OTHER, PrepareBy, PrimaryWait, Role, Side,
    WaitOutcome, WorkerMetrics,
};

/// The `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of one running lagwise. Shared as `Arc<Metrics>`.
pub struct Metrics {
    core: Arc<Core>,
    registry: Registry,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// What the collector, owned by the registry, shares with [`Metrics`].
struct Core {
    labels: LabelSets,
    layout: worker::Layout,
    workers: Box<[WorkerMetrics]>,
    version: &'static str,
    started_seconds: f64,
    last_reload_millis: AtomicU64,
    last_reload_good: AtomicBool,
    reloads_ok: AtomicU64,
    reloads_error: AtomicU64,
    servers: Mutex<Option<Arc<dyn ServerSource>>>,
    rules: rules::RuleCounts,
    certificates: certificates::Certificates,
    digests: Digests,
    slow: SlowStatements,
}

impl Core {
    /// The sum of all workers, by slot.
    fn totals(&self) -> Vec<u64> {
        let mut totals = vec![0; self.layout.len()];
        for worker in &self.workers {
            worker.merge_into(&mut totals);
        }
        totals
    }

    fn open_sessions(&self, totals: &[u64]) -> u64 {
        let at = |slot: usize| totals.get(slot).copied().unwrap_or_default();
        // The two are not read at one moment.
        at(worker::SESSIONS_STARTED).saturating_sub(at(worker::SESSIONS_ENDED))
    }

    fn reloads(&self) -> (u64, u64) {
        (self.reloads_ok.load(Ordering::Relaxed), self.reloads_error.load(Ordering::Relaxed))
    }

    fn last_reload_seconds(&self) -> f64 {
        self.last_reload_millis.load(Ordering::Relaxed) as f64 / 1e3
    }

    fn servers(&self) -> Option<Arc<dyn ServerSource>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Metrics {
    /// `workers` is the number of runtime worker threads (more threads share the counters, fewer
    /// waste a few KiB each); `version` the running version; `started` when the process started,
    /// which is also when its first configuration was loaded.
    ///
    /// # Errors
    /// Only if the catalogue itself is wrong, which a test excludes.
    pub fn new(
        labels: LabelSets,
        workers: usize,
        version: &'static str,
        started: SystemTime,
    ) -> prometheus::Result<Arc<Self>> {
        let layout = worker::Layout::new(&labels);
        let started_millis = unix_millis(started);
        let core = Arc::new(Core {
            labels,
            layout,
            workers: (0..workers.max(1)).map(|_| WorkerMetrics::new(layout)).collect(),
            version,
            started_seconds: started_millis as f64 / 1e3,
            last_reload_millis: AtomicU64::new(started_millis),
            last_reload_good: AtomicBool::new(true),
            reloads_ok: AtomicU64::new(0),
            reloads_error: AtomicU64::new(0),
            servers: Mutex::new(None),
            rules: rules::RuleCounts::default(),
            certificates: certificates::Certificates::default(),
            digests: Digests::new(workers),
            slow: SlowStatements::default(),
        });
        let registry = Registry::new();
        registry.register(Box::new(collector::CoreCollector::new(core.clone())?))?;
        Ok(Arc::new(Self { core, registry }))
    }

    /// The counters of the calling thread. Cheap enough for every use, but a task that counts
    /// several things in a row without awaiting may keep the reference.
    #[inline]
    pub fn local(&self) -> &WorkerMetrics {
        self.worker(thread_number())
    }

    /// Counts an execution of a statement by its digest: see [`Digests::record`].
    #[inline]
    pub fn digest(
        &self,
        execution: &Execution<'_>,
        fingerprint: impl FnOnce() -> u64,
        text: impl FnOnce() -> String,
    ) {
        self.core.digests.record(thread_number(), execution, fingerprint, text);
    }

    /// Statements by their digest.
    pub fn digests(&self) -> &Digests {
        &self.core.digests
    }

    /// The slow statements of late.
    pub fn slow(&self) -> &SlowStatements {
        &self.core.slow
    }

    /// The counters of worker `index`, modulo the number of workers: for runtimes that number
    /// their threads themselves.
    #[inline]
    pub fn worker(&self, index: usize) -> &WorkerMetrics {
        // `new` made at least one worker.
        &self.core.workers[index % self.core.workers.len()]
    }

    /// Counts a client session from now until the returned guard is dropped.
    pub fn session(self: &Arc<Self>) -> SessionCount {
        self.local().session_started();
        SessionCount(self.clone())
    }

    /// Counts a pin from now until the returned guard is dropped; `cause` indexes
    /// [`LabelSets::pin_causes`].
    pub fn pin(self: &Arc<Self>, cause: usize) -> PinCount {
        self.local().pin_started(cause);
        PinCount(self.clone())
    }

    /// Counts a session that keeps a server connection between statements, from now until the
    /// returned guard is dropped; `reason` indexes [`LabelSets::holds`].
    pub fn hold(self: &Arc<Self>, reason: usize) -> HoldCount {
        self.local().hold_started(reason);
        HoldCount(self.clone(), reason)
    }

    /// Names the source of the per-server metrics; a later call replaces it. The source must not
    /// keep this `Metrics` alive through itself, or neither is ever freed.
    pub fn set_servers(&self, source: Arc<dyn ServerSource>) {
        *self.core.servers.lock().unwrap_or_else(PoisonError::into_inner) = Some(source);
    }

    /// Names the rules that are in force, each once; returns their counters in the same order. A rule
    /// whose name is there already goes on with its count.
    pub fn set_rules<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<RuleCount> {
        self.core.rules.set(names)
    }

    /// Says until when the certificates that lagwise shows are valid; a later call replaces them. No two
    /// may be for the same server.
    pub fn set_certificates(&self, certificates: Vec<CertificateSample>) {
        self.core.certificates.set(certificates);
    }

    /// Statements so far by target and reason, with their names; what did not occur is left out.
    pub fn routes(&self) -> Vec<(&'static str, &'static str, u64)> {
        let totals = self.core.totals();
        let LabelSets { targets, reasons, .. } = self.core.labels;
        let pairs = targets.iter().enumerate().flat_map(|(target, target_name)| {
            let reasons = reasons.iter().enumerate();
            reasons.map(move |(reason, reason_name)| (target, *target_name, reason, *reason_name))
        });
        let found = pairs.map(|(target, target_name, reason, reason_name)| {
            let slot = self.core.layout.query(target, reason);
            (target_name, reason_name, totals.get(slot).copied().unwrap_or_default())
        });
        found.filter(|(.., count)| *count > 0).collect()
    }

    /// The name of the reason with this index; empty if there is none.
    pub fn reason(&self, index: usize) -> &'static str {
        self.core.labels.reasons.get(index).copied().unwrap_or_default()
    }

    /// Sessions that are open.
    pub fn sessions(&self) -> u64 {
        self.core.open_sessions(&self.core.totals())
    }

    /// Whole seconds since the start; 0 if the clock was set back behind it.
    pub fn uptime_seconds(&self, now: SystemTime) -> u64 {
        (unix_millis(now) as f64 / 1e3 - self.core.started_seconds) as u64
    }

    /// The version that [`Metrics::new`] was told.
    pub fn version(&self) -> &'static str {
        self.core.version
    }

    /// Counts a reload that took effect at `now`.
    pub fn reload_succeeded(&self, now: SystemTime) {
        self.core.reloads_ok.fetch_add(1, Ordering::Relaxed);
        self.core.last_reload_millis.store(unix_millis(now), Ordering::Relaxed);
        self.core.last_reload_good.store(true, Ordering::Relaxed);
    }

    /// Counts a reload that was refused; the old configuration is in force.
    pub fn reload_failed(&self) {
        self.core.reloads_error.fetch_add(1, Ordering::Relaxed);
        self.core.last_reload_good.store(false, Ordering::Relaxed);
    }

    /// The scrape in the Prometheus text format, of type [`CONTENT_TYPE`]. Takes time linear in
    /// open descriptors (it counts them), so not on a thread that serves clients.
    ///
    /// # Errors
    /// The encoder refuses a family; none of the catalogue's is refused.
    pub fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

/// Counts one session as open until dropped.
#[must_use = "the session counts as ended when this is dropped"]
#[derive(Debug)]
pub struct SessionCount(Arc<Metrics>);

impl Drop for SessionCount {
    fn drop(&mut self) {
        self.0.local().session_ended();
    }
}

/// Counts one session as pinned until dropped.
#[must_use = "the pin counts as ended when this is dropped"]
#[derive(Debug)]
pub struct PinCount(Arc<Metrics>);

impl Drop for PinCount {
    fn drop(&mut self) {
        self.0.local().pin_ended();
    }
}

/// Counts one session as keeping a connection until dropped.
#[must_use = "the hold counts as ended when this is dropped"]
#[derive(Debug)]
pub struct HoldCount(Arc<Metrics>, usize);

impl Drop for HoldCount {
    fn drop(&mut self) {
        self.0.local().hold_ended(self.1);
    }
}

/// Milliseconds since 1970; 0 for a clock before that.
fn unix_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A number for the calling thread, given out in order of first use. It numbers threads and holds
/// no metric: with it a task that moves between workers always counts on the one it runs on.
#[inline]
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) });
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}
