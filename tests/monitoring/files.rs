//! The rules, the table of metrics and the page about alerts, held against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{package_dir, target_dir};

/// A program that `scripts/prometheus.sh fetch` has fetched.
pub fn program(name: &str) -> PathBuf {
    let path = target_dir().join("prometheus/bin").join(name);
    assert!(path.exists(), "no {name}: run scripts/prometheus.sh fetch once");
    path
}

/// Runs promtool in the folder of the rules; fails unless it is content. What it says.
pub fn promtool(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(program("promtool"))
        .args(arguments)
        .current_dir(package_dir().join("contrib/prometheus"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
    assert!(done.status.success(), "promtool {arguments:?}: {said}");
    said
}

pub fn read(path: &str) -> String {
    std::fs::read_to_string(package_dir().join(path)).unwrap()
}

/// The table of docs/metrics.md, which a test of the library holds complete: name and type.
fn documented() -> BTreeMap<String, String> {
    let text = read("docs/metrics.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.filter_map(|row| row.split_once("` | "));
    let pairs = rows.map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap().into()));
    let found: BTreeMap<String, String> = pairs.collect();
    assert!(found.len() > 50, "{found:?}");
    found
}

/// The words of a text that look like a metric of lagwise's.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("lagwise_") || word.starts_with("process_")).collect()
}

/// Fails if a text names a metric that is not in the table.
pub fn check_metrics(text: &str, at_least: usize) {
    let documented = documented();
    let is_known = |name: &str| {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().any(|end| {
            let base = name.strip_suffix(end).and_then(|base| documented.get(base));
            base.is_some_and(|kind| kind == "histogram")
        });
        of_histogram || documented.contains_key(name)
    };
    let found = metrics_in(text);
    let unknown: Vec<_> = found.iter().filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "not in docs/metrics.md: {unknown:?}");
    assert!(found.len() >= at_least, "{found:?}");
}

/// The rules: name, and all of it.
fn alerts() -> Vec<(String, String)> {
    let text = read("contrib/prometheus/lagwise.rules.yml");
    let rules = text.split("- alert: ").skip(1);
    let rules = rules.map(|rule| (rule.lines().next().unwrap().to_owned(), rule.to_owned()));
    let found: Vec<_> = rules.collect();
    assert!(found.len() >= 12, "{found:?}");
    found
}

#[test]
fn prometheus_takes_the_rules_and_their_tests_pass() {
    let said = promtool(&["check", "rules", "lagwise.rules.yml"], "");
    assert!(said.contains(&format!("{} rules found", alerts().len())), "{said}");
    promtool(&["test", "rules", "lagwise.rules.test.yml"], "");
}

/// A test of the rules names what fires, with nothing that fires before.
#[test]
fn every_alert_is_tested_and_explained() {
    let tests = read("contrib/prometheus/lagwise.rules.test.yml");
    let tests: Vec<&str> = tests.split("\n  - name: ").skip(1).collect();
    let page = read("docs/monitoring.md");
    for (name, rule) in alerts() {
        let test = tests.iter().find(|test| test.starts_with(&format!("'{name}: ")));
        let test = test.unwrap_or_else(|| panic!("no test of {name}"));
        assert!(test.contains("exp_samples: []"), "{name} is not seen not to fire");
        assert!(test.contains(&format!("alertname=\"{name}\"")), "{name} is not seen to fire");
        assert!(page.contains(&format!("\n### {name}\n")), "docs/monitoring.md has no {name}");
        for part in ["severity: ", "summary: ", "description: "] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        assert!(rule.contains(&format!("runbook: docs/monitoring.md, {name}\n")), "{name}");
    }
    let headings = page.lines().filter(|line| line.starts_with("### Lagwise")).count();
    assert_eq!(headings, alerts().len(), "docs/monitoring.md explains alerts that there are not");
}

#[test]
fn what_the_rules_and_the_page_name_is_exported() {
    check_metrics(&read("contrib/prometheus/lagwise.rules.yml"), 12);
    check_metrics(&read("contrib/prometheus/lagwise.rules.test.yml"), 12);
    check_metrics(&read("docs/monitoring.md"), 3);
}
