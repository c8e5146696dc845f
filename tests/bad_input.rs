//! Clients and servers that misbehave: a clear error where one can be sent, the connection closed,
//! nobody else disturbed, and nothing left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use raw::{APP, Client, Fail, LOCAL_FILES, Login};
use support::wire::Options;
use support::{Lab, Make, Proxy, eventually};

/// When a client leaves, and how it gets there.
type Leaving = (&'static str, fn(&mut Client));

/// A packet.
fn packet(seq: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
    bytes[3] = seq;
    bytes.extend_from_slice(payload);
    bytes
}

/// The rest of what lagwise says before it closes; it must close.
fn said(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("lagwise keeps the connection: {error}"),
    }
    all
}

/// The number of the ERR packet that `bytes` end with; 0 if there is none.
fn error_at_end(bytes: &[u8]) -> u16 {
    let mut at = 0;
    let mut last = 0;
    while let Some(head) = bytes.get(at..at + 5) {
        let len = u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize;
        if head[4] == 0xff {
            last = u16::from_le_bytes([bytes[at + 5], bytes[at + 6]]);
        }
        at += 4 + len;
    }
    last
}

/// What is sent instead of a handshake response, and the error for it (0: merely closed).
fn bad_logins(proxy: &Proxy) {
    let nul_user = [&APP.capabilities.to_le_bytes()[..], &[0; 28], b"app"].concat();
    let cases: &[(&str, Vec<u8>, u16)] = &[
        ("HTTP", b"GET / HTTP/1.1\r\nHost: db\r\n\r\n".to_vec(), 0),
        ("noise", (0..=255).cycle().take(5000).collect(), 0),
        ("an empty packet", packet(1, &[]), 1043),
        ("a short packet", packet(1, &[1, 2, 3]), 1043),
        ("no end of the user name", packet(1, &nul_user), 1043),
        ("zeros", packet(1, &[0; 500]), 1043),
        ("a packet too large for a login", packet(1, &vec![0; 100_000]), 0),
        ("the length of a packet that never comes", vec![0xff, 0xff, 0xff, 1], 0),
        ("half a header", vec![9, 0], 0),
        ("nothing", vec![], 0),
    ];
    for (what, bytes, code) in cases {
        let mut stream = raw::tcp(proxy.port());
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let answer = said(stream);
        let found = error_at_end(&answer);
        assert!(found == *code || (*code == 0 && found == 1043), "{what}: error {found}");
    }
    // Vanished in the middle of it, before the answer is read.
    for (_, bytes, _) in cases {
        let mut stream = raw::tcp(proxy.port());
        let _ = stream.write_all(bytes);
    }
}

/// What is sent to a session, and the error for it.
fn bad_commands(proxy: &Proxy) {
    let cases: &[(&str, Vec<u8>, u16)] = &[
        ("an empty command", packet(0, &[]), 1835),
        ("a wrong sequence id", packet(7, b"\x03SELECT 1"), 1156),
        ("half a command", packet(0, b"\x03SELECT 1")[..8].to_vec(), 0),
        ("an EXECUTE without a statement id", packet(0, &[0x17, 1]), 1835),
        ("a CLOSE without a statement id", packet(0, &[0x19]), 1835),
        ("a COM_CHANGE_USER cut short", packet(0, b"\x11ap"), 1835),
    ];
    for (what, bytes, code) in cases {
        let stream = raw::tcp(proxy.port());
        let mut client = Client::login(Box::new(stream.try_clone().unwrap()), APP).unwrap();
        client.stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(error_at_end(&said(stream)), *code, "{what}");
    }
    // Those that a session survives, as on a server.
    let mut client = Client::app(proxy.port());
    for (command, body, code) in [
        (0xee, &b""[..], 1047),
        (0x12, b"\0\0\0\0", 1047),
        (0x17, &[9, 9, 0, 0, 0, 1, 0, 0, 0], 1243),
        (0x03, b"SELEC 1", 1064),
        (0x03, b"\xff\x00\xfe nonsense \x00", 1064),
        (0x02, b"no_such_schema", 1044),
    ] {
        match client.simple(command, body) {
            Err(Fail::Err { code: found, text, .. }) => assert_eq!(found, code, "{text}"),
            other => panic!("command {command:#x}: {other:?}"),
        }
        assert_eq!(client.value("SELECT name FROM items WHERE id = 1"), "item 1");
    }
}

