//! The rows of `[limits]`.

use super::Row;

pub const ROWS: &[Row] = &[
    (
        "limits.max_logins",
        ["", ""],
        ["", "limits.max_logins = 9"],
        &["limits.max_logins: 5000 -> 9"],
    ),
    (
        "limits.max_logins_per_address",
        ["", ""],
        ["", "limits.max_logins_per_address = 9"],
        &["limits.max_logins_per_address: 0 -> 9"],
    ),
    (
        "limits.max_connect_errors",
        ["", ""],
        ["", "limits.max_connect_errors = 9"],
        &["limits.max_connect_errors: 0 -> 9"],
    ),
    (
        "limits.unblock_after",
        ["", ""],
        ["", "limits.unblock_after = \"5s\""],
        &["limits.unblock_after: 1m -> 5s"],
    ),
    (
        "limits.wait_timeout",
        ["", ""],
        ["", "limits.wait_timeout = \"5s\""],
        &["limits.wait_timeout: 8h -> 5s"],
    ),
    (
        "limits.interactive_timeout",
        ["", ""],
        ["", "limits.interactive_timeout = \"5s\""],
        &["limits.interactive_timeout: 8h -> 5s"],
    ),
    (
        "limits.net_read_timeout",
        ["", ""],
        ["", "limits.net_read_timeout = \"5s\""],
        &["limits.net_read_timeout: 30s -> 5s"],
    ),
    (
        "limits.net_write_timeout",
        ["", ""],
        ["", "limits.net_write_timeout = \"5s\""],
        &["limits.net_write_timeout: 1m -> 5s"],
    ),
    (
        "limits.max_statement_size",
        ["", ""],
        ["", "limits.max_statement_size = \"1MiB\""],
        &["limits.max_statement_size: 1GiB -> 1MiB"],
    ),
    (
        "limits.max_open_statements",
        ["", ""],
        ["", "limits.max_open_statements = 9"],
        &["limits.max_open_statements: 16382 -> 9"],
    ),
];
