//! Prepared statements on several connections: what they mean, what they cost, and what becomes of
//! them when a connection is lost. On both makes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bulk;
#[path = "../raw/mod.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;
mod text;

use std::path::Path;

use raw::Client;
use support::wire::{self, Options, Param, Step, World, caps};
use support::{Lab, Make, Proxy, eventually};

fn q(sql: &str) -> Step {
    Step::query(sql)
}

/// A text, what is set before it is prepared, and what after. The servers hold on to all of these
/// (or, MariaDB, to some) as they were when the statement was prepared.
const READ_UNDER: &[(&str, &str, &str)] = &[
    // As the session began.
    ("DO 0", "SELECT \"name\" FROM items WHERE id = 1", "SET sql_mode = 'ANSI_QUOTES'"),
    ("DO 0", "SELECT COLLATION('x'), CHAR_LENGTH('é')", "SET NAMES latin1"),
    ("DO 0", "SELECT 1 / 7", "SET div_precision_increment = 10"),
    ("DO 0", "SELECT DAYNAME('2020-01-06')", "SET lc_time_names = 'de_DE'"),
    ("DO 0", "SELECT GROUP_CONCAT('abcdef', 'ghi')", "SET group_concat_max_len = 4"),
    // Read anew at each execution.
    ("DO 0", "SELECT FROM_UNIXTIME(0)", "SET time_zone = '+05:00'"),
    ("DO 0", "SELECT id FROM items UNION ALL SELECT 2", "SET sql_select_limit = 1"),
    // As it was set.
    (
        "SET sql_mode = 'ANSI_QUOTES'",
        "SELECT \"name\" FROM items WHERE id = 1",
        "SET sql_mode = ''",
    ),
    (
        "SET sql_mode = ''",
        "SELECT \"name\" FROM items WHERE id = 1",
        "SET sql_mode = 'ANSI_QUOTES'",
    ),
    ("SET sql_mode = 'PIPES_AS_CONCAT'", "SELECT 1 || 0", "SET sql_mode = ''"),
    ("SET sql_mode = 'NO_BACKSLASH_ESCAPES'", "SELECT 'a\\n'", "SET sql_mode = ''"),
    ("SET sql_mode = 'HIGH_NOT_PRECEDENCE'", "SELECT NOT 0 BETWEEN -5 AND 5", "SET sql_mode = ''"),
    ("USE shop", "SELECT DATABASE(), COUNT(*) FROM items", "USE other"),
    ("USE other", "SELECT DATABASE(), word FROM secrets", "USE shop"),
    ("SET NAMES utf8mb4", "SELECT COLLATION('x'), CHAR_LENGTH('é')", "SET NAMES latin1"),
    ("SET NAMES latin1", "SELECT COLLATION('x'), CHAR_LENGTH('é')", "SET NAMES utf8mb4"),
    (
        "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
        "SELECT 'a' = 'A', COLLATION('x')",
        "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci",
    ),
    (
        "SET collation_connection = utf8mb4_bin",
        "SELECT 'a' = 'A', COLLATION('x')",
        "SET NAMES 'utf8mb4'",
    ),
    ("SET NAMES latin1 COLLATE latin1_bin", "SELECT COLLATION('x')", "SET NAMES utf8mb4"),
    ("SET default_week_format = 1", "SELECT WEEK('2020-01-06')", "SET default_week_format = 3"),
];

/// Prepared on the replica and executed on the primary, and the other way round, with the session
/// changed in between; after that the session must be as it was set last.
fn meaning(world: &World) {
    let now = "SELECT @@sql_mode, DATABASE(), @@collation_connection, @@character_set_client,
                 @@div_precision_increment, @@default_week_format, @@lc_time_names,
                 @@group_concat_max_len, \"x\", 'x\\n'";
    let (mut on_replica, mut on_primary) = (Vec::new(), Vec::new());
    for (index, (before, text, after)) in READ_UNDER.iter().enumerate() {
        let begin = || [q("BEGIN"), q("SELECT COUNT(*) FROM shop.items")];
        let (early, late) = (2 * index, 2 * index + 1);
        let step = |index| Step::execute(index, []);
        on_replica.extend([q(before), Step::prepare(text), step(early), q(after)]);
        on_replica.extend(begin());
        on_replica.extend([step(early), q(now), Step::prepare(text), step(late)]);
        on_replica.extend([q("COMMIT"), step(early), step(late), q("SELECT COLLATION('x')")]);
        on_primary.extend([q(before)]);
        on_primary.extend(begin());
        on_primary.extend([Step::prepare(text), q("COMMIT"), q(after), step(early)]);
        on_primary.extend([Step::prepare(text), step(late), step(early)]);
        on_primary.extend(begin());
        on_primary.extend([step(late), step(early), q(now), q("COMMIT")]);
    }
    let options = Options::new(caps::DEPRECATE_EOF).account("other");
    world.compare("first on the replica", &options, &on_replica);
    world.compare("first on the primary", &options, &on_primary);
}

