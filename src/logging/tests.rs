//! Log lines as they are written, and what must not be in them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<u8>>>);

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Capture {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

/// The lines that `act` logs.
fn logged(
    filter: &str,
    format: Format,
    sink: Sink,
    act: impl FnOnce(&LogHandle, &Capture),
) -> String {
    let capture = Capture::default();
    let writer = capture.clone();
    let (subscriber, handle) = subscriber(filter, format, sink, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, || act(&handle, &capture));
    capture.take()
}

fn one_warning(format: Format, sink: Sink) -> String {
    logged("info", format, sink, |_, _| {
        tracing::warn!(server = "r1", "is late");
        tracing::debug!("not shown");
    })
}

/// A line begins with `start`, ends with `end`, and has a time and colours as said.
fn check(format: Format, sink: Sink, start: &str, end: &str, time: bool, colour: bool) {
    let text = one_warning(format, sink);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with(start) && text.ends_with(end), "{format:?} {sink:?}: {text:?}");
    // 2001-02-03T…Z
    assert_eq!(text.contains("T") && text.contains("Z"), time, "{format:?} {sink:?}: {text:?}");
    assert_eq!(text.contains('\u{1b}'), colour, "{format:?} {sink:?}: {text:?}");
}

#[test]
fn each_sink_gets_its_own_shape() {
    let json_end = ",\"target\":\"lagwise::logging::tests\"}\n";
    let human_end = " lagwise::logging::tests: is late server=\"r1\"\n";
    check(Format::Human, Sink::Plain, "2", human_end, true, false);
    check(Format::Human, Sink::Journal, "<4> WARN", human_end, false, false);
    check(Format::Human, Sink::Terminal, "\u{1b}[2m2", "\n", true, true);
    check(Format::Json, Sink::Plain, "{\"timestamp\":\"2", json_end, true, false);
    check(Format::Json, Sink::Terminal, "{\"timestamp\":\"2", json_end, true, false);
    let start = "<4>{\"level\":\"WARN\",\"message\":\"is late\",\"server\":\"r1\"";
    check(Format::Json, Sink::Journal, start, json_end, false, false);
}

#[test]
fn the_journal_gets_every_priority() {
    let text = logged("trace", Format::Human, Sink::Journal, |_, _| {
        tracing::error!("a");
        tracing::warn!("a");
        tracing::info!("a");
        tracing::debug!("a");
        tracing::trace!("a");
    });
    let priorities: Vec<&str> = text.lines().map(|line| &line[..3]).collect();
    assert_eq!(priorities, ["<3>", "<4>", "<6>", "<7>", "<7>"]);
}

#[test]
fn the_filter_changes_while_running_and_a_bad_one_changes_nothing() {
    logged("warn", Format::Human, Sink::Plain, |handle, capture| {
        tracing::info!("one");
        assert_eq!(capture.take(), "");
        handle.set_filter("info").unwrap();
        tracing::info!("two");
        assert!(capture.take().contains("two"));
        assert!(matches!(handle.set_filter("loud"), Err(LogError::Filter { .. })));
        tracing::info!("three");
        assert!(capture.take().contains("three"));
        handle.set_filter("info,lagwise::logging=error").unwrap();
        tracing::info!("four");
        assert_eq!(capture.take(), "");
    });
}

#[test]
fn filters_are_checked() {
    for good in [
        "info",
        "WARN",
        "off",
        "info,lagwise::cluster=debug",
        "lagwise=trace",
        "info,[session{id=7}]=debug",
    ] {
        assert!(check_filter(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "loud",
        "3",
        "info=",
        "info,",
        "info,louder",
        "=",
        "[",
        "lagwise=loud",
        "info,lagwise==debug",
    ] {
        let error = check_filter(bad).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(
            error.starts_with(&format!("log filter {bad:?} is not valid: ")),
            "{bad:?}: {error:?}"
        );
    }
}

#[test]
fn the_journal_is_recognised_by_device_and_inode() {
    let cases = [
        (Some("8:42"), Some((8, 42)), false, Sink::Journal),
        (Some("8:42"), Some((8, 42)), true, Sink::Journal),
        (Some("8:42"), Some((8, 43)), false, Sink::Plain),
        (Some("8:42"), Some((8, 43)), true, Sink::Terminal),
        (Some("8:42"), None, false, Sink::Plain),
        (Some("junk"), None, false, Sink::Plain),
        (Some(":"), Some((0, 0)), false, Sink::Plain),
        (None, None, true, Sink::Terminal),
        (None, Some((8, 42)), false, Sink::Plain),
    ];
    for (variable, stderr, terminal, expected) in cases {
        assert_eq!(sink(variable.map(OsStr::new), stderr, terminal), expected, "{variable:?}");
    }
}
