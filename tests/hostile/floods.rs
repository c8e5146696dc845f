//! Floods of bad clients, with good ones beside them: all of these are served, and memory is bounded.
//!
//! `HOSTILE_CONNECTIONS` says how many bad connections each flood has. Prints a line of figures for each.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::raw::{APP, Client};
use crate::support::{Lab, Make, Proxy, eventually};
use crate::{half_open, memory};

/// Bad connections of a flood, unless `HOSTILE_CONNECTIONS` says otherwise.
const CONNECTIONS: usize = 3000;

/// Threads that open them.
const THREADS: usize = 4;

/// Half-open connections that each thread keeps: in all, more than there is room for.
const KEPT: usize = 500;

/// What lagwise may take more in a flood, in MiB.
const MAX_GROWTH: usize = 64;

/// Few, so that they are reached; one address has all clients here.
const CONFIG: &str =
    "max_clients = 3000\n[limits]\nmax_logins = 1500\nnet_write_timeout = \"5s\"\n";

#[test]
fn floods() {
    let lab = Lab::start(Make::MySql, 1);
    let proxy = Proxy::start(&lab, CONFIG);
    let port = proxy.port();
    drop(Client::app(port));
    println!("{HEAD}");
    let count = std::env::var("HOSTILE_CONNECTIONS").map_or(CONNECTIONS, |n| n.parse().unwrap());
    flood(&proxy, "garbage", count, |index| garbage(port, index));
    let rings: Vec<_> = (0..THREADS).map(|_| std::sync::Mutex::new(Vec::new())).collect();
    flood(&proxy, "half-open", count, |index| keep_half_open(port, index, &rings));
    drop(rings);
    let hello = client_hello();
    flood(&proxy, "TLS handshakes", count / 4, |index| handshake(port, index, &hello));
    silent_readers(&proxy);
    let rejected = proxy.metrics().sum("lagwise_clients_rejected_total", &[]);
    assert!(rejected > 0.0, "no limit was reached");
}

const HEAD: &str = "flood            connections  seconds  good queries  p50 ms  p99 ms  max ms  good \
                    logins  p50 ms  p99 ms  max ms  refused  MiB before  most  after";

/// How the good clients fared.
#[derive(Default)]
struct Good {
    queries: Vec<Duration>,
    logins: Vec<Duration>,
    /// Logins that had to make room before they were done, and came again.
    refused: usize,
    failed: Vec<String>,
}

/// Good clients until told to stop: queries of one that stays, and new ones.
fn good(port: u16, stop: &AtomicBool) -> Good {
    let mut good = Good::default();
    let mut stays = Client::app(port);
    while !stop.load(Ordering::Relaxed) || good.logins.len() < 10 {
        let began = Instant::now();
        match Client::connect(port, APP) {
            Ok(mut new) => match new.query("SELECT name FROM items WHERE id = 1") {
                Ok(_) => good.logins.push(began.elapsed()),
                Err(fail) => good.failed.push(format!("a query of a new client: {fail}")),
            },
            Err(fail) if fail.code() == 1040 => good.refused += 1,
            Err(fail) => good.failed.push(format!("a login: {fail}")),
        }
        for _ in 0..10 {
            let began = Instant::now();
            match stays.query("SELECT name FROM items WHERE id = 1") {
                Ok(_) => good.queries.push(began.elapsed()),
                Err(fail) => good.failed.push(format!("a query: {fail}")),
            }
        }
        assert!(good.failed.len() < 10, "{:?}", good.failed);
    }
    good
}

/// Median, 99th percentile and longest, in milliseconds.
fn figures(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    format!("{:>6.2}  {:>6.1}  {:>6.1}", at(50), at(99), at(100))
}

/// Runs `bad` so many times on some threads, with good clients beside them; no good one may fail, and
/// memory must stay bounded.
fn flood(proxy: &Proxy, what: &str, count: usize, bad: impl Fn(usize) + Sync) {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let before = memory(proxy.pid()).0;
    let began = Instant::now();
    let mut most = before;
    let good = scope(|scope| {
        let good = scope.spawn(|| good(proxy.port(), &stop));
        let floods: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= count {
                            return;
                        }
                        bad(index);
                    }
                })
            })
            .collect();
        while !floods.iter().all(|flood| flood.is_finished()) {
            most = most.max(memory(proxy.pid()).0);
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
        floods.into_iter().for_each(|flood| flood.join().unwrap());
        good.join().unwrap()
    });
    let time = began.elapsed();
    report(proxy, what, count, (time, before, most), good);
}

