//! The rules that every file keeps, held by reading the files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

/// Lines of a file of code, tests included.
const MAX_LINES: usize = 500;

/// Written by tools, or not ours to word.
const NOT_OURS: &[&str] = &["Cargo.lock", "fuzz/Cargo.lock", "LICENSE"];

/// Characters beyond ASCII that are used on purpose: drawings, units, and other scripts in tests.
const NOT_ASCII: &str = "─…│►×└▲▼┘µ·◄┤┐→éöàźŁğóÇ名前١🚲";

struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_tests(&self) -> bool {
        let inner = self.path.strip_prefix("src/");
        inner.is_none_or(|path| path.contains("/tests/") || path.ends_with("tests.rs"))
            || self.path.ends_with("/fake.rs")
    }

    /// Line numbers and lines up to the tests at the end, comments and string literals left out.
    fn code(&self) -> impl Iterator<Item = (usize, String)> {
        let lines = self.text.lines().take_while(|line| *line != "#[cfg(test)]");
        lines.enumerate().map(|(index, line)| (index + 1, without_literals(line)))
    }
}

/// A line of Rust without its comment and the insides of its string literals.
fn without_literals(line: &str) -> String {
    let (mut code, mut in_string, mut escaped) = (String::new(), false, false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' if in_string || !code.ends_with('\'') => in_string = !in_string,
            '/' if !in_string && chars.peek() == Some(&'/') => break,
            c if !in_string => code.push(c),
            _ => {}
        }
    }
    code
}

/// All text files that are in the repository or would be with the next commit.
fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .expect("git lists the files");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut files = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty() && !NOT_OURS.contains(path)) {
        // Seeds of the fuzzer are bytes, and a file may have been deleted since.
        if path.starts_with("fuzz/seeds/") {
            continue;
        }
        if let Ok(text) = std::fs::read_to_string(root.join(path)) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    assert!(files.len() > 150, "saw only {} files", files.len());
    files
}

/// Fails with all of what is wrong, and if nothing was looked at.
#[track_caller]
fn check(which: impl Fn(&File) -> bool, at_least: usize, rule: impl Fn(&File) -> Vec<String>) {
    let files = files();
    let looked_at: Vec<&File> = files.iter().filter(|file| which(file)).collect();
    assert!(looked_at.len() >= at_least, "looked at {} files only", looked_at.len());
    let wrong: Vec<String> = looked_at
        .iter()
        .flat_map(|file| rule(file).into_iter().map(|wrong| format!("{}: {wrong}", file.path)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lines of code in `src` that hold one of these.
#[track_caller]
fn check_absent(in_main_too: bool, words: &[&str]) {
    let which = |file: &File| {
        file.is_rust() && !file.is_tests() && (in_main_too || !file.path.starts_with("src/cli/"))
    };
    check(which, 80, |file| {
        let found = file.code().filter(|(_, code)| words.iter().any(|word| code.contains(word)));
        found.map(|(line, code)| format!("{line}: {}", code.trim())).collect()
    });
}

#[test]
fn files_are_short() {
    let which = |file: &File| {
        [".rs", ".sh", ".py", ".php"].iter().any(|ending| file.path.ends_with(ending))
    };
    check(which, 140, |file| {
        let lines = file.text.lines().count();
        (lines > MAX_LINES).then(|| format!("{lines} lines")).into_iter().collect()
    });
}

#[test]
fn every_source_file_says_what_it_is_for() {
    check(File::is_rust, 140, |file| {
        let starts = file.text.starts_with("//! ");
        (!starts).then(|| "does not begin with a //! comment".to_owned()).into_iter().collect()
    });
}

#[test]
fn no_code_is_unsafe() {
    check_absent(true, &["unsafe "]);
}

#[test]
fn nothing_unfinished_is_left() {
    check_absent(true, &["todo!", "unimplemented!", "dbg!"]);
}

#[test]
fn only_the_command_prints() {
    check_absent(false, &["println!", "print!(", "eprint!("]);
}

#[test]
fn nothing_panics_on_what_it_is_given() {
    check_absent(true, &[".unwrap()", ".expect(", "panic!(", "unreachable!("]);
}

#[test]
fn no_character_surprises() {
    check(
        |_| true,
        150,
        |file| {
            let mut wrong = Vec::new();
            for (index, line) in file.text.lines().enumerate() {
                if line.ends_with([' ', '\t', '\r']) {
                    wrong.push(format!("{}: white space at the end", index + 1));
                }
                let odd = |c: &char| !NOT_ASCII.contains(*c) && (!c.is_ascii() || c.is_control());
                let tab_is_odd = file.is_rust();
                for c in line.chars().filter(odd).filter(|c| *c != '\t' || tab_is_odd) {
                    wrong.push(format!("{}: {}", index + 1, c.escape_unicode()));
                }
            }
            if !file.text.is_empty() && !file.text.ends_with('\n') {
                wrong.push("no line end at the end".to_owned());
            }
            wrong
        },
    );
}

#[test]
fn no_addresses_of_registries_and_no_paths_of_a_machine() {
    // In two halves, so that this file does not hold them itself.
    let halves = [
        ("crates", ".io"),
        ("github", ".com"),
        ("docs", ".rs"),
        ("debian", ".org"),
        ("pypi", ".org"),
        ("npmjs", ".com"),
        (" /wo", "rk/"),
        ("\"/wo", "rk/"),
        (" /ro", "ot/"),
        ("=/ro", "ot/"),
        ("/ho", "me/"),
    ];
    check(
        |_| true,
        150,
        |file| {
            let words = halves.iter().map(|(one, two)| format!("{one}{two}"));
            let found = words.filter(|word| file.text.contains(word));
            found.map(|word| format!("names {}", word.trim())).collect()
        },
    );
}

#[test]
fn every_dependency_has_a_reason() {
    check(
        |file| file.path.ends_with("Cargo.toml"),
        2,
        |file| {
            let (mut in_dependencies, mut before, mut seen) = (false, "", 0);
            let mut wrong = Vec::new();
            for line in file.text.lines() {
                if line.starts_with('[') {
                    in_dependencies = line.ends_with("dependencies]");
                } else if in_dependencies && line.contains('=') {
                    seen += 1;
                    if !before.starts_with("# ") || !before.ends_with(['.', ',']) {
                        wrong.push(format!("no reason above: {line}"));
                    }
                }
                before = line;
            }
            if seen < 3 {
                wrong.push(format!("saw {seen} dependencies only"));
            }
            wrong
        },
    );
}

#[test]
fn literals_and_comments_are_left_out() {
    let check = |line: &str, want: &str| assert_eq!(without_literals(line), want);
    check("a(); // .unwrap()", "a(); ");
    check(r#"a(".unwrap()").b"#, "a().b");
    check(r#"a("\".unwrap()").b"#, "a().b");
    check(r#"a('"').b"#, r#"a('"').b"#);
}
