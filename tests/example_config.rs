//! `proxy.toml.example` is the reference of the configuration: it names every key, it is valid,
//! and the defaults that it states are the real ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::Path;

use lagwise::config::{Config, ConfigErrors, known_keys};

const EXAMPLE: &str = include_str!("../proxy.toml.example");

/// Keys of which a table may have only one.
const ALTERNATIVES: [&str; 4] = ["password", "password_file", "password_env", "native_hash"];

/// A key of the file, or the head of a table.
struct Line<'a> {
    /// The line without the `#` that switches it off.
    text: &'a str,
    /// Whether it is switched off in the file.
    off: bool,
    /// The sentences above it.
    comment: String,
}

impl Line<'_> {
    fn is_head(&self) -> bool {
        self.text.starts_with('[')
    }

    fn key(&self) -> &str {
        self.text.split(" =").next().unwrap()
    }

    fn has_no_default(&self) -> bool {
        self.comment.contains("No default") || self.comment.contains("Required")
    }

    fn is_alternative(&self) -> bool {
        ALTERNATIVES.contains(&self.key())
    }
}

fn lines() -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut comment = String::new();
    for line in EXAMPLE.lines() {
        if line.is_empty() {
            comment.clear();
        } else if line == "#" || line.starts_with("# ") {
            comment.push_str(&line[1..]);
        } else {
            let text = line.strip_prefix('#').unwrap_or(line);
            assert!(
                text.starts_with('[') || text.contains(" = "),
                "neither key nor comment: {line}"
            );
            lines.push(Line { text, off: text != line, comment: std::mem::take(&mut comment) });
        }
    }
    assert!(lines.len() > 40, "the example was not understood");
    lines
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    let pem = b"-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n";
    let read = |path: &Path| {
        let is_pem = path.extension().is_some_and(|extension| extension == "pem");
        Ok(if is_pem { pem.to_vec() } else { b"password.password\n".to_vec() })
    };
    Config::parse(
        text,
        Path::new("proxy.toml.example"),
        &|_| Some("password.password".into()),
        &read,
    )
}

fn join(lines: &[Line<'_>], keep: impl Fn(&Line<'_>) -> bool) -> String {
    let kept = lines.iter().filter(|line| keep(line)).map(|line| line.text);
    kept.collect::<Vec<_>>().join("\n")
}

fn keys_of(text: &str) -> BTreeSet<String> {
    fn walk(table: &toml::Table, prefix: &str, keys: &mut BTreeSet<String>) {
        for (key, value) in table {
            let name = format!("{prefix}{key}");
            match value {
                toml::Value::Table(inner) => walk(inner, &format!("{name}."), keys),
                toml::Value::Array(list) => {
                    for inner in list.iter().filter_map(toml::Value::as_table) {
                        walk(inner, &format!("{name}."), keys);
                    }
                }
                _ => {}
            }
            keys.insert(name);
        }
    }
    let mut keys = BTreeSet::new();
    walk(&text.parse().expect("TOML"), "", &mut keys);
    keys
}

#[test]
fn every_key_is_there_and_no_other() {
    let text = join(&lines(), |_| true);
    assert_eq!(keys_of(&text), known_keys());
}

#[test]
fn every_key_has_a_sentence() {
    for line in lines() {
        assert!(
            line.is_head() || line.comment.ends_with(['.', ']']),
            "no sentence above {}",
            line.text
        );
    }
}

#[test]
fn stated_defaults_are_the_real_ones() {
    let lines = lines();
    let as_it_is = parse(EXAMPLE).expect("the example as it is");
    let bare = join(&lines, |line| !line.off);
    assert_eq!(parse(&bare).expect("without comments"), as_it_is);

    // Switched on: the optional tables with what they require, and every key that states its
    // default. That must change nothing but add the one account and the one rule.
    let stated = join(&lines, |line| {
        !line.off
            || line.is_head()
            || !line.has_no_default()
            || line.comment.contains("Required")
            || ["native_hash", "schema", "target"].contains(&line.key())
    });
    let mut config = parse(&stated).expect("with all stated defaults");
    assert_eq!(config.accounts.len(), 1);
    assert_eq!(config.rules.len(), 1);
    config.accounts.clear();
    config.rules.clear();
    config.listeners.clear();
    assert_eq!(config.console.users.len(), 1);
    config.console.users.clear();
    config.secret_files.clone_from(&as_it_is.secret_files);
    assert_eq!(config, as_it_is);
}

#[test]
fn every_value_shown_is_allowed() {
    let lines = lines();
    let chosen = |line: &Line<'_>, table_of_accounts: bool, alternative: &str| {
        !line.is_alternative()
            || (if table_of_accounts {
                line.key() == alternative
            } else {
                !line.off || line.key() == "password_file"
            })
    };
    // Everything at once, with each of the alternatives of [[account]] in turn.
    for alternative in ALTERNATIVES {
        let account =
            lines.iter().position(|line| line.text == "[[account]]").expect("[[account]]");
        let kept: Vec<&str> = lines
            .iter()
            .enumerate()
            .filter(|(index, line)| chosen(line, *index > account, alternative))
            .filter(|(_, line)| !["token_file", "token_env"].contains(&line.key()))
            .map(|(_, line)| line.text)
            .collect();
        let config = parse(&kept.join("\n")).unwrap_or_else(|e| panic!("{alternative}: {e}"));
        assert_eq!(config.accounts.len(), 1, "{alternative}");
        assert!(config.client_tls.key.is_some(), "{alternative}");
    }
    // The same of [http] and [monitor].
    for alternative in ["token", "token_file", "token_env"] {
        let kept = join(&lines, |line| !line.off && !line.is_alternative());
        let line = lines.iter().find(|line| line.key() == alternative).expect(alternative);
        let text = kept.replace("[http]", &format!("[http]\n{}", line.text));
        let text = text.replace("user = ", "password = \"\"\nuser = ");
        let config = parse(&text).unwrap_or_else(|e| panic!("{alternative}: {e}"));
        assert!(config.http.is_some_and(|http| http.token.is_some()), "{alternative}");
    }
    for alternative in ["password", "password_env"] {
        let kept = join(&lines, |line| !line.off && !line.is_alternative());
        let line = lines.iter().find(|line| line.key() == alternative).expect(alternative);
        let text = kept.replace("user = ", &format!("{}\nuser = ", line.text));
        parse(&text).unwrap_or_else(|e| panic!("{alternative}: {e}"));
    }
}