/// Ids in errors, and MariaDB's -1 when there is no last statement.
fn ids(world: &World) {
    let last = |rest: &[u8]| Step::raw(0x17, &[&[0xff; 4], rest].concat(), wire::Expect::Results);
    let execute = [0, 1, 0, 0, 0];
    let script = vec![
        last(&execute),
        Step::prepare("SELECT 1"),
        q("BEGIN"),
        Step::prepare("SELECT 2"),
        q("COMMIT"),
        Step::fetch(0, 1),
        Step::fetch(1, 1),
        Step::open_cursor(1, []),
        Step::fetch(1, 5),
        Step::fetch(1, 5),
        last(&execute),
        Step::prepare("SELEC 3"),
        last(&execute),
        Step::prepare("SELECT 4"),
        last(&execute),
        Step::close(2),
        last(&execute),
        Step::execute(2, []),
        last(&execute),
        Step::execute(0, []),
    ];
    world.compare_all("ids", &script);
}

fn open_statements(lab: &Lab, server: usize) -> u64 {
    lab.status(server, "Prepared_stmt_count")
}

/// Waits until every server has so many statements prepared.
fn settle(lab: &Lab, want: &[u64]) {
    eventually(&format!("{want:?} statements are prepared"), || {
        want.iter().enumerate().all(|(server, want)| open_statements(lab, server) == *want)
    });
}

/// Resident memory of a process, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    let status = status.unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn close(client: &mut Client, id: u32) {
    client.send(0x19, &id.to_le_bytes()).unwrap();
}

fn execute(client: &mut Client, id: u32) -> String {
    let rows = client.execute_id(id).unwrap_or_else(|fail| panic!("statement {id}: {fail}"));
    raw::first_value(rows)
}

const LOOPS: u32 = 20_000;

/// PREPARE, EXECUTE and CLOSE over and over leave nothing behind, at any time.
fn loops(world: &World) {
    let (lab, proxy) = (&world.lab, &world.proxy);
    let mut client = Client::app(proxy.port());
    let mut early = 0;
    for n in 1..=LOOPS {
        // Texts that lagwise remembers, but no connection can keep all of.
        let id = n % (LOOPS / 10);
        let text = match n % 3 {
            0 => format!("SELECT name FROM items WHERE id = {id} FOR UPDATE"),
            _ => format!("SELECT name FROM items WHERE id = {id}"),
        };
        let (id, _) = client.prepare(&text).unwrap();
        client.execute_id(id).unwrap();
        close(&mut client, id);
        if n % 2_000 == 0 {
            let counts = [open_statements(lab, 0), open_statements(lab, 1)];
            assert!(counts.iter().all(|count| *count <= KEPT + 1), "after {n} loops: {counts:?}");
        }
        if n == LOOPS / 3 {
            early = resident(proxy.pid());
        }
    }
    let late = resident(proxy.pid());
    println!(
        "{}: resident after {} loops {early} KiB, after {LOOPS} {late} KiB",
        lab.make,
        LOOPS / 3
    );
    assert!(late <= early + 1024, "{early} KiB, then {late} KiB");
    drop(client);
    settle(lab, &[0, 0]);
}

const OPEN: u32 = 5_000;

/// Statements that lagwise keeps on a connection.
const KEPT: u64 = 250;

