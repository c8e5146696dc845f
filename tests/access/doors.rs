//! `[access]`: networks and users.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::raw::{APP, Client, Fail, Login};
use crate::support::{Lab, Make, Proxy};
use crate::{all_of, from};

/// Accounts of everywhere become accounts of 127.0.0.1.
fn bind_accounts(lab: &Lab) {
    let users = lab.sql(0, "SELECT user FROM mysql.user WHERE host = '%'");
    for user in users.lines() {
        lab.sql(0, &format!("RENAME USER '{user}'@'%' TO '{user}'@'127.0.0.1'"));
    }
    // MySQL goes on taking clients from hosts that it knew until then.
    lab.sql(0, "FLUSH PRIVILEGES");
}

#[test]
fn networks() {
    for make in Make::ALL {
        let lab = Lab::start(make, 0);
        bind_accounts(&lab);
        let proxy = Proxy::start(&lab, "[access]\nallowed_networks = [\"127.0.0.1\"]");
        Client::app(proxy.port());
        let proxied = all_of(from(2, proxy.port()));
        let direct = all_of(from(2, lab.port(0)));
        assert_eq!(proxied, direct, "{make}: {}", String::from_utf8_lossy(&proxied));
        let rejected = "lagwise_clients_rejected_total{cause=\"allowed_networks\"}";
        assert_eq!(proxy.metrics().value(rejected), 1.0);
        assert!(proxy.reload("[access]\nallowed_networks = [\"127.0.0.0/30\", \"::1\"]"));
        let client = Client::login(Box::new(from(2, proxy.port())), APP);
        client.unwrap_or_else(|fail| panic!("{make}: {fail}"));
        assert!(!all_of(from(4, proxy.port())).is_empty());
        assert!(proxy.reload(""));
        Client::login(Box::new(from(4, proxy.port())), APP).unwrap();
    }
}

#[test]
fn unix_sockets_have_no_address() {
    let lab = Lab::start(Make::MariaDb, 0);
    let path = lab.server_dir(0).join("lagwise.sock");
    let listen = format!("listen = [\"127.0.0.1:0\", \"unix:{}\"]", path.display());
    let proxy =
        Proxy::start(&lab, &format!("{listen}\n[access]\nallowed_networks = [\"192.0.2.1\"]"));
    Client::connect_unix(&path, APP).unwrap();
    drop(proxy);
}

/// Number, SQLSTATE and text of a login that fails.
fn refusal(port: u16, login: Login<'_>) -> (u16, String, String) {
    match Client::connect(port, login) {
        Err(Fail::Err { code, state, text }) => (code, state, text),
        Err(Fail::Io(error)) => panic!("{}: {error}", login.user),
        Ok(_) => panic!("{} is let in", login.user),
    }
}

#[test]
fn users_that_may_not_come_in_learn_nothing() {
    for make in Make::ALL {
        let lab = Lab::start(make, 0);
        let rules = "[access]\nallowed_users = [\"app\", \"other\", \"nopass\", \"root\"]\n\
                     denied_users = [\"other\", \"nopass\"]";
        let proxy = Proxy::start(&lab, rules);
        let port = proxy.port();
        lab.log_all();
        // A denied user of either kind, and one that there is not, by every way to log in.
        for user in ["other", "nopass", "admin", "nobody"] {
            let right = format!("{user}_password");
            for password in [&right[..], "wrong", ""] {
                for login in
                    [Login::of(user, password), Login { schema: None, ..Login::of(user, password) }]
                {
                    // One that the server refuses for its password. "nopass" has none.
                    let wrong = if password.is_empty() { "" } else { "x" };
                    let direct =
                        refusal(lab.port(0), Login { password: wrong, user: "locke", ..login });
                    let want = direct.2.replace("'locke'", &format!("'{user}'"));
                    let start = Instant::now();
                    let got = refusal(port, login);
                    assert_eq!(got, (direct.0, direct.1, want), "{make} {user} {password:?}");
                    eprintln!("{make} {user} {password:?}: {:?}", start.elapsed());
                }
            }
        }
        let asked: BTreeSet<String> = lab
            .general_log(0)
            .into_iter()
            .filter(|entry| entry.command == "Connect" && !entry.text.contains("locke"))
            .map(|entry| entry.text.split('@').next().unwrap().to_owned())
            .collect();
        assert_eq!(asked, BTreeSet::from(["monitor".to_owned()]), "{make}: no server was asked");
        let start = Instant::now();
        assert_eq!(refusal(port, Login::of("app", "wrong")).0, 1045);
        eprintln!("real {:?}", start.elapsed());
        let mut client = Client::app(port);
        assert!(client.query("SELECT 1").is_ok());
        let denied = "lagwise_logins_total{result=\"denied\"}";
        assert_eq!(proxy.metrics().value(denied), 25.0);
        proxy.wait_log("does not let this user in");

        // A reload that shuts one out: sessions stay, what is remembered of the password does not help.
        assert!(proxy.reload("[access]\ndenied_users = [\"app\"]"));
        assert!(client.query("SELECT 1").is_ok());
        let steps = |login: Login<'_>| refusal(port, login);
        assert_eq!(steps(APP), steps(Login { password: "wrong", ..APP }), "{make}");
        Client::connect(port, Login::of("other", "other_password")).unwrap();
    }
}
