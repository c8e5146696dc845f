//! `lagwise drain` and `undrain`: a replica is taken out for maintenance while clients work.

use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::scope;

use crate::Newcomers;
use crate::load::StopAtEnd;
use crate::raw::Client;
use crate::support::{Lab, Proxy, eventually, signal};

fn command(proxy: &Proxy, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lagwise"));
    command.args(arguments).arg("--config").arg(proxy.config_path()).output().unwrap()
}

/// Runs the command and holds its exit code, and that it said `wanted`.
fn says(proxy: &Proxy, arguments: &[&str], code: i32, wanted: &str) {
    let done = command(proxy, arguments);
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert_eq!(done.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains(wanted), "{arguments:?}: {said}");
}

fn app_connections(lab: &Lab, server: usize) -> String {
    lab.sql(server, "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'")
}

/// Each server is in /servers, and the primary has no lag.
fn every_server_is_told(lab: &Lab, proxy: &Proxy) {
    let (_, servers) = proxy.http("/servers").unwrap();
    for server in 0..lab.count() {
        let found = servers.split("},{").find(|it| it.contains(&lab.address(server)));
        let found = found.unwrap_or_else(|| panic!("server {server}: {servers}"));
        assert!(found.contains(&format!("\"address\":\"{}\"", lab.address(server))), "{servers}");
        let is_primary = found.contains("\"lag_ms\":null,\"lag_form\":null");
        assert_eq!(is_primary, server == 0, "{servers}");
    }
}

pub fn drain(lab: &Lab) {
    let proxy = Proxy::start(lab, "drain_timeout = \"1h\"\n");
    proxy.wait_probed();
    let newcomers = Newcomers::default();
    let (stop, done, failed) = (AtomicBool::new(false), AtomicU64::new(0), Mutex::new(Vec::new()));
    let mut bound = Client::app(proxy.port());
    bound.run("START TRANSACTION READ ONLY");
    bound.run("SELECT name FROM items WHERE id = 4");
    let (_, sessions) = proxy.http("/sessions").unwrap();
    let at = (1..lab.count()).find(|server| sessions.contains(&lab.address(*server)));
    let server = at.expect("the transaction is on a replica");
    let name = lab.address(server);
    let value = |metric: &str| proxy.metrics().value(&format!("{metric}{{server={name:?}}}"));
    every_server_is_told(lab, &proxy);
    // By configuration; the command has the last word until that changes.
    let key = format!("drain_timeout = \"1h\"\n[[server]]\naddress = {name:?}\ndrained = true");
    assert!(proxy.reload(&key));
    assert_eq!(value("lagwise_server_drained"), 1.0);
    says(&proxy, &["undrain", &name], 0, "in use again");
    assert!(proxy.reload_file());
    assert_eq!(value("lagwise_server_drained"), 0.0);
    assert!(proxy.reload("drain_timeout = \"1h\"\n"));
    scope(|scope| {
        let _stop = StopAtEnd(&stop);
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(scope.spawn(|| {
                let mut client = Client::app(proxy.port());
                while !stop.load(Ordering::Relaxed) {
                    if let Err(fail) = client.query("SELECT name FROM items WHERE id = 6") {
                        failed.lock().unwrap().push(fail.to_string());
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        eventually("the replica is in use", || done.load(Ordering::Relaxed) > 100);
        // A transaction is not ended by force.
        says(&proxy, &["drain", &name, "--timeout", "1"], 3, "1 transaction; it stays drained");
        assert_eq!(app_connections(lab, server), "1", "all others have left");
        bound.run("SELECT name FROM items WHERE id = 5");
        bound.run("COMMIT");
        says(&proxy, &["drain", &name], 0, "nothing uses it");
        assert_eq!(app_connections(lab, server), "0");
        let states = (value("lagwise_server_drained"), value("lagwise_server_eligible"));
        assert_eq!(states, (1.0, 0.0));
        // It lasts.
        assert!(proxy.reload_file());
        let pid = newcomers.upgrade(&proxy, proxy.pid());
        assert_eq!(value("lagwise_server_drained"), 1.0);
        assert_eq!(Client::app(proxy.port()).value("SELECT 1"), "1");
        assert_eq!(app_connections(lab, server), "0");
        says(&proxy, &["undrain", &name], 0, "in use again");
        assert_eq!(value("lagwise_server_drained"), 0.0);
        eventually("it gets reads again", || {
            Client::app(proxy.port()).run("SELECT name FROM items WHERE id = 6");
            app_connections(lab, server) != "0"
        });
        let before = "1 process before; it is the primary, and takes statements again";
        says(&proxy, &["drain", &lab.address(0), "--timeout", "0"], 3, before);
        says(&proxy, &["drain", "elsewhere"], 1, "there is no server");
        stop.store(true, Ordering::Relaxed);
        drop(bound);
        // A query that comes after the signal is told 1053.
        clients.into_iter().for_each(|client| client.join().unwrap());
        newcomers.end(pid);
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} errors: {:?}", failed.len(), failed.first());
}

/// Processes that still serve sessions hear of it, and nothing is said to be free while they are there.
pub fn with_a_process_before(lab: &Lab) {
    const READS: u64 = 100;
    let name = lab.address(1);
    let extra = format!("drain_timeout = \"1h\"\nreplicas = [{name:?}]\n");
    let mut proxy = Proxy::start(lab, &extra);
    eventually("the servers are up", || proxy.metrics().sum("lagwise_server_up", &[]) == 2.0);
    let newcomers = Newcomers::default();
    let mut old = Client::app(proxy.port());
    let mut reads_on = |server: usize, when: &str| {
        eventually(when, || {
            let before = lab.status(server, "Com_select");
            // More than the monitor asks meanwhile.
            for _ in 0..READS {
                old.run("SELECT name FROM items WHERE id = 4");
            }
            lab.status(server, "Com_select") >= before + READS
        });
    };
    reads_on(1, "the session reads on the replica");
    let pid = newcomers.upgrade(&proxy, proxy.pid());
    says(&proxy, &["drain", &name, "--timeout", "0"], 3, "1 process before");
    reads_on(0, "the command is heard there");
    says(&proxy, &["undrain", &name], 0, "in use again");
    reads_on(1, "so is its end");
    let mut config = std::fs::read_to_string(proxy.config_path()).unwrap();
    config += &format!("\n[[server]]\naddress = {name:?}\ndrained = true\n");
    std::fs::write(proxy.config_path(), config).unwrap();
    let reloads = || proxy.log().matches("reloaded: ").count();
    signal(pid, "HUP");
    eventually("both have read it", || reloads() == 2);
    reads_on(0, "the configuration is heard of there");
    drop(old);
    eventually("the process before ends", || !proxy.is_running());
    says(&proxy, &["drain", &name], 0, "nothing uses it");
    newcomers.end(pid);
}
