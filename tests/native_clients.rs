//! Clients that know only mysql_native_password, and passwords that change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use std::time::Instant;

use lagwise::auth::native_password;
use raw::{APP, Client, Fail, Login};
use support::{Lab, Make, Proxy, eventually, eventually_some, target_dir};

/// What MariaDB's PASSWORD() gives.
fn native_hash(password: &str) -> String {
    let stage2 = native_password::stage2(&native_password::stage1(password.as_bytes()));
    let digits: String = stage2.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("*{digits}")
}

fn works(client: Result<Client, Fail>) -> Result<(), String> {
    let mut client = client.map_err(|fail| fail.to_string())?;
    match client.query("SELECT COUNT(*) FROM items") {
        Ok(_) => Ok(()),
        Err(fail) => Err(fail.to_string()),
    }
}

/// What an old client gets that nothing is known of, and that it says what to do.
fn without_anything(lab: &Lab, proxy: &Proxy) {
    for login in [APP.old_native(), APP.old_php()] {
        let fail = Client::connect(proxy.port(), login).err().expect("no login");
        assert_eq!(fail.code(), 1251, "{fail} on {}", lab.make);
        for part in ["mysql_native_password", "[[account]]", "'app'", "monitor account", "Upgrade"]
        {
            assert!(fail.to_string().contains(part), "{fail} has no {part}");
        }
    }
    // One that names the plugin but can do more is asked for more, and served.
    let able = Login { plugin: APP.old_native().plugin, ..APP };
    works(Client::connect(proxy.port(), able)).unwrap();
}

/// A client that closes when it is asked for more has told nobody why: the log must.
fn a_silent_client_is_logged(proxy: &Proxy) {
    let lines = |user: &str| {
        let log = proxy.log();
        let about = |line: &&str| {
            line.contains("left the login") && line.contains(&format!("user={user:?}"))
        };
        log.lines().filter(about).map(str::to_owned).collect::<Vec<_>>()
    };
    let other = Login::of("other", "other_password");
    for login in [APP, APP, APP, other] {
        assert!(Client::connect(proxy.port(), login.native_only()).is_err());
    }
    eventually("the last of them is logged", || lines("other").len() == 1);
    let line = &lines("other")[0];
    for part in ["mysql_native_password", "caching_sha2_password", "[[account]]"] {
        assert!(line.contains(part), "{line} has no {part}");
    }
    assert_eq!(lines("app").len(), 1, "once a minute for a user: {:?}", lines("app"));
}

/// `[[account]]` with each kind of secret; what it says is proven to the server.
fn configured_accounts(lab: &Lab, proxy: &Proxy) {
    let file =
        target_dir().join("lab").join(format!("account-{}-{}", lab.make, std::process::id()));
    std::fs::write(&file, "app_password\n").unwrap();
    let file_key = format!("password_file = {:?}", file.to_str().unwrap());
    let hash_key = format!("native_hash = {:?}", native_hash("app_password"));
    let mut keys = vec![("password = \"app_password\"", true), (&file_key, true)];
    // A MySQL server asks for a password, which a hash is not.
    keys.push((&hash_key, lab.make == Make::MariaDb));
    for (key, serves) in keys {
        let account = format!("[[account]]\nuser = \"app\"\n{key}");
        assert!(proxy.reload(&account), "{}", proxy.log());
        for login in [APP.old_native(), APP.native_only()] {
            let result = works(Client::connect(proxy.port(), login));
            if serves {
                assert_eq!(result, Ok(()), "{key} on {}", lab.make);
            } else {
                let error = result.expect_err("a hash does not log in to MySQL 9");
                assert!(error.contains("lagwise cannot log in"), "{error}");
            }
            let wrong = Login { password: "wrong", ..login };
            let fail = Client::connect(proxy.port(), wrong).err().expect("wrong password");
            assert!([1045, 0].contains(&fail.code()), "{fail}");
        }
        // The others are not affected, and need no entry.
        works(Client::connect(proxy.port(), Login::of("other", "other_password"))).unwrap();
        if serves {
            works(Client::connect(proxy.port(), APP)).unwrap();
        }
    }
    // A wrong entry is the server's to refuse, and leaves able clients alone.
    assert!(proxy.reload("[[account]]\nuser = \"app\"\npassword = \"stale\""));
    let stale = Login { password: "stale", ..APP };
    let fail = Client::connect(proxy.port(), stale.old_native()).err().expect("refused");
    assert_eq!(fail.code(), 1045, "{fail}");
    works(Client::connect(proxy.port(), APP)).unwrap();
    assert!(proxy.reload(""));
    std::fs::remove_file(&file).unwrap();
}

