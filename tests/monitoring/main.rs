//! What those who watch lagwise are given is right: the alert rules, by Prometheus's own tool, the
//! dashboard, and all of it with a real Prometheus that looks at a lagwise before real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../raw/mod.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;

mod dashboard;
mod files;
mod live;
mod server;
