//! Limits on clients that are logged in; the servers' own say beside lagwise's, where they have one.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::raw::{self, APP, Client, Fail, LOCAL_FILES, Login};
use crate::support::{Lab, Make, Proxy, eventually};
use crate::{error, said};

/// CLIENT_INTERACTIVE
const INTERACTIVE: u32 = 1 << 10;

#[test]
fn after_the_login_on_mysql() {
    after_the_login(Make::MySql);
}

#[test]
fn after_the_login_on_mariadb() {
    after_the_login(Make::MariaDb);
}

fn after_the_login(make: Make) {
    let lab = Lab::start(make, 1);
    lab.sql(0, "CREATE TABLE shop.loaded (n INT)");
    let proxy = Proxy::start(&lab, "");
    idle_by_set(&lab, &proxy);
    drop(proxy);
    idle_by_configuration(&lab);
    stops_in_a_command(&lab);
    takes_nothing(&lab);
    sizes(&lab);
}

/// A session, and its socket.
fn session(port: u16, login: Login<'_>) -> (Client, TcpStream) {
    let stream = raw::tcp(port);
    let client = Client::login(Box::new(stream.try_clone().unwrap()), login);
    (client.unwrap_or_else(|fail| panic!("login: {fail}")), stream)
}

fn errors(proxy: &Proxy, kind: &str) -> f64 {
    proxy.metrics().sum("lagwise_errors_total", &[("side", "client"), ("kind", kind)])
}

/// `SET wait_timeout` holds as at the server itself: the same last words, in a transaction, too.
fn idle_by_set(lab: &Lab, proxy: &Proxy) {
    for set in ["SET wait_timeout = 1", "SET SESSION wait_timeout = 1; BEGIN"] {
        let mut last_words = Vec::new();
        for port in [lab.port(0), proxy.port()] {
            // The server lets that one in over TLS or for root only, unless it knows the password.
            drop(Client::app(proxy.port()));
            let (mut client, stream) = session(port, APP);
            client.run(set);
            let began = Instant::now();
            last_words.push(said(stream));
            assert!(began.elapsed() > Duration::from_millis(900), "{:?}", began.elapsed());
        }
        assert_eq!(last_words[0], last_words[1], "{set}");
    }
    assert_eq!(errors(proxy, "idle"), 2.0);
    // What a reset takes back.
    let (mut client, _stream) = session(proxy.port(), APP);
    client.run("SET wait_timeout = 1");
    client.simple(0x1f, b"").unwrap();
    let (mut other, stream) = session(proxy.port(), APP);
    other.run("SET wait_timeout = 2");
    said(stream);
    assert_eq!(client.value("SELECT 'here'"), "here");
}

/// `wait_timeout` and `interactive_timeout`.
fn idle_by_configuration(lab: &Lab) {
    let proxy = Proxy::start(lab, "[limits]\nwait_timeout = \"1s\"\n");
    let interactive = Login { capabilities: APP.capabilities | INTERACTIVE, ..APP };
    let (mut interactive, _stream) = session(proxy.port(), interactive);
    let (mut patient, _stream) = session(proxy.port(), APP);
    patient.run("SET wait_timeout = 1000");
    let (mut busy, _stream) = session(proxy.port(), APP);
    // A command takes as long as it takes.
    assert_eq!(busy.value("SELECT SLEEP(1.5)"), "0");
    let (_idle, stream) = session(proxy.port(), APP);
    let words = said(stream);
    match lab.make {
        Make::MySql => {
            let (_, code, state, text) = error(&words);
            assert_eq!((code, state.as_str()), (4031, "HY000"), "{text}");
        }
        Make::MariaDb => assert_eq!(words, b""),
    }
    assert_eq!(interactive.value("SELECT 'here'"), "here");
    assert_eq!(patient.value("SELECT 'here'"), "here");
    // Longer for those who are there already.
    let (mut client, _stream) = session(proxy.port(), APP);
    assert!(proxy.reload("[limits]\nwait_timeout = \"1h\"\n"));
    let (mut other, stream) = session(proxy.port(), APP);
    other.run("SET wait_timeout = 2");
    said(stream);
    assert_eq!(client.value("SELECT 'here'"), "here");
}

