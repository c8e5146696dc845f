//! What those who watch lagwise are given is right: alert rules, by Prometheus's own tool, and nothing in
//! them that lagwise does not export or the documents do not explain.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod files;
#[path = "../support/mod.rs"]
mod support;