/// As many statements as a framework that never closes them may collect, executed on both sides.
fn open_at_a_time(world: &World) {
    let (lab, proxy) = (&world.lab, &world.proxy);
    let text = |n: u32| {
        // Every third is prepared on the primary first.
        let lock = if n.is_multiple_of(3) { " FOR UPDATE" } else { "" };
        format!("SELECT CONCAT('{n}/', name) FROM items WHERE id = {}{lock}", n % 100 + 1)
    };
    let mut client = Client::app(proxy.port());
    // What sessions have in common is there before.
    for n in 0..OPEN {
        let id = client.prepare(&text(n)).unwrap().0;
        close(&mut client, id);
    }
    let before = resident(proxy.pid());
    let mut ids = Vec::new();
    let mut texts = 0;
    for n in 0..OPEN {
        let text = text(n);
        texts += text.len() as u64;
        ids.push(client.prepare(&text).unwrap().0);
    }
    let want = |n: usize| format!("{n}/item {}", n % 100 + 1);
    let check = |client: &mut Client, step: usize| {
        for n in (0..ids.len()).step_by(step) {
            assert_eq!(execute(client, ids[n]), want(n));
        }
    };
    check(&mut client, 1);
    client.run("BEGIN");
    check(&mut client, 1);
    // Those that were used last are still there; the others are prepared once more.
    check(&mut client, 7);
    client.run("COMMIT");
    check(&mut client, 11);
    let counts = [open_statements(lab, 0), open_statements(lab, 1)];
    let after = resident(proxy.pid());
    println!(
        "{}: {OPEN} open statements: {counts:?} on the servers, {} KiB for {} KiB of text",
        lab.make,
        after - before,
        texts / 1024,
    );
    assert_eq!(counts, [KEPT, KEPT]);
    // Half a kilobyte beside its text.
    assert!(after - before <= texts / 1024 + u64::from(OPEN) / 2, "{before} KiB, then {after} KiB");
    for id in ids {
        close(&mut client, id);
    }
    // The session goes on, and the end of a session frees what its connections have.
    assert_eq!(client.value("SELECT 'still here'"), "still here");
    client.prepare("SELECT 1").unwrap();
    drop(client);
    settle(lab, &[0, 0]);
}

/// Ends every connection of this account on a server, from outside.
fn kill_connections(lab: &Lab, server: usize, user: &str) {
    let ids = lab.sql(
        server,
        &format!("SELECT id FROM information_schema.processlist WHERE user = '{user}'"),
    );
    assert!(!ids.is_empty(), "{user} has no connection to server {server}");
    for id in ids.lines() {
        lab.sql(server, &format!("KILL {id}"));
    }
    eventually("they are gone", || {
        let left =
            format!("SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{user}'");
        lab.sql(server, &left) == "0"
    });
}

/// Lost connections: statements come back on new ones; what cannot come back is an error.
fn lost_connections(world: &World) {
    let (lab, proxy) = (&world.lab, &world.proxy);
    lab.sql(0, "CREATE TABLE IF NOT EXISTS shop.wire_long (id INT PRIMARY KEY, b LONGTEXT)");
    lab.wait_caught_up();
    let options = Options::new(0).account("other");
    let mut client = options.login(proxy.port()).unwrap();
    let mut step = |step: Step| client.play(&step).remove(0);
    let plays = [
        Step::prepare("SELECT CONCAT(name, ?) FROM shop.items WHERE id = 3"),
        Step::execute(0, [Param::text("!")]),
        Step::prepare("INSERT INTO shop.wire_long VALUES (?, ?)"),
        Step::execute(1, [Param::int(1), Param::text("one")]),
    ];
    for play in plays {
        assert_eq!(step(play).error(), None);
    }
    lab.wait_caught_up();
    // The types of the parameters are not sent again.
    for server in [1, 0] {
        kill_connections(lab, server, "other");
        let answer = step(Step::execute_again(0, [Param::text("?")]));
        assert_eq!(answer.error(), None, "server {server}");
        let row = &answer.packets[answer.packets.len() - 2].payload;
        assert!(row.ends_with(b"item 3?"), "server {server}: {row:x?}");
    }
    let again = Step::execute_again(1, [Param::int(2), Param::text("two")]);
    assert_eq!(step(again).error(), None, "the primary's connection is new");
    // Long data that is lost must not be taken for NULL, nor its half for the whole.
    let long = |text: &str| Step::LongData { statement: 1, param: 1, data: text.into() };
    for more in [false, true] {
        step(long("half"));
        assert_eq!(step(q("SELECT 1 FOR UPDATE")).error(), None, "the long data has arrived");
        kill_connections(lab, 0, "other");
        if more {
            step(long("the rest"));
        }
        let lost = step(Step::execute(1, [Param::int(3), Param::long()])).error();
        let (code, text) = lost.expect("an error");
        assert!(code == 1158 && text.contains("long data"), "{code} {text}");
        let again = Step::execute(1, [Param::int(10 + i64::from(more)), Param::text("after")]);
        assert_eq!(step(again).error(), None, "the statement lives on");
    }
    // So must a cursor that is lost.
    assert_eq!(step(Step::prepare("SELECT id FROM shop.items ORDER BY id")).error(), None);
    assert_eq!(step(Step::open_cursor(2, [])).error(), None);
    assert_eq!(step(Step::fetch(2, 2)).error(), None);
    kill_connections(lab, 0, "other");
    let (code, text) = step(Step::fetch(2, 2)).error().expect("an error");
    assert!(code == 1158 && text.contains("cursor"), "{code} {text}");
    assert_eq!(step(Step::open_cursor(2, [])).error(), None);
    assert_eq!(step(Step::fetch(2, 2)).error(), None);
    let rows = lab.sql(0, "SELECT GROUP_CONCAT(id, b ORDER BY id) FROM shop.wire_long");
    assert_eq!(rows, "1one,2two,10after,11after");
    lab.sql(0, "DROP TABLE shop.wire_long");
}