/// A client that connects and says nothing is told, and closed, after `login_timeout`.
fn silence(lab: &Lab) {
    let proxy = Proxy::start(lab, "login_timeout = \"500ms\"\n");
    let start = Instant::now();
    let answer = said(raw::tcp(proxy.port()));
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(error_at_end(&answer), 1159);
    // One byte now and then does not help.
    let mut stream = raw::tcp(proxy.port());
    stream.write_all(&[100, 0, 0, 1]).unwrap();
    let start = Instant::now();
    while stream.write_all(&[0]).is_ok() && start.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(proxy.metrics().value("lagwise_logins_total{result=\"timeout\"}") >= 2.0);
    // One who waits for servers that hang is told where the answer belongs.
    (0..lab.count()).for_each(|server| lab.freeze(server));
    let told = Options::new(0).login(proxy.port());
    (0..lab.count()).for_each(|server| lab.thaw(server));
    let told =
        told.err().map(|packet| (packet.seq, error_at_end(&self::packet(0, &packet.payload))));
    // Behind the password, which takes the client three packets without TLS.
    assert_eq!(told, Some((6, 1159)));
    eventually("they are gone", || proxy.metrics().value("lagwise_sessions") == 0.0);
}

/// A result of this many MiB.
fn big(mebibytes: usize) -> String {
    format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {mebibytes}) \
         SELECT REPEAT('x', 1048576) FROM n"
    )
}

/// Clients that leave in the middle of everything.
fn clients_vanish(proxy: &Proxy) {
    let leave: &[Leaving] = &[
        ("idle", |_| {}),
        ("inside a command", |client| {
            let half = &packet(0, b"\x03SELECT name FROM items")[..10];
            client.stream.write_all(half).unwrap();
        }),
        ("inside a large command", |client| {
            let head = [&[0, 0, 0x40, 0, 3][..], b"SELECT '", &[b'x'; 100_000]].concat();
            client.stream.write_all(&head).unwrap();
        }),
        ("before the result", |client| {
            client.send(3, b"SELECT SLEEP(0.2) FROM items LIMIT 2").unwrap();
        }),
        ("inside a result", |client| {
            client.send(3, big(64).as_bytes()).unwrap();
            client.read().unwrap();
        }),
        ("inside a transaction", |client| {
            client.run("BEGIN; UPDATE items SET stock = -1 WHERE id = 20");
        }),
        ("inside LOCAL INFILE", |client| {
            client.send(3, b"LOAD DATA LOCAL INFILE 'x' INTO TABLE loaded").unwrap();
            assert_eq!(client.read().unwrap()[0], 0xfb);
            client.write(b"1\n2\n").unwrap();
        }),
        ("inside a packet of LOCAL INFILE", |client| {
            client.send(3, b"LOAD DATA LOCAL INFILE 'x' INTO TABLE loaded").unwrap();
            client.read().unwrap();
            client.stream.write_all(&[100, 0, 0, 2, b'1']).unwrap();
        }),
        ("inside long data", |client| {
            let (id, _) = client.prepare("SELECT ?").unwrap();
            let body = [&id.to_le_bytes()[..], &[0, 0], &[b'x'; 1000]].concat();
            client.send(0x18, &body).unwrap();
        }),
    ];
    let login = Login { capabilities: APP.capabilities | LOCAL_FILES, ..APP };
    for (what, act) in leave {
        let mut client =
            Client::connect(proxy.port(), login).unwrap_or_else(|fail| panic!("{what}: {fail}"));
        act(&mut client);
    }
}

