//! Peers that vanish without a word: noticed within `dead_after`, and one that only takes its time is not
//! taken for one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lagwise::net::Socket;
use raw::{APP, Client, LOCAL_FILES, Login};
use support::{Lab, Make, Proxy, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DEAD_AFTER: Duration = Duration::from_secs(3);

/// A host of its own behind a cable that can be cut: a network namespace.
struct FarHost {
    namespace: String,
    address: String,
    own: String,
    peer: Child,
    port: u16,
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).output().expect("run ip (iproute2)");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {arguments}: {said} (network namespaces need root)");
}

/// Takes connections, reads a byte of each, and says nothing.
const PEER: &str = "import socket\ns = socket.create_server(('0.0.0.0', 0))\n\
    print(s.getsockname()[1], flush=True)\nkept = []\n\
    while True:\n  kept.append(s.accept()[0])\n  kept[-1].recv(1)\n";

impl FarHost {
    fn new(number: u8) -> Self {
        let namespace = format!("lagwise-{}-{number}", std::process::id());
        // Of addresses for documentation, a pair for each.
        let (own, address) =
            (format!("192.0.2.{}", number * 2), format!("192.0.2.{}", number * 2 + 1));
        let veth = format!("lw{}{number}", std::process::id() % 1_000_000);
        ip(&format!("netns add {namespace}"));
        ip(&format!("link add {veth} type veth peer name far netns {namespace}"));
        ip(&format!("addr add {own}/31 dev {veth}"));
        ip(&format!("link set {veth} up"));
        ip(&format!("-n {namespace} addr add {address}/31 dev far"));
        ip(&format!("-n {namespace} link set far up"));
        let mut peer = Command::new("ip")
            .args(["netns", "exec", &namespace, "python3", "-c", PEER])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(peer.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        Self { namespace, address, own, peer, port }
    }

    /// Nothing comes from there any more: no answer, no refusal, no acknowledgement.
    fn cut(&self) {
        ip(&format!("-n {} route add blackhole {}/32", self.namespace, self.own));
    }

    async fn connect(&self) -> Socket {
        let stream = TcpStream::connect((self.address.as_str(), self.port)).await.unwrap();
        let mut socket = Socket::tcp(stream, DEAD_AFTER).unwrap();
        socket.write_all(b"x").await.unwrap();
        socket
    }
}

impl Drop for FarHost {
    fn drop(&mut self) {
        let _ = self.peer.kill();
        let _ = self.peer.wait();
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).status();
    }
}

/// Waits for the end of a connection to a peer that is cut off, and says how long that took.
async fn noticed(socket: &mut Socket) -> Duration {
    let start = Instant::now();
    let mut byte = [0];
    let read = tokio::time::timeout(DEAD_AFTER * 4, socket.read(&mut byte)).await;
    let error = read.expect("it is noticed").expect_err("nothing comes from there");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
    start.elapsed()
}

/// The kernel's timers count from the last packet, and are late rather than early.
fn is_dead_after(time: Duration) {
    assert!(time > DEAD_AFTER / 2 && time < DEAD_AFTER * 2, "{time:?}");
}

#[tokio::test]
async fn one_that_is_waited_for_is_found_by_keepalive() {
    let far = FarHost::new(1);
    let mut socket = far.connect().await;
    far.cut();
    is_dead_after(noticed(&mut socket).await);
}

#[tokio::test]
async fn one_that_acknowledges_nothing_is_found_by_the_user_timeout() {
    let far = FarHost::new(2);
    let mut socket = far.connect().await;
    far.cut();
    socket.write_all(b"SELECT 1").await.unwrap();
    is_dead_after(noticed(&mut socket).await);
}

#[tokio::test]
async fn one_that_answers_probes_lives() {
    let far = FarHost::new(3);
    let mut socket = far.connect().await;
    let mut byte = [0];
    let read = tokio::time::timeout(DEAD_AFTER * 2, socket.read(&mut byte)).await;
    assert!(read.is_err(), "it lives, and has said nothing: {read:?}");
}

/// LOAD DATA LOCAL that waits for a lock: its server reads nothing for longer than `dead_after`.
#[test]
fn a_server_that_waits_for_a_lock_while_it_is_sent_a_file_lives() {
    let lab = Lab::start(Make::MySql, 0);
    lab.sql(0, "CREATE TABLE shop.loaded (id INT PRIMARY KEY, text VARCHAR(200)); SET GLOBAL local_infile = ON");
    let proxy = Proxy::start(&lab, "[pool]\ndead_after = \"2s\"");
    let mut locks = Client::app(proxy.port());
    locks.run("BEGIN; INSERT INTO loaded VALUES (1, 'locked')");
    let login = Login { capabilities: APP.capabilities | LOCAL_FILES, ..APP };
    let mut loads = Client::connect(proxy.port(), login).unwrap();
    loads
        .send(3, b"LOAD DATA LOCAL INFILE 'x' INTO TABLE loaded FIELDS TERMINATED BY ','")
        .unwrap();
    assert_eq!(loads.read().unwrap()[0], 0xfb);
    const LINES: usize = 200_000;
    let file: String = (1..=LINES).map(|id| format!("{id},{}\n", "x".repeat(100))).collect();
    let loading = std::thread::spawn(move || {
        for piece in file.as_bytes().chunks(1 << 16) {
            loads.write(piece)?;
        }
        loads.write(b"")?;
        loads.read()
    });
    eventually("it waits for the lock", || {
        let sql =
            "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'";
        lab.sql(0, sql) == "1"
    });
    // So long is what is looked at here.
    std::thread::sleep(Duration::from_secs(6));
    assert!(!loading.is_finished(), "{:?}", loading.join());
    locks.run("ROLLBACK");
    let answer = loading.join().unwrap().expect("the connection is still there");
    assert_eq!(answer[0], 0, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(lab.sql(0, "SELECT COUNT(*) FROM shop.loaded"), LINES.to_string());
}
