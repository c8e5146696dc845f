//! Limits on clients that have not logged in.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::raw::{self, APP, Client};
use crate::support::{Lab, Make, Proxy, eventually};
use crate::{error, half_open, memory, said};

#[test]
fn before_the_login() {
    let lab = Lab::start(Make::MySql, 1);
    give_way(&lab, "[limits]\nmax_logins = 3\n", "max_logins");
    give_way(&lab, "[limits]\nmax_logins_per_address = 3\n", "max_logins_per_address");
    give_way(&lab, "max_clients = 3\n", "max_clients");
    not_greeted(&lab);
    connect_errors(&lab);
    slow_loris(&lab);
    announced(&lab);
}

fn logs_in(port: u16) -> bool {
    Client::connect(port, APP).is_ok()
}

fn rejected(proxy: &Proxy, cause: &str) -> f64 {
    proxy.metrics().value(&format!("lagwise_clients_rejected_total{{cause=\"{cause}\"}}"))
}

/// Those that do not log in make room, the first of them first, and are told.
fn give_way(lab: &Lab, config: &str, cause: &str) {
    let proxy = Proxy::start(lab, config);
    let mut held: Vec<TcpStream> = (0..3).map(|_| half_open(proxy.port())).collect();
    eventually("a good client is let in", || logs_in(proxy.port()));
    let (seq, code, state, text) = error(&said(held.remove(0)));
    assert_eq!((seq, code, state.as_str()), (1, 1040, "08004"), "{cause}: {text}");
    assert_eq!(text, "Too many connections");
    assert!(rejected(&proxy, cause) >= 1.0);
    for stream in &held {
        stream.set_nonblocking(true).unwrap();
        let wait = stream.peek(&mut [0]).expect_err("the others are left alone");
        assert_eq!(wait.kind(), std::io::ErrorKind::WouldBlock, "{cause}");
    }
    // Those who have logged in never make room.
    let mut inside = Client::app(proxy.port());
    drop(held);
    eventually("they are gone", || proxy.http("/sessions").unwrap().1.contains("\"total\":1,"));
    let _again: Vec<TcpStream> = (0..2).map(|_| half_open(proxy.port())).collect();
    eventually("a good client is let in", || logs_in(proxy.port()));
    assert_eq!(inside.value("SELECT 7"), "7");
}

/// As servers say it in the place of the greeting: a first packet, without SQLSTATE.
fn not_greeted(lab: &Lab) {
    const FULL: &[u8] = b"\x17\0\0\0\xff\x10\x04Too many connections";
    let proxy = Proxy::start(lab, "max_clients = 1\n");
    let _inside = Client::app(proxy.port());
    assert_eq!(said(raw::tcp(proxy.port())), FULL);
    // Nobody is greeted before a server has told its version.
    let away = "primary = \"127.0.0.1:1\"\nreplicas = []\n[limits]\nmax_logins = 1\n";
    let proxy = Proxy::start_unready(lab, away);
    eventually("it listens", || TcpStream::connect(("127.0.0.1", proxy.port())).is_ok());
    let first = raw::tcp(proxy.port());
    let _second = raw::tcp(proxy.port());
    assert_eq!(said(first), FULL);
}

/// An address that breaks off its logins is blocked for a while.
fn connect_errors(lab: &Lab) {
    let config = "[limits]\nmax_connect_errors = 3\nunblock_after = \"3s\"\n";
    let proxy = Proxy::start(lab, config);
    let broken = || {
        let count = || {
            let metrics = proxy.metrics();
            metrics.value("lagwise_logins_total{result=\"error\"}")
        };
        let before = count();
        drop(half_open(proxy.port()));
        eventually("it is noticed", || count() > before);
    };
    // A good login begins the count anew, and a wrong password is none of it.
    for _ in 0..2 {
        broken();
        broken();
        let wrong = raw::Login { password: "wrong", ..APP };
        let fail = Client::connect(proxy.port(), wrong).err().unwrap();
        assert_eq!(fail.code(), 1045, "{fail}");
        drop(Client::app(proxy.port()));
    }
    let began = Instant::now();
    (0..3).for_each(|_| broken());
    // As servers before their greeting: without SQLSTATE.
    let words = said(raw::tcp(proxy.port()));
    assert_eq!(words[3..7], [0, 0xff, 0x69, 0x04], "{words:?}");
    assert_eq!(
        String::from_utf8_lossy(&words[7..]),
        "Host '127.0.0.1' is blocked because of many connection errors; lagwise lets it in again \
         after 3s"
    );
    assert_eq!(rejected(&proxy, "max_connect_errors"), 1.0);
    eventually("it is let in again", || logs_in(proxy.port()));
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    // Without the limit nothing is counted.
    assert!(proxy.reload(""));
    (0..4).for_each(|_| broken());
    assert!(logs_in(proxy.port()));
}

/// A byte now and then, and nothing at all: both end with `login_timeout`.
fn slow_loris(lab: &Lab) {
    let proxy = Proxy::start(lab, "login_timeout = \"1s\"\n");
    let silent = half_open(proxy.port());
    let mut slow = half_open(proxy.port());
    slow.write_all(&[200, 0, 0, 1]).unwrap();
    let began = Instant::now();
    while slow.write_all(&[0]).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(15), "it goes on and on");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (seq, code, state, text) = error(&said(silent));
    assert_eq!((seq, code, state.as_str()), (1, 1159, "08S01"), "{text}");
    assert_eq!(proxy.metrics().value("lagwise_logins_total{result=\"timeout\"}"), 2.0);
    assert!(logs_in(proxy.port()));
}

/// What clients announce and do not send takes no memory.
fn announced(lab: &Lab) {
    const CLIENTS: usize = 500;
    let proxy = Proxy::start(lab, "");
    let port = proxy.port();
    let before = memory(proxy.pid()).0;
    let mut held = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = half_open(port);
        // 64 KiB, the most that a login may send at once.
        stream.write_all(&[0xff, 0xff, 0, 1, 0]).unwrap();
        held.push(stream);
    }
    let mut inside: Vec<Client> = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Client::app(port);
        // A PREPARE of 16 MiB, which is taken whole.
        client.stream.write_all(&[0xfe, 0xff, 0xff, 0, 0x16, b'S']).unwrap();
        inside.push(client);
    }
    eventually("all has been read", || {
        let sessions = proxy.http("/sessions").unwrap().1;
        sessions.contains(&format!("\"total\":{}", 2 * CLIENTS))
            && Client::app(port).value("SELECT 1") == "1"
    });
    // A block of 16 KiB each, and what a session takes; not 8 GiB.
    let grown = memory(proxy.pid()).0.saturating_sub(before);
    assert!(grown < 80, "{grown} MiB");
    drop((held, inside));
    eventually("they are gone", || proxy.metrics().value("lagwise_sessions") == 0.0);
}
