//! Restart without an outage: a new process takes over at SIGUSR2, and sockets come from systemd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod activation;
mod drain;
mod load;
#[path = "../raw/mod.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use raw::Client;
use support::{
    Lab, Make, Proxy, eventually, eventually_some, is_running, signal, target_dir, unique_name,
    wait_gone,
};

/// What one part checks, and its name.
type Step = (&'static str, fn(&Lab));

const TAKEN_OVER: &str = "another process has taken over";

/// Processes that are no children of the test: they end with this value.
#[derive(Default)]
struct Newcomers(Mutex<Vec<u32>>);

impl Newcomers {
    /// Sends SIGUSR2 to `elder` and waits until another process has taken over from it: its process id.
    fn upgrade(&self, proxy: &Proxy, elder: u32) -> u32 {
        let taken = || self.taken_over(proxy);
        let before = taken().len();
        signal(elder, "USR2");
        let pid = eventually_some(TAKEN_OVER, || taken().get(before).copied());
        self.0.lock().unwrap().push(pid);
        pid
    }

    fn taken_over(&self, proxy: &Proxy) -> Vec<u32> {
        pids(&proxy.log(), TAKEN_OVER)
    }

    /// SIGTERM to a process; waits for its end.
    fn end(&self, pid: u32) {
        signal(pid, "TERM");
        wait_gone(pid);
    }
}

/// The process ids in the lines of a log that hold `needle`.
fn pids(log: &str, needle: &str) -> Vec<u32> {
    let lines = log.lines().filter(|line| line.contains(needle));
    lines.filter_map(|line| number_after(line, "pid=")).collect()
}

fn number_after(line: &str, field: &str) -> Option<u32> {
    let (_, rest) = line.split_once(field)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

impl Drop for Newcomers {
    fn drop(&mut self) {
        for pid in self.0.get_mut().unwrap().iter().filter(|pid| is_running(**pid)) {
            signal(*pid, "TERM");
            let start = Instant::now();
            while is_running(*pid) && start.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(10));
            }
            if is_running(*pid) {
                signal(*pid, "KILL");
            }
        }
    }
}

/// Sessions of two processes see each other's writes, as far as the scope goes, while replicas are late.
fn scope_across_processes(lab: &Lab) {
    let extra = "drain_timeout = \"1h\"\n[consistency]\nscope = \"global\"\n\
                 [routing]\nmax_lag = \"1h\"\nlag_tolerance = \"1h\"";
    let mut proxy = Proxy::start(lab, extra);
    let newcomers = Newcomers::default();
    let mut old = Client::app(proxy.port());
    let second = newcomers.upgrade(&proxy, proxy.pid());
    let mut new = Client::app(proxy.port());
    let write = |client: &mut Client, value: u32| {
        client.run(&format!("UPDATE items SET stock = {value} WHERE id = 8"));
    };
    const READ: &str = "SELECT stock FROM items WHERE id = 8";
    (1..lab.count()).for_each(|replica| lab.stop_applier(replica));
    write(&mut old, 21);
    assert_eq!(new.value(READ), "21", "the write of a session in the process before");
    // Nothing is written in the new process until it is alone: what it knows of would hide what it does not.
    write(&mut old, 22);
    drop(old);
    eventually("the process before ends", || !proxy.is_running());
    proxy.wait_log("the process before has ended");
    assert_eq!(Client::app(proxy.port()).value(READ), "22", "what that one wrote last");
    let third = newcomers.upgrade(&proxy, second);
    assert_eq!(Client::app(proxy.port()).value(READ), "22", "what was written before it began");
    (1..lab.count()).for_each(|replica| lab.start_applier(replica));
    lab.wait_caught_up();
    // Back on a replica, it might stay there.
    let reads = || (1..lab.count()).map(|replica| lab.status(replica, "Com_select")).sum::<u64>();
    eventually("a session in the process before reads on a replica", || {
        let before = reads();
        new.run("SELECT name FROM items WHERE id = 8");
        reads() > before
    });
    (1..lab.count()).for_each(|replica| lab.stop_applier(replica));
    write(&mut Client::app(proxy.port()), 23);
    assert_eq!(new.value(READ), "23", "the write of a session in the process after");
    (1..lab.count()).for_each(|replica| lab.start_applier(replica));
    lab.wait_caught_up();
    drop(new);
    wait_gone(second);
    proxy_reads_on_replicas(&proxy, &mut Client::app(proxy.port()), READ);
    newcomers.end(third);
}

