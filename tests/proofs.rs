//! Logins that lagwise answers alone, and sessions that begin without a connection to a server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use support::wire::{Client, Expect, Options, Step, World, caps};
use support::{Make, eventually};

/// What a login ends with: the OK's payload, or the error's number.
fn login(options: &Options, port: u16) -> Result<Client, u16> {
    let number = |payload: &[u8]| u16::from_le_bytes([payload[1], payload[2]]);
    options.login(port).map_err(|packet| number(&packet.payload))
}

/// How often `user` was let in at a server, or was refused there.
fn connects(world: &World, server: usize, user: &str) -> usize {
    let log = world.lab.general_log(server);
    let is_login = |text: &str| text.starts_with(&format!("{user}@"));
    log.iter().filter(|entry| entry.command == "Connect" && is_login(&entry.text)).count()
}

/// Connects of `user` to the primary and to the replica.
#[track_caller]
fn check(world: &World, name: &str, user: &str, want: [usize; 2]) {
    let got = [0, 1].map(|server| connects(world, server, user));
    world.equal(&format!("{name}: connects of {user}"), got, want);
}

/// An account of a test's own; its password is its name with `_password`.
fn create_user(world: &World, user: &str) {
    world.lab.sql(
        0,
        &format!(
            "CREATE USER {user}@'%' IDENTIFIED BY '{user}_password'; GRANT ALL ON shop.* TO {user}@'%'"
        ),
    );
    world.lab.wait_caught_up();
}

/// Logins that come one after the other, and many that come at once.
fn one_proof(world: &World) {
    create_user(world, "quick");
    let options = Options::new(caps::SESSION_TRACK).account("quick");
    let direct = login(&options, world.lab.port(0)).unwrap().login_ok;
    for _ in 0..20 {
        let client = login(&options, world.proxy.port()).unwrap();
        world.equal("remembered login", &client.login_ok.payload, &direct.payload);
    }
    check(world, "one after the other", "quick", [2, 0]);
    create_user(world, "storm");
    let options = Options::new(0).account("storm");
    let port = world.proxy.port();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..40).map(|_| scope.spawn(|| login(&options, port).is_ok())).collect();
        assert!(all.into_iter().all(|one| one.join().unwrap()));
    });
    check(world, "at once", "storm", [1, 0]);
    // A schema is part of what is proven.
    let other = Options { schema: Some("mysql".into()), ..options.clone() };
    world.equal(
        "forbidden schema",
        login(&other, port).err(),
        login(&other, world.lab.port(0)).err(),
    );
    let none = Options { schema: Some("no_such".into()), ..options };
    world.equal("unknown schema", login(&none, port).err(), login(&none, world.lab.port(0)).err());
    // Two more of each direct.
    check(world, "other schemas", "storm", [5, 0]);
}

/// A session takes a connection where its statements run, and nowhere else.
fn connections_on_demand(world: &World) {
    create_user(world, "lazy");
    let options = Options::new(0).account("lazy");
    let port = world.proxy.port();
    drop(login(&options, port).unwrap());
    check(world, "the proof", "lazy", [1, 0]);
    world.catch_up()();
    let mut reader = login(&options, port).unwrap();
    let answer = reader.query("SELECT name FROM items WHERE id = 1");
    assert_eq!(answer.first_value(&reader), "item 1");
    world.equal("ping", reader.ask(&[0x0e], Expect::Single, &[]).broken, None);
    drop(reader);
    check(world, "only reads", "lazy", [1, 1]);
    let mut writer = login(&options, port).unwrap();
    world.equal("write", writer.query("UPDATE items SET stock = 7 WHERE id = 1").error(), None);
    drop(writer);
    // Over the connection that has proven the login.
    check(world, "only writes", "lazy", [1, 1]);
    let mut idle = login(&options, port).unwrap();
    world.equal("ping", idle.ask(&[0x0e], Expect::Single, &[]).broken, None);
    drop(idle);
    check(world, "does nothing", "lazy", [1, 1]);
}

/// Commands that come first in a session without a connection.
fn first_commands(world: &World) {
    let raw = |bytes: &[u8]| Step::Raw(bytes.to_vec(), Expect::Results);
    let after = || {
        Step::query("SELECT DATABASE(), @@sql_mode, @@character_set_client, @@collation_connection")
    };
    let scripts = [
        ("COM_RESET_CONNECTION", vec![raw(&[0x1f]), after()]),
        ("COM_PING", vec![raw(&[0x0e]), Step::query("SELECT ROW_COUNT()")]),
        ("COM_INIT_DB", vec![raw(b"\x02shop"), after()]),
        ("COM_INIT_DB, unknown", vec![raw(b"\x02no_such"), Step::query("SHOW WARNINGS"), after()]),
        ("COM_SET_OPTION", vec![raw(&[0x1b, 0, 0]), Step::query("SELECT 1; SELECT 2")]),
        (
            "unknown statement",
            vec![raw(&[0x17, 9, 0, 0, 0, 0, 1, 0, 0, 0]), Step::query("SHOW WARNINGS")],
        ),
        ("SHOW WARNINGS", vec![Step::query("SHOW WARNINGS"), after()]),
        ("counts", vec![Step::query("SELECT ROW_COUNT(), LAST_INSERT_ID()")]),
        ("SET", vec![Step::query("SET NAMES latin1, sql_mode = 'ANSI_QUOTES'"), after()]),
        (
            "read",
            vec![Step::query("SELECT COUNT(*) FROM items"), Step::query("SELECT ROW_COUNT()")],
        ),
        ("transaction", vec![Step::query("BEGIN"), after(), Step::query("COMMIT")]),
        (
            "read only",
            vec![Step::query("START TRANSACTION READ ONLY"), after(), Step::query("COMMIT")],
        ),
    ];
    for (name, script) in scripts {
        for capabilities in world.matrix() {
            let options = Options::new(capabilities);
            // So that the login that counts is remembered.
            drop(login(&options, world.proxy.port()).unwrap());
            world.compare(&format!("first {name}"), &options, &script);
        }
    }
    let mut client = login(&Options::new(0), world.proxy.port()).unwrap();
    let statistics = client.ask(&[0x09], Expect::Single, &[]);
    let text = String::from_utf8_lossy(&statistics.packets[0].payload).into_owned();
    world.equal("COM_STATISTICS", text.starts_with("Uptime: "), true);
    let quit = client.send(&[0x01]).and_then(|()| client.read_packet());
    world.equal("COM_QUIT", quit.is_err(), true);
}

