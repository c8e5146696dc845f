//! The rows of `[consistency]`.

use super::Row;

pub const ROWS: &[Row] = &[
    (
        "consistency.pin",
        ["", ""],
        ["", "consistency.pin = \"500ms\""],
        &["consistency.pin: until_replicated -> 500ms"],
    ),
    (
        "consistency.wait",
        ["", ""],
        ["", "consistency.wait = \"20ms\""],
        &["consistency.wait: 0s -> 20ms"],
    ),
    (
        "consistency.monotonic_reads",
        ["", ""],
        ["", "consistency.monotonic_reads = false"],
        &["consistency.monotonic_reads: true -> false"],
    ),
    (
        "consistency.scope",
        ["", ""],
        ["", "consistency.scope = \"account\""],
        &["consistency.scope: session -> account"],
    ),
    (
        "consistency.by_table",
        ["", ""],
        ["", "consistency.by_table = false"],
        &["consistency.by_table: true -> false"],
    ),
];
