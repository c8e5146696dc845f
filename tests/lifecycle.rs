//! Reload by SIGHUP under load, and what a running lagwise promises about its beginning and end:
//! drain on SIGTERM, systemd's messages, listeners, `max_clients`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use raw::{APP, Client, Fail, Login};
use support::{DEADLINE, Lab, Make, Proxy, eventually, eventually_some, target_dir};

/// What one part checks, and its name.
type Step = (&'static str, fn(&Lab));

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(sent.unwrap().success(), "SIG{name} to {pid}");
}

/// Connections of the application's account on a server.
fn app_connections(lab: &Lab, server: usize) -> usize {
    let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'";
    lab.sql(server, sql).parse().unwrap()
}

/// Reads and writes without a pause until told to stop; returns how many, and every error.
fn load(port: u16, stop: &AtomicBool, done: &AtomicU64) -> Vec<String> {
    let mut client = Client::app(port);
    let mut failed = Vec::new();
    let mut turn = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        let result = match turn % 8 {
            0 => client.query("UPDATE items SET stock = stock + 1 WHERE id = 3"),
            1 => client.execute("SELECT name FROM items WHERE id = 4"),
            2 => client.query("BEGIN; UPDATE items SET stock = 5 WHERE id = 5; COMMIT"),
            3 => {
                // Applications connect and leave all the time.
                client = match Client::connect(port, APP) {
                    Ok(client) => client,
                    Err(fail) => {
                        failed.push(format!("login: {fail}"));
                        continue;
                    }
                };
                continue;
            }
            4 => client.query("START TRANSACTION READ ONLY; SELECT 1; COMMIT"),
            _ => client.query("SELECT name FROM items WHERE id = 6"),
        };
        if let Err(fail) = result {
            failed.push(fail.to_string());
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    failed
}

/// Ends the load also when the test panics, which would else wait for it for ever.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn replicas(lab: &Lab, servers: &[usize]) -> String {
    let addresses: Vec<String> = servers.iter().map(|server| lab.address(*server)).collect();
    format!("replicas = {addresses:?}\n")
}

/// Everything that a reload may do, while six clients work: not one may notice.
fn reload_under_load(lab: &Lab) {
    let proxy = Proxy::start(lab, "");
    let mut idle: Vec<Client> = (0..8).map(|_| Client::app(proxy.port())).collect();
    for client in &mut idle {
        client.run("SELECT COUNT(*) FROM items");
    }
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let progress = || {
        let enough = done.load(Ordering::Relaxed) + 100;
        eventually("the load goes on", || done.load(Ordering::Relaxed) > enough);
    };
    let failed: Vec<String> = scope(|scope| {
        let _stop = StopAtEnd(&stop);
        let loads: Vec<_> =
            (0..6).map(|_| scope.spawn(|| load(proxy.port(), &stop, &done))).collect();
        progress();
        for _ in 0..2 {
            // Removed, also for those that do nothing.
            assert!(proxy.reload(&replicas(lab, &[1])), "{}", proxy.log());
            eventually("the removed replica drains", || app_connections(lab, 2) == 0);
            assert!(!proxy.metrics().text.contains(&lab.address(2)), "no metrics of it");
            progress();
            // All of them.
            assert!(proxy.reload("replicas = []\n"));
            eventually("the other one drains", || app_connections(lab, 1) == 0);
            progress();
            // Added.
            assert!(proxy.reload(&replicas(lab, &[1, 2])));
            eventually("both replicas serve", || {
                app_connections(lab, 1) > 0 && app_connections(lab, 2) > 0
            });
            // Changed.
            let weight = format!(
                "[routing]\nmax_lag = \"5s\"\n[[server]]\naddress = \"{}\"\nweight = 7\n\
                 max_connections = 500",
                lab.address(1)
            );
            assert!(proxy.reload(&weight));
            progress();
        }
        // Refused as a whole, with the line and the key.
        assert!(!proxy.reload("max_clients = \"many\"\nreplicas = []\n"));
        proxy.wait_log("the configuration stays as it was");
        assert!(proxy.log().contains("max_clients"), "{}", proxy.log());
        assert!(app_connections(lab, 1) > 0, "the replicas are still there");
        assert!(!proxy.reload("[routing]\nmax_log = \"1s\""));
        assert!(proxy.log().contains("max_log"), "{}", proxy.log());
        progress();
        // Named, but left for the next start; the rest of the file takes effect.
        assert!(proxy.reload("worker_threads = 7\nmax_clients = 50\n"));
        let line = proxy.wait_log("at the next start only");
        assert!(line.contains("worker_threads") && !line.contains("max_clients"), "{line}");
        progress();
        stop.store(true, Ordering::Relaxed);
        loads.into_iter().flat_map(|load| load.join().unwrap()).collect()
    });
    let metrics = proxy.metrics();
    assert_eq!(metrics.value("lagwise_reloads_total{result=\"ok\"}"), 9.0);
    assert_eq!(metrics.value("lagwise_reloads_total{result=\"error\"}"), 2.0);
    println!("{} commands during 11 reloads", done.load(Ordering::Relaxed));
    assert!(failed.is_empty(), "{} errors: {:?}", failed.len(), failed.first());
    for client in &mut idle {
        client.run("SELECT COUNT(*) FROM items");
    }
}

