//! Clients that do not notice an upgrade.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use crate::Newcomers;
use crate::raw::{APP, Client};
use crate::support::{Lab, Proxy, eventually};

/// What clients of a load have seen.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    done: AtomicU64,
    commits: AtomicU64,
    failed: Mutex<Vec<String>>,
}

impl Seen {
    fn note<T, E: ToString>(&self, what: &str, result: Result<T, E>) -> Option<T> {
        self.done.fetch_add(1, Ordering::Relaxed);
        result
            .map_err(|error| {
                self.failed.lock().unwrap().push(format!("{what}: {}", error.to_string()));
            })
            .ok()
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn progress(&self, enough: u64) {
        let enough = self.done.load(Ordering::Relaxed) + enough;
        eventually("the load goes on", || self.done.load(Ordering::Relaxed) > enough);
    }
}

/// A number from the environment: scripts/upgrade.sh asks for more than the ordinary tests.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Connects, works, leaves, again and again.
fn short_connections(port: u16, seen: &Seen) {
    while !seen.stops() {
        let Some(mut client) = seen.note("login", Client::connect(port, APP)) else { continue };
        seen.note("read", client.query("SELECT name FROM items WHERE id = 4"));
        seen.note("PREPARE", client.execute("SELECT name FROM items WHERE id = 5"));
    }
}

/// Stays connected and works with pauses, as a pool does.
fn long_connection(port: u16, seen: &Seen, pause: Duration) {
    let Some(mut client) = seen.note("login", Client::connect(port, APP)) else { return };
    while !seen.stops() {
        seen.note("read", client.query("SELECT name FROM items WHERE id = 6"));
        std::thread::sleep(pause);
    }
}

/// Transactions, some of them over several connections to lagwise in a row.
fn transactions(port: u16, seen: &Seen) {
    let mut client: Option<Client> = None;
    let mut turn = 0_u32;
    while !seen.stops() {
        turn += 1;
        if turn % 50 == 1 {
            client = seen.note("login", Client::connect(port, APP));
        }
        let Some(client) = client.as_mut() else { continue };
        seen.note("BEGIN", client.query("BEGIN"));
        seen.note("write", client.query("UPDATE items SET stock = stock + 1 WHERE id = 7"));
        seen.note("read", client.query("SELECT stock FROM items WHERE id = 7"));
        if seen.note("COMMIT", client.query("COMMIT")).is_some() {
            seen.commits.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Hundreds of clients, while one process takes over from another, twice: nobody notices.
pub fn under_load(lab: &Lab) {
    let mut proxy = Proxy::start(lab, "drain_timeout = \"1h\"\n");
    let newcomers = Newcomers::default();
    let port = proxy.port();
    let seen = Seen::default();
    let rounds = setting("UPGRADE_ROUNDS", 2);
    lab.sql(0, "UPDATE shop.items SET stock = 0 WHERE id = 7");
    let mut elder = proxy.pid();
    let mut times = Vec::new();
    scope(|scope| {
        let _stop = StopAtEnd(&seen.stop);
        for _ in 0..6 {
            scope.spawn(|| short_connections(port, &seen));
        }
        for number in 0..setting("UPGRADE_CLIENTS", 200) {
            let (seen, pause) = (&seen, Duration::from_millis(20 + number % 1000));
            scope.spawn(move || long_connection(port, seen, pause));
        }
        for _ in 0..4 {
            scope.spawn(|| transactions(port, &seen));
        }
        seen.progress(2000);
        for _ in 0..rounds {
            let start = Instant::now();
            elder = newcomers.upgrade(&proxy, elder);
            times.push(start.elapsed());
            seen.progress(2000);
        }
        seen.stop.store(true, Ordering::Relaxed);
    });
    let failed = seen.failed.into_inner().unwrap();
    let (done, commits) = (seen.done.into_inner(), seen.commits.into_inner());
    let refused = failed.iter().filter(|fail| fail.starts_with("login")).count();
    println!(
        "{done} commands during {rounds} upgrades: {refused} connections refused, {} errors; from \
         signal to takeover {times:?}",
        failed.len() - refused
    );
    assert!(failed.is_empty(), "{} of {done} failed: {:?}", failed.len(), failed.first());
    assert_eq!(lab.sql(0, "SELECT stock FROM shop.items WHERE id = 7"), commits.to_string());
    // The clients have gone, and so have the processes before.
    eventually("the first process ends", || !proxy.is_running());
    assert_eq!(
        proxy.log().matches("lagwise has ended").count(),
        rounds as usize,
        "{}",
        proxy.log()
    );
    let now = proxy.metrics();
    assert!(now.value("lagwise_logins_total{result=\"ok\"}") > 0.0, "the last one answers HTTP");
    assert_eq!(Client::app(port).value("SELECT 1"), "1");
}

/// Ends the load also when the test panics, which would else wait for it for ever.
pub struct StopAtEnd<'a>(pub &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
