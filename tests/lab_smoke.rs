//! The test servers themselves: both makes start, replicate, and obey the helpers that other
//! tests build on. When this fails, no other test against real servers means anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use support::{Lab, Make, Metrics, eventually, target_dir};

const COUNT_ORDERS: &str = "SELECT COUNT(*) FROM shop.orders";
const ADD_ORDER: &str = "INSERT INTO shop.orders (item_id, quantity) VALUES (1, 1)";

fn for_each_make(check: impl Fn(Make)) {
    for make in Make::ALL {
        eprintln!("{make}");
        check(make);
    }
}

#[test]
fn a_write_reaches_every_replica() {
    for_each_make(|make| {
        let lab = Lab::start(make, 2);
        assert_eq!(lab.count(), 3);
        for server in 0..3 {
            assert_eq!(lab.sql(server, "SELECT @@server_id"), (server + 1).to_string());
            assert_eq!(lab.sql(server, "SELECT @@port"), lab.port(server).to_string());
            assert_eq!(lab.sql(server, "SELECT COUNT(*) FROM shop.items"), "100");
            let read_only = if server == 0 { "0" } else { "1" };
            assert_eq!(lab.sql(server, "SELECT @@GLOBAL.read_only"), read_only);
        }
        lab.sql(0, ADD_ORDER);
        lab.wait_caught_up();
        for server in 0..3 {
            assert_eq!(lab.sql(server, COUNT_ORDERS), "1", "server {server}");
        }
        // Accounts are on every server.
        for account in ["monitor", "app", "other", "nopass", "tls", "locked", "admin", "repl"] {
            let query = format!("SELECT COUNT(*) FROM mysql.user WHERE user = '{account}'");
            assert_eq!(lab.sql(2, &query), "1", "{account}");
        }
    });
}

#[test]
fn lag_on_demand() {
    for_each_make(|make| {
        let lab = Lab::start(make, 1);
        lab.stop_applier(1);
        lab.sql(0, ADD_ORDER);
        let position = lab.position();
        assert!(!lab.applied(1, &position, 1), "a stopped applier applied");
        assert_eq!(lab.sql(1, COUNT_ORDERS), "0");
        lab.start_applier(1);
        lab.wait_caught_up();
        assert_eq!(lab.sql(1, COUNT_ORDERS), "1");

        lab.stop_receiver(1);
        lab.sql(0, ADD_ORDER);
        assert!(!lab.applied(1, &lab.position(), 1), "a stopped receiver received");
        lab.start_receiver(1);
        lab.wait_caught_up();

        lab.set_source_delay(1, 3);
        let start = Instant::now();
        lab.sql(0, ADD_ORDER);
        lab.wait_caught_up();
        // The delay counts from a commit time in whole seconds.
        assert!(start.elapsed() >= Duration::from_secs(2), "no delay: {:?}", start.elapsed());
        lab.set_source_delay(1, 0);
    });
}

#[test]
fn faults_and_recovery() {
    for_each_make(|make| {
        // What was applied must survive kill -9.
        let durable = ["innodb-flush-log-at-trx-commit=1", "sync-binlog=1"];
        let lab = Lab::start_with(make, 1, &durable);
        let port = lab.port(1);

        lab.kill(1);
        assert!(lab.try_sql(1, "SELECT 1").is_err());
        lab.sql(0, ADD_ORDER);
        lab.restart(1);
        assert_eq!(lab.sql(1, "SELECT @@port"), port.to_string());
        lab.wait_caught_up();
        assert_eq!(lab.sql(1, COUNT_ORDERS), "1");

        lab.freeze(1);
        lab.sql(0, ADD_ORDER);
        let mut hung = Command::new(lab.client())
            .args(["--no-defaults", "--user=root", "--execute=SELECT 1"])
            .arg(format!("--socket={}", lab.socket(1).display()))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert!(hung.try_wait().unwrap().is_none(), "a frozen server answered");
        lab.thaw(1);
        assert!(hung.wait().unwrap().success());
        lab.wait_caught_up();

        lab.shut_down(0);
        assert!(lab.try_sql(0, "SELECT 1").is_err());
        lab.restart(0);
        lab.sql(0, ADD_ORDER);
        lab.wait_caught_up();
        assert_eq!(lab.sql(1, COUNT_ORDERS), "3");
    });
}

#[test]
fn counters_and_general_log_tell_what_a_server_ran() {
    for_each_make(|make| {
        let lab = Lab::start_with(make, 1, &["max_connections=77", "1:long_query_time=5"]);
        assert_eq!(lab.sql(0, "SELECT @@max_connections"), "77");
        assert_ne!(lab.sql(0, "SELECT @@long_query_time"), "5.000000");
        assert_eq!(lab.sql(1, "SELECT @@long_query_time"), "5.000000");

        let select = |lab: &Lab| lab.statement_counts(1).get("Com_select").copied().unwrap_or(0);
        let before = select(&lab);
        lab.sql(1, &"SELECT 1;".repeat(50));
        // The client asks a few questions of its own when it connects.
        assert!((50..60).contains(&(select(&lab) - before)), "{before} {}", select(&lab));

        lab.log_all();
        lab.sql(1, "SELECT /* marked */ 'first line\nsecond line'");
        lab.sql(1, "PREPARE p FROM 'SELECT ?'; SET @a = 'bound'; EXECUTE p USING @a");
        lab.wait_seen(1, "/* marked */");
        assert_eq!(lab.seen(1, "second line"), 1);
        assert_eq!(lab.seen(0, "/* marked */"), 0);
        assert!(lab.general_log(1).iter().any(|entry| entry.command == "Connect"));
        lab.set_general_log(1, false);
        lab.sql(1, "SELECT 'unlogged'");
        assert_eq!(lab.seen(1, "unlogged"), 0);
        assert!(lab.status(1, "Uptime") < 600);
    });
}

