//! What the command generates about itself is what bash and groff take: completions are asked for as
//! bash asks, manual pages are set without a warning.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write;
use std::process::{Command, Stdio};

const COMMANDS: [&str; 8] =
    ["run", "check", "status", "drain", "undrain", "explain", "completions", "man"];

fn lagwise(arguments: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_lagwise")).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.is_empty(), "{arguments:?}: {said}");
    String::from_utf8(done.stdout).unwrap()
}

/// What a program prints that is given a text, and what it complains of.
fn filter(program: &str, arguments: &[&str], text: &str) -> (String, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let done = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{program} {arguments:?}: {said}");
    (String::from_utf8_lossy(&done.stdout).into_owned(), said)
}

/// What bash would offer for the last of these words.
fn offered(words: &[&str]) -> Vec<String> {
    let last = words.len() - 1;
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    // As bash calls the function that a completion names (bash(1), Programmable Completion).
    let ask = format!(
        "{}\nCOMP_WORDS=({})\nCOMP_CWORD={last}\n\
         function=$(complete -p lagwise | sed 's/.*-F \\([^ ]*\\) .*/\\1/')\n\
         \"$function\" lagwise {} {}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        lagwise(&["completions", "bash"]),
        quoted.join(" "),
        quoted[last],
        quoted[last - 1]
    );
    let (printed, said) = filter("bash", &["--norc", "--noprofile"], &ask);
    assert_eq!(said, "", "{words:?}");
    printed.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_the_command_line() {
    for (words, want) in [
        (&["lagwise", "st"][..], &["status"][..]),
        (&["lagwise", "un"], &["undrain"]),
        (&["lagwise", "status", "--j"], &["--json"]),
        (&["lagwise", "drain", "--ti"], &["--timeout"]),
        (&["lagwise", "check", "--conn"], &["--connect"]),
        (&["lagwise", "completions", "f"], &["fish"]),
        (&["lagwise", "nothing"], &[]),
    ] {
        assert_eq!(offered(words), want, "{words:?}");
    }
    let all = offered(&["lagwise", ""]);
    for command in COMMANDS {
        assert!(all.iter().any(|offered| offered == command), "{command} in {all:?}");
    }
}

#[test]
fn other_shells_have_every_command() {
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let script = lagwise(&["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn manual_pages_are_set_without_a_warning() {
    let set = |arguments: &[&str]| {
        let page = lagwise(arguments);
        let (text, said) =
            filter("groff", &["-man", "-ww", "-Tascii", "-P-cbou", "-rLL=200n"], &page);
        assert_eq!(said, "", "{arguments:?}");
        text
    };
    let whole = set(&["man"]);
    assert!(whole.starts_with("lagwise(1)"), "{whole}");
    for words in ["never serves a stale read", "SIGUSR2", "3 time is up (drain)"] {
        assert!(whole.contains(words), "{words} in {whole}");
    }
    assert!(!whole.contains("lagwise-help"), "{whole}");
    for command in COMMANDS {
        assert!(whole.contains(&format!("lagwise-{command}(1)")), "{command} in {whole}");
        let page = set(&["man", command]);
        assert!(page.starts_with(&format!("lagwise-{command}(1)")), "{page}");
        assert!(page.contains(&format!("lagwise {command}")), "{page}");
        assert!(page.contains(&format!("lagwise {}", env!("CARGO_PKG_VERSION"))), "{page}");
    }
    assert!(set(&["man", "drain"]).contains("--timeout"));
}

#[test]
fn what_cannot_be_generated_is_a_bad_command_line() {
    for arguments in [&["man", "frobnicate"][..], &["completions", "csh"], &["completions"]] {
        let done = Command::new(env!("CARGO_BIN_EXE_lagwise")).args(arguments).output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{arguments:?}");
        assert!(done.stdout.is_empty() && !done.stderr.is_empty(), "{arguments:?}");
    }
}
