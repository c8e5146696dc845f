//! Where log lines go and what they look like.
//!
//! Always standard error: it works the same by hand, under systemd and in containers, and rotation
//! is somebody else's trade. A person at a terminal gets colours, everything else plain text or
//! JSON. The journal stamps time itself and takes each line's priority from a `<N>` prefix
//! (sd-daemon(3)), so that `journalctl -p warning` works.
//!
//! [`topology`] keeps the last events of the topology for the status page.
//!
//! Deliberately absent: files, syslog, the `LAGWISE_LOG` kind of hidden setting, and the
//! configuration's types: plain arguments only. A global subscriber is inherent to `tracing`;
//! this module sets it once, at the start.

mod topology;

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;

use thiserror::Error;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, reload};

pub use topology::{TopologyEvent, TopologyEvents};

/// What a log line is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One line for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// What stands behind standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// A person's terminal: colours.
    Terminal,
    /// The systemd journal: no time and no colours, but priorities.
    Journal,
    /// A pipe or a file: time, no colours.
    Plain,
}

/// Why the logs cannot be set up or changed.
#[derive(Debug, Error)]
pub enum LogError {
    /// The filter does not parse.
    #[error(
        "log filter {filter:?} is not valid: {reason}; use a level (error, warn, info, debug, trace) or target=level pairs"
    )]
    Filter {
        /// The filter as given.
        filter: String,
        /// The parser's words.
        reason: String,
    },
    /// A subscriber was set before in this process.
    #[error("logging was already initialised")]
    Already,
    /// The subscriber is gone; only in tests.
    #[error("the log subscriber no longer exists")]
    Gone,
}

/// Changes the filter of a running process, and knows what its log said of the topology.
#[derive(Clone)]
pub struct LogHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    topology: TopologyEvents,
}

impl LogHandle {
    /// Replaces the filter, for events from now on.
    ///
    /// # Errors
    /// [`LogError::Filter`]; the old filter then stays.
    pub fn set_filter(&self, filter: &str) -> Result<(), LogError> {
        self.filter.reload(parse_filter(filter)?).map_err(|_| LogError::Gone)
    }

    /// The last events of the topology; they do not depend on the filter.
    pub fn topology(&self) -> &TopologyEvents {
        &self.topology
    }
}

/// Sets the process-wide subscriber. `filter` is a level or an `EnvFilter` expression such as
/// `info,lagwise::cluster=debug`.
///
/// # Errors
/// [`LogError::Filter`] or [`LogError::Already`].
pub fn init(filter: &str, format: Format, sink: Sink) -> Result<LogHandle, LogError> {
    let (subscriber, handle) = subscriber(filter, format, sink, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Already)?;
    Ok(handle)
}

/// Parses a filter, so that a configuration can be checked before it is put in force.
///
/// # Errors
/// [`LogError::Filter`].
pub fn check_filter(filter: &str) -> Result<(), LogError> {
    parse_filter(filter).map(|_| ())
}

/// Finds out what standard error is. `journal_stream` is the environment's `JOURNAL_STREAM`.
pub fn stderr_sink(journal_stream: Option<&OsStr>) -> Sink {
    let identity = fs::metadata("/proc/self/fd/2").ok().map(|file| (file.dev(), file.ino()));
    sink(journal_stream, identity, std::io::stderr().is_terminal())
}

/// `JOURNAL_STREAM` holds device and inode of the socket to the journal, as `dev:ino`. It is
/// inherited by processes whose standard error was since sent elsewhere, so it counts only if
/// standard error still is that socket (systemd.exec(5)).
fn sink(journal_stream: Option<&OsStr>, stderr: Option<(u64, u64)>, terminal: bool) -> Sink {
    let journal = journal_stream.and_then(OsStr::to_str).and_then(|text| {
        let (dev, ino) = text.split_once(':')?;
        Some((dev.parse::<u64>().ok()?, ino.parse::<u64>().ok()?))
    });
    match (journal, terminal) {
        (Some(_), _) if journal == stderr => Sink::Journal,
        (_, true) => Sink::Terminal,
        (_, false) => Sink::Plain,
    }
}

/// The words for a level. `LevelFilter` also parses numbers and nothing at all.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

fn parse_filter(filter: &str) -> Result<EnvFilter, LogError> {
    let refused = |reason: String| LogError::Filter { filter: filter.to_owned(), reason };
    // The parser takes any unknown word for a module's name and would then log nothing of the
    // rest. Directives on spans, in brackets, may hold commas and are left to the parser.
    if !filter.contains('[') {
        for directive in filter.split(',').map(str::trim) {
            let level = directive.split_once('=').map_or(directive, |(_, level)| level);
            if !LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level)) {
                return Err(refused(format!("{level:?} is not a level")));
            }
        }
    }
    EnvFilter::builder().parse(filter).map_err(|error| refused(error.to_string()))
}

/// The subscriber and the handle to its filter, writing to any writer.
fn subscriber<W>(
    filter: &str,
    format: Format,
    sink: Sink,
    writer: W,
) -> Result<(impl Subscriber + Send + Sync + use<W>, LogHandle), LogError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse_filter(filter)?);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(sink == Sink::Terminal && format == Format::Human);
    let event = tracing_subscriber::fmt::format();
    let journal = sink == Sink::Journal;
    let layer = match (format, journal) {
        (Format::Human, false) => layer.event_format(event).boxed(),
        (Format::Human, true) => layer.event_format(Priority(event.without_time())).boxed(),
        (Format::Json, false) => {
            let event = event.json().flatten_event(true);
            layer.fmt_fields(json_fields()).event_format(event).boxed()
        }
        (Format::Json, true) => {
            let event = event.json().flatten_event(true).without_time();
            layer.fmt_fields(json_fields()).event_format(Priority(event)).boxed()
        }
    };
    let topology = TopologyEvents::default();
    // The filter is of this layer alone: events of the topology are kept in any case.
    let subscriber = Registry::default().with(layer.with_filter(filter)).with(topology.layer());
    Ok((subscriber, LogHandle { filter: handle, topology }))
}

fn json_fields() -> tracing_subscriber::fmt::format::JsonFields {
    tracing_subscriber::fmt::format::JsonFields::new()
}

/// Writes the journal's priority before the line; the journal takes it off again.
struct Priority<F>(F);

impl<S, N, F> FormatEvent<S, N> for Priority<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        // Numbers of syslog(3): err, warning, info, debug. A trace is a debug message there.
        let priority = match *event.metadata().level() {
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            Level::DEBUG | Level::TRACE => "<7>",
        };
        writer.write_str(priority)?;
        self.0.format_event(context, writer, event)
    }
}

#[cfg(test)]
mod tests;
