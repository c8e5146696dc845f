//! The messages that systemd gets.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::cell::Cell;
use std::path::PathBuf;

use super::*;

/// A socket that plays systemd; its file goes with it.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn new(test: &str) -> Self {
        let name = format!("lagwise-notify-{}-{test}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, path }
    }

    fn notifier(&self) -> Notifier {
        Notifier::to(self.path.as_os_str()).unwrap()
    }

    /// Every datagram that has arrived; sending to a local socket delivers at once.
    fn received(&self) -> Vec<String> {
        received(&self.socket)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn received(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 512];
    std::iter::from_fn(|| {
        let count = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..count].to_vec()).unwrap())
    })
    .collect()
}

#[test]
fn each_message_is_one_datagram() {
    let manager = Manager::new("messages");
    let check = |send: &dyn Fn(&Notifier) -> io::Result<()>, expected: &str| {
        send(&manager.notifier()).unwrap();
        assert_eq!(manager.received(), [expected]);
    };
    check(&|notifier| notifier.ready(), "READY=1\n");
    check(&|notifier| notifier.stopping(), "STOPPING=1\n");
    check(&|notifier| notifier.main_pid(4711), "MAINPID=4711\nWATCHDOG=1\n");
    check(&|notifier| notifier.watchdog(), "WATCHDOG=1\n");
    check(&|notifier| notifier.status("serving 3 clients"), "STATUS=serving 3 clients\n");
    check(&|notifier| notifier.status("a\nREADY=1\r\nb"), "STATUS=a READY=1  b\n");
}

/// The clock behind `Instant` is the monotonic one on Linux, but it does not tell its reading;
/// uptime does, apart from time in suspend, which CLOCK_MONOTONIC leaves out.
fn uptime_micros() -> u128 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = text.split_whitespace().next().unwrap().parse().unwrap();
    (seconds * 1e6) as u128
}

#[test]
fn reloading_carries_the_monotonic_time_in_the_same_datagram() {
    let manager = Manager::new("reloading");
    manager.notifier().reloading().unwrap();
    manager.notifier().reloading().unwrap();
    let times: Vec<u128> = manager
        .received()
        .iter()
        .map(|message| {
            let time = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
            time.strip_suffix('\n').unwrap().parse().unwrap()
        })
        .collect();
    assert_eq!(times.len(), 2);
    assert!(times[0] <= times[1]);
    assert!(times[1] <= uptime_micros() + 1_000_000, "{times:?}: not the monotonic clock");
}

#[tokio::test]
async fn a_reload_is_reported_whatever_it_gives() {
    let manager = Manager::new("around");
    let notifier = manager.notifier();
    let result: Result<(), &str> = around_reload(&notifier, async {
        let begun = manager.received();
        assert!(begun.len() == 1 && begun[0].starts_with("RELOADING=1\n"), "{begun:?}");
        Err("bad file")
    })
    .await;
    assert_eq!(result, Err("bad file"));
    assert_eq!(manager.received(), ["READY=1\n"]);
}

#[test]
fn abstract_sockets_work() {
    let name = format!("lagwise-notify-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_nonblocking(true).unwrap();
    Notifier::to(OsStr::new(&format!("@{name}"))).unwrap().ready().unwrap();
    assert_eq!(received(&socket), ["READY=1\n"]);
}

#[test]
fn without_a_manager_everything_succeeds_and_with_a_lost_one_it_is_an_error() {
    let none = Notifier::none();
    assert!(none.ready().is_ok() && none.reloading().is_ok() && none.status("x").is_ok());
    let manager = Manager::new("lost");
    let notifier = manager.notifier();
    drop(manager);
    assert!(notifier.ready().is_err());
    assert!(Notifier::to(OsStr::new(&"x".repeat(200))).is_err());
}

#[test]
fn a_manager_that_comes_back_on_the_same_path_is_found() {
    let manager = Manager::new("again");
    let notifier = manager.notifier();
    drop(manager);
    let manager = Manager::new("again");
    notifier.ready().unwrap();
    assert_eq!(manager.received(), ["READY=1\n"]);
}

/// Time is the test's own: the runtime's clock moves only when everything waits for it.
#[tokio::test(start_paused = true)]
async fn signs_of_life_come_at_half_the_timeout_while_alive() {
    let manager = Manager::new("watchdog");
    let notifier = manager.notifier();
    let alive = Cell::new(true);
    let seconds = |n| tokio::time::sleep(Duration::from_secs(n));
    let script = async {
        seconds(1).await; // at 1 s: the first, at 0 s
        assert_eq!(manager.received(), ["WATCHDOG=1\n"]);
        seconds(25).await; // at 26 s: 5, 10, 15, 20, 25
        assert_eq!(manager.received().len(), 5);
        alive.set(false);
        seconds(30).await; // at 56 s
        assert_eq!(manager.received(), [""; 0]);
        alive.set(true);
        seconds(5).await; // at 61 s: 60
        assert_eq!(manager.received().len(), 1);
    };
    tokio::select! {
        _ = keep_alive(&notifier, Duration::from_secs(10), || alive.get()) => {}
        () = script => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_zero_timeout_is_no_panic() {
    let none = Notifier::none();
    let pings = keep_alive(&none, Duration::ZERO, || true);
    assert!(tokio::time::timeout(Duration::from_secs(1), pings).await.is_err());
}

/// The settings of a unit without its comments.
fn settings(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| line.contains('=') && !line.starts_with('#'));
    lines.filter(|line| !line.starts_with("Description=")).collect()
}

#[test]
fn the_units_use_what_this_module_sends_and_the_template_is_the_same_unit() {
    let unit = include_str!("../../systemd/lagwise.service");
    let template = include_str!("../../systemd/lagwise@.service");
    for line in ["Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "WatchdogSec=30s"] {
        assert!(settings(unit).contains(&line), "{line}");
    }
    let one = template.replace("%i.toml", "proxy.toml").replace("lagwise/%i", "lagwise");
    assert_eq!(settings(&one), settings(unit));
    assert!(settings(unit).len() > 40 && !one.contains("=%i"));
    let reload = include_str!("../../systemd/notify-reload.conf");
    assert_eq!(settings(reload), ["Type=notify-reload", "ExecReload="]);
}
