//! Secrets: changed while lagwise runs, and never to be seen.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lagwise::auth::{Credential, CredentialSecret, KnownAccount};
use lagwise::cluster::Settings;
use lagwise::config::Config;
use lagwise::pool::{LoginKey, LoginRecord};
use lagwise::protocol::Capabilities;
use zeroize::Zeroizing;

use crate::authority::folder;
use crate::raw::{APP, Client, Login};
use crate::support::{Lab, Make, Proxy, eventually};

fn password_in(file: &Path) -> String {
    format!("[monitor]\nuser = \"monitor\"\npassword_file = {file:?}\ncheck_interval = \"50ms\"\n")
}

/// The monitor's account is denied on a new connection only; this ends those that it has.
fn rotate(lab: &Lab, password: &str) {
    lab.sql(0, &format!("ALTER USER monitor@'%' IDENTIFIED BY '{password}'"));
    let ids = lab.sql(0, "SELECT id FROM information_schema.processlist WHERE user = 'monitor'");
    for id in ids.lines() {
        // It may have gone by itself.
        let _ = lab.try_sql(0, &format!("KILL {id}"));
    }
}

fn health(proxy: &Proxy) -> bool {
    proxy.http("/readyz").is_some_and(|(status, _)| status == 200)
}

#[test]
fn a_rotated_password_needs_no_restart() {
    for make in Make::ALL {
        let lab = Lab::start(make, 0);
        let file: PathBuf = folder().join("monitor.password");
        std::fs::write(&file, "monitor_password\n").unwrap();
        let proxy = Proxy::start(&lab, &password_in(&file));
        let up = |what: &str| {
            let text = format!("{make}: {what}");
            eventually(&text, || {
                let metrics = proxy.metrics();
                health(&proxy) && metrics.sum("lagwise_server_up", &[]) == 1.0
            });
        };
        up("at first");
        // The account first, then the file; no signal.
        rotate(&lab, "second_password");
        proxy.wait_log("refuses the monitor's account");
        std::fs::write(&file, "second_password\n").unwrap();
        proxy.wait_log("its file has another: that is used now");
        up("without a signal");
        // The file first, and a signal.
        std::fs::write(&file, "third_password\n").unwrap();
        rotate(&lab, "third_password");
        proxy.signal("HUP");
        proxy.wait_log("monitor.password: changed");
        up("with a signal");
        Client::app(proxy.port());
        let log = proxy.log();
        assert!(!log.contains("_password\n") && !log.contains("second_p"), "{log}");
    }
}

#[test]
fn no_core_dump_has_memory_in_it() {
    let lab = Lab::start(Make::MariaDb, 0);
    let limits = |proxy: &Proxy| {
        let read =
            |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", proxy.pid())).unwrap();
        let limit = read("limits");
        let limit = limit.lines().find_map(|line| line.strip_prefix("Max core file size"));
        let soft = limit.unwrap().split_whitespace().next().unwrap().to_owned();
        (soft, read("coredump_filter").trim().to_owned())
    };
    let proxy = Proxy::start(&lab, "");
    assert_eq!(limits(&proxy), ("0".to_owned(), "00000000".to_owned()));
    assert!(proxy.metrics().value("process_open_fds") > 3.0, "its own metrics still work");
    let allowed = Proxy::start(&lab, "core_dumps = true");
    assert_ne!(limits(&allowed).1, "00000000");
}

#[test]
fn nothing_shows_a_secret() {
    let text = "listen = \"0.0.0.0:3307\"\nprimary = \"db:3306\"\nmonitor.user = \"monitor\"\n\
                monitor.password = \"hunter2\"\n[http]\ntoken = \"hunter2.hunter2.hunter2\"\n\
                [[account]]\nuser = \"one\"\npassword = \"hunter2\"\n[[account]]\nuser = \"two\"\n\
                native_hash = \"*68756E7465723268756E7465723268756E746572\"\n";
    let read = |_: &Path| Err(std::io::ErrorKind::NotFound.into());
    let config = Config::parse(text, Path::new("proxy.toml"), &|_| None, &read).unwrap();
    let password = || Zeroizing::new(b"hunter2".to_vec());
    let secret = CredentialSecret::from_password(password());
    let credential = Credential { user: b"app".to_vec(), secret: secret.clone(), client: None };
    let login = LoginRecord {
        credential: Arc::new(credential.clone()),
        capabilities: Capabilities::empty(),
        charset: 45,
        attributes: None,
        client_tls: false,
    };
    let known = KnownAccount::default()
        .with_password(password())
        .with_native_hash(*b"hunter2hunter2hunter");
    let shown: [&dyn Debug; 8] = [
        &config,
        &Settings::of(&config),
        &secret,
        &credential,
        &login,
        &LoginKey::new(&login, false),
        &known,
        &lagwise::net::tls::self_signed().unwrap(),
    ];
    for value in shown {
        for text in [format!("{value:?}"), format!("{value:#?}")] {
            let text = text.replace(['\n', ' '], "");
            assert!(!text.contains("hunter"), "{text}");
            assert!(
                !text.contains("104,117,110") && !text.to_lowercase().contains("68756e"),
                "{text}"
            );
            assert!(!text.contains("PRIVATE"), "{text}");
        }
    }
}

/// Everything that lagwise says while people log in, right and wrong, at its most talkative.
#[test]
fn no_password_is_logged_or_shown() {
    let lab = Lab::start(Make::MySql, 0);
    let proxy = Proxy::start(&lab, "[log]\nlevel = \"trace\"\nsql = \"full\"\n");
    Client::app(proxy.port());
    for password in ["wrong_hunter2", "app_password"] {
        for login in [Login::of("app", password), Login::of("nobody", password)] {
            let _ = Client::connect(proxy.port(), login);
            let _ = Client::connect(proxy.port(), login.old_native());
        }
    }
    let mut client = Client::connect(proxy.port(), APP).unwrap();
    client.query("SELECT 1").unwrap();
    let mut said = proxy.log();
    for path in ["/metrics", "/sessions", "/readyz"] {
        said.push_str(&proxy.http(path).unwrap().1);
    }
    assert!(said.contains("app"), "it was talkative");
    for secret in ["hunter2", "app_password", "monitor_password"] {
        assert!(!said.contains(secret), "{secret}");
    }
}
