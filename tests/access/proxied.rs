//! PROXY headers: what a trusted proxy says of its client, and what others may not.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::spawn;

use lagwise::protocol::proxy_header;

use crate::raw::{APP, Client, Fail};
use crate::support::wire::Options;
use crate::support::{Lab, Make, Proxy, eventually};
use crate::{all_of, from};

const TRUSTED: &str = "[access]\nproxy_protocol_networks = \"127.0.0.3\"\n";

/// A header of either version that says that the client is at `client`.
fn header(version: u8, client: &str) -> Vec<u8> {
    let client: SocketAddr = client.parse().unwrap();
    let to: SocketAddr = ([10, 0, 0, 1], 3306).into();
    match version {
        1 => format!("PROXY TCP4 {} 10.0.0.1 {} 3306\r\n", client.ip(), client.port()).into_bytes(),
        _ => proxy_header::write(client, to),
    }
}

fn login(last: u8, port: u16, header: &[u8]) -> Result<Client, Fail> {
    let mut stream = from(last, port);
    stream.write_all(header).unwrap();
    Client::login(Box::new(stream), APP)
}

/// The clients' addresses that `/sessions` has.
fn shown(proxy: &Proxy) -> String {
    proxy.http("/sessions").unwrap().1
}

fn code(result: Result<Client, Fail>) -> u16 {
    result.err().map_or(0, |fail| fail.code())
}

#[test]
fn a_trusted_proxy_says_where_its_client_is() {
    let lab = Lab::start(Make::MariaDb, 0);
    let proxy = Proxy::start(&lab, &format!("max_clients_per_address = 1\n{TRUSTED}"));
    let port = proxy.port();
    for version in [1, 2] {
        let client = login(3, port, &header(version, "192.0.2.1:5000")).unwrap();
        assert!(shown(&proxy).contains("192.0.2.1:5000"), "{}", shown(&proxy));
        // The limit is that of the address that it says; the proxy's own is another.
        assert_eq!(code(login(3, port, &header(3 - version, "192.0.2.1:5001"))), 1040);
        let other = login(3, port, &header(version, "192.0.2.2:5000")).unwrap();
        let own = login(3, port, b"").unwrap();
        assert_eq!(code(login(3, port, b"PROXY UNKNOWN\r\n")), 1040, "the proxy's own");
        drop((client, other, own));
        eventually("all have left", || !shown(&proxy).contains("127.0.0.3"));
        eventually("all have left", || !shown(&proxy).contains("192.0.2"));
    }
    let local = [&header(2, "192.0.2.1:5000")[..12], &[0x20, 0, 0, 0]].concat();
    let client = login(3, port, &local).unwrap();
    assert!(shown(&proxy).contains("127.0.0.3:"));
    drop(client);

    // Lists go by it, too. A wrong password is logged with it.
    let rules = format!("{TRUSTED}allowed_networks = \"192.0.2.0/24\"");
    assert!(proxy.reload(&rules));
    login(3, port, &header(2, "192.0.2.1:5000")).unwrap();
    for version in [1, 2] {
        let refused = login(3, port, &header(version, "198.51.100.1:5000"));
        let Err(Fail::Err { code: 1130, state, text }) = refused else { panic!("{version}") };
        assert_eq!(state, "HY000");
        assert_eq!(text, "Host '198.51.100.1' is not allowed to connect to this MariaDB server");
    }
    assert_eq!(code(login(3, port, b"")), 1130);
    assert_eq!(code(login(2, port, b"")), 1130);
    let mut stream = from(3, port);
    stream.write_all(&header(2, "192.0.2.9:5000")).unwrap();
    let wrong = crate::raw::Login { password: "wrong", ..APP };
    assert_eq!(code(Client::login(Box::new(stream), wrong)), 1045);
    proxy.wait_log("peer=192.0.2.9:5000 (through 127.0.0.3:");
    // A proxy is trusted no more. What it was told is lost, if it has sent more than was read.
    assert!(proxy.reload(""));
    assert!(login(3, port, &header(1, "192.0.2.1:5000")).is_err());
}

#[test]
fn others_may_not_send_a_header() {
    let lab = Lab::start(Make::MariaDb, 0);
    let proxy = Proxy::start(&lab, TRUSTED);
    for header in [header(1, "192.0.2.1:5000"), header(2, "192.0.2.1:5000")] {
        let answer = |port: u16| {
            let mut stream = from(4, port);
            let mut bytes = [0; 4096];
            let len = stream.read(&mut bytes).unwrap();
            assert_eq!(bytes[4], 10, "a greeting of {len} bytes");
            stream.write_all(&header).unwrap();
            let len = stream.read(&mut bytes).unwrap();
            bytes[..len].to_vec()
        };
        let (got, want) = (answer(proxy.port()), answer(lab.port(0)));
        assert_eq!(got, want, "{}", String::from_utf8_lossy(&got));
    }
}

/// What is no header, is too long or does not come to its end is given up in time; others are served.
#[test]
fn bad_headers_end() {
    let lab = Lab::start(Make::MariaDb, 0);
    let proxy = Proxy::start(&lab, &format!("login_timeout = \"1s\"\n{TRUSTED}"));
    let long = [&header(2, "192.0.2.1:1")[..14], &[0xff, 0xff]].concat();
    let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 300]].concat();
    let half = header(2, "192.0.2.1:1")[..20].to_vec();
    for bad in [&long[..], &endless, b"PROXY TCP9 a b c d\r\n", &half, b"PROX", b"\r\n\r\n\0\r\n"] {
        let mut stream = from(3, proxy.port());
        stream.write_all(bad).unwrap();
        let mut ended = Vec::new();
        // Ends by an error packet and the end of the stream, or by a reset behind what was not read.
        let _ = stream.read_to_end(&mut ended);
        let text = String::from_utf8_lossy(&ended).into_owned();
        assert!(text.contains("Bad handshake") || text.contains("Got timeout"), "{bad:?}: {text}");
    }
    login(3, proxy.port(), &header(1, "192.0.2.1:5000")).unwrap();
    assert!(!all_of(from(3, proxy.port())).is_empty(), "a peer that says nothing");
}

/// A load balancer: each connection is sent on from 127.0.0.3, behind a header.
fn load_balancer(to: u16, version: u8) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let mut server = from(3, to);
            server.write_all(&header(version, "192.0.2.77:5000")).unwrap();
            let copy = |mut one: TcpStream, mut other: TcpStream| {
                spawn(move || {
                    let _ = std::io::copy(&mut one, &mut other);
                    let _ = other.shutdown(Shutdown::Write);
                });
            };
            copy(client.try_clone().unwrap(), server.try_clone().unwrap());
            copy(server, client);
        }
    });
    port
}

#[test]
fn tls_begins_behind_the_header() {
    let lab = Lab::start(Make::MySql, 0);
    let proxy = Proxy::start(&lab, TRUSTED);
    for version in [1, 2] {
        let port = load_balancer(proxy.port(), version);
        let mut client = Options { tls: true, ..Options::new(0) }.login(port).unwrap();
        client.query("SELECT 1");
        assert!(shown(&proxy).contains("192.0.2.77:5000"));
    }
}