/// What a client is told that waits for nothing.
fn farewell(client: &mut Client) -> u16 {
    match client.results(false) {
        Ok(_) => panic!("an answer without a question"),
        Err(fail) => fail.code(),
    }
}

/// SIGTERM: who is idle is told so, who is at something may finish it, for `drain_timeout`.
fn drain(lab: &Lab) {
    let mut proxy = Proxy::start(lab, "drain_timeout = \"3s\"\n");
    let port = proxy.port();
    let mut idle = Client::app(port);
    let mut reader = Client::app(port);
    reader.run("SELECT COUNT(*) FROM items");
    let mut running = Client::app(port);
    running.send(3, b"SELECT SLEEP(1), 'drain'").unwrap();
    let mut quick = Client::app(port);
    quick.run("BEGIN; UPDATE items SET stock = 4711 WHERE id = 11");
    let mut slow = Client::app(port);
    slow.run("BEGIN; UPDATE items SET stock = 4712 WHERE id = 12");
    eventually("the query runs", || {
        (0..lab.count()).any(|server| {
            let sql = "SELECT COUNT(*) FROM information_schema.processlist \
                       WHERE info LIKE 'SELECT SLEEP(1), ''drain''%'";
            lab.sql(server, sql) == "1"
        })
    });
    let start = Instant::now();
    signal(proxy.pid(), "TERM");
    assert_eq!(farewell(&mut idle), 1053);
    assert_eq!(farewell(&mut reader), 1053);
    eventually("nobody new comes in", || TcpStream::connect(("127.0.0.1", port)).is_err());
    assert_eq!(quick.value("SELECT stock FROM items WHERE id = 11"), "4711");
    quick.run("COMMIT");
    assert_eq!(farewell(&mut quick), 1053);
    assert_eq!(running.results(false).unwrap()[0][1].as_deref(), Some("drain"));
    assert_eq!(farewell(&mut running), 1053);
    slow.run("SELECT 1");
    assert!(start.elapsed() < Duration::from_secs(3), "the drain timeout was not over");
    assert_eq!(farewell(&mut slow), 1053);
    assert!(start.elapsed() >= Duration::from_secs(3), "{:?}", start.elapsed());
    let status = proxy.terminate();
    assert!(status.success(), "{status}");
    let stock = |id: u32| lab.sql(0, &format!("SELECT stock FROM shop.items WHERE id = {id}"));
    assert_eq!((stock(11).as_str(), stock(12).as_str()), ("4711", "1000"));

    let mut proxy = Proxy::start(lab, "drain_timeout = \"1h\"\n");
    let mut stubborn = Client::app(proxy.port());
    stubborn.run("BEGIN; UPDATE items SET stock = 1 WHERE id = 13");
    signal(proxy.pid(), "TERM");
    proxy.wait_log("draining");
    assert!(proxy.is_running());
    let start = Instant::now();
    assert!(proxy.terminate().success());
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(farewell(&mut stubborn), 1053);
}

fn max_clients(lab: &Lab) {
    let proxy = Proxy::start(lab, "max_clients = 2\n");
    let first = Client::app(proxy.port());
    let _second = Client::app(proxy.port());
    let fail = Client::connect(proxy.port(), APP).err().expect("a third");
    assert_eq!(fail.code(), 1040, "{fail}");
    drop(first);
    eventually("there is room again", || Client::connect(proxy.port(), APP).is_ok());
    let rejected = "lagwise_clients_rejected_total{cause=\"max_clients\"}";
    assert!(proxy.metrics().value(rejected) >= 1.0);
    // Raised while they are there.
    assert!(proxy.reload("max_clients = 3\n"));
    let _third = Client::app(proxy.port());
}

/// Limits of clients that are alike, which count those who were there before.
fn max_clients_alike(lab: &Lab) {
    let proxy = Proxy::start(lab, "");
    const OTHER: Login<'_> = Login { user: "other", password: "other_password", ..APP };
    let refused = |account| Client::connect(proxy.port(), account).err().map(|fail| fail.code());
    let rejected = |cause: &str| {
        let series = format!("lagwise_clients_rejected_total{{cause=\"{cause}\"}}");
        proxy.metrics().value(&series)
    };
    let first = Client::app(proxy.port());
    let _second = Client::app(proxy.port());
    assert!(proxy.reload("max_clients_per_account = 2\n"));
    let fail = Client::connect(proxy.port(), APP).err().expect("a third of the account");
    assert_eq!(fail.code(), 1203, "{fail}");
    assert!(fail.to_string().contains("already has more than 'max_user_connections'"), "{fail}");
    assert_eq!(refused(OTHER), None);
    assert_eq!(rejected("max_clients_per_account"), 1.0);
    drop(first);
    eventually("there is room again", || refused(APP).is_none());
    assert!(proxy.reload("max_clients_per_address = 1\n"));
    assert_eq!(refused(OTHER), Some(1040));
    assert_eq!(rejected("max_clients_per_address"), 1.0);
    assert!(proxy.reload(""));
    assert_eq!(refused(APP), None);
}

