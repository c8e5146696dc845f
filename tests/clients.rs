//! Unmodified clients give the same output through lagwise as direct, on both makes, and their
//! reads are served by replicas: PHP's PDO and mysqli, Laravel's database layer, PyMySQL and
//! mysqlclient.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::{Command, Stdio};

use support::{Lab, Make, Proxy};

/// A script, and what the reads hold that a proxy may send to a replica.
struct Client {
    name: &'static str,
    command: &'static [&'static str],
    read_marks: &'static [&'static str],
}

const PHP: &str = "php";
/// Debian's own, for which the drivers are packaged; there may be another one on the path.
const PYTHON: &str = "/usr/bin/python3";

const CLIENTS: &[Client] = &[
    Client {
        name: "PDO, native prepares",
        command: &[PHP, "tests/php/pdo.php", "native"],
        read_marks: &["/* pdo native read */"],
    },
    Client {
        name: "PDO, emulated prepares",
        command: &[PHP, "tests/php/pdo.php", "emulated"],
        read_marks: &["/* pdo emulated read */"],
    },
    Client {
        name: "mysqli",
        command: &[PHP, "-d", "mysqli.allow_local_infile=1", "tests/php/mysqli.php"],
        read_marks: &["/* mysqli read */"],
    },
    Client {
        name: "Laravel",
        command: &[PHP, "tests/php/laravel.php"],
        read_marks: &["/* laravel read */", "from `items` where `items`.`id` ="],
    },
    Client {
        name: "PyMySQL",
        command: &[PYTHON, "tests/python/scenario.py", "pymysql"],
        read_marks: &["/* pymysql read */"],
    },
    Client {
        name: "mysqlclient",
        command: &[PYTHON, "tests/python/scenario.py", "mysqldb"],
        read_marks: &["/* MySQLdb read */"],
    },
];

fn run(client: &Client, port: u16) -> Result<String, String> {
    let output = Command::new(client.command[0])
        .args(&client.command[1..])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", port.to_string())
        .env("DB_USER", "app")
        .env("DB_PASSWORD", "app_password")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; run scripts/test.sh", client.command[0]));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() && printed.ends_with("done\n") {
        Ok(printed)
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        let end: Vec<&str> = printed.lines().rev().take(3).collect();
        Err(format!("ended with {}: {errors}\nlast lines, reversed: {end:#?}", output.status))
    }
}

/// Lines that differ, at most ten.
fn differences(direct: &str, proxied: &str) -> Vec<String> {
    let (direct, proxied): (Vec<_>, Vec<_>) = (direct.lines().collect(), proxied.lines().collect());
    let mut found: Vec<String> = direct
        .iter()
        .zip(&proxied)
        .filter(|(a, b)| a != b)
        .map(|(a, b)| format!("direct:  {a}\nlagwise: {b}"))
        .take(10)
        .collect();
    if direct.len() != proxied.len() {
        found.push(format!("{} lines direct, {} through lagwise", direct.len(), proxied.len()));
    }
    found
}

fn check(lab: &Lab, proxy: &Proxy, client: &Client) -> Vec<String> {
    let direct = run(client, lab.port(0))
        .unwrap_or_else(|error| panic!("{} direct to {}: {error}", client.name, lab.make));
    lab.wait_caught_up();
    let before: Vec<Vec<usize>> = seen_counts(lab, client);
    let proxied = match run(client, proxy.port()) {
        Ok(proxied) => proxied,
        Err(error) => return vec![error],
    };
    let mut problems = differences(&direct, &proxied);
    for (index, mark) in client.read_marks.iter().enumerate() {
        let new: Vec<usize> = seen_counts(lab, client)
            .iter()
            .zip(&before)
            .map(|(now, before)| now[index] - before[index])
            .collect();
        let on_replicas: usize = new[1..].iter().sum();
        if new[0] != 0 || on_replicas == 0 {
            problems.push(format!("reads with {mark}, by server, the primary first: {new:?}"));
        }
    }
    problems
}

/// How often each server has run each of the marked reads.
fn seen_counts(lab: &Lab, client: &Client) -> Vec<Vec<usize>> {
    (0..lab.count())
        .map(|server| client.read_marks.iter().map(|mark| lab.seen(server, mark)).collect())
        .collect()
}

fn check_all(make: Make) {
    let lab = Lab::start(make, 2);
    lab.log_all();
    let proxy = Proxy::start(&lab, "");
    let mut failed = Vec::new();
    for client in CLIENTS {
        let problems = check(&lab, &proxy, client);
        if !problems.is_empty() {
            failed.push(format!("== {} on {make}\n{}", client.name, problems.join("\n")));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn same_output_on_mysql() {
    check_all(Make::MySql);
}

#[test]
fn same_output_on_mariadb() {
    check_all(Make::MariaDb);
}
