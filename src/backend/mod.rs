//! One connection to one server: opening it, asking small questions, and keeping its session in
//! line with a client's.
//!
//! - [`endpoint`]: where a server is and how it is reached.
//! - [`connect`]: socket, TLS, login, session trackers; under one deadline.
//! - `beginning`: what is asked and told after the login.
//! - [`change_user`]: handing an open one to another account.
//! - [`connection`]: an open connection, its state (Ready, Busy, Broken) and its small questions.
//! - [`image`]: the state of a session that it is in. Pure.
//! - `in_line`: bringing it into another.
//! - [`statements`], [`text_statements`]: which prepared statements it knows. Pure.
//! - [`parse_state`]: what a prepared statement's meaning depends on. Pure.
//! - `prepare`: preparing and closing statements on it.
//! - `reuse`: what is taken off it between two sessions, and its end.
//! - [`sync`]: session variables as statements that set them again elsewhere. Pure.
//! - [`error`]: whose fault it was, and whether anything was sent.
//!
//! Deliberately absent: which server to use ([`crate::cluster`], [`crate::route`]) and forwarding
//! to a client ([`crate::session`]).

mod beginning;
pub mod change_user;
pub mod connect;
pub mod connection;
pub mod endpoint;
pub mod error;
pub mod image;
mod in_line;
mod own_commands;
pub mod parse_state;
mod prepare;
mod reuse;
pub mod statements;
pub mod sync;
pub mod text_statements;

pub use connect::{Login, connect, connect_noting};
pub use connection::{Connection, Summary};
pub use endpoint::Endpoint;
pub use error::Error;
