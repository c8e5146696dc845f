//! The SQL console of a lagwise before real servers, asked by the clients that people use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../raw/mod.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod handover;
mod statements;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::{Lab, Proxy};

/// A lagwise with a console there that `watch` may look at and `admin` may change.
pub fn start(lab: &Lab, listen: &str) -> Proxy {
    Proxy::start(lab, &config(listen))
}

/// Its configuration.
pub fn config(listen: &str) -> String {
    format!(
        "[console]\nlisten = \"{listen}\"\n\
         [[console.user]]\nname = \"watch\"\npassword = \"watch_password\"\nrole = \"read\"\n\
         [[console.user]]\nname = \"admin\"\npassword = \"admin_password\"\nrole = \"admin\"\n"
    )
}

/// A command-line client at the console: what it prints, or its error.
pub fn ask(client: &Path, to: &[String], user: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(client);
    command.arg("--no-defaults").args(to).arg(format!("--user={user}"));
    let Output { status, stdout, stderr } = command
        .arg(format!("--password={user}_password"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    match status.success() {
        true => Ok(String::from_utf8(stdout).unwrap()),
        false => Err(String::from_utf8(stderr).unwrap()),
    }
}

/// Where a port of this host is, for [`ask`].
pub fn at_port(port: u16) -> Vec<String> {
    vec!["--host=127.0.0.1".to_owned(), format!("--port={port}")]
}
