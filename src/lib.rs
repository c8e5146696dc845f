//! lagwise, a read/write-splitting proxy for MySQL and MariaDB.
//!
//! Reads go to the least-lagged replica, everything else to the primary, and a session that wrote
//! sees its writes. This crate is the program; `main.rs` and `src/cli`
//! only read the command line.
//!
//! # A walk through the modules
//!
//! Each may use those above it only, which `tests/architecture.rs` holds. The first group are
//! leaves without I/O:
//!
//! 1. [`protocol`]: packets of the MySQL protocol, and where a response ends.
//! 2. [`sql`]: what a statement is, from its bytes.
//! 3. [`auth`]: how a password is proven, towards clients and servers.
//! 4. [`config`]: `proxy.toml`. [`metrics`]: what is counted. [`logging`], [`notify`]: the log and
//!    systemd. [`recent`]: the last things of a kind. [`text`]: what people read.
//! 5. [`route`]: where a statement runs, and why; pure. [`consistency`]: what others wrote that a read
//!    must see; pure.
//! 6. [`net`]: sockets, TLS, compression, framed streams.
//! 7. [`backend`]: one connection to one server. [`pool`]: taking and returning it.
//! 8. [`cluster`]: the servers, their health and lag, and the monitors.
//! 9. [`session`]: one client, from login to the last command. **Start here** to follow a query.
//! 10. [`server`]: builds everything; signals, reload, drain. [`admin`]: HTTP.
//!     [`console`]: the SQL console.
//!
//! # One query
//!
//! `session::commands` reads a packet; `sql::classify` says what it is and `route::decide` where it
//! goes; `session::servers` has the connection, in line with the session; `session::relay` forwards
//! the response; `session::state` learns from what the server said.

pub mod admin;
pub mod auth;
pub mod backend;
pub mod cluster;
pub mod config;

pub mod consistency;
pub mod console;
pub mod logging;
pub mod metrics;
pub mod net;
pub mod notify;
pub mod pool;
pub mod protocol;
pub mod recent;
pub mod route;
pub mod server;
pub mod session;
pub mod sql;
pub mod text;

/// The version of this build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
