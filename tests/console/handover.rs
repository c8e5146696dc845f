//! The console when a new process takes over.

use super::raw::{Client, Login};
use super::start;
use super::support::{
    Lab, Make, eventually_some, is_running, signal, target_dir, unique_name, wait_gone,
};

/// A process that is no child of the test: it ends with this value.
struct Newcomer(u32);

impl Drop for Newcomer {
    fn drop(&mut self) {
        if is_running(self.0) {
            signal(self.0, "KILL");
        }
    }
}

#[test]
fn the_new_process_has_the_console() {
    let lab = Lab::start(Make::MariaDb, 0);
    let path = target_dir().join("lab").join(format!("c{}", unique_name()));
    let proxy = start(&lab, &format!("unix:{}", path.display()));
    let login = Login { schema: None, ..Login::of("admin", "admin_password") };
    let log_in = || Client::connect_unix(&path, login).unwrap_or_else(|fail| panic!("{fail}"));
    let mut before = log_in();
    before.run("SHOW SERVERS");
    let app = Client::app(proxy.port());

    signal(proxy.pid(), "USR2");
    let newcomer = Newcomer(eventually_some("another process has taken over", || {
        let log = proxy.log();
        let line = log.lines().find(|line| line.contains("another process has taken over"))?;
        let pid = line.split_once("pid=")?.1;
        pid.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }));
    assert!(before.query("SHOW SERVERS").is_err(), "it ends with the process that it asked");
    let mut after = log_in();
    let sessions = after.run("SHOW SESSIONS");
    assert!(sessions.is_empty(), "those of the process before are not this one's: {sessions:?}");
    let mut other = Client::app(proxy.port());
    other.run("SELECT 1");
    assert_eq!(after.run("SHOW SESSIONS").len(), 1);
    after.run("RELOAD");
    drop((app, other));
    signal(newcomer.0, "TERM");
    wait_gone(newcomer.0);
    assert!(!path.exists(), "its file goes with the process that had it last");
}
