//! `/* lagwise: trace */`: what a client learns of the route from SHOW WARNINGS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use std::process::{Command, Stdio};

use raw::{Client, Row};
use support::{Lab, Make, Proxy};

fn warnings(client: &mut Client) -> Vec<Row> {
    client.run("SHOW WARNINGS")
}

/// The row of lagwise's own, which is the last.
#[track_caller]
fn trace(client: &mut Client) -> String {
    let rows = warnings(client);
    let Some([Some(level), Some(code), Some(message)]) = rows.last().map(Vec::as_slice) else {
        panic!("{rows:?}")
    };
    assert_eq!((level.as_str(), code.as_str()), ("Note", "1003"), "{rows:?}");
    assert!(message.starts_with("lagwise: "), "{message}");
    message.clone()
}

fn told(lab: &Lab, proxy: &Proxy) {
    let (primary, replica) = (lab.address(0), lab.address(1));
    let mut app = Client::app(proxy.port());
    app.run("/* lagwise: trace */ SELECT name FROM items WHERE id = 1");
    assert_eq!(app.warnings, 1);
    let text = trace(&mut app);
    assert!(
        text.starts_with(&format!("lagwise: server {replica}, reason read: A read ")),
        "{text}"
    );
    let server = text.split_once(" server ").and_then(|(_, rest)| rest.split_once("ms, server "));
    let (time, _) = server.unwrap().1.split_once(" ms,").unwrap();
    assert!(time.parse::<f64>().unwrap() > 0.0 && text.ends_with("attempts 1"), "{text}");
    // Asking does not forget it, nor does a ping; the next statement does.
    app.simple(0x0e, b"").unwrap();
    assert_eq!(trace(&mut app), text);
    assert_eq!(app.run("SHOW WARNINGS LIMIT 9"), Vec::<Row>::new());
    app.run("SELECT name FROM items WHERE id = 1");
    assert_eq!((app.warnings, warnings(&mut app)), (0, vec![]));

    // A write, and what the server warns of comes first.
    app.run("/* lagwise: trace */ UPDATE IGNORE items SET id = id WHERE id = 1 AND name <> 1");
    let all = usize::from(app.warnings);
    let rows = warnings(&mut app);
    assert_eq!(rows.len(), all, "{rows:?}");
    assert!(all > 1, "{rows:?}");
    let text = trace(&mut app);
    assert!(text.starts_with(&format!("lagwise: server {primary}, reason write: ")), "{text}");

    // Of an execution, but not of its PREPARE.
    let (id, _) =
        app.prepare("/* lagwise: trace, primary */ SELECT name FROM items WHERE id = 2").unwrap();
    assert_eq!(app.execute_id(id).unwrap().len(), 1);
    assert_eq!(app.warnings, 1);
    app.send(0x19, &id.to_le_bytes()).unwrap();
    let text = trace(&mut app);
    assert!(text.starts_with(&format!("lagwise: server {primary}, reason hint: ")), "{text}");

    // An error has one, too; its own row is the first.
    assert_eq!(
        app.query("/* lagwise: trace */ SELECT nothing FROM items").unwrap_err().code(),
        1054
    );
    assert_eq!(warnings(&mut app).len(), 2);
    trace(&mut app);
    // More rows than a packet or a read: the last is ours.
    app.run("/* lagwise: trace */ SELECT a.id FROM items a, items b, items c LIMIT 20000");
    assert_eq!(app.warnings, 1);
    trace(&mut app);
    // What lagwise answers from memory.
    for _ in 0..2 {
        app.run("/* lagwise: trace */ SET NAMES utf8mb4");
    }
    trace(&mut app);
    // The rows of others are not touched.
    assert_eq!(app.run("SHOW DATABASES LIKE 'shop'"), [[Some("shop".to_owned())]]);
    assert!(warnings(&mut app).is_empty());
}

/// The command-line client, which ends result sets otherwise and shows warnings by itself.
fn shown(lab: &Lab, proxy: &Proxy) {
    let output = Command::new(lab.client())
        .args(["--no-defaults", "--host=127.0.0.1", "--user=app", "--password=app_password"])
        .arg(format!("--port={}", proxy.port()))
        .args(["--comments", "--show-warnings", "--table", "shop", "--execute"])
        .arg("/* lagwise: trace */ SELECT COUNT(*) FROM items; SELECT 7")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{errors}");
    let notes: Vec<_> = out.lines().filter(|line| line.contains("lagwise: ")).collect();
    let begin = format!("Note (Code 1003): lagwise: server {}, reason read", lab.address(1));
    assert!(notes.len() == 1 && notes[0].starts_with(&begin), "{out}\n{errors}");
    assert!(out.contains("| 7 |"), "{out}");
}

fn traces(make: Make) {
    let lab = Lab::start(make, 1);
    let proxy = Proxy::start(&lab, "");
    proxy.wait_probed();
    told(&lab, &proxy);
    shown(&lab, &proxy);

    // Where hints are not obeyed, there is none.
    assert!(proxy.reload("[routing]\nhints = false"));
    let mut app = Client::app(proxy.port());
    app.run("/* lagwise: trace */ SELECT name FROM items WHERE id = 1");
    assert_eq!((app.warnings, warnings(&mut app)), (0, vec![]));

    // And a statement that nobody serves says why.
    let rule = "[[rule]]\nuser = \"app\"\nstatement = \"delete\"\nread_only = true";
    assert!(proxy.reload(rule));
    let mut app = Client::app(proxy.port());
    app.query("/* lagwise: trace */ DELETE FROM items").unwrap_err();
    let text = trace(&mut app);
    assert!(text.starts_with("lagwise: no server, reason read_only_rule: "), "{text}");
}

#[test]
fn traces_on_mysql() {
    traces(Make::MySql);
}

#[test]
fn traces_on_mariadb() {
    traces(Make::MariaDb);
}