/// MariaDB's hashes, once the monitor may read them; a changed password takes effect.
fn hashes_from_the_server(lab: &Lab, proxy: &Proxy) {
    lab.sql(0, "GRANT SELECT ON mysql.user TO monitor@'%'");
    lab.sql(0, "GRANT SELECT ON mysql.global_priv TO monitor@'%'");
    let login = Login::of("old", "old_password").old_native();
    lab.sql(0, "CREATE USER old@'%' IDENTIFIED BY 'old_password'");
    lab.sql(0, "GRANT ALL ON shop.* TO old@'%'");
    eventually("the hash is read", || works(Client::connect(proxy.port(), login)).is_ok());
    works(Client::connect(proxy.port(), login.native_only())).unwrap();
    lab.sql(0, "ALTER USER old@'%' IDENTIFIED BY 'new_password'");
    assert_eq!(refusal(proxy, login), 1045);
    let start = Instant::now();
    let new = Login { password: "new_password", ..login };
    eventually("the new hash is read", || works(Client::connect(proxy.port(), new)).is_ok());
    println!("a changed native password works after {:?}", start.elapsed());
    assert!(start.elapsed().as_secs() < 10);
    lab.sql(0, "DROP USER old@'%'");
    // The server's word, or that no hash is known any more, whichever lagwise hears first.
    assert!([1045, 1251].contains(&refusal(proxy, new)));
}

/// The error number that a login ends with once lagwise has heard of a change of the account, for
/// which it has 10 s.
fn refusal(proxy: &Proxy, login: Login<'_>) -> u16 {
    let start = Instant::now();
    eventually_some("the login is refused", || {
        let asked_after = start.elapsed();
        let fail = Client::connect(proxy.port(), login).err();
        assert!(fail.is_some() || asked_after.as_secs() < 10, "let in after {asked_after:?}");
        fail.map(|fail| fail.code())
    })
}

/// A server is asked again before long, so that nothing outlives a change of the account for long.
fn changed_passwords(lab: &Lab, proxy: &Proxy) {
    let old = Login::of("changing", "first_password");
    let new = Login { password: "second_password", ..old };
    lab.sql(0, "CREATE USER changing@'%' IDENTIFIED BY 'first_password'");
    lab.sql(0, "GRANT ALL ON shop.* TO changing@'%'");
    let mut open = Client::connect(proxy.port(), old).unwrap_or_else(|fail| panic!("{fail}"));
    let mut held = Client::connect(proxy.port(), old).unwrap_or_else(|fail| panic!("{fail}"));
    held.run("BEGIN");
    for _ in 0..3 {
        works(Client::connect(proxy.port(), old)).unwrap();
    }
    lab.sql(0, "ALTER USER changing@'%' IDENTIFIED BY 'second_password'");
    // Not one that waits for the old one to be forgotten.
    works(Client::connect(proxy.port(), new)).unwrap();
    assert_eq!(refusal(proxy, old), 1045);
    works(Client::connect(proxy.port(), new)).unwrap();
    held.run("SELECT COUNT(*) FROM items FOR UPDATE");
    held.run("COMMIT");
    // Without a connection of its own it needs one, which the old password soon opens no more.
    lab.wait_caught_up();
    eventually("the old password is of no use", || {
        let fail = open.query("SELECT COUNT(*) FROM items").err();
        fail.is_some_and(|fail| fail.code() == 1045)
    });
    lab.sql(0, "ALTER USER changing@'%' ACCOUNT LOCK");
    let code = refusal(proxy, new);
    assert!([3118, 4151].contains(&code), "{code}");
    lab.sql(0, "ALTER USER changing@'%' ACCOUNT UNLOCK");
    works(Client::connect(proxy.port(), new)).unwrap();
    lab.sql(0, "DROP USER changing@'%'");
    assert_eq!(refusal(proxy, new), 1045);
}

fn run(make: Make) {
    let lab = Lab::start(make, 1);
    let proxy = Proxy::start(&lab, "");
    changed_passwords(&lab, &proxy);
    a_silent_client_is_logged(&proxy);
    without_anything(&lab, &proxy);
    configured_accounts(&lab, &proxy);
    if make == Make::MariaDb {
        hashes_from_the_server(&lab, &proxy);
    }
    assert!(!proxy.log().contains("_password\""), "no password in the log");
}

#[test]
fn native_only_clients_on_mysql() {
    run(Make::MySql);
}

#[test]
fn native_only_clients_on_mariadb() {
    run(Make::MariaDb);
}
