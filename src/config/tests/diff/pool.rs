//! `[pool]`, and what of `[[server]]` is about its connections.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        "server.drained",
        ["", "[[server]]\naddress = \"10.0.0.2:3306\""],
        ["", "[[server]]\naddress = \"10.0.0.2:3306\"\ndrained = true"],
        &["server.10.0.0.2:3306.drained: false -> true"],
    ),
    (
        "pool.dead_after",
        ["", ""],
        ["", "pool.dead_after = \"5s\""],
        &["pool.dead_after: 3s -> 5s (after a restart)"],
    ),
    (
        "pool.connect_timeout",
        ["", ""],
        ["", "pool.connect_timeout = \"2s\""],
        &["pool.connect_timeout: 1s -> 2s"],
    ),
    (
        "pool.checkout_timeout",
        ["", ""],
        ["", "pool.checkout_timeout = \"1s\""],
        &["pool.checkout_timeout: 5s -> 1s"],
    ),
    (
        "pool.max_connections_per_account",
        ["", ""],
        ["", "pool.max_connections_per_account = 9"],
        &["pool.max_connections_per_account: 0 -> 9"],
    ),
    (
        "pool.max_connecting",
        ["", ""],
        ["", "pool.max_connecting = 9"],
        &["pool.max_connecting: 8 -> 9"],
    ),
    (
        "pool.max_prepared_statements",
        ["", ""],
        ["", "pool.max_prepared_statements = 9"],
        &["pool.max_prepared_statements: 250 -> 9"],
    ),
    (
        "pool.idle_timeout",
        ["", ""],
        ["", "pool.idle_timeout = \"1s\""],
        &["pool.idle_timeout: 1m -> 1s"],
    ),
    (
        "pool.max_lifetime",
        ["", ""],
        ["", "pool.max_lifetime = \"1s\""],
        &["pool.max_lifetime: 30m -> 1s"],
    ),
];
