//! Bytes in and out: sockets, TLS, compression, and packets framed on top of them.
//!
//! - [`socket`]: TCP or Unix socket, and the options that make dead peers noticed.
//! - [`transport`]: a socket, plain or under TLS. [`tls`]: rustls configurations from files.
//!   [`expiry`]: until when certificates are valid.
//! - [`buffer`]: the read buffer; an idle connection holds none.
//! - [`compress`]: the codec of the compressed protocol. [`compressed`]: the same on a stream.
//! - [`packet_stream`]: a transport with a read buffer, the compressed protocol where negotiated,
//!   and whole packets.
//! - [`listen`]: binding, accepting, and backing off when the process is out of descriptors.
//!   [`inherited`]: listening sockets that others made.
//!
//! Deliberately absent: any knowledge of who is client and who is server, and any deadline of its
//! own but the one on writes to a peer that does not read.

pub mod buffer;
pub mod compress;
pub mod compressed;
pub mod expiry;
pub mod inherited;
pub mod listen;
pub mod packet_stream;
pub mod socket;
pub mod tls;
pub mod transport;

pub use packet_stream::{PacketStream, ReadError};
pub use socket::Socket;
pub use transport::Transport;
