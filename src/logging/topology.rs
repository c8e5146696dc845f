//! What has happened to the topology of late, taken from the log itself: what a person reads there and what
//! the status page shows is one and the same event.
//!
//! It is taken whatever `[log] level` says. The lines of [`SOURCES`] tell of servers and of the
//! configuration; they hold no statement, no client and no secret.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;

use crate::recent::Ring;
use crate::text::cut;

/// Events that are kept.
pub const MAX_EVENTS: usize = 100;

/// Bytes of a text or of a detail; the rest is cut off.
const MAX_TEXT: usize = 1024;

/// The modules whose log lines these are.
const SOURCES: [&str; 4] = [
    "lagwise::cluster::monitor",
    "lagwise::cluster::role_change",
    "lagwise::server::drain",
    "lagwise::server::reload",
];

/// One thing that happened. The names of the fields are those of the answer of `/events`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TopologyEvent {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// `error`, `warn` or `info`.
    pub level: &'static str,
    /// The server that it happened to.
    pub server: Option<String>,
    /// What happened, in the words of the log.
    pub text: String,
    /// The other fields of the log line.
    pub details: BTreeMap<&'static str, String>,
}

/// The last events of a running lagwise; clones share them.
#[derive(Clone, Debug)]
pub struct TopologyEvents(Arc<Mutex<Ring<TopologyEvent>>>);

impl Default for TopologyEvents {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Ring::new(MAX_EVENTS))))
    }
}

impl TopologyEvents {
    /// Those with a number above `seq`, the oldest first; all for 0. At most [`MAX_EVENTS`].
    pub fn after(&self, seq: u64) -> Vec<(u64, TopologyEvent)> {
        self.lock().after(seq).map(|(number, event)| (number, event.clone())).collect()
    }

    /// Takes one in.
    pub fn push(&self, event: TopologyEvent) {
        self.lock().push(event);
    }

    /// What takes them from the log.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    {
        let sources = SOURCES.map(|source| (source, Level::INFO));
        Keeper(self.clone()).with_filter(Targets::new().with_targets(sources))
    }

    fn lock(&self) -> MutexGuard<'_, Ring<TopologyEvent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Keeper(TopologyEvents);

impl<S: Subscriber> Layer<S> for Keeper {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut kept = TopologyEvent {
            at_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            level: match *event.metadata().level() {
                Level::ERROR => "error",
                Level::WARN => "warn",
                _ => "info",
            },
            ..TopologyEvent::default()
        };
        event.record(&mut Fields(&mut kept));
        self.0.push(kept);
    }
}

/// Sorts the fields of a log line into an event.
struct Fields<'a>(&'a mut TopologyEvent);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let value = cut(value, MAX_TEXT).to_owned();
        match field.name() {
            "message" => self.0.text = value,
            "server" => self.0.server = Some(value),
            _ if value.is_empty() => {}
            name => {
                self.0.details.insert(name, value);
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::logging::{Format, Sink, subscriber};

    fn kept(act: impl FnOnce()) -> Vec<TopologyEvent> {
        let (subscriber, handle) =
            subscriber("off", Format::Human, Sink::Plain, std::io::sink).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        handle.topology().after(0).into_iter().map(|(_, event)| event).collect()
    }

    #[test]
    fn events_are_kept_whatever_the_log_is_set_to() {
        let found = kept(|| {
            tracing::error!(
                target: "lagwise::cluster::monitor", server = "r1", to = %"down", cause = "", n = 3,
                "server is down"
            );
            tracing::debug!(target: "lagwise::cluster::monitor", "no event");
            tracing::info!(target: "lagwise::session", "no event");
            tracing::info!(target: "lagwise::server::reload", "reloaded: {}", "max_lag");
        });
        let [down, reloaded] = &found[..] else { panic!("{found:?}") };
        assert_eq!((down.level, down.server.as_deref()), ("error", Some("r1")));
        assert_eq!(down.text, "server is down");
        let details = [("n", "3".to_owned()), ("to", "down".to_owned())];
        assert_eq!(down.details, details.into());
        assert!(down.at_ms > 1_700_000_000_000);
        assert_eq!((reloaded.level, reloaded.server.as_deref()), ("info", None));
        assert_eq!(reloaded.text, "reloaded: max_lag");
    }

    #[test]
    fn texts_are_cut_between_two_characters() {
        let found = kept(|| {
            let long = format!("x{}", "é".repeat(MAX_TEXT));
            tracing::info!(target: "lagwise::server::drain", server = long, "by command");
        });
        let server = found[0].server.as_deref().unwrap();
        assert_eq!(server.len(), MAX_TEXT - 1);
    }

    #[test]
    fn the_sources_are_modules() {
        for source in SOURCES {
            let path = source.replace("lagwise::", "src/").replace("::", "/") + ".rs";
            assert!(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists());
        }
    }
}