/// Reads do not stay on the primary once the process before has ended.
fn proxy_reads_on_replicas(proxy: &Proxy, client: &mut Client, sql: &str) {
    let on_replica =
        || proxy.metrics().sum("lagwise_queries_total", &[("target", "replica")]) as u64;
    eventually("reads are on replicas again", || {
        let before = on_replica();
        client.run(sql);
        on_replica() > before
    });
}

/// `program` at a path of its own, as an operator replaces it.
struct Replaceable(PathBuf);

impl Replaceable {
    fn new() -> Self {
        let path = target_dir().join("lab").join(format!("program-{}", unique_name()));
        let this = Self(path);
        this.put_link();
        this
    }

    /// lagwise itself.
    fn put_link(&self) {
        let _ = std::fs::remove_file(&self.0);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_lagwise"), &self.0).unwrap();
    }

    /// Something else.
    fn put_script(&self, text: &str) {
        let _ = std::fs::remove_file(&self.0);
        std::fs::write(&self.0, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&self.0, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

impl Drop for Replaceable {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whatever goes wrong with the new process, the old one goes on, and says why.
fn a_bad_newcomer(lab: &Lab) {
    let program = Replaceable::new();
    let extra = "drain_timeout = \"1h\"\n";
    let mut proxy = Proxy::start_program(&program.0, lab, extra);
    proxy.wait_ready();
    let newcomers = Newcomers::default();
    let mut client = Client::app(proxy.port());
    let mut fails = 0;
    let mut check = |proxy: &Proxy, why: &str| {
        let failures = || {
            let log = proxy.log();
            let found = log.lines().filter(|line| line.contains("no other process takes over"));
            found.map(str::to_owned).collect::<Vec<_>>()
        };
        signal(proxy.pid(), "USR2");
        eventually("the failure is logged", || failures().len() > fails);
        let line = &failures()[fails];
        fails += 1;
        assert!(line.contains(why), "{why}: {line}");
        assert_eq!(client.value("SELECT 1"), "1");
        assert_eq!(Client::app(proxy.port()).value("SELECT 2"), "2");
    };
    program.put_script("exit 7");
    check(&proxy, "exit status: 7");
    program.put_script("kill -9 $$");
    check(&proxy, "signal: 9");
    std::fs::remove_file(&program.0).unwrap();
    check(&proxy, "cannot start");
    program.put_link();
    let good = std::fs::read_to_string(proxy.config_path()).unwrap();
    std::fs::write(proxy.config_path(), format!("nonsense = 1\n{good}")).unwrap();
    check(&proxy, "exit status: 2");
    assert!(proxy.log().contains("nonsense"), "{}", proxy.log());
    // One that would serve, but for a second address that is taken.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen =
        format!("listen = [\"127.0.0.1:{}\", \"{}\"]", proxy.port(), taken.local_addr().unwrap());
    let crowded =
        good.replace(&format!("listen = \"127.0.0.1:{}\"\n", proxy.port()), &format!("{listen}\n"));
    assert_ne!(crowded, good);
    std::fs::write(proxy.config_path(), crowded).unwrap();
    check(&proxy, "the new process has ended; it has logged why");
    assert!(proxy.log().contains("cannot listen on"), "{}", proxy.log());
    // And one that does.
    std::fs::write(proxy.config_path(), good).unwrap();
    let pid = newcomers.upgrade(&proxy, proxy.pid());
    assert_eq!(Client::app(proxy.port()).value("SELECT 3"), "3");
    assert_eq!(client.value("SELECT 4"), "4");
    drop(client);
    eventually("the process before ends", || !proxy.is_running());
    newcomers.end(pid);
}

/// Signals while a process begins, and while two serve.
fn signals(lab: &Lab) {
    let program = Replaceable::new();
    let mut proxy = Proxy::start_program(&program.0, lab, "drain_timeout = \"1h\"\n");
    proxy.wait_ready();
    let port = proxy.port();
    // It never becomes ready.
    program.put_script("exec sleep 1000");
    signal(proxy.pid(), "USR2");
    let line = proxy.wait_log("a new process is being started to take over");
    let hanging = number_after(&line, "starter=").unwrap();
    signal(proxy.pid(), "USR2");
    proxy.wait_log("is being started already");
    assert_eq!(Client::app(port).value("SELECT 1"), "1");
    assert!(proxy.terminate().success());
    wait_gone(hanging);

    program.put_link();
    let mut proxy = Proxy::start_program(&program.0, lab, "drain_timeout = \"1h\"\n");
    proxy.wait_ready();
    let newcomers = Newcomers::default();
    let port = proxy.port();
    let mut idle = Client::app(port);
    let mut busy = Client::app(port);
    busy.run("BEGIN; UPDATE items SET stock = 4713 WHERE id = 14");
    let second = newcomers.upgrade(&proxy, proxy.pid());
    signal(proxy.pid(), "USR2");
    signal(proxy.pid(), "HUP");
    proxy.wait_log("send it to the process that took over");
    assert_eq!(idle.value("SELECT 1"), "1", "an idle client stays");
    let third = newcomers.upgrade(&proxy, second);
    wait_gone(second);
    // It ends all that there is, and what runs may end.
    signal(third, "TERM");
    assert_eq!(idle.results(false).unwrap_err().code(), 1053);
    busy.run("COMMIT");
    assert_eq!(busy.results(false).unwrap_err().code(), 1053);
    eventually("the first process ends", || !proxy.is_running());
    wait_gone(third);
    assert_eq!(lab.sql(0, "SELECT stock FROM shop.items WHERE id = 14"), "4713");
}

/// At the end of `drain_timeout` a process that was replaced ends its sessions: idle ones at once, and
/// others after their statement.
fn drain_timeout(lab: &Lab) {
    let mut proxy = Proxy::start(lab, "drain_timeout = \"2s\"\n");
    let newcomers = Newcomers::default();
    let mut idle = Client::app(proxy.port());
    let mut busy = Client::app(proxy.port());
    let start = Instant::now();
    let pid = newcomers.upgrade(&proxy, proxy.pid());
    busy.send(3, b"SELECT SLEEP(3), 'upgrade'").unwrap();
    assert_eq!(idle.results(false).unwrap_err().code(), 1053);
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(busy.results(false).unwrap()[0][1].as_deref(), Some("upgrade"));
    eventually("the process before ends", || !proxy.is_running());
    newcomers.end(pid);
}

fn restart_without_an_outage(make: Make) {
    let lab = Lab::start(make, 2);
    let steps: &[Step] = &[
        ("under_load", load::under_load),
        ("scope", scope_across_processes),
        ("a bad newcomer", a_bad_newcomer),
        ("signals", signals),
        ("drain_timeout", drain_timeout),
        ("drain", drain::drain),
        ("drain with a process before", drain::with_a_process_before),
        ("socket activation", activation::socket_activation),
    ];
    for (name, step) in steps {
        let start = Instant::now();
        step(&lab);
        println!("{name}: {:?}", start.elapsed());
    }
}

#[test]
fn mysql() {
    restart_without_an_outage(Make::MySql);
}

#[test]
fn mariadb() {
    restart_without_an_outage(Make::MariaDb);
}
