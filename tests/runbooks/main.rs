//! docs/runbooks.md, done step by step before real servers: what it shows is what there is to see.
//!
//! Each ```` ```console ```` block is a row of prompts with what they answer. Numbers and the width of
//! columns may differ; each line that is shown must be in the answer, in order. What only looks is asked
//! again until the answer is the one that is shown. With RUNBOOKS=print the answers are printed, to be put
//! into the document.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod grants;
#[path = "../raw/mod.rs"]
mod raw;
mod steps;
#[path = "../support/mod.rs"]
mod support;

use std::cell::RefCell;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use raw::Client;
use steps::{Place, Step, matches};
use support::{Lab, Make, Proxy, free_port, signal, wait_gone};

const DOCUMENT: &str = include_str!("../../docs/runbooks.md");

/// Until an answer is the one that is shown.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a process logs that a new one has taken over from.
const TAKEN_OVER: &str = "another process has taken over";

/// The stage on which the runbooks are played.
struct Stage {
    lab: Lab,
    proxy: Proxy,
    console: u16,
    /// Kept for the whole of a section.
    clients: RefCell<Vec<Client>>,
    /// The last answer, for a step that needs something of it.
    last: RefCell<String>,
}

impl Stage {
    fn start() -> Self {
        let lab = Lab::start(Make::MySql, 2);
        let console = free_port();
        let extra = format!(
            "primary = \"auto\"\nreplicas = []\nservers = [\"{}\", \"{}\"]\n\
             [routing]\nmax_lag = \"2s\"\n[console]\nlisten = \"127.0.0.1:{console}\"\n\
             [[console.user]]\nname = \"admin\"\npassword = \"admin_password\"\nrole = \"admin\"\n",
            lab.address(0),
            lab.address(1)
        );
        let proxy = Proxy::start(&lab, &extra);
        Self { lab, proxy, console, clients: RefCell::default(), last: RefCell::default() }
    }

    /// The document's words in those of the stage.
    fn here(&self, text: &str) -> String {
        let mut text =
            text.replace("/etc/lagwise/proxy.toml", self.proxy.config_path().to_str().unwrap());
        for server in 0..self.lab.count() {
            let documented = format!("10.0.0.{}", server + 1);
            let (host, port) = (self.lab.host(server), self.lab.port(server));
            text = text.replace(&format!("{documented}:3306"), &self.lab.address(server));
            let from = format!("'{documented}', SOURCE_PORT = 3306");
            text = text.replace(&from, &format!("'{host}', SOURCE_PORT = {port}"));
        }
        text
    }

    /// And back.
    fn there(&self, text: &str) -> String {
        let mut text =
            text.replace(self.proxy.config_path().to_str().unwrap(), "/etc/lagwise/proxy.toml");
        for server in 0..self.lab.count() {
            text = text.replace(&self.lab.address(server), &format!("10.0.0.{}:3306", server + 1));
        }
        text
    }

    fn client(&self, port: u16, user: &str, statement: &str) -> String {
        let mut command = Command::new(self.lab.client());
        command
            .args(["--no-defaults", "--host=127.0.0.1", "--comments", "--commands", "--table"])
            .args([format!("--port={port}"), format!("--user={user}")])
            .arg(format!("--password={user}_password"))
            .args(["--execute", statement]);
        if user == "app" {
            command.arg("shop");
        }
        output(&mut command)
    }

    fn shell(&self, command: &str) -> String {
        let command = match command {
            "systemctl reload lagwise" => {
                assert!(self.proxy.reload_file(), "{}", self.proxy.log());
                return String::new();
            }
            "systemctl kill --kill-who=main --signal=SIGUSR2 lagwise" => {
                self.proxy.signal("USR2");
                return String::new();
            }
            command => command,
        };
        let folder = std::path::Path::new(env!("CARGO_BIN_EXE_lagwise")).parent().unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let mut text = self.here(command);
        if text.starts_with("lagwise ") {
            text += &format!(" --config {}", self.proxy.config_path().display());
        }
        output(Command::new("sh").args(["-c", &text]).env("PATH", path))
    }

    /// On a server's host.
    fn on_host(&self, server: usize, command: &str) -> String {
        match command {
            "systemctl stop mysqld" => self.lab.shut_down(server),
            "systemctl start mysqld" => self.lab.restart(server),
            "kill -9 mysqld" => self.lab.kill(server),
            other => panic!("{other}: not known here"),
        }
        String::new()
    }

    fn run(&self, step: &Step) -> String {
        let text = self.here(&step.command);
        match step.place {
            Place::Shell => self.shell(&step.command),
            Place::Host(server) => self.on_host(server, &step.command),
            Place::Server(server) => {
                let text = text.replace("THAT", self.last.borrow().trim());
                self.lab.sql(server, &text)
            }
            Place::Application => self.client(self.proxy.port(), "app", &text),
            Place::Console => {
                let id = self.clients.borrow().last().map_or(0, |client| client.id);
                let text = text.replace("ID", &id.to_string());
                self.client(self.console, "admin", &text)
            }
        }
    }

    /// Runs a step; what only looks, until it shows what the document does.
    fn play(&self, step: &Step) {
        let since = Instant::now();
        loop {
            let answer = self.there(&self.run(step));
            self.last.replace(answer.clone());
            let is_right = matches(&step.shown, &answer);
            if is_right {
                return println!("{}\n{answer}", step.command);
            }
            let records = std::env::var_os("RUNBOOKS").is_some();
            let patience = if records { Duration::from_secs(3) } else { PATIENCE };
            if !step.only_looks() || since.elapsed() > patience {
                assert!(
                    records,
                    "{}\nis shown as\n{}\nand answered\n{answer}",
                    step.command,
                    step.shown.join("\n")
                );
                return println!("RECORDED {}\n{answer}", step.command);
            }
            sleep(Duration::from_millis(100));
        }
    }

    /// Ends the process that the upgrade has left, which is no child of this test.
    fn end_successor(&self) {
        let log = self.proxy.wait_log(TAKEN_OVER);
        let line = log.lines().rev().find(|line| line.contains(TAKEN_OVER)).unwrap();
        let pid = line.split_once("pid=").unwrap().1.split_whitespace().next().unwrap();
        let pid = pid.parse().unwrap();
        signal(pid, "TERM");
        wait_gone(pid);
    }

    /// What there is before a section begins.
    fn prepare(&self, section: &str) {
        self.clients.borrow_mut().clear();
        match section {
            "Why did this query go to the primary?" => {
                // The replica is behind, so that the session's own write is not there.
                self.lab.stop_applier(1);
            }
            "Take a replica out for an hour" => self.lab.start_applier(1),
            "Why is the pool full?" => {
                let mut client = Client::app(self.proxy.port());
                client.run("BEGIN");
                client.run("UPDATE items SET stock = stock WHERE id = 7");
                self.clients.borrow_mut().push(client);
            }
            _ => {}
        }
    }
}

/// All that a command prints.
fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let [out, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let errors = errors.lines().filter(|line| !line.contains("password on the command line"));
    assert!(output.status.success(), "{command:?}: {out}{}", errors.collect::<Vec<_>>().join("\n"));
    out
}

#[test]
fn every_runbook_leads_where_it_says() {
    let sections = steps::sections(DOCUMENT);
    assert_eq!(sections.len(), 8);
    let stage = Stage::start();
    for (name, steps) in &sections {
        println!("## {name}");
        assert!(!steps.is_empty(), "{name}");
        stage.prepare(name);
        steps.iter().for_each(|step| stage.play(step));
    }
    stage.end_successor();
}
