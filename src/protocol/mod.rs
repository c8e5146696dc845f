//! The MySQL client/server protocol, without I/O.
//!
//! A leaf: bytes in, values out. Every length is checked before it is believed, nothing here
//! panics on wire data, and nothing here waits. One packet a file, under the protocol's own name
//! (MySQL Internals, "Client/Server Protocol"; MariaDB Knowledge Base, "Client/Server Protocol").
//!
//! - [`frame`]: the four-byte header, and the splitting of payloads of 16 MiB and more.
//! - [`reader`], [`writer`]: checked reading and plain writing of the basic types.
//! - [`flags`]: capabilities and status flags.
//! - [`command`]: what a client asks for.
//! - [`proxy_header`]: what a proxy says before it. [`handshake`], [`auth_switch`]: the connection phase.
//! - [`ok`], [`err`], [`eof`], [`prepare`], [`execute`], [`query`], [`column`], [`text_row`]: single packets.
//! - [`response`]: where the response to one command ends.
//!
//! Deliberately absent: decoding of rows and column types beyond what lagwise itself asks its
//! servers. A relay forwards rows, it does not read them.

pub mod auth_switch;
pub mod column;
pub mod command;
pub mod eof;
pub mod err;
pub mod execute;
pub mod flags;
pub mod frame;
pub mod handshake;
pub mod ok;
pub mod prepare;
pub mod proxy_header;
pub mod query;
pub mod reader;
pub mod response;
pub mod text_row;
pub mod writer;

pub use command::Command;
pub use err::ErrPacket;
pub use flags::{Capabilities, StatusFlags};
pub use ok::OkPacket;
pub use reader::{Malformed, Reader};
pub use response::{ResponseKind, ResponseTracker};
