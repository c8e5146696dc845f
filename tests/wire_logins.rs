//! Logins, COM_CHANGE_USER and KILL: what lagwise says is what the server says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use support::wire::{Options, Packet, Step, World, caps};
use support::{Make, eventually};

/// The payload that a login ends with: OK or ERR.
fn outcome(options: &Options, port: u16) -> Vec<u8> {
    match options.login(port) {
        Ok(client) => client.login_ok.payload,
        Err(Packet { payload, .. }) => payload,
    }
}

fn show(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).into_owned()
}

fn cases() -> Vec<(&'static str, Options)> {
    let app = || Options::new(caps::DEPRECATE_EOF);
    vec![
        ("right", app()),
        ("right, tracking", Options::new(caps::SESSION_TRACK)),
        ("right, no schema", Options { schema: None, ..app() }),
        (
            "right, no schema, tracking",
            Options { schema: None, ..Options::new(caps::SESSION_TRACK) },
        ),
        ("wrong password", Options { password: "wrong".into(), ..app() }),
        ("no password", Options { password: String::new(), ..app() }),
        ("unknown user", app().account("nobody")),
        (
            "unknown user without password",
            Options { password: String::new(), ..app().account("nobody") },
        ),
        ("unknown schema", Options { schema: Some("no_such".into()), ..app() }),
        ("forbidden schema", Options { schema: Some("mysql".into()), ..app() }),
        ("empty password", Options { password: String::new(), ..app().account("nopass") }),
        ("password where none is", app().account("nopass")),
        ("locked", app().account("locked")),
        ("locked, wrong password", Options { password: "x".into(), ..app().account("locked") }),
        ("attributes", Options { attributes: vec![("program".into(), "wire".into())], ..app() }),
        ("other", app().account("other")),
    ]
}

fn logins(world: &World) {
    for (name, options) in cases() {
        let direct = outcome(&options, world.lab.port(0));
        // Twice: the second time by what is remembered.
        for round in ["first", "again"] {
            let start = Instant::now();
            let proxied = outcome(&options, world.proxy.port());
            let took = start.elapsed();
            world.equal(&format!("{name}, {round}"), show(&proxied), show(&direct));
            if took > Duration::from_secs(1) {
                world.note(name, options.caps, &format!("took {took:?}"));
            }
        }
    }
}

/// The greeting but for what is lagwise's own.
fn greeting(world: &World) {
    let direct = Options::new(0).login(world.lab.port(0)).unwrap().greeting;
    let proxied = Options::new(0).login(world.proxy.port()).unwrap().greeting;
    world.equal("version", &proxied.version, &direct.version);
    world.equal("charset", proxied.charset, direct.charset);
    world.equal("status", proxied.status, direct.status);
    // Not offered: what is bound to one connection, a second factor, and flags that only
    // clients have. TLS and compression are lagwise's own to offer.
    let own = caps::SSL
        | caps::COMPRESS
        | caps::ZSTD
        | caps::OPTIONAL_METADATA
        | caps::MULTI_FACTOR
        | caps::MARIADB_CACHE_METADATA
        | caps::SSL_VERIFY_SERVER_CERT
        | caps::REMEMBER_OPTIONS
        | caps::PLUGIN_AUTH_LENENC;
    let (got, want) = (proxied.caps & !own, direct.caps & !own);
    world.equal("capabilities", format!("{got:x}"), format!("{want:x}"));
}

fn change_user(world: &World) {
    let other = Options::new(0).account("other");
    let cases = [
        ("other account", other.clone(), true),
        ("other schema", Options { schema: Some("other".into()), ..other.clone() }, true),
        ("no schema", Options { schema: None, ..other.clone() }, true),
        (
            "empty password",
            Options { password: String::new(), ..other.clone().account("nopass") },
            true,
        ),
        ("wrong password", Options { password: "wrong".into(), ..other.clone() }, false),
        ("unknown schema", Options { schema: Some("no_such".into()), ..other }, false),
    ];
    for (name, options, goes_on) in cases {
        let run = |port| {
            let mut client = Options::new(0).login(port).unwrap();
            client.query("SET @x = 1, time_zone = '+05:00'");
            let end = client.change_user(&options).unwrap().payload;
            let after =
                client.play(&Step::query("SELECT @x, @@time_zone, DATABASE(), CURRENT_USER()"));
            assert!(!goes_on || after[0].broken.is_none(), "{name}: {after:?}");
            let rows: Vec<Vec<u8>> =
                after[0].packets.iter().map(|packet| packet.payload.clone()).collect();
            (show(&end), goes_on.then_some(rows))
        };
        world.equal(
            &format!("change user: {name}"),
            run(world.proxy.port()),
            run(world.lab.port(0)),
        );
    }
}

/// KILL by lagwise's id and by the server's, of the connection and of its statement.
fn kill(world: &World) {
    let login = || Options::new(0).account("admin").login(world.proxy.port()).unwrap();
    for by_own in [true, false] {
        let name = format!("KILL, {}", if by_own { "lagwise's id" } else { "the server's id" });
        let mut victim = login();
        let mut killer = login();
        victim.query("DO GET_LOCK('wire', 0)");
        let connection = victim.query("SELECT CONNECTION_ID()").first_value(&victim);
        let id = if by_own { victim.greeting.thread_id.to_string() } else { connection };
        let sleeps = || {
            let sql =
                "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%SLEEP(20)%'
                       AND info NOT LIKE '%processlist%'";
            world.lab.sql(0, sql) != "0"
        };
        let thread = std::thread::spawn(move || {
            let answer = victim.query("SELECT SLEEP(20), GET_LOCK('wire', 0)");
            (victim, answer)
        });
        eventually("the victim sleeps", sleeps);
        let start = Instant::now();
        let answer = killer.query(&format!("KILL QUERY {id}"));
        world.equal(&name, answer.error(), None);
        let (mut victim, _) = thread.join().unwrap();
        world.equal(&format!("{name}: at once"), start.elapsed() < Duration::from_secs(10), true);
        world.equal(&format!("{name}: goes on"), victim.query("SELECT 1").broken, None);
        let answer = killer.query(&format!("KILL {id}"));
        world.equal(&name, answer.error(), None);
        let after = victim.query("SELECT 1");
        world.equal(
            &format!("{name}: ended"),
            after.broken.is_some() || after.error().is_some(),
            true,
        );
        world.equal(&format!("{name}: killer goes on"), killer.query("SELECT 1").error(), None);
    }
    let script =
        [Step::query("KILL 999999"), Step::query("KILL QUERY 999999"), Step::query("SELECT 1")];
    world.compare("KILL of nobody", &Options::new(0), &script);
}

fn all(make: Make) {
    let world = World::start(make, &[]);
    greeting(&world);
    logins(&world);
    change_user(&world);
    kill(&world);
    world.finish();
}

#[test]
fn logins_on_mysql() {
    all(Make::MySql);
}

#[test]
fn logins_on_mariadb() {
    all(Make::MariaDb);
}
