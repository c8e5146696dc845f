//! The scripts that people run by hand keep working: the demonstration says where statements went
//! and why, and the benchmark measures. Both run this build instead of a release.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::process::{Command, Stdio};

use support::{Make, package_dir, target_dir};

fn run(script: &str, arguments: &[&str], environment: &[(&str, &str)]) -> (String, String) {
    let output = Command::new("bash")
        .arg(package_dir().join("scripts").join(script))
        .args(arguments)
        .env("CARGO_TARGET_DIR", target_dir())
        .env("LAGWISE", env!("CARGO_BIN_EXE_lagwise"))
        .env("NO_FETCH", "yes")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{script} {arguments:?} failed:\n{printed}\n{said}");
    (printed, said)
}

#[test]
fn the_demonstration_tells_where_statements_went() {
    // One after the other: both would like the same port.
    for make in Make::ALL {
        let arguments: &[&str] = match make {
            Make::MySql => &["--once"],
            Make::MariaDb => &["--once", "--mariadb"],
        };
        let (printed, said) = run("demo.sh", arguments, &[]);
        let row = |start: &str| {
            printed
                .lines()
                .find(|line| line.trim_start().starts_with(start))
                .unwrap_or_else(|| panic!("{make}: no row {start}:\n{printed}"))
        };
        for (statement, target) in [
            ("SELECT name, price", "replica"),
            ("SELECT COUNT(*) FROM items", "replica"),
            ("WITH dear", "replica"),
            ("SELECT stock FROM items WHERE id = 7 FOR UPDATE", "primary"),
            ("INSERT INTO orders", "primary"),
            ("UPDATE items", "primary"),
        ] {
            let row = row(statement);
            assert!(row.contains(&format!(" {target} ")), "{make}: not on the {target}: {row}");
            let reason = row.rsplit(' ').next().unwrap();
            assert!(reason.len() > 2 && !reason.starts_with(':'), "{make}: no reason: {row}");
        }
        for replica in ["replica 1", "replica 2"] {
            let lag = printed.lines().rev().find(|line| line.contains(replica)).unwrap();
            assert!(lag.trim_end().ends_with(" s"), "{make}: no lag: {lag}");
        }
        assert!(said.contains("Stopped."), "{make}: {said}");
    }
}

#[test]
fn the_benchmark_measures() {
    let (printed, _) = run(
        "bench.sh",
        &["--quick"],
        &[("DURATION", "1"), ("PATHS", "direct lagwise"), ("THREADS", "2")],
    );
    for mode in ["text", "prepared"] {
        for path in ["direct", "lagwise"] {
            let fields: Vec<&str> = printed
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>())
                .find(|fields| fields.first() == Some(&mode) && fields.get(2) == Some(&path))
                .unwrap_or_else(|| panic!("no row {mode} {path}:\n{printed}"));
            let queries_per_second: f64 = fields[3].parse().unwrap();
            assert!(queries_per_second > 1.0, "{printed}");
            if path == "lagwise" {
                let cpu: f64 = fields[7].parse().unwrap();
                assert!(cpu > 0.0, "{printed}");
            }
        }
    }
}
