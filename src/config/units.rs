//! Durations and sizes as `proxy.toml` writes them: a whole number and one unit, `"250ms"`,
//! `"64KiB"`.
//!
//! The grammar is small on purpose, as it stays valid for ever: no fractions, no sums, no bare
//! numbers, and only binary size units, under their unmistakable names.

use std::time::Duration;

/// How a duration may be written, for messages.
pub const DURATION_FORM: &str = "a whole number and ms, s, m, h or d, such as \"250ms\"";
/// How a size may be written, for messages.
pub const SIZE_FORM: &str = "a whole number and B, KiB, MiB or GiB, such as \"64MiB\"";

/// Largest first, in milliseconds.
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Largest first, in bytes.
const SIZE_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a duration; `None` if it is not of [`DURATION_FORM`] or overflows.
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, &DURATION_UNITS).map(Duration::from_millis)
}

/// Writes a duration in the largest unit that is exact, as [`parse_duration`] reads it. What is
/// finer than a millisecond is cut off.
pub fn format_duration(duration: Duration) -> String {
    format(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATION_UNITS, "s")
}

/// Reads a size in bytes; `None` if it is not of [`SIZE_FORM`] or overflows.
pub fn parse_size(text: &str) -> Option<u64> {
    parse(text, &SIZE_UNITS)
}

/// Writes a size in the largest unit that is exact, as [`parse_size`] reads it.
pub fn format_size(bytes: u64) -> String {
    format(bytes, &SIZE_UNITS, "B")
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn format(value: u64, units: &[(&str, u64)], unit_of_zero: &str) -> String {
    match units.iter().find(|(_, factor)| value >= *factor && value.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{}{name}", value / factor),
        None => format!("0{unit_of_zero}"),
    }
}
