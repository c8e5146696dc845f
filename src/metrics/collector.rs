//! Turns the counters into Prometheus families when a scrape asks for them.
//!
//! Label lists with one dimension are always exported whole, zeros included, so that `rate()`
//! sees the first increment. Of products of two lists (`target` × `reason`, `side` × `kind`) only
//! the pairs that were ever counted are exported: most pairs cannot occur.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use super::catalogue::{self as names, Family, Kind};
use super::histogram::{BUCKETS, FINITE, upper_bound};
use super::process::ProcessSample;
use super::worker::{
    self, Abandoned, BAD_HINTS, Direction, FUNCTION_REFUSALS, HISTOGRAM_LEN, Layout, LoginResult,
    OTHER, PINS_ENDED, PINS_STARTED, PrepareBy, PrimaryWait, READ_RETRIES, Role, SESSIONS_ENDED,
    SESSIONS_STARTED, Side, WaitOutcome,
};
use super::{Core, ServerSource, unix_millis};

/// Nanoseconds of a second, as Prometheus wants seconds.
const NANOS: f64 = 1e9;

/// Reads [`Core`] on every scrape.
pub(super) struct CoreCollector {
    core: Arc<Core>,
    descs: Vec<Desc>,
}

impl CoreCollector {
    /// # Errors
    /// A family of the catalogue has a name or label that Prometheus does not allow.
    pub(super) fn new(core: Arc<Core>) -> prometheus::Result<Self> {
        let descs = names::ALL
            .iter()
            .map(|family| {
                let labels = family.labels.iter().map(|label| (*label).to_owned()).collect();
                Desc::new(
                    family.name.to_owned(),
                    family.help.to_owned(),
                    labels,
                    Default::default(),
                )
            })
            .collect::<prometheus::Result<_>>()?;
        Ok(Self { core, descs })
    }
}

impl Collector for CoreCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut scrape = Scrape::default();
        let totals = self.core.totals();
        scrape.workers(&self.core.labels, &self.core.layout, &totals);
        scrape.core(&self.core);
        if let Some(source) = self.core.servers() {
            scrape.servers(source.as_ref());
        }
        scrape.process(&ProcessSample::read());
        scrape.families
    }
}

/// The families built so far.
#[derive(Default)]
struct Scrape {
    families: Vec<MetricFamily>,
}

