//! `lagwise top` in a real terminal, before real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use raw::Client;
use support::{Lab, Make, Proxy, eventually, free_port, signal};

const SIZE: (u16, u16) = (30, 110);

/// lagwise top under `script`, which gives it a terminal, and what that terminal shows.
struct Top {
    script: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<vt100::Parser>>,
    /// A file with the terminal's name.
    tty: PathBuf,
}

impl Top {
    fn start(proxy: &Proxy) -> Self {
        let (rows, columns) = SIZE;
        let tty = proxy.config_path().with_file_name("tty");
        let command = format!(
            "stty rows {rows} cols {columns}; tty >{0}; \
             sh -c 'echo $$ >{0}.pid; exec {1} top --config {2}'; echo ended with $?; stty -a",
            tty.display(),
            env!("CARGO_BIN_EXE_lagwise"),
            proxy.config_path().display()
        );
        let mut script = Command::new("script")
            .args(["-qfec", &command, "/dev/null"])
            .env("TERM", "xterm-256color")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run script");
        let keys = script.stdin.take().unwrap();
        let mut output = script.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 100)));
        let parser = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                parser.lock().unwrap().process(&bytes[..count]);
            }
        });
        let top = Self { script, keys, shown, tty };
        eventually("the screen is taken", || top.is_screen());
        top
    }

    fn text(&self) -> String {
        self.shown.lock().unwrap().screen().contents()
    }

    /// The program has the screen, or has given it back.
    fn is_screen(&self) -> bool {
        self.shown.lock().unwrap().screen().alternate_screen()
    }

    fn wait(&self, needle: &str) {
        let what = format!("the screen has {needle:?}");
        eventually(&what, || self.text().contains(needle));
    }

    fn resize(&self, rows: u16, columns: u16) {
        self.shown.lock().unwrap().screen_mut().set_size(rows, columns);
        let (rows, columns) = (rows.to_string(), columns.to_string());
        let tty = std::fs::read_to_string(&self.tty).unwrap();
        let mut stty = Command::new("stty");
        stty.args(["-F", tty.trim(), "rows", &rows, "cols", &columns]);
        assert!(stty.status().unwrap().success());
    }

    fn press(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
    }

    /// Its process id, which is no child of the test.
    fn pid(&self) -> u32 {
        let file = self.tty.with_file_name("tty.pid");
        std::fs::read_to_string(file).unwrap().trim().parse().unwrap()
    }

    /// Presses a key that ends it.
    fn end(mut self, key: &[u8]) {
        self.press(key);
        self.ended();
    }

    /// It ends well; the terminal is as it was.
    fn ended(mut self) {
        eventually("it ends", || self.text().contains("ended with 0"));
        eventually("stty has said all", || self.text().contains("echo echoe"));
        let text = self.text();
        assert!(!self.is_screen() && !self.shown.lock().unwrap().screen().hide_cursor());
        assert!(text.contains(" icanon ") && !text.contains("-icanon"), "{text}");
        assert!(self.script.wait().unwrap().success());
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the terminal shows:\n{}", self.text());
        }
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

#[test]
fn a_live_screen() {
    let lab = Lab::start(Make::MariaDb, 1);
    let port = free_port();
    let token = format!("[http]\nlisten = \"127.0.0.1:{port}\"\ntoken = \"the.token.of.top\"\n");
    let mut proxy = Proxy::start_unready_at(&lab, &token, port);
    proxy.wait_ready();
    let mut client = Client::app(proxy.port());
    client.run("CREATE TEMPORARY TABLE held (id INT)");
    let mut reader = Client::app(proxy.port());
    let mut top = Top::start(&proxy);
    top.wait(&lab.address(0));
    top.wait(&lab.address(1));
    top.wait("ready");
    top.wait("temporary_table 1");
    eventually("the statement and its rate are shown", || {
        reader.run("SELECT COUNT(*) FROM items");
        let text = top.text();
        let rate = text.lines().find(|line| line.starts_with("reads on replicas"));
        text.contains("SELECT COUNT ( * ) FROM `items`")
            && rate.is_some_and(|it| it.contains('\u{2588}'))
    });
    // A smaller terminal has what matters.
    top.resize(16, 60);
    eventually("it is drawn anew", || {
        let text = top.text();
        let head = text.lines().find(|line| line.starts_with("server"));
        let is_new = head.and_then(|head| head.find("role")).is_some_and(|at| at < 24);
        is_new && text.contains(&lab.address(1))
    });
    // What has no room is scrolled to.
    eventually("there are more statements than lines", || {
        reader.run("SELECT COUNT(*) FROM items WHERE id > 1 AND price > 2");
        reader.run("SELECT id FROM items WHERE id = 7");
        reader.run("SELECT name FROM items WHERE id = 7");
        reader.run("SELECT price FROM items WHERE id = 7");
        top.text().contains("statement 1-")
    });
    top.press(b"\x1b[B");
    top.wait("statement 2-");
    top.press(b"k");
    top.wait("statement 1-");
    top.resize(SIZE.0, SIZE.1);
    top.wait("running");

    // lagwise goes and comes back.
    drop((client, reader));
    proxy.terminate();
    top.wait("no answer for ");
    top.wait("no lagwise answers at ");
    let mut next = Proxy::start_unready_at(&lab, &token, port);
    next.wait_ready();
    eventually("it goes on", || !top.text().contains("no answer"));
    top.end(b"q");
    Top::start(&next).end(b"\x03");
    for name in ["TERM", "HUP", "INT", "QUIT"] {
        let top = Top::start(&next);
        signal(top.pid(), name);
        top.ended();
    }
}
