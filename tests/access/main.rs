//! Who may come in, and by what: networks, users, and what those are told who may not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../raw/mod.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;

mod authority;
mod doors;
mod http;
mod proxied;
mod secrets;
mod servers;
mod tls;
mod told;

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};
use support::DEADLINE;

/// A connection to a port of this host from 127.0.0.`last`.
pub fn from(last: u8, port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let here: SocketAddr = (Ipv4Addr::new(127, 0, 0, last), 0).into();
    socket.bind(&here.into()).unwrap();
    let there: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
    socket.connect(&there.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// All that the peer sends until it closes.
pub fn all_of(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}