impl Scrape {
    /// Adds one family with its samples: label values in the family's order, and the value.
    fn family<'a, const N: usize>(
        &mut self,
        family: &Family,
        samples: impl IntoIterator<Item = ([&'a str; N], f64)>,
    ) {
        let metrics = samples.into_iter().map(|(labels, value)| {
            let mut metric = Metric::from_label(label_pairs(family, &labels));
            if family.kind == Kind::Counter {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            } else {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            metric
        });
        let metrics = metrics.collect();
        self.push(family, metrics);
    }

    fn push(&mut self, family: &Family, metrics: Vec<Metric>) {
        let mut out = MetricFamily::default();
        out.set_name(family.name.to_owned());
        out.set_help(family.help.to_owned());
        out.set_field_type(match family.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        });
        out.set_metric(metrics);
        self.families.push(out);
    }

    /// One label: every value of `list`, and [`OTHER`] once something was counted there.
    fn list(&mut self, family: &Family, list: &[&'static str], total: impl Fn(usize) -> f64) {
        let other = total(list.len());
        let known = list.iter().enumerate().map(|(index, value)| ([*value], total(index)));
        self.family(family, known.chain((other > 0.0).then_some(([OTHER], other))));
    }

    /// Two labels: the pairs that were counted.
    fn product(
        &mut self,
        family: &Family,
        first: &[&'static str],
        second: &[&'static str],
        total: impl Fn(usize, usize) -> f64,
    ) {
        let value = |list: &[&'static str], index: usize| list.get(index).copied().unwrap_or(OTHER);
        let pairs = (0..=first.len()).flat_map(|a| (0..=second.len()).map(move |b| (a, b)));
        let samples = pairs.filter_map(|(a, b)| {
            let count = total(a, b);
            (count > 0.0).then(|| ([value(first, a), value(second, b)], count))
        });
        self.family(family, samples);
    }

    fn workers(&mut self, labels: &worker::LabelSets, layout: &Layout, totals: &[u64]) {
        let raw = |slot: usize| totals.get(slot).copied().unwrap_or(0);
        let at = |slot: usize| raw(slot) as f64;
        // Start and end are counted by different workers and read one after the other: an end
        // may be seen before its start.
        let open = |start: usize, end: usize| raw(start).saturating_sub(raw(end)) as f64;
        self.family(&names::SESSIONS, [([], open(SESSIONS_STARTED, SESSIONS_ENDED))]);
        self.family(&names::SESSIONS_TOTAL, [([], at(SESSIONS_STARTED))]);
        self.family(&names::PINNED_SESSIONS, [([], open(PINS_STARTED, PINS_ENDED))]);
        self.family(&names::READ_RETRIES, [([], at(READ_RETRIES))]);
        let waits = WaitOutcome::NAMES.iter().enumerate();
        let waits = waits.map(|(index, outcome)| ([*outcome], at(worker::READ_WAITS + index)));
        self.family(&names::READ_WAITS, waits);
        let waits = PrimaryWait::NAMES.iter().enumerate();
        let waits = waits.map(|(index, outcome)| ([*outcome], at(worker::PRIMARY_WAITS + index)));
        self.family(&names::PRIMARY_WAITS, waits);
        self.family(&names::BAD_HINTS, [([], at(BAD_HINTS))]);
        self.family(&names::LOGINS_REMEMBERED, [([], at(worker::LOGINS_REMEMBERED))]);
        self.family(&names::SETS_REMEMBERED, [([], at(worker::SETS_REMEMBERED))]);
        self.family(&names::LOGINS_DELAYED, [([], at(worker::LOGINS_DELAYED))]);
        self.family(&names::FUNCTION_REFUSALS, [([], at(FUNCTION_REFUSALS))]);
        let logins = LoginResult::NAMES.iter().enumerate();
        self.family(&names::LOGINS, logins.map(|(i, name)| ([*name], at(layout.login(i)))));
        let outcomes = Abandoned::NAMES.iter().enumerate();
        self.family(
            &names::ABANDONED_QUERIES,
            outcomes.map(|(i, name)| ([*name], at(layout.abandoned(i)))),
        );
        let prepares = PrepareBy::NAMES.iter().enumerate();
        self.family(&names::PREPARES, prepares.map(|(i, name)| ([*name], at(layout.prepare(i)))));
        let directions = Direction::NAMES.iter().enumerate();
        self.family(&names::BYTES, directions.map(|(i, name)| ([*name], at(layout.bytes(i)))));
        self.list(&names::CLIENTS_REJECTED, labels.reject_causes, |i| at(layout.rejected(i)));
        self.list(&names::COMMANDS, labels.commands, |i| at(layout.command(i)));
        self.list(&names::PINS, labels.pin_causes, |i| at(layout.pin(i)));
        let held = |i: usize| open(layout.hold(i), layout.hold_end(i));
        self.list(&names::HOLDING_SESSIONS, labels.holds, held);
        self.product(
            &names::QUERIES,
            labels.targets,
            labels.reasons,
            |t, r| at(layout.query(t, r)),
        );
        self.product(&names::ERRORS, Side::NAMES, labels.error_kinds, |side, kind| {
            if side < Side::NAMES.len() { at(layout.error(side, kind)) } else { 0.0 }
        });
        let proxy = histogram(&names::PROXY_SECONDS, &[], totals, layout.proxy_seconds());
        self.push(&names::PROXY_SECONDS, vec![proxy]);
        let roles = Role::NAMES.iter().enumerate().map(|(index, role)| {
            histogram(&names::SERVER_SECONDS, &[role], totals, layout.server_seconds(index))
        });
        self.push(&names::SERVER_SECONDS, roles.collect());
    }

    fn core(&mut self, core: &Core) {
        let rules = core.rules.values();
        let rules = rules.iter().map(|(name, count)| ([name.as_str()], *count as f64));
        self.family(&names::RULES, rules);
        let (ok, error) = core.reloads();
        self.family(&names::RELOADS, [(["ok"], ok as f64), (["error"], error as f64)]);
        let good = f64::from(u8::from(core.last_reload_good.load(Ordering::Relaxed)));
        self.family(&names::LAST_RELOAD_GOOD, [([], good)]);
        self.family(&names::LAST_RELOAD, [([], core.last_reload_seconds())]);
        let certificates = core.certificates.get();
        let ends = certificates.iter().map(|certificate| {
            let server = certificate.server.as_deref().unwrap_or_default();
            ([certificate.shown_to(), server], unix_millis(certificate.expiry) as f64 / 1e3)
        });
        self.family(&names::CERTIFICATE_EXPIRY, ends);
        self.family(&names::PROCESS_START_TIME, [([], core.started_seconds)]);
        let build = [core.version, std::env::consts::OS, std::env::consts::ARCH];
        self.family(&names::BUILD_INFO, [(build, 1.0)]);
    }

    fn servers(&mut self, source: &dyn ServerSource) {
        self.family(&names::MAX_LAG, [([], source.max_lag().as_secs_f64())]);
        self.family(&names::WAITING_READS, [([], source.waiting_reads() as f64)]);
        let primary = source.primary();
        self.family(&names::WAITING_FOR_PRIMARY, [([], primary.waiting as f64)]);
        let holds = primary.holds.iter();
        let held = |hold: &str| f64::from(u8::from(primary.held == Some(hold)));
        self.family(&names::PRIMARY_HELD, holds.map(|hold| ([*hold], held(hold))));
        self.family(&names::PRIMARY_CHANGES, [([], primary.changes as f64)]);
        self.family(&names::RIVAL_PRIMARIES, [([], primary.rivals as f64)]);
        let mut samples = source.servers();
        // Two samples of one series would make Prometheus refuse the whole scrape.
        let mut seen = HashSet::new();
        samples.retain(|sample| seen.insert(sample.name.clone()));
        let servers = || samples.iter().map(|sample| (sample.name.as_str(), sample));
        let one = |yes: bool| f64::from(u8::from(yes));

        let roles = servers().flat_map(|(name, server)| {
            Role::NAMES.iter().map(move |role| ([name, *role], one(server.role.as_str() == *role)))
        });
        self.family(&names::SERVER_ROLE, roles);
        let states = servers().flat_map(|(name, server)| {
            let known = source.health_states();
            let unlisted = (!known.contains(&server.health)).then_some(&server.health);
            let states = known.iter().chain(unlisted);
            states.map(move |state| ([name, *state], one(server.health == *state)))
        });
        self.family(&names::SERVER_HEALTH, states);
        self.family(&names::SERVER_UP, servers().map(|(name, s)| ([name], one(s.up))));
        self.family(&names::SERVER_ELIGIBLE, servers().map(|(name, s)| ([name], one(s.eligible))));
        // Absent rather than NaN: an average over servers would become NaN with it.
        let lags = servers().filter_map(|(name, s)| Some(([name], s.lag?.as_secs_f64())));
        self.family(&names::SERVER_LAG, lags);
        let forms = servers().filter_map(|(name, s)| Some((name, s.lag_form?)));
        let forms = forms.flat_map(|(name, form)| {
            source.lag_forms().iter().map(move |known| ([name, *known], one(form == *known)))
        });
        self.family(&names::SERVER_LAG_FORM, forms);
        let replicas = servers().filter(|(_, s)| s.role == Role::Replica);
        self.family(&names::SERVER_ERRANT, replicas.map(|(name, s)| ([name], one(s.errant))));
        self.family(&names::SERVER_DRAINED, servers().map(|(name, s)| ([name], one(s.drained))));
        let outstanding = servers().map(|(name, s)| ([name], s.outstanding as f64));
        self.family(&names::SERVER_OUTSTANDING, outstanding);
        let connections = servers().map(|(name, s)| ([name], s.connections as f64));
        self.family(&names::SERVER_CONNECTIONS, connections);
        let most = servers().map(|(name, s)| ([name], s.max_connections as f64));
        self.family(&names::MAX_CONNECTIONS, most);
        let idle = servers().map(|(name, s)| ([name], s.idle as f64));
        self.family(&names::SERVER_IDLE, idle);
        let waiting = servers().map(|(name, s)| ([name], s.waiting as f64));
        self.family(&names::SERVER_WAITING, waiting);
        let circuits = servers().map(|(name, s)| ([name], one(s.circuit_open)));
        self.family(&names::CIRCUIT_OPEN, circuits);
        let checkouts = servers().flat_map(|(name, s)| {
            s.checkouts.iter().map(move |(outcome, count)| ([name, *outcome], *count as f64))
        });
        self.family(&names::CHECKOUTS, checkouts);
        let connects = servers().map(|(name, s)| ([name], s.connects as f64));
        self.family(&names::CONNECTS, connects);
        let failures = servers().map(|(name, s)| ([name], s.connect_failures as f64));
        self.family(&names::CONNECT_FAILURES, failures);
        let handed_on = servers().map(|(name, s)| ([name], s.handed_on as f64));
        self.family(&names::HANDED_ON, handed_on);
        let probes = servers().map(|(name, s)| ([name], s.probes as f64));
        self.family(&names::PROBES, probes);
        let failures = servers().map(|(name, s)| ([name], s.probe_failures as f64));
        self.family(&names::PROBE_FAILURES, failures);
    }

    fn process(&mut self, sample: &ProcessSample) {
        for (family, value) in [
            (&names::PROCESS_CPU, sample.cpu_seconds),
            (&names::PROCESS_RESIDENT, sample.resident_bytes),
            (&names::PROCESS_VIRTUAL, sample.virtual_bytes),
            (&names::PROCESS_OPEN_FDS, sample.open_fds),
            (&names::PROCESS_MAX_FDS, sample.max_fds),
            (&names::PROCESS_THREADS, sample.threads),
        ] {
            self.family(family, value.map(|value| ([], value)));
        }
    }
}

fn label_pairs(family: &Family, values: &[&str]) -> Vec<LabelPair> {
    let pairs = family.labels.iter().zip(values).map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    pairs.collect()
}

/// One histogram out of the [`HISTOGRAM_LEN`] slots from `first` on.
fn histogram(family: &Family, labels: &[&str], totals: &[u64], first: usize) -> Metric {
    let slots = totals.get(first..first + HISTOGRAM_LEN).unwrap_or(&[]);
    let mut count = 0;
    let mut buckets = Vec::with_capacity(FINITE);
    for (index, in_bucket) in slots.iter().take(BUCKETS).enumerate() {
        count += in_bucket;
        if let Some(nanos) = upper_bound(index) {
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(count);
            bucket.set_upper_bound(nanos as f64 / NANOS);
            buckets.push(bucket);
        }
    }
    let mut histogram = Histogram::default();
    histogram.set_sample_count(count);
    histogram.set_sample_sum(slots.get(BUCKETS).copied().unwrap_or(0) as f64 / NANOS);
    histogram.set_bucket(buckets);
    let mut metric = Metric::from_label(label_pairs(family, labels));
    metric.set_histogram(histogram);
    metric
}