/// A lagwise that this test starts itself, for its environment.
struct Own {
    child: Child,
    dir: PathBuf,
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            eprintln!("---- log of lagwise\n{log}");
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The messages of sd_notify(3) until one holds `wanted`.
fn wait_message(manager: &UnixDatagram, wanted: &str) -> String {
    eventually_some(&format!("systemd is told {wanted}"), || {
        let mut message = [0; 4096];
        let count = manager.recv(&mut message).unwrap_or(0);
        let text = String::from_utf8_lossy(&message[..count]).into_owned();
        text.lines().any(|line| line == wanted).then_some(text)
    })
}

/// What systemd is told, and listeners of every kind.
fn notify_and_listeners(lab: &Lab) {
    let dir = target_dir().join("lab").join(format!("own-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let manager = UnixDatagram::bind(dir.join("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let free = |host| TcpListener::bind((host, 0)).unwrap().local_addr().unwrap().port();
    let (four, six, socket) = (free("127.0.0.1"), free("::1"), dir.join("sock"));
    let listen = format!("[\"127.0.0.1:{four}\", \"[::1]:{six}\", \"unix:{}\"]", socket.display());
    let config = format!(
        "listen = {listen}\nprimary = {:?}\nreplicas = [{:?}]\n\
         [monitor]\nuser = \"monitor\"\npassword = \"monitor_password\"\n",
        lab.address(0),
        lab.address(1)
    );
    std::fs::write(dir.join("proxy.toml"), config).unwrap();
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_lagwise"))
        .args(["run", "--config"])
        .arg(dir.join("proxy.toml"))
        .env("NOTIFY_SOCKET", dir.join("notify"))
        .env("WATCHDOG_USEC", "400000")
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut own = Own { child, dir };
    wait_message(&manager, "READY=1");
    wait_message(&manager, "WATCHDOG=1");

    let login = |stream: Box<dyn raw::Stream>| {
        let mut client = Client::login(stream, APP)?;
        client.query("SELECT COUNT(*) FROM items")
    };
    let limit = Some(DEADLINE);
    eventually("a login over IPv4", || Client::connect(four, APP).is_ok());
    let stream = TcpStream::connect(("::1", six)).unwrap();
    stream.set_read_timeout(limit).unwrap();
    login(Box::new(stream)).unwrap_or_else(|fail: Fail| panic!("IPv6: {fail}"));
    Client::connect_unix(&socket, APP).unwrap_or_else(|fail| panic!("Unix socket: {fail}"));

    signal(own.child.id(), "HUP");
    let reloading = wait_message(&manager, "RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    wait_message(&manager, "READY=1");
    wait_message(&manager, "WATCHDOG=1");
    signal(own.child.id(), "TERM");
    wait_message(&manager, "STOPPING=1");
    let status = eventually_some("lagwise ends", || own.child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    assert!(!socket.exists(), "the socket is removed");
    let mut rest = String::new();
    let mut log = std::fs::File::open(own.dir.join("log")).unwrap();
    log.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("panicked"), "{rest}");
}

/// lagwise asks for as many files as it may need, and says so where they are not to be had.
fn descriptors(lab: &Lab) {
    let start = |limit: &str| {
        let program = target_dir().join("lab").join(format!("limited-{}", std::process::id()));
        let lagwise = env!("CARGO_BIN_EXE_lagwise");
        std::fs::write(&program, format!("#!/bin/sh\nulimit {limit}\nexec {lagwise} \"$@\"\n"))
            .unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut proxy = Proxy::start_program(&program, lab, "max_clients = 500\n");
        proxy.wait_ready();
        std::fs::remove_file(&program).unwrap();
        (proxy.metrics().value("process_max_fds"), proxy.log())
    };
    // 500 clients, 1000 connections to each of the servers, and some.
    let needed = (600 + 1000 * lab.count()) as f64;
    let (allowed, log) = start("-S -n 256");
    assert!(allowed == needed && !log.contains("too few files"), "{allowed}: {log}");
    let (allowed, log) = start("-n 512");
    assert!(allowed == 512.0 && log.contains("too few files"), "{allowed}: {log}");
    assert!(log.contains(&format!("allowed=512 needed={needed}")), "{log}");
}

#[test]
fn begin_reload_and_end() {
    let lab = Lab::start(Make::MySql, 2);
    let steps: &[Step] = &[
        ("reload", reload_under_load),
        ("drain", drain),
        ("max_clients", max_clients),
        ("max_clients_alike", max_clients_alike),
        ("notify", notify_and_listeners),
        ("descriptors", descriptors),
    ];
    for (name, step) in steps {
        let start = Instant::now();
        step(&lab);
        println!("{name}: {:?}", start.elapsed());
    }
}