/// The server's connection ends inside a result: the client's does too, and no other.
fn the_server_vanishes(lab: &Lab, proxy: &Proxy) {
    let mut other = Client::app(proxy.port());
    for kill in [true, false] {
        let mut client = Client::app(proxy.port());
        let sql = format!("/* lagwise: primary */ {} /* mark */", big(300));
        client.send(3, sql.as_bytes()).unwrap();
        client.read().unwrap();
        let find = "SELECT MAX(id) FROM information_schema.processlist WHERE info LIKE '%mark */'";
        let server = (0..lab.count())
            .find(|server| !matches!(lab.sql(*server, find).as_str(), "NULL" | ""))
            .expect("it runs somewhere");
        if kill {
            lab.sql(server, &format!("KILL CONNECTION {}", lab.sql(server, find)));
        } else {
            lab.kill(server);
        }
        // The first ends the column definitions.
        let mut eofs = 0;
        let end = loop {
            match client.read() {
                Ok(packet) if packet[0] == 0xff => break "an error packet",
                Ok(packet) if packet[0] == 0xfe && packet.len() < 9 => eofs += 1,
                Ok(_) => {}
                Err(_) => break "the end of the connection",
            }
        };
        println!("server {server}: {end}");
        assert!(eofs < 2, "a whole result");
        if !kill {
            lab.restart(server);
        }
        eventually("others are served", || {
            other.query("SELECT name FROM items WHERE id = 2").is_ok()
        });
        eventually("writes are, too", || {
            other.query("UPDATE items SET stock = 1 WHERE id = 2").is_ok()
        });
    }
}

fn resident(proxy: &Proxy) -> u64 {
    proxy.metrics().value("process_resident_memory_bytes") as u64
}

/// A client that takes 300 MiB at its leisure: lagwise holds a buffer of it and no more.
fn a_slow_client(proxy: &Proxy) {
    let mut client = Client::app(proxy.port());
    let before = resident(proxy);
    let mut most = 0;
    client.send(3, big(300).as_bytes()).unwrap();
    let mut taken = 0;
    let mut buffer = vec![0; 64 << 10];
    let mut looked = 0;
    while taken < 300 << 20 {
        taken += client.stream.read(&mut buffer).unwrap();
        if taken >= looked {
            most = most.max(resident(proxy));
            looked = taken + (5 << 20);
        }
    }
    let grown = most.saturating_sub(before);
    println!(
        "300 MiB to a slow client: {} KiB more than the {} KiB before",
        grown >> 10,
        before >> 10
    );
    assert!(grown < 4 << 20, "{grown} bytes");
}

/// Waits until nothing is left of all sessions; returns the open files.
fn settled(lab: &Lab, proxy: &Proxy) -> f64 {
    eventually("all sessions are gone", || proxy.metrics().value("lagwise_sessions") == 0.0);
    eventually("all connections are closed", || {
        proxy.metrics().sum("lagwise_server_connections", &[]) == 0.0
    });
    for server in 0..lab.count() {
        eventually("the servers see none", || {
            let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'";
            lab.sql(server, sql) == "0"
        });
    }
    proxy.metrics().value("process_open_fds")
}

fn run(make: Make) {
    let lab = Lab::start(make, 1);
    let enable = "SET GLOBAL local_infile = 1; CREATE TABLE shop.loaded (id INT)";
    lab.sql(0, enable);
    // What is given back is not kept for long, so that nothing is left in the end.
    let proxy = Proxy::start(&lab, "[pool]\nidle_timeout = \"100ms\"\n");
    Client::app(proxy.port()).run("SELECT COUNT(*) FROM items");
    let files = settled(&lab, &proxy);
    bad_logins(&proxy);
    bad_commands(&proxy);
    silence(&lab);
    clients_vanish(&proxy);
    settled(&lab, &proxy);
    assert_eq!(lab.sql(0, "SELECT stock FROM shop.items WHERE id = 20"), "1000");
    assert_eq!(lab.sql(0, "SELECT COUNT(*) FROM shop.loaded"), "0", "half a file is no file");
    a_slow_client(&proxy);
    the_server_vanishes(&lab, &proxy);
    settled(&lab, &proxy);
    // Memory and files do not grow with what was endured.
    let memory = resident(&proxy);
    for _ in 0..10 {
        bad_logins(&proxy);
        bad_commands(&proxy);
        clients_vanish(&proxy);
    }
    let now = settled(&lab, &proxy);
    assert!(now <= files + 2.0, "{files} open files before, {now} now");
    let grown = resident(&proxy).saturating_sub(memory);
    println!("{make}: {} KiB more after ten more rounds", grown >> 10);
    assert!(grown < 8 << 20, "{grown} bytes");
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}

#[test]
fn misbehaviour_on_mysql() {
    run(Make::MySql);
}

#[test]
fn misbehaviour_on_mariadb() {
    run(Make::MariaDb);
}