/// Servers without room for more statements: another makes room, or another server runs it, and
/// only what a direct connection would meet as well is an error.
fn full(world: &World) {
    let (lab, proxy) = (&world.lab, &world.proxy);
    let set = |server: usize, max: u32| {
        lab.sql(server, &format!("SET GLOBAL max_prepared_stmt_count = {max}"));
    };
    let mut client = Client::app(proxy.port());
    let prepare = |client: &mut Client, n: usize| {
        client.prepare(&format!("SELECT name FROM items WHERE id = {n}")).unwrap().0
    };
    client.run("BEGIN");
    let first: Vec<u32> = (1..=3).map(|n| prepare(&mut client, n)).collect();
    client.run("COMMIT");
    set(1, 2);
    let retried = || proxy.metrics().value("lagwise_read_retries_total");
    let before = retried();
    for n in [1, 2, 3, 1, 2, 3, 3] {
        assert_eq!(execute(&mut client, first[n - 1]), format!("item {n}"));
    }
    assert_eq!((open_statements(lab, 1), retried()), (2, before), "they take turns on the replica");
    let mut other = Client::app(proxy.port());
    let ids: Vec<u32> = (4..=6).map(|n| prepare(&mut other, n)).collect();
    settle(lab, &[6, 2]);
    // The first is tried on the replica; those after it are pinned.
    assert!(retried() > before, "the replica has no room for a client's PREPARE");
    for n in [4, 5, 6] {
        assert_eq!(execute(&mut other, ids[n - 4]), format!("item {n}"));
    }
    // On the primary in turn.
    set(0, 7);
    client.run("BEGIN");
    let more: Vec<u32> = (7..=8).map(|n| prepare(&mut client, n)).take(1).collect();
    assert_eq!(execute(&mut client, more[0]), "item 7");
    let mut new = Client::app(proxy.port());
    new.run("BEGIN");
    for client in [&mut Client::app(lab.port(0)), &mut new] {
        let fail = client.prepare("SELECT name FROM items WHERE id = 9").unwrap_err();
        assert_eq!(
            fail.to_string(),
            "ERROR 1461 (42000): Can't create more than max_prepared_stmt_count statements \
             (current value: 7)"
        );
    }
    // A connection that has others makes room.
    let more = prepare(&mut client, 9);
    assert_eq!(execute(&mut client, more), "item 9");
    client.run("COMMIT");
    set(1, 16_382);
    set(0, 16_382);
    drop((client, other, new));
    settle(lab, &[0, 0]);
    // Prepared on the replica, and again on a primary that has room for one.
    let mut client = Client::app(proxy.port());
    let ids: Vec<u32> = (11..=13).map(|n| prepare(&mut client, n)).collect();
    settle(lab, &[0, 3]);
    set(0, 1);
    client.run("BEGIN");
    for n in [1, 2, 3, 1] {
        assert_eq!(execute(&mut client, ids[n - 1]), format!("item 1{n}"));
    }
    set(0, 0);
    let fail = client.execute_id(ids[1]).unwrap_err();
    assert_eq!(fail.code(), 1461, "{fail}");
    client.run("COMMIT");
    assert_eq!(execute(&mut client, ids[1]), "item 12", "the replica has it");
    set(0, 16_382);
}