fn report(
    proxy: &Proxy,
    what: &str,
    count: usize,
    (time, before, most): (Duration, usize, usize),
    mut good: Good,
) {
    let after = memory(proxy.pid()).0;
    println!(
        "{what:<16} {count:>11}  {:>7.1}  {:>12}  {}  {:>11}  {}  {:>7}  {before:>10}  {most:>4}  {after:>5}",
        time.as_secs_f64(),
        good.queries.len(),
        figures(&mut good.queries),
        good.logins.len(),
        figures(&mut good.logins),
        good.refused,
    );
    assert!(good.failed.is_empty(), "{what}: {:?}", good.failed);
    // Where a busy machine takes longer for a good login than the flood to go round.
    assert!(good.refused <= good.logins.len() / 20 + 1, "{what}: {} refused", good.refused);
    assert!(most < before + MAX_GROWTH, "{what}: from {before} to {most} MiB");
}

/// Closed with a reset: nothing lingers, on neither side.
fn close(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// What is no login, of many kinds, before or after the greeting has come.
fn garbage(port: u16, index: usize) {
    let mut stream = if index.is_multiple_of(3) { half_open(port) } else { crate::raw::tcp(port) };
    let noise: Vec<u8> =
        (0..index % 5000).map(|at| (at * 31 + index * 17 + at * at) as u8).collect();
    let bytes: &[u8] = match index % 6 {
        0 => b"GET / HTTP/1.1\r\nHost: db\r\n\r\n",
        1 => &noise,
        2 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        3 => b"\xff\xff\xff\x01",
        4 => b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
        _ => b"",
    };
    let _ = stream.write_all(bytes);
    close(&stream);
}

/// Connections that get their greeting and say nothing, or a little, as long as there is room for them.
fn keep_half_open(port: u16, index: usize, rings: &[std::sync::Mutex<Vec<TcpStream>>]) {
    let mut ring = rings[index % rings.len()].lock().unwrap();
    let mut stream = crate::raw::tcp(port);
    if index.is_multiple_of(2) {
        let _ = stream.write_all(&[100, 0, 0, 1, 0]);
    }
    close(&stream);
    if ring.len() >= KEPT {
        ring.remove(0);
    }
    ring.push(stream);
}

/// An SSLRequest and the ClientHello after it, as rustls makes them.
fn client_hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    // int<3> length, int<1> sequence id, capabilities with SSL, largest packet, character set, filler
    let mut hello = vec![32, 0, 0, 1];
    hello.extend_from_slice(&(1_u32 << 9 | 1 << 11 | 1 << 15 | 1 << 19).to_le_bytes());
    hello.extend_from_slice(&[0, 0, 0, 1, 45]);
    hello.extend_from_slice(&[0; 23]);
    connection.write_tls(&mut hello).unwrap();
    hello
}

/// Has lagwise do its part of a TLS handshake, and leaves.
fn handshake(port: u16, _: usize, hello: &[u8]) {
    let mut stream = half_open(port);
    stream.write_all(hello).unwrap();
    let mut answer = [0; 1024];
    // None, if another needed the place.
    let _ = stream.read(&mut answer);
    close(&stream);
}

/// Clients that ask for a result of 1 GB each and read nothing of it: what lagwise holds for them is
/// bounded, and they are given up.
fn silent_readers(proxy: &Proxy) {
    const READERS: usize = 4;
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
               SELECT REPEAT('x', 1000000) FROM n";
    let before = memory(proxy.pid()).0;
    let began = Instant::now();
    let stop = AtomicBool::new(false);
    let mut most = before;
    let good = scope(|scope| {
        let good = scope.spawn(|| good(proxy.port(), &stop));
        let mut readers: Vec<Client> = (0..READERS).map(|_| Client::app(proxy.port())).collect();
        for reader in &mut readers {
            reader.send(3, sql.as_bytes()).unwrap();
        }
        let stalled = || {
            let labels = [("side", "client"), ("kind", "stalled")];
            proxy.metrics().sum("lagwise_errors_total", &labels)
        };
        eventually("they are given up", || {
            most = most.max(memory(proxy.pid()).0);
            stalled() >= READERS as f64
        });
        stop.store(true, Ordering::Relaxed);
        good.join().unwrap()
    });
    report(proxy, "silent readers", READERS, (began.elapsed(), before, most), good);
}
