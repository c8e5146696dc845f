//! The statements of `tests/corpus`, as its README.md says that they read.

use std::path::Path;

use lagwise::sql::{ClientCharset, LexMode, Make};

/// The servers that a statement without a make of its own is judged for.
pub const MYSQL: LexMode = LexMode::utf8(Make::MySql, 90704);
pub const MARIADB: LexMode = LexMode::utf8(Make::MariaDb, 101119);

/// One statement and everything that is expected of it.
pub struct Entry {
    /// `file:line` of its first label.
    pub place: String,
    pub labels: Vec<Label>,
    pub sql: Vec<u8>,
}

/// `target reason`, and the sessions for which it holds.
pub struct Label {
    pub expected: String,
    pub modes: Vec<LexMode>,
}

/// The files by name, each with its introduction and its entries.
pub fn corpus() -> Vec<(String, String, Vec<Entry>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut names: Vec<String> = std::fs::read_dir(folder.clone())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".txt"))
        .collect();
    names.sort();
    let files = names.into_iter().map(|name| {
        let text = std::fs::read_to_string(folder.join(&name)).unwrap();
        let (introduction, entries) = parse(&name, &text);
        (name, introduction, entries)
    });
    files.collect()
}

pub fn parse(name: &str, text: &str) -> (String, Vec<Entry>) {
    let mut introduction = String::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut in_labels = false;
    let mut is_escaped = false;
    for (index, line) in text.lines().enumerate() {
        if let Some(label) = line.strip_prefix("== ") {
            let place = format!("{name}:{}", index + 1);
            let (label, escaped) = parse_label(&place, label);
            if in_labels {
                assert_eq!(is_escaped, escaped, "{place}: one text is escaped or it is not");
                entries.last_mut().unwrap().labels.push(label);
            } else {
                entries.push(Entry { place, labels: vec![label], sql: Vec::new() });
            }
            (in_labels, is_escaped) = (true, escaped);
        } else if let Some(entry) = entries.last_mut() {
            if !in_labels {
                entry.sql.push(b'\n');
            }
            in_labels = false;
            let bytes = if is_escaped { unescape(line) } else { line.as_bytes().to_vec() };
            entry.sql.extend(bytes);
        } else {
            introduction.push_str(line.strip_prefix("# ").unwrap_or_default());
            introduction.push('\n');
        }
    }
    assert!(!in_labels, "{name} ends with a label");
    (introduction, entries)
}

/// `target reason option…`
fn parse_label(place: &str, text: &str) -> (Label, bool) {
    let mut words = text.split(' ');
    let mut word = || words.next().unwrap_or_else(|| panic!("{place}: == target reason"));
    let expected = format!("{} {}", word(), word());
    let mut escaped = false;
    let mut modes = vec![MYSQL, MARIADB];
    for option in words {
        match option.split_once('=').unwrap_or((option, "")) {
            ("mysql", "") => modes.retain(|mode| mode.make == Make::MySql),
            ("mariadb", "") => modes.retain(|mode| mode.make == Make::MariaDb),
            ("escaped", "") => escaped = true,
            ("ansi_quotes", "") => modes.iter_mut().for_each(|mode| mode.ansi_quotes = true),
            ("no_backslash_escapes", "") => {
                modes.iter_mut().for_each(|mode| mode.no_backslash_escapes = true);
            }
            ("ignore_space", "") => modes.iter_mut().for_each(|mode| mode.ignore_space = true),
            ("charset", name) => {
                let charset = ClientCharset::from_name(name.as_bytes());
                modes.iter_mut().for_each(|mode| mode.charset = charset);
            }
            ("version", number) => {
                let number = number.parse().unwrap_or_else(|_| panic!("{place}: {option}"));
                modes.iter_mut().for_each(|mode| mode.server_version = number);
            }
            _ => panic!("{place}: no option {option}"),
        }
    }
    assert!(!modes.is_empty(), "{place}: holds for no server");
    (Label { expected, modes }, escaped)
}

/// `\xNN` is a byte and `\\` a backslash.
fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        rest = match escape.split_at(1) {
            ("\\", after) => {
                bytes.push(b'\\');
                after
            }
            ("x", after) => {
                bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
                &after[2..]
            }
            _ => panic!("not an escape: {line}"),
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
