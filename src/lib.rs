//! lagwise.
pub mod admin;
pub mod auth;
pub mod backend;
pub mod cluster;
pub mod config;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod notify;
pub mod pool;
pub mod protocol;
pub mod route;
pub mod server;
pub mod session;
pub mod sql;