/// `net_read_timeout`: in a small command, in a large one, in a file.
fn stops_in_a_command(lab: &Lab) {
    let proxy = Proxy::start(lab, "[limits]\nnet_read_timeout = \"500ms\"\n");
    let (mut client, stream) = session(proxy.port(), APP);
    client.stream.write_all(b"\x20\0\0\0\x03SELECT").unwrap();
    let (seq, code, state, text) = error(&said(stream));
    assert_eq!((seq, code, state.as_str()), (1, 1159, "08S01"), "{text}");
    let (mut client, stream) = session(proxy.port(), APP);
    let head = [&[0, 0, 0x40, 0, 3][..], b"INSERT INTO loaded VALUES ('", &[b'1'; 100_000]];
    client.stream.write_all(&head.concat()).unwrap();
    assert_eq!(error(&said(stream)).1, 1159);
    let login = Login { capabilities: APP.capabilities | LOCAL_FILES, ..APP };
    lab.sql(0, "SET GLOBAL local_infile = 1");
    let (mut client, stream) = session(proxy.port(), login);
    client.send(3, b"LOAD DATA LOCAL INFILE 'x' INTO TABLE loaded").unwrap();
    assert_eq!(client.read().unwrap()[0], 0xfb);
    client.write(b"1\n2\n").unwrap();
    said(stream);
    assert_eq!(errors(&proxy, "stalled"), 3.0);
    eventually("nothing of it has run", || {
        lab.sql(0, "SELECT COUNT(*) FROM shop.loaded") == "0"
            && lab.sql(0, PROCESSES).split('\n').all(|line| !line.contains("loaded"))
    });
    // Slow is not silent.
    let (mut client, _stream) = session(proxy.port(), APP);
    for piece in [&[9, 0, 0, 0][..], b"\x03SEL", b"ECT", b" 1"] {
        client.stream.write_all(piece).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(raw::first_value(client.results(false).unwrap()), "1");
}

const PROCESSES: &str =
    "SELECT info FROM information_schema.processlist WHERE user = 'app' AND info IS NOT NULL";

/// `net_write_timeout`: a client that takes nothing of a result does not keep its connection.
fn takes_nothing(lab: &Lab) {
    let proxy = Proxy::start(lab, "[limits]\nnet_write_timeout = \"500ms\"\n");
    let (mut client, stream) = session(proxy.port(), APP);
    client
        .send(
            3,
            b"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 64) \
              SELECT REPEAT('x', 1048576) FROM n",
        )
        .unwrap();
    eventually("it is given up", || errors(&proxy, "stalled") == 1.0);
    eventually("its session ends", || proxy.metrics().value("lagwise_sessions") == 0.0);
    eventually("its query ends", || {
        (0..2).all(|server| !lab.sql(server, PROCESSES).contains("REPEAT"))
    });
    said(stream);
}

/// `max_statement_size` and `max_open_statements`.
fn sizes(lab: &Lab) {
    let config = "[limits]\nmax_statement_size = \"1KiB\"\nmax_open_statements = 2\n";
    let proxy = Proxy::start(lab, config);
    let mut client = Client::app(proxy.port());
    let of = |length: usize| format!("SELECT '{}'", "x".repeat(length - 9));
    let too_large = |fail: Result<(), Fail>, what: &str| match fail {
        Err(Fail::Err { code: 1153, state, text }) => {
            assert_eq!(state, "08S01");
            assert_eq!(text, "Got a packet bigger than lagwise's 'max_statement_size' bytes");
        }
        other => panic!("{what}: {other:?}"),
    };
    assert_eq!(client.value(&of(1024)).len(), 1015);
    for length in [1025, 100_000, 2 << 20, 15 << 20] {
        too_large(client.query(&of(length)).map(drop), "COM_QUERY");
        too_large(client.prepare(&of(length)).map(drop), "COM_STMT_PREPARE");
    }
    // It is not about what is no statement.
    let (first, _) = client.prepare("SELECT ?").unwrap();
    let data = [&first.to_le_bytes()[..], &[0, 0], &[b'x'; 5000]].concat();
    client.send(0x18, &data).unwrap();
    let (_second, _) = client.prepare("SELECT 'two'").unwrap();
    match client.prepare("SELECT 'three'") {
        Err(Fail::Err { code: 1461, state, text }) => {
            assert_eq!(state, "42000");
            assert!(text.starts_with("Can't create more than max_prepared_stmt_count"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    client.send(0x19, &first.to_le_bytes()).unwrap();
    let (third, _) = client.prepare("SELECT 'three'").unwrap();
    assert_eq!(raw::first_value(client.execute_id(third).unwrap()), "three");
    let counted = |kind: &str| {
        proxy.metrics().sum("lagwise_errors_total", &[("side", "proxy"), ("kind", kind)])
    };
    assert_eq!(counted("limit"), 9.0);
    // What comes in several packets is refused as soon as it is too long.
    assert!(proxy.reload("[limits]\nmax_statement_size = \"17MiB\"\n"));
    let mut client = Client::app(proxy.port());
    let frame = [&[0xff, 0xff, 0xff, 0, 3][..], b"SELECT '", &vec![b'x'; 0xff_ffff - 9]].concat();
    client.stream.write_all(&frame).unwrap();
    let more = 2 << 20;
    client.stream.write_all(&[0, 0, (more >> 16) as u8, 1]).unwrap();
    match client.results(false) {
        Err(Fail::Err { code, .. }) => assert_eq!(code, 1153),
        other => panic!("{other:?}"),
    }
}