/// What another session has just made on the primary is there for every session, though no replica
/// has it yet, and does not vanish again.
fn behind(world: &World) {
    let lab = &world.lab;
    let proxy = Proxy::start(lab, "[routing]\nmax_lag = \"1h\"\nlag_tolerance = \"1h\"");
    eventually("the replica takes reads", || {
        proxy.metrics().sum("lagwise_server_eligible", &[]) == 2.0
    });
    let by = |reason: &str| {
        proxy.metrics().sum("lagwise_queries_total", &[("target", "primary"), ("reason", reason)])
    };
    let mut clients = [Client::app(proxy.port()), Client::app(proxy.port())];
    let known = clients[1].prepare("SELECT name FROM items WHERE id = 1").unwrap().0;
    lab.stop_applier(1);
    lab.sql(
        0,
        "CREATE TABLE shop.wire_new (n VARCHAR(10)); INSERT INTO shop.wire_new VALUES ('x')",
    );
    lab.sql(0, "ALTER TABLE shop.items ADD COLUMN colour VARCHAR(10) DEFAULT 'red'");
    let [text, binary] = &mut clients;
    assert_eq!(text.value("SELECT n FROM wire_new"), "x");
    let id = binary.prepare("SELECT colour FROM items WHERE id = 1").unwrap().0;
    assert_eq!(execute(binary, id), "red");
    assert_eq!((by("pinned_behind"), by("pinned_write")), (1.0, 0.0), "the execution is pinned");
    // What is nowhere is an error in the primary's words.
    let fail = text.query("SELECT n FROM wire_nowhere").unwrap_err();
    assert_eq!(fail.to_string(), "ERROR 1146 (42S02): Table 'shop.wire_nowhere' doesn't exist");
    for client in &mut clients {
        assert_eq!(client.value("SELECT COUNT(*) FROM wire_new"), "1");
    }
    assert_eq!(by("pinned_behind"), 4.0);
    assert_eq!(execute(&mut clients[1], known), "item 1");
    // Within a READ ONLY transaction on the replica it is the replica's answer.
    let mut reader = Client::app(proxy.port());
    reader.run("START TRANSACTION READ ONLY");
    assert_eq!(reader.query("SELECT n FROM wire_new").unwrap_err().code(), 1146);
    reader.run("COMMIT");
    lab.start_applier(1);
    lab.wait_caught_up();
    eventually("the pins end", || {
        clients[0].run("SELECT n FROM wire_new");
        let before = by("pinned_behind");
        clients[0].run("SELECT n FROM wire_new");
        by("pinned_behind") == before
    });
    lab.sql(0, "DROP TABLE shop.wire_new; ALTER TABLE shop.items DROP COLUMN colour");
    lab.wait_caught_up();
}

/// Each statement's place is looked at by itself, and not what was read before it on the primary.
const MONITORED: &str = "[monitor]\nuser = \"monitor\"\npassword = \"monitor_password\"\n\
                         check_interval = \"20ms\"\n[pool]\nmode = \"session\"\n\
                         [consistency]\nmonotonic_reads = false";

fn all(make: Make) {
    let mut world = World::start(make, &[]);
    // What is counted on the servers is of the sessions that are there, and not of those before.
    world.proxy = Proxy::start(&world.lab, MONITORED);
    eventually("the replica takes reads", || {
        world.proxy.metrics().sum("lagwise_server_eligible", &[]) == 2.0
    });
    let part = |name: &str, part: fn(&World)| {
        let start = std::time::Instant::now();
        part(&world);
        println!("{make}: {name}: {:?}", start.elapsed());
    };
    part("meaning", meaning);
    part("ids", ids);
    part("lost connections", lost_connections);
    part("bulk executions", bulk::all);
    part("full servers", full);
    part("replicas that are behind", behind);
    part("places of text statements", text::places);
    part("meaning of text statements", text::meaning);
    part("answers of text statements", text::answers);
    part("many text statements", text::many);
    part("text statements on a replica that is behind", text::behind);
    part("open statements", open_at_a_time);
    part("loops", loops);
    world.finish();
}

#[test]
fn prepared_statements_on_mysql() {
    all(Make::MySql);
}

#[test]
fn prepared_statements_on_mariadb() {
    all(Make::MariaDb);
}
