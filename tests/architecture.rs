//! Imports go one way. Which top-level module may name which other is this table, and nothing else:
//! what is named without being allowed fails, and so does what is allowed without being named, so
//! that the table stays the true picture.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Module and what it may import, in the order of the layers: each only from above it.
const TABLE: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("sql", &[]),
    ("auth", &[]),
    ("config", &["sql"]),
    ("recent", &[]),
    ("text", &[]),
    ("metrics", &["recent", "text"]),
    ("logging", &["recent", "text"]),
    ("notify", &[]),
    ("route", &["sql"]),
    ("consistency", &["sql"]),
    ("net", &["config", "protocol"]),
    ("backend", &["auth", "config", "net", "protocol"]),
    ("pool", &["auth", "backend", "protocol"]),
    ("cluster", &["auth", "backend", "config", "consistency", "pool", "protocol"]),
    (
        "session",
        &[
            "auth",
            "backend",
            "cluster",
            "config",
            "consistency",
            "metrics",
            "net",
            "pool",
            "protocol",
            "route",
            "sql",
            "text",
        ],
    ),
    ("admin", &["logging", "metrics", "recent"]),
    ("console", &["admin", "auth", "config", "metrics", "net", "protocol"]),
    (
        "server",
        &[
            "admin",
            "auth",
            "backend",
            "cluster",
            "config",
            "consistency",
            "console",
            "logging",
            "metrics",
            "net",
            "notify",
            "pool",
            "protocol",
            "route",
            "session",
            "sql",
        ],
    ),
];

/// What only the tests within a module import.
const IN_TESTS: &[(&str, &str)] = &[("cluster", "net")];

/// How many lines of a source text are code. By convention its tests are the end of it; those in
/// files of their own are only named, anywhere.
fn lines_of_code(text: &str) -> usize {
    let mut attributes = None;
    for (at, line) in text.lines().enumerate() {
        if line == "#[cfg(test)]" {
            attributes = Some(at);
        } else if let Some(begin) = attributes.filter(|_| !line.starts_with("#[")) {
            if line.contains("mod ") && line.ends_with('{') {
                return begin;
            }
            attributes = None;
        }
    }
    text.lines().count()
}

/// Modules that `crate::` names in a source text, comments left out; in code, and
/// in tests.
fn named(text: &str, is_test: bool) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut code, mut tests) = (BTreeSet::new(), BTreeSet::new());
    let lines_of_code = lines_of_code(text);
    for (at, line) in text.lines().enumerate() {
        let in_tests = is_test || at >= lines_of_code;
        let line = line.split("//").next().unwrap();
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let before = line[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            assert!(!rest.starts_with(['{', '*']), "say one module a line: {line}");
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            let name = rest[..end.unwrap_or(rest.len())].to_owned();
            // The crate's constants are no modules.
            let is_module = name.starts_with(|c: char| c.is_lowercase());
            if is_module {
                let found = if in_tests { &mut tests } else { &mut code };
                found.insert(name);
            }
        }
    }
    (code, tests)
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Top-level modules of the library, with what their code names and what their tests name.
fn imports() -> BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    let mut modules = BTreeMap::<_, (BTreeSet<_>, BTreeSet<_>)>::new();
    for file in &files {
        let inner = file.strip_prefix(&source).unwrap();
        let top = inner.iter().next().unwrap().to_str().unwrap();
        let module = top.strip_suffix(".rs").unwrap_or(top).to_owned();
        if ["lib", "main", "cli"].contains(&module.as_str()) {
            continue;
        }
        let is_test = inner.iter().any(|part| part == "tests" || part == "tests.rs")
            || inner.ends_with("fake.rs");
        let text = std::fs::read_to_string(file).unwrap();
        if !is_test {
            let code: Vec<_> = text.lines().take(lines_of_code(&text)).collect();
            let code = code.join("\n");
            let to_root =
                "super::".repeat(inner.iter().count() - usize::from(inner.ends_with("mod.rs")));
            assert!(!code.contains(&to_root), "{}: say crate::, not {to_root}", inner.display());
        }
        let (mut code, mut tests) = named(&text, is_test);
        code.remove(&module);
        tests.remove(&module);
        let entry = modules.entry(module).or_default();
        entry.0.append(&mut code);
        entry.1.append(&mut tests);
    }
    assert!(files.len() > 80, "saw only {} files", files.len());
    modules
}

fn allowed(module: &str) -> BTreeSet<String> {
    let row = TABLE.iter().find(|(name, _)| *name == module);
    let (_, allowed) = row.unwrap_or_else(|| panic!("the table has no row for {module}"));
    allowed.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_table_goes_one_way() {
    let mut above = Vec::new();
    for (module, imports) in TABLE {
        for import in *imports {
            assert!(above.contains(import), "{module} imports {import}, which is not above it");
        }
        above.push(*module);
    }
}

#[test]
fn every_import_is_in_the_table() {
    let imports = imports();
    assert_eq!(imports.len(), TABLE.len(), "{:?}", imports.keys());
    let mut wrong = Vec::new();
    for (module, (code, tests)) in &imports {
        let allowed = allowed(module);
        for import in code.difference(&allowed) {
            wrong.push(format!("src/{module} imports {import}, which the table does not allow"));
        }
        for import in allowed.difference(code) {
            wrong.push(format!("src/{module} does not import {import}: take it out of the table"));
        }
        for import in tests.difference(code) {
            if !IN_TESTS.contains(&(module.as_str(), import.as_str())) {
                wrong.push(format!("the tests of src/{module} import {import}"));
            }
        }
    }
    for (module, import) in IN_TESTS {
        if !imports[*module].1.contains(*import) || imports[*module].0.contains(*import) {
            wrong.push(format!("not only the tests of src/{module} import {import}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_are_found() {
    let text = "//! [`crate::server`]\nuse crate::sql::x; // crate::net\nfn f(a: crate::auth::B) {}\n\
                type T = my_crate::pool::T;\n#[cfg(test)]\nmod t {\n use crate::config; }";
    let (code, tests) = named(text, false);
    assert_eq!(code.into_iter().collect::<Vec<_>>(), ["auth", "sql"]);
    assert_eq!(tests.into_iter().collect::<Vec<_>>(), ["config"]);
    let text = "#[cfg(test)]\n#[allow(clippy::panic)]\nmod tests;\nuse crate::net::X;";
    let (code, tests) = named(text, false);
    assert_eq!(code.into_iter().collect::<Vec<_>>(), ["net"]);
    assert!(tests.is_empty());
}
