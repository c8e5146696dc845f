//! The command as a user meets it: what it prints where, and its exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const GOOD: &str = r#"listen = ["0.0.0.0:3307", "unix:/run/lagwise.sock"]
primary = "10.0.0.1:3306"
replicas = ["10.0.0.2:3306", "10.0.0.3:3306"]
http.listen = "127.0.0.1:9104"
[monitor]
user = "monitor"
password_file = "monitor.password"
[[server]]
address = "10.0.0.3:3306"
name = "reports"
weight = 2
zone = "b"
tags = ["bi"]
max_connections = 9
tls.mode = "off"
[[rule]]
name = "bi"
user = ["metabase", "tableau"]
tag = "bi"
read_only = true
[[rule]]
schema = "archive"
statement = "select * from big"
target = "replica"
max_lag = "1h"
[[rule]]
statement = ["SELECT 'fresh'"]
target = "primary"
"#;

/// A folder of its own for one test, gone at the end of it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lagwise-cli-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.0.join(name), text).unwrap();
        fs::set_permissions(self.0.join(name), Permissions::from_mode(mode)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the command and compares its exit code, standard output and standard error.
fn check(folder: &Path, arguments: &[&str], code: i32, stdout: &str, stderr: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lagwise"));
    let output = command.current_dir(folder).args(arguments).output().expect("lagwise starts");
    let found_stdout = String::from_utf8(output.stdout).unwrap();
    let found_stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((found_stdout.as_str(), found_stderr.as_str()), (stdout, stderr), "{arguments:?}");
    assert_eq!(output.status.code(), Some(code), "{arguments:?}");
}

#[test]
fn check_confirms_the_topology() {
    let folder = Folder::new("topology");
    folder.write("proxy.toml", GOOD, 0o644);
    folder.write("monitor.password", "hunter2\n", 0o640);
    let summary = "\
proxy.toml is good.
listen   0.0.0.0:3307
listen   unix:/run/lagwise.sock
primary  10.0.0.1:3306, TLS as_client
replica  10.0.0.2:3306, TLS as_client
replica  reports at 10.0.0.3:3306, weight 2, zone b, only for bi, at most 9 connections, TLS off
rule     bi: user metabase or tableau -> tag bi, read only
rule     rule-2: schema archive, statement select * from big -> replica, max_lag 1h
rule     rule-3: statement SELECT 'fresh' -> primary
monitor  monitor
http     127.0.0.1:9104
";
    check(&folder.0, &["check", "--config", "proxy.toml"], 0, summary, "");
    check(&folder.0, &["check", "-c", "proxy.toml"], 0, summary, "");
    for (zone, warning) in
        [("b", ""), ("c", "warning: no replica is in lagwise's own zone, c (routing.zone)\n")]
    {
        folder.write("proxy.toml", &format!("{GOOD}\n[routing]\nzone = {zone:?}\n"), 0o644);
        check(&folder.0, &["check", "-c", "proxy.toml"], 0, summary, warning);
    }
}

#[test]
fn check_warns_of_files_that_everybody_may_read() {
    let folder = Folder::new("warnings");
    let inline = "listen = \"0.0.0.0:3307\"\nprimary = \"a:1\"\nmonitor.user = \"m\"\n\
                  monitor.password = \"hunter2\"\n";
    let summary = "p.toml is good.\nlisten   0.0.0.0:3307\nprimary  a:1, TLS as_client\n\
                   monitor  m\nhttp     off\n";
    let no_replicas = "warning: there are no replicas: every read goes to the primary\n";
    let exposed = "warning: p.toml holds a secret and every user may read it; chmod o-r p.toml\n";
    folder.write("p.toml", inline, 0o644);
    check(&folder.0, &["check", "-c", "p.toml"], 0, summary, &format!("{exposed}{no_replicas}"));
    folder.write("p.toml", inline, 0o640);
    check(&folder.0, &["check", "-c", "p.toml"], 0, summary, no_replicas);
}

#[test]
fn a_bad_configuration_is_refused_by_every_command() {
    let folder = Folder::new("bad");
    folder.write("bad.toml", &GOOD.replace("weight = 2", "wait = 2"), 0o644);
    folder.write("monitor.password", "hunter2\n", 0o640);
    let errors = "bad.toml:11: server.wait: unknown key; did you mean \"consistency.wait\"?; allowed: address, drained, max_connections, name, proxy_protocol, \
                  role, tags, tls, weight, zone\n";
    let missing = "no.toml: cannot read: No such file or directory (os error 2)\n";
    for command in [&["check"][..], &["run"], &["explain", "SELECT 1"]] {
        let with = |file| [command, &["--config", file]].concat();
        check(&folder.0, &with("bad.toml"), 2, "", errors);
        check(&folder.0, &with("no.toml"), 2, "", missing);
    }
}

#[test]
fn explain_tells_target_and_reason() {
    let folder = Folder::new("explain");
    folder.write("monitor.password", "hunter2\n", 0o640);
    folder.write("proxy.toml", GOOD, 0o644);
    let routing = "[routing]\nhints = false\nread_only_functions = [\"Shop.Price\"]\n";
    folder.write("routing.toml", &format!("{GOOD}{routing}"), 0o644);
    let alone = GOOD.lines().filter(|line| !line.starts_with("replicas"));
    let alone = alone.take_while(|line| *line != "[[server]]").collect::<Vec<_>>().join("\n");
    folder.write("alone.toml", &alone, 0o644);

    let explain = |file: &str, sql: &str, stdout: &str| {
        check(&folder.0, &["explain", "--config", file, sql], 0, stdout, "");
    };
    let read = "target  replica\nreason  read\n\
                A read that any replica answers as the primary would.\n";
    let write = "target  primary\nreason  write\nIt writes.\n";
    let lock = "target  primary\nreason  locking_read\nThe read locks rows.\n";
    let hint = "target  primary\nreason  hint\nA leading comment asked for the primary.\n";
    let function = "target  primary\nreason  unknown_function\n\
                    It calls a function that is not built in and not configured as read-only.\n";
    explain("proxy.toml", "SELECT 'é'", read);
    explain("proxy.toml", "INSERT INTO t VALUES (1)", write);
    explain("proxy.toml", "SELECT * FROM t FOR UPDATE", lock);
    // The two keys of [routing] that a decision depends on.
    explain("proxy.toml", "/* lagwise: primary */ SELECT 1", hint);
    explain("routing.toml", "/* lagwise: primary */ SELECT 1", read);
    explain("proxy.toml", "SELECT shop.price(1)", function);
    explain("routing.toml", "SELECT shop.price(1)", read);
    // By what is executed; EXECUTE IMMEDIATE is MariaDB's.
    explain("proxy.toml", "EXECUTE IMMEDIATE 'SELECT 5'", read);
    explain("proxy.toml", "EXECUTE IMMEDIATE 'SELECT 1 FOR UPDATE'", lock);
    let prepare = "target  primary\nreason  text_prepare\nPREPARE and DEALLOCATE PREPARE, and EXECUTE of what is not known to be a read.\n";
    explain("proxy.toml", "EXECUTE IMMEDIATE 'DELETE FROM t'", prepare);
    explain("proxy.toml", "EXECUTE IMMEDIATE @a", prepare);
    let executed = |what| format!("{prepare}\nEach EXECUTE of it:\n{what}");
    explain("proxy.toml", "PREPARE s FROM 'SELECT * FROM t WHERE a = ?'", &executed(read));
    explain("proxy.toml", "PREPARE s FROM 'SELECT shop.price(1)'", &executed(function));
    explain("proxy.toml", "PREPARE s FROM @a", &executed(prepare));
    explain("proxy.toml", "EXECUTE s", prepare);
    let alone = format!("{read}There are no replicas, so the primary runs it.\n");
    explain("alone.toml", "SELECT 1", &alone);
    explain("alone.toml", "INSERT INTO t VALUES (1)", write);
}

#[test]
fn explain_tells_which_rule_spoke() {
    let folder = Folder::new("rules");
    folder.write("monitor.password", "hunter2\n", 0o640);
    folder.write("proxy.toml", GOOD, 0o644);
    // Without the untagged replica.
    let tagged = GOOD.replace("\"10.0.0.2:3306\", ", "");
    folder.write("tagged.toml", &tagged, 0o644);
    let explain = |arguments: &[&str], stdout: &str| {
        let arguments = [&["explain", "--config", "proxy.toml"], arguments].concat();
        check(&folder.0, &arguments, 0, stdout, "");
    };
    let read = "A read that any replica answers as the primary would.\n";
    let kept = "A rule of the configuration keeps the user's sessions on replicas, to read only.\n";
    let refused =
        "It may write, and a rule of the configuration says read_only: no server is asked.\n";
    let bi = format!("target  replica\nreason  read_only_session\nrule    bi\ntag     bi\n{kept}");
    explain(&["--user", "tableau", "SELECT 1"], &bi);
    explain(&["--user", "tableau", "SET NAMES utf8mb4"], &bi);
    explain(&["-u", "tableau", "-s", "archive", "/* lagwise: primary */ SELECT 'fresh'"], &bi);
    let write = format!("target  none\nreason  read_only_rule\nrule    bi\n{refused}");
    explain(&["--user", "metabase", "DELETE FROM t"], &write);
    explain(&["--user", "app", "SELECT 1"], &format!("target  replica\nreason  read\n{read}"));
    explain(
        &["--schema", "Archive", "/* a */ SELECT *\nFROM `big` LIMIT 1"],
        "target  replica\nreason  rule_replica\nrule    rule-2\n\
         A rule of the configuration asks for a replica, and it is a read.\n",
    );
    explain(
        &["SELECT 'fresh'"],
        "target  primary\nreason  rule\nrule    rule-3\n\
         A rule of the configuration sends it to the primary.\n",
    );
    explain(
        &["/* lagwise: tag=bi */ SELECT 1"],
        &format!("target  replica\nreason  read\ntag     bi\n{read}"),
    );
    let unknown = "Its hint is ignored: no replica has that tag.\n";
    explain(
        &["/* lagwise: primary tag=bl */ SELECT 1"],
        &format!("target  replica\nreason  read\n{read}{unknown}"),
    );
    explain(
        &["--schema", "information_schema", "SELECT * FROM processlist"],
        "target  primary\nreason  server_schema\n\
         It reads tables that describe the one server that is asked.\n",
    );
    let every = "Every replica has tags, so the primary runs it.\n";
    let stdout = format!("target  replica\nreason  read\n{read}{every}");
    check(&folder.0, &["explain", "-c", "tagged.toml", "SELECT 1"], 0, &stdout, "");
    let warning =
        "warning: every replica has tags: reads that ask for none of them go to the primary\n";
    let output = Command::new(env!("CARGO_BIN_EXE_lagwise"))
        .current_dir(&folder.0)
        .args(["check", "-c", "tagged.toml"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), warning);
}

#[test]
fn version_and_help() {
    let here = std::env::temp_dir();
    check(&here, &["--version"], 0, &format!("lagwise {}\n", env!("CARGO_PKG_VERSION")), "");
    let output = Command::new(env!("CARGO_BIN_EXE_lagwise")).arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let help = String::from_utf8(output.stdout).unwrap();
    for word in ["run", "check", "explain", "Exit codes", "SIGHUP", "SIGUSR2"] {
        assert!(help.contains(word), "{word} in {help}");
    }
}

#[test]
fn a_bad_command_line_is_code_2() {
    for arguments in [&[][..], &["frobnicate"], &["explain"], &["check", "--config"], &["run", "x"]]
    {
        let output = Command::new(env!("CARGO_BIN_EXE_lagwise")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn top_needs_a_terminal() {
    let folder = Folder::new("top");
    folder.write("proxy.toml", GOOD, 0o644);
    folder.write("monitor.password", "hunter2\n", 0o640);
    let said = "lagwise: top needs a terminal; `lagwise status` does not\n";
    check(&folder.0, &["top", "--config", "proxy.toml"], 2, "", said);
    folder.write("no-http.toml", &GOOD.replace("http.listen = \"127.0.0.1:9104\"\n", ""), 0o644);
    let said =
        "lagwise is asked over its HTTP endpoints, and the configuration has no http.listen\n";
    check(&folder.0, &["top", "--config", "no-http.toml"], 2, "", said);
}
