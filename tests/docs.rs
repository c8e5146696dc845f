//! What the documents show is true: configurations load, commands print what is printed here, links
//! lead somewhere, and every error that lagwise raises is explained.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const README: &str = include_str!("../README.md");
const CONSOLE: &str = include_str!("../docs/console.md");
const ERRORS: &str = include_str!("../docs/errors.md");
const MIGRATING: &str = include_str!("../docs/migrating.md");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The fenced blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The minimal configuration of the README in a file of its own, its password beside it.
fn minimal(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let [minimal, _] = blocks(README, "toml")[..] else { panic!("two configurations are shown") };
    assert_eq!(minimal.lines().count(), 5, "five lines are all it takes");
    let text = minimal.replace("/etc/lagwise/monitor.password", "monitor.password");
    assert_ne!(text, minimal);
    std::fs::write(folder.join("monitor.password"), "secret\n").unwrap();
    let path = folder.join("proxy.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn lagwise(arguments: &[&str], config: &Path) -> String {
    let command = Command::new(env!("CARGO_BIN_EXE_lagwise"))
        .arg(arguments[0])
        .arg("--config")
        .arg(config)
        .args(&arguments[1..])
        .output()
        .unwrap();
    assert!(command.status.success(), "{}", String::from_utf8_lossy(&command.stderr));
    String::from_utf8(command.stdout).unwrap()
}

#[test]
fn the_minimal_configuration_is_good() {
    let printed = lagwise(&["check"], &minimal("docs-check"));
    assert!(printed.contains(" is good.\n") && printed.contains("10.0.0.3:3306"), "{printed}");
}

#[test]
fn the_rules_that_are_shown_are_good() {
    let path = minimal("docs-rules");
    let text = std::fs::read_to_string(&path).unwrap() + blocks(README, "toml")[1];
    std::fs::write(&path, text).unwrap();
    let printed = lagwise(&["check"], &path);
    assert!(
        printed.contains("rule     business-intelligence: user metabase or tableau"),
        "{printed}"
    );
    let printed = lagwise(&["explain", "--user", "tableau", "DELETE FROM t"], &path);
    assert!(printed.contains("read_only_rule\nrule    business-intelligence\n"), "{printed}");
}

#[test]
fn the_console_that_is_shown_is_good() {
    let path = minimal("docs-console");
    let [shown] = blocks(CONSOLE, "toml")[..] else { panic!("one configuration is shown") };
    for name in ["console-watch.password", "console-admin.password"] {
        std::fs::write(path.with_file_name(name), "secret\n").unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + &shown.replace("/etc/lagwise/", "")).unwrap();
    let printed = lagwise(&["check"], &path);
    assert!(printed.contains(" is good.\n"), "{printed}");
}

#[test]
fn explain_says_what_the_readme_says() {
    let [shown] = blocks(README, "console")[..] else { panic!("one command is shown") };
    let (command, want) = shown.split_once('\n').unwrap();
    let statement = command.split('"').nth(1).unwrap();
    let printed = lagwise(&["explain", statement], &minimal("docs-explain"));
    assert!(printed.starts_with(want.trim_end()), "{printed}");
}

#[test]
fn links_lead_somewhere() {
    let mut seen = 0;
    let documents = std::fs::read_dir(root().join("docs")).unwrap();
    let documents = documents.map(|entry| entry.unwrap().path());
    for path in documents.chain([root().join("README.md")]) {
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let file = link.split('#').next().unwrap();
            assert!(path.with_file_name(file).exists(), "{}: {link}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 4, "saw only {seen} links");
}

/// The name by which a heading is linked to.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    heading.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

#[test]
fn links_to_headings_lead_somewhere() {
    let documents = std::fs::read_dir(root().join("docs")).unwrap();
    let documents = documents.map(|entry| entry.unwrap().path());
    let mut seen = 0;
    for path in documents.chain([root().join("README.md")]) {
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let Some((file, wanted)) = link.split_once('#').filter(|_| !link.contains("://"))
            else {
                continue;
            };
            let target = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let target = std::fs::read_to_string(target).unwrap();
            let headings = target.lines().filter(|line| line.starts_with('#'));
            let mut anchors =
                headings.map(|line| anchor(line.trim_start_matches('#').trim_start()));
            assert!(anchors.any(|it| it == wanted), "{}: {link}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "saw only {seen} links");
}

/// Every command that a document shows says above it which test runs it, or why none does.
#[test]
fn commands_say_what_runs_them() {
    let documents = std::fs::read_dir(root().join("docs")).unwrap();
    let documents = documents.map(|entry| entry.unwrap().path());
    let mut run = 0;
    for path in documents.chain([root().join("README.md")]) {
        let text = std::fs::read_to_string(&path).unwrap();
        let runner = |mark: &str| mark.strip_suffix(" -->").map(|name| root().join(name).exists());
        let of_all = text.split("<!-- every command is run by ").nth(1);
        let of_all = of_all.and_then(|rest| runner(rest.lines().next().unwrap()));
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2) {
            if !["```sh", "```sql", "```console"].contains(&pair[1]) {
                continue;
            }
            let own = pair[0].strip_prefix("<!-- run by ").and_then(runner);
            let reason = pair[0].starts_with("<!-- not run by a test: ");
            let here = pair[0] == "<!-- run by the test of the documents -->";
            assert!(
                here || reason || own.or(of_all) == Some(true),
                "{}: {}",
                path.display(),
                pair[0]
            );
            run += usize::from(!reason);
        }
    }
    assert!(run > 20, "only {run} are run");
}

#[test]
fn scripts_that_are_named_exist() {
    let mut seen = 0;
    for rest in README.split("scripts/").skip(1) {
        let name =
            rest.split(|c: char| !(c.is_alphanumeric() || "._-".contains(c))).next().unwrap();
        assert!(root().join("scripts").join(name).exists(), "scripts/{name}");
        seen += 1;
    }
    assert!(seen >= 4);
}

/// Numbers of the ERR packets that the sources of the sessions make.
fn raised() -> BTreeSet<String> {
    let mut numbers = BTreeSet::new();
    let codes = std::fs::read_to_string(root().join("src/backend/error.rs")).unwrap();
    for entry in std::fs::read_dir(root().join("src/session")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for rest in text.split("ErrPacket::new(").skip(1) {
            let first = rest.split(',').next().unwrap().trim();
            if first.bytes().all(|byte| byte.is_ascii_digit()) {
                numbers.insert(first.to_owned());
                continue;
            }
            // A constant of the same file, or one of the codes that servers use.
            let (text, name) = match first.strip_prefix("codes::") {
                Some(name) => (&codes, name),
                None => (&text, first),
            };
            let definition = text.split(&format!("const {name}: u16 = ")).nth(1);
            let number = definition.unwrap_or_else(|| panic!("what is {first}?"));
            numbers.insert(number.split(';').next().unwrap().to_owned());
        }
    }
    numbers
}

#[test]
fn every_error_is_explained_and_no_other() {
    let own = ERRORS.split("\n## ").next().unwrap();
    let rows = own.lines().filter_map(|line| line.strip_prefix("| "));
    let numbers = rows.filter_map(|row| row.split(',').next());
    let explained: BTreeSet<String> = numbers
        .filter(|number| number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit()))
        .map(str::to_owned)
        .collect();
    let raised = raised();
    assert!(raised.len() > 10, "{raised:?}");
    assert_eq!(raised, explained, "raised (left) and explained (right)");
}

/// The number of each error of the console's own, and the words that its text begins with.
#[test]
fn every_error_of_the_console_is_explained_and_no_other() {
    let section = ERRORS.split("\n## Errors of the console\n").nth(1).unwrap();
    let rows = section.split("\n## ").next().unwrap().lines().filter(|row| row.starts_with("| "));
    let number =
        |text: &str| text.get(..4).filter(|it| it.parse::<u16>().is_ok()).map(str::to_owned);
    let explained: BTreeSet<String> = rows.filter_map(|row| number(&row[2..])).collect();
    let mut raised = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("src/console")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for make in ["ErrPacket::new(", "Answer::error("] {
            raised.extend(text.split(make).skip(1).filter_map(|rest| number(rest.trim_start())));
        }
    }
    assert!(raised.len() > 5, "{raised:?}");
    assert_eq!(raised, explained, "raised (left) and explained (right)");
}

/// Numbers in the sources that stand for an error of a server: those of tables, and `const NAME: u16`.
fn acted_on() -> BTreeSet<String> {
    let mut numbers = BTreeSet::new();
    for name in ["effects.rs", "failure.rs", "learned.rs", "relay.rs"] {
        let text = std::fs::read_to_string(root().join("src/session").join(name)).unwrap();
        let before = numbers.len();
        for rest in text.split(": u16 = ").chain(text.split("u16; ").skip(1)).skip(1) {
            let value = rest.split(';').next().unwrap();
            let value = value.split_once("= ").map_or(value, |(_, value)| value);
            let words = value.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let number = |word: &&str| word.len() == 4 && word.bytes().all(|b| b.is_ascii_digit());
            numbers.extend(words.filter(number).map(str::to_owned));
        }
        assert!(numbers.len() > before, "{name} has no numbers");
    }
    numbers
}

#[test]
fn every_error_of_a_server_that_matters_is_explained() {
    let section = ERRORS.split("## Errors of servers that lagwise acts on").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let words = section.split(|c: char| !c.is_ascii_alphanumeric());
    let explained: BTreeSet<&str> = words.filter(|word| word.len() == 4).collect();
    let missing: Vec<String> =
        acted_on().into_iter().filter(|number| !explained.contains(&**number)).collect();
    assert_eq!(missing, Vec::<String>::new());
}

/// Whoever comes from another proxy is sent to keys that exist.
#[test]
fn keys_that_others_become_exist() {
    let known = lagwise::config::known_keys();
    let mut seen = 0;
    for row in MIGRATING.lines().filter_map(|line| line.strip_suffix(" |")) {
        let ours = row.rsplit(" | ").next().unwrap();
        for quoted in ours.split('`').skip(1).step_by(2) {
            let key = quoted.split(" = ").next().unwrap();
            // Commands, statements and hints stand there, too; no key has a space or a capital.
            if key.bytes().all(|b| b.is_ascii_lowercase() || b"._".contains(&b)) {
                assert!(known.contains(key), "{key} in: {row}");
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "only {seen} keys are named");
}
