//! `lagwise check --connect` against real servers: what is right, and each thing that is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::PathBuf;
use std::process::Command;

use support::{Lab, Make, eventually, free_port, target_dir, unique_name};

/// A configuration file, gone with this value.
struct File(PathBuf);

impl File {
    /// Servers, and the monitor's password.
    fn new(servers: &str, password: &str) -> File {
        let path = target_dir().join("lab").join(format!("check-{}.toml", unique_name()));
        let monitor = format!("[monitor]\nuser = \"monitor\"\npassword = {password:?}\n");
        // More than the default: on a busy machine a login takes long.
        let text =
            format!("listen = \"127.0.0.1:3307\"\n{servers}\n{monitor}check_timeout = \"9s\"\n");
        std::fs::write(&path, text).unwrap();
        File(path)
    }

    fn of(lab: &Lab) -> File {
        File::new(&fixed(lab, &lab.address(1)), "monitor_password")
    }

    /// Runs the command, holds its exit code, and returns what it printed.
    fn check(&self, code: i32) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lagwise"));
        let done = command.args(["check", "--connect", "--config"]).arg(&self.0).output().unwrap();
        let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        assert_eq!(done.status.code(), Some(code), "{said}");
        said
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn fixed(lab: &Lab, replica: &str) -> String {
    format!("primary = {:?}\nreplicas = [{replica:?}]", lab.address(0))
}

#[track_caller]
fn holds(said: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(said.contains(wanted), "no {wanted:?} in:\n{said}");
    }
}

/// The statement that a finding tells to run; runs it on the primary.
fn run_grant(lab: &Lab, said: &str, privilege: &str) {
    let begin = format!("GRANT {privilege} ON *.* TO 'monitor'@'%';");
    let at = said.find("run on the primary: ").expect("it names a statement");
    let statement = &said[at + "run on the primary: ".len()..];
    let statement = statement.lines().next().unwrap();
    assert_eq!(statement, begin);
    lab.sql(0, statement);
}

/// What every make says of the same faults.
fn faults(lab: &Lab) {
    let good = File::of(lab).check(0);
    let source = format!("replicates from {}: receiver Yes, applier Yes", lab.address(0));
    holds(&good, &["\n0 wrong, ", "logged in within ", "read_only ON", "read_only OFF", &source]);

    let refused = File::new(&fixed(lab, &lab.address(1)), "not the password").check(1);
    holds(&refused, &["wrong: it refuses the monitor's account: ", "\n2 wrong, 0 warnings"]);
    assert!(!refused.contains("not the password"), "{refused}");

    let nobody = format!("127.0.0.1:{}", free_port());
    let down = File::new(&fixed(lab, &nobody), "monitor_password").check(1);
    holds(&down, &["wrong: it cannot be used: cannot connect: ", "\n1 wrong, "]);

    let twice = File::new(&fixed(lab, &format!("localhost:{}", lab.port(0))), "monitor_password");
    holds(&twice.check(1), &["wrong: it has the server_"]);

    lab.stop_applier(1);
    let stopped = File::of(lab).check(1);
    holds(&stopped, &["applier No", "the applier does not run", "\n1 wrong, "]);
    lab.start_applier(1);

    // Whoever is writable is the primary, unless it replicates.
    let auto =
        format!("primary = \"auto\"\nservers = [{:?}, {:?}]", lab.address(0), lab.address(1));
    let auto = File::new(&auto, "monitor_password");
    holds(&auto.check(0), &["\n0 wrong, "]);
    lab.sql(1, "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL read_only = 0");
    let text = format!(
        "\nwrong: several servers are writable, and only one can be the primary: {}, {}\n1 wrong, ",
        lab.address(0),
        lab.address(1)
    );
    holds(&auto.check(1), &[&text]);
    holds(&File::of(lab).check(0), &["warning: it is a replica, and writable"]);
    for server in 0..2 {
        lab.sql(server, "SET GLOBAL read_only = 1");
    }
    holds(&auto.check(1), &["\nwrong: no server is writable: there is no primary\n1 wrong, "]);
    holds(&File::of(lab).check(1), &["wrong: it is the primary, and read_only is on"]);
}

#[test]
fn mysql() {
    let lab = Lab::start(Make::MySql, 1);
    lab.sql(0, "REVOKE REPLICATION CLIENT ON *.* FROM monitor@'%'");
    lab.wait_caught_up();
    let good = File::of(&lab).check(0);
    holds(&good, &["MySQL ", "gtid_mode ON, enforce_gtid_consistency ON", "\n0 wrong, "]);
    // With GTIDs the grant is for this look only.
    holds(&good, &["note: its replication is not shown; run on the primary: GRANT REPLICATION"]);
    for mode in ["ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF"] {
        for server in 0..2 {
            if server == 1 && mode == "OFF" {
                lab.sql(1, "STOP REPLICA; CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION = 0");
            }
            lab.sql(server, &format!("SET GLOBAL gtid_mode = {mode}"));
        }
    }
    lab.sql(1, "START REPLICA");
    let off = File::of(&lab).check(1);
    holds(&off, &["warning: gtid_mode is OFF", "replicas get no reads; run on the primary: "]);
    run_grant(&lab, &off, "REPLICATION CLIENT");
    // Nothing can be waited for by GTID.
    eventually("the grant is replicated", || {
        lab.sql(1, "SHOW GRANTS FOR monitor@'%'").contains("REPLICATION CLIENT")
    });
    holds(&File::of(&lab).check(0), &["warning: gtid_mode is OFF", "\n0 wrong, "]);
    faults(&lab);
}

#[test]
fn mariadb() {
    let lab = Lab::start(Make::MariaDb, 1);
    lab.sql(0, "REVOKE BINLOG MONITOR, SLAVE MONITOR ON *.* FROM monitor@'%'");
    lab.wait_caught_up();
    let lacking = File::of(&lab).check(1);
    holds(&lacking, &["MariaDB 10.", "gtid_strict_mode ON", "\n1 wrong, "]);
    run_grant(&lab, &lacking, "BINLOG MONITOR");
    lab.wait_caught_up();
    let noted = File::of(&lab).check(0);
    holds(&noted, &["note: its replication is not shown"]);
    run_grant(&lab, &noted, "SLAVE MONITOR");
    lab.wait_caught_up();
    faults(&lab);
}