/// COM_CHANGE_USER to an account that was proven lately.
fn change_user(world: &World) {
    create_user(world, "first_user");
    create_user(world, "second_user");
    let before = Options::new(0).account("first_user");
    let port = world.proxy.port();
    let mut client = login(&before, port).unwrap();
    let after = before.clone().account("second_user");
    for (name, options) in [("there", &after), ("back", &before), ("there again", &after)] {
        let end = client.change_user(options).unwrap().payload;
        world.equal(&format!("change user, {name}"), end[0], 0);
        let user = client.query("SELECT CURRENT_USER()").first_value(&client);
        world.equal(name, user, format!("{}@%", options.user));
    }
    check(world, "change user", "first_user", [1, 0]);
    check(world, "change user", "second_user", [1, 0]);
}

/// KILL of a session that has no connection to a server.
fn kill(world: &World) {
    let port = world.proxy.port();
    let account = |user: &str| Options::new(0).account(user);
    drop(login(&account("app"), port).unwrap());
    for (killer, want) in [("other", Some(1095)), ("app", None), ("admin", None)] {
        let mut victim = login(&account("app"), port).unwrap();
        let id = victim.greeting.thread_id;
        let mut killer_client = login(&account(killer), port).unwrap();
        let error = killer_client.query(&format!("KILL {id}")).error();
        world.equal(&format!("KILL by {killer}"), error.map(|(code, _)| code), want);
        let ended = victim.query("SELECT 1").broken.is_some();
        world.equal(&format!("killed by {killer}"), ended, want.is_none());
    }
}

/// What a server no longer accepts, lagwise does not for longer than the promise says.
fn changed_accounts(world: &World) {
    let port = world.proxy.port();
    let cases = [
        ("altered", "ALTER USER altered@'%' IDENTIFIED BY 'new'", Some("new")),
        ("dropped", "DROP USER dropped@'%'", None),
        ("closed", "ALTER USER closed@'%' ACCOUNT LOCK", None),
    ];
    let mut changed = Vec::new();
    for (user, change, password) in cases {
        create_user(world, user);
        let options = Options::new(0).account(user);
        drop(login(&options, port).unwrap());
        world.lab.sql(0, change);
        let at = Instant::now();
        if let Some(password) = password {
            let new = Options { password: password.into(), ..options.clone() };
            world.equal("the new password, at once", login(&new, port).err(), None);
        }
        changed.push((options, at));
    }
    for (options, at) in changed {
        let user = &options.user;
        let mut refused = None;
        eventually("what was changed is refused", || {
            let asked_after = at.elapsed();
            refused = login(&options, port).err();
            let in_time = refused.is_some() || asked_after < Duration::from_secs(10);
            world.equal(&format!("{user}: let in too late"), in_time, true);
            refused.is_some()
        });
        world.equal(user, refused, login(&options, world.lab.port(0)).err());
    }
}

/// Wrong passwords are slowed, and the right one is not as long as it is remembered.
fn guesses(world: &World) {
    create_user(world, "target");
    let right = Options::new(0).account("target");
    let port = world.proxy.port();
    drop(login(&right, port).unwrap());
    let delayed = || world.proxy.metrics().value("lagwise_logins_delayed_total");
    let before = delayed();
    for guess in 0..5 {
        let wrong = Options { password: format!("guess {guess}"), ..right.clone() };
        world.equal("a guess", login(&wrong, port).err(), Some(1045));
    }
    // The first three, and the one that shows that it was one too many, cost nothing.
    world.equal("delayed guesses", delayed() - before, 1.0);
    world.equal("the right password", login(&right, port).err(), None);
    world.equal("delayed logins", delayed() - before, 1.0);
    world.equal("another account", login(&Options::new(0), port).err(), None);
    world.equal("delayed logins of others", delayed() - before, 1.0);
    let remembered = world.proxy.metrics().value("lagwise_logins_remembered_total");
    world.equal("remembered logins", remembered > 0.0, true);
}

fn all(make: Make) {
    let world = World::start(make, &[]);
    world.lab.log_all();
    one_proof(&world);
    connections_on_demand(&world);
    change_user(&world);
    first_commands(&world);
    kill(&world);
    guesses(&world);
    changed_accounts(&world);
    world.finish();
}

#[test]
fn proofs_on_mysql() {
    all(Make::MySql);
}

#[test]
fn proofs_on_mariadb() {
    all(Make::MariaDb);
}