#[test]
fn accounts_log_in_over_tcp() {
    let log_in = |lab: &Lab, account: &str, password: &str, tls: bool| {
        let mut command = Command::new(lab.client());
        command
            .args(["--no-defaults", "--protocol=tcp", "--host=127.0.0.1"])
            .arg(format!("--port={}", lab.port(0)))
            .arg(format!("--user={account}"))
            .arg(format!("--password={password}"))
            .args(["--database=shop", "--execute=SELECT COUNT(*) FROM items"]);
        match (lab.make, tls) {
            (Make::MySql, true) => command.arg("--ssl-mode=REQUIRED"),
            (Make::MySql, false) => {
                command.args(["--ssl-mode=DISABLED", "--get-server-public-key"])
            }
            (Make::MariaDb, true) => command.arg("--ssl"),
            (Make::MariaDb, false) => command.arg("--skip-ssl").arg(format!(
                "--plugin-dir={}",
                target_dir()
                    .join("mariadb/root/usr/lib/x86_64-linux-gnu/libmariadb3/plugin")
                    .display()
            )),
        };
        command.output().unwrap().status.success()
    };
    for_each_make(|make| {
        let lab = Lab::start(make, 0);
        for account in ["app", "other", "admin"] {
            assert!(log_in(&lab, account, &format!("{account}_password"), false), "{account}");
            assert!(log_in(&lab, account, &format!("{account}_password"), true), "{account} tls");
            assert!(!log_in(&lab, account, "wrong", false), "{account} with a wrong password");
        }
        let of_make: &[&str] = match make {
            Make::MySql => &["sha2"],
            Make::MariaDb => &["native", "ed25519"],
        };
        for account in of_make {
            assert!(log_in(&lab, account, &format!("{account}_password"), false), "{account}");
        }
        assert!(log_in(&lab, "nopass", "", false));
        assert!(!log_in(&lab, "nopass", "something", false));
        assert!(log_in(&lab, "tls", "tls_password", true));
        assert!(!log_in(&lab, "tls", "tls_password", false));
        assert!(!log_in(&lab, "locked", "locked_password", true));
        assert!(!log_in(&lab, "monitor", "monitor_password", true), "monitor sees schema shop");
    });
}

#[test]
fn nothing_is_left_behind() {
    for_each_make(|make| {
        let lab = Lab::start(make, 1);
        let (pids, dir) = ([lab.pid(0), lab.pid(1)], lab.server_dir(0));
        let sockets = lab.socket(0).parent().unwrap().to_path_buf();
        assert!(sockets.exists());
        lab.freeze(1);
        drop(lab);
        for pid in pids {
            eventually("the server is gone", || {
                !std::path::Path::new(&format!("/proc/{pid}/exe")).exists()
            });
        }
        assert!(!dir.exists());
        assert!(!sockets.exists());
    });
}

/// While a server starts, its process becomes one program after the other; it is not gone meanwhile.
#[test]
fn a_process_that_becomes_another_program_is_alive() {
    const SCRIPT: &str = r#"
        . scripts/lib/common.sh
        again='[ "$1" -gt 0 ] || exit 0; exec bash -c "$0" "$0" $(($1 - 1)) "$2"'
        bash -c "$again" "$again" 2000 --mark=of-this-test &
        pid=$!
        asked=0 wrong=0
        while [ "$asked" -lt 1500 ] && kill -0 "$pid" 2>/dev/null; do
          asked=$((asked + 1))
          alive "$pid" --mark=of-this-test || wrong=$((wrong + 1))
        done
        kill "$pid" 2>/dev/null || true
        echo "$asked $wrong""#;
    let mut command = std::process::Command::new("bash");
    command.args(["-c", SCRIPT]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(|number| number.parse::<u32>().unwrap());
    let (asked, wrong) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert!(asked > 100, "asked {asked} times only");
    // The last look may come just after its end.
    assert!(wrong <= 1, "{wrong} of {asked} times it was taken for gone");
}

#[test]
fn metrics_are_read_by_name_and_labels() {
    let metrics = Metrics {
        text: "# HELP a_total x\n# TYPE a_total counter\na_total{x=\"1\",y=\"2\"} 5\n\
               a_total{x=\"1\",y=\"3\"} 7\na_total{x=\"2\",y=\"2\"} 11\na_total_other 1\nb 0.25\n"
            .to_owned(),
    };
    assert_eq!(metrics.value("a_total{y=\"2\",x=\"1\"}"), 5.0);
    assert_eq!(metrics.value("a_total{x=\"9\"}"), 0.0);
    assert_eq!(metrics.value("b"), 0.25);
    assert_eq!(metrics.sum("a_total", &[("x", "1")]), 12.0);
    assert_eq!(metrics.sum("a_total", &[]), 23.0);
}
