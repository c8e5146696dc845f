//! Statements of PREPARE … FROM: EXECUTE of a read runs where the read itself would, and means what it
//! meant when it was prepared.

use super::raw::{Client, Login};
use super::support::wire::{Expect, Options, Step, World, caps};
use super::support::{Lab, Make, Proxy, eventually};
use super::{READ_UNDER, kill_connections, open_statements, q, settle};

/// Where a statement must run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Primary,
    Replica,
}
use On::{Primary, Replica};

const READ: &str = "PREPARE s FROM 'SELECT name FROM items WHERE id = 1'";

/// Sessions, each statement with where it runs. `mariadb:` is for that make only.
const SESSIONS: &[&[(On, &str)]] = &[
    &[(Primary, READ), (Replica, "EXECUTE s"), (Replica, "EXECUTE `S`;"), (Replica, "EXECUTE s")],
    &[
        (Primary, "SET @a = 1"),
        (Primary, "PREPARE s FROM 'SELECT name FROM items WHERE id = ?'"),
        (Primary, "EXECUTE s USING @a"),
        (Replica, "mariadb:EXECUTE s USING 1"),
        (Primary, "PREPARE s FROM 'SELECT @a'"),
        (Primary, "EXECUTE s"),
        (Replica, "SELECT name FROM items WHERE id = 2"),
        (Primary, "PREPARE s FROM 'SELECT id FROM items FOR UPDATE'"),
        (Primary, "EXECUTE s"),
        (Primary, "PREPARE s FROM 'SELECT @@server_id'"),
        (Primary, "EXECUTE s"),
    ],
    // What is asked of the statement before.
    &[
        (Primary, "PREPARE s FROM 'SELECT SQL_CALC_FOUND_ROWS id, 1 / 0 FROM items LIMIT 2'"),
        (Replica, "EXECUTE s"),
        (Replica, "SELECT FOUND_ROWS()"),
        (Replica, "EXECUTE s"),
        (Replica, "SHOW WARNINGS"),
        (Primary, "PREPARE f FROM 'SELECT FOUND_ROWS()'"),
        (Replica, "EXECUTE s"),
        (Replica, "EXECUTE f"),
        (Primary, "PREPARE f FROM 'SELECT ROW_COUNT()'"),
        (Primary, "EXECUTE s"),
        (Primary, "EXECUTE f"),
        (Primary, "DROP PREPARE f"),
        (Replica, "EXECUTE s"),
    ],
    // A text that is not known may be a write.
    &[
        (Primary, READ),
        (Primary, "SET @text = 'SELECT 1'"),
        (Primary, "PREPARE t FROM @text"),
        (Replica, "EXECUTE s"),
        (Primary, "EXECUTE t"),
        (Primary, "EXECUTE s"),
    ],
    &[
        (Primary, READ),
        (Replica, "EXECUTE s"),
        (Primary, "BEGIN"),
        (Primary, "EXECUTE s"),
        (Primary, "COMMIT"),
        (Replica, "EXECUTE s"),
        (Primary, "SET autocommit = 0"),
        (Primary, "EXECUTE s"),
    ],
    &[
        (Replica, "START TRANSACTION READ ONLY"),
        (Replica, "SELECT COUNT(*) FROM items"),
        (Primary, READ),
        (Replica, "EXECUTE s"),
        (Primary, "PREPARE t FROM 'SELECT @a'"),
        (Primary, "EXECUTE t"),
        (Replica, "EXECUTE s"),
        (Primary, "COMMIT"),
        (Replica, "EXECUTE s"),
    ],
    &[
        (Primary, READ),
        (Primary, "/* lagwise: primary */ EXECUTE s"),
        (Primary, "PREPARE s FROM '/* lagwise: primary */ SELECT 1'"),
        (Primary, "EXECUTE s"),
        (Primary, "USE information_schema"),
        (Primary, "PREPARE s FROM 'SELECT COUNT(*) FROM tables'"),
        (Primary, "USE shop"),
        (Primary, "EXECUTE s"),
        (Replica, "mariadb:EXECUTE IMMEDIATE 'SELECT name FROM items WHERE id = ?' USING 3"),
        (Primary, "mariadb:EXECUTE IMMEDIATE 'SELECT @a'"),
        (Primary, "mariadb:EXECUTE IMMEDIATE 'UPDATE items SET stock = stock WHERE id = 0'"),
    ],
];

/// MySQL writes statements on names to its log without their comments.
fn is_of_names(text: &str) -> bool {
    ["PREPARE", "EXECUTE", "DEALLOCATE", "DROP PREPARE"].iter().any(|word| text.starts_with(word))
}

/// How many statements on names a server has run, and of others those with this mark.
fn count(lab: &Lab, server: usize, mark: &str) -> usize {
    let log = lab.general_log(server);
    let queries = log.iter().filter(|entry| entry.command == "Query");
    queries.filter(|entry| is_of_names(&entry.text) || entry.text.contains(mark)).count()
}

/// Plays a session, and looks into the servers' logs for where each statement ran. PREPARE runs on the
/// primary first.
fn play(lab: &Lab, client: &mut Client, name: &str, session: &[(On, &str)]) {
    for (step, &(want, sql)) in session.iter().enumerate() {
        let sql = match sql.strip_prefix("mariadb:") {
            Some(_) if lab.make == Make::MySql => continue,
            Some(sql) => sql,
            None => sql,
        };
        // Behind, where no hint is looked for.
        let mark = format!("{name}.{step}.");
        let before = [0, 1].map(|server| count(lab, server, &mark));
        client.run(&format!("{} /* {mark} */", sql.trim_end_matches(';')));
        let ran = [0, 1].map(|server| count(lab, server, &mark) > before[server]);
        assert_eq!(ran, [want == Primary, want == Replica], "{}: {name}, {step}: {sql}", lab.make);
    }
}

/// Where statements run, and how often the replica prepares them.
pub fn places(world: &World) {
    let (lab, proxy) = (&world.lab, &world.proxy);
    let mut catch_up = world.catch_up();
    lab.log_all();
    for (number, session) in SESSIONS.iter().enumerate() {
        catch_up();
        play(lab, &mut Client::app(proxy.port()), &format!("session {number}"), session);
        let all = session.len();
        if number == 0 {
            assert_eq!((count(lab, 0, "\0"), count(lab, 1, "\0")), (1, all), "prepared once");
        }
    }
    // A write pins as a write.
    lab.stop_applier(1);
    let mut client = Client::app(proxy.port());
    let write = "PREPARE w FROM 'UPDATE items SET stock = stock + 1 WHERE id = 1'";
    let pinned =
        [(Primary, READ), (Primary, write), (Replica, "EXECUTE s"), (Primary, "EXECUTE w")];
    play(lab, &mut client, "before", &pinned);
    play(lab, &mut client, "pinned", &[(Primary, "EXECUTE s")]);
    let immediate = [
        (Replica, "mariadb:EXECUTE IMMEDIATE 'SELECT 1'"),
        (Primary, "mariadb:EXECUTE IMMEDIATE 'UPDATE items SET stock = stock + 1 WHERE id = 9'"),
        (Primary, "mariadb:EXECUTE IMMEDIATE 'SELECT 1'"),
    ];
    play(lab, &mut Client::app(proxy.port()), "immediate", &immediate);
    lab.start_applier(1);
    catch_up();
    play(lab, &mut client, "later", &[(Replica, "EXECUTE s")]);
    by_rules(lab);
    for server in 0..lab.count() {
        lab.set_general_log(server, false);
    }
}

/// Rules are about the statement that is executed.
fn by_rules(lab: &Lab) {
    let rules = "[[rule]]\nname = \"stock\"\nstatement = [\"SELECT stock\"]\ntarget = \"primary\"\n\
                 [[rule]]\nname = \"kept\"\nuser = [\"other\"]\nread_only = true\n";
    let proxy = Proxy::start(lab, rules);
    eventually("the replica takes reads", || {
        proxy.metrics().sum("lagwise_server_eligible", &[]) == 2.0
    });
    let session = [
        (Primary, READ),
        (Replica, "EXECUTE s"),
        (Primary, "PREPARE t FROM 'SELECT stock FROM items WHERE id = 1'"),
        (Primary, "EXECUTE t"),
        (Primary, "mariadb:EXECUTE IMMEDIATE 'SELECT stock FROM items WHERE id = 1'"),
    ];
    play(lab, &mut Client::app(proxy.port()), "rules", &session);
    let other = Login { user: "other", password: "other_password", ..super::raw::APP };
    let mut kept = Client::connect(proxy.port(), other).unwrap();
    let session = [(Replica, READ), (Replica, "EXECUTE s"), (Replica, "DEALLOCATE PREPARE s")];
    play(lab, &mut kept, "kept", &session);
}

fn literal(text: &str) -> String {
    text.replace('\'', "''")
}

/// A statement means what it meant when it was prepared, whatever the session is by now, and the session
/// is as it was set last.
pub fn meaning(world: &World) {
    let now = "SELECT @@sql_mode, DATABASE(), @@collation_connection, @@character_set_client,
                 @@div_precision_increment, @@default_week_format, @@lc_time_names,
                 @@group_concat_max_len, \"x\", 'x\\n'";
    let mut script = Vec::new();
    for (before, text, after) in READ_UNDER {
        script.extend([q(before), q(&format!("PREPARE s FROM '{}'", literal(text)))]);
        script.extend([q("EXECUTE s"), q(after), q("EXECUTE s"), q(now)]);
        script.push(q(&format!("PREPARE t FROM '{}'", literal(text))));
        // First there once the session is otherwise.
        script.extend([q(before), q("EXECUTE t"), q(now), q("BEGIN"), q("EXECUTE t"), q("COMMIT")]);
    }
    for capabilities in [0, caps::DEPRECATE_EOF, caps::SESSION_TRACK] {
        let options = Options::new(capabilities).account("other");
        world.compare("text meaning", &options, &script);
    }
}

/// What a client can ask about a statement that was executed, and names that come and go.
pub fn answers(world: &World) {
    let ask = ["SHOW WARNINGS", "SELECT @@warning_count, ROW_COUNT()", "SELECT FOUND_ROWS()"];
    let mut script = Vec::new();
    let texts = [
        "SELECT CAST('x' AS SIGNED), id FROM shop.items LIMIT 3",
        "SELECT SQL_CALC_FOUND_ROWS id FROM shop.items LIMIT 3",
        "SELECT name FROM shop.items WHERE id < 3 && id > 0",
        "SELECT DISTINCT id, NULL, 1.5, 'x', NOW() > 0 FROM shop.items WHERE id < 3",
        "EXPLAIN SELECT 1",
        "SHOW TABLES FROM shop",
        "(SELECT id FROM shop.items LIMIT 1) UNION ALL SELECT 2",
        "VALUES ROW(1, 2)",
        "SELECT no_such FROM shop.items",
        "SELECT (SELECT id FROM shop.items) AS two_rows",
        "SELECT GROUP_CONCAT(name) FROM shop.items WHERE id < ?",
        "SELEC 1",
        "DO 1",
        "SELECT 1; SELECT 2",
        "",
    ];
    for text in texts {
        for question in ask {
            script.push(q(&format!("PREPARE s FROM '{}'", literal(text))));
            script.extend([q("EXECUTE s"), q("EXECUTE s"), q(question)]);
        }
        script.extend([q("EXECUTE s USING @none"), q("EXECUTE s USING @none, @none")]);
        // MariaDB keeps warnings at statements without tables.
        let forget = "SELECT id FROM shop.items WHERE id = 1";
        script.extend([q(&format!("{forget} FOR UPDATE")), q(forget)]);
    }
    for asks in ["SELECT ROW_COUNT()", "SELECT FOUND_ROWS()", "SELECT @@warning_count"] {
        script.extend([q(&format!("PREPARE a FROM '{asks}'"))]);
        script.extend([q("SELECT id, 1 / 0 FROM shop.items LIMIT 4"), q("EXECUTE a")]);
        script.extend([q("DROP PREPARE a"), q("SELECT 7"), q("EXECUTE a")]);
    }
    let names = ["PREPARE S FROM 'SELECT 1'", "EXECUTE s", "DROP PREPARE `s`", "EXECUTE s"];
    script.extend(names.map(q));
    script.extend([q("PREPARE s FROM 'SELECT 1'"), q("EXECUTE s"), q("PREPARE s FROM 'SELECT 2'")]);
    script.extend([q("EXECUTE s"), q("PREPARE s FROM 'SELEC 3'"), q("EXECUTE s")]);
    script.extend([q("PREPARE s FROM 'SELECT 3'"), q("EXECUTE s")]);
    script.extend([Step::raw(0x1f, &[], Expect::Results), q("EXECUTE s"), q("EXECUTE s")]);
    script.extend([q("PREPARE s FROM 'SELECT 4'"), q("EXECUTE s"), q("SHOW WARNINGS")]);
    world.compare_all("text answers", &script);
}

/// Statements of a session that has hundreds, lost connections, and servers without room.
pub fn many(world: &World) {
    let (lab, proxy) = (&world.lab, &world.proxy);
    let mut client = Client::app(proxy.port());
    let execute = |client: &mut Client, n: u32| {
        assert_eq!(client.value(&format!("EXECUTE s{n}")), format!("item {n}"));
    };
    let count = 2 * lagwise::backend::text_statements::MAX_TEXT as u32;
    let prepare = |client: &mut Client, n: u32| {
        client.run(&format!("PREPARE s{n} FROM 'SELECT name FROM items WHERE id = {n}'"));
    };
    for n in 1..=100 {
        prepare(&mut client, n);
    }
    for n in 1..=count {
        client.run(&format!("PREPARE t{n} FROM 'SELECT name FROM items WHERE id = {n} % 100 + 1'"));
        client.run(&format!("EXECUTE t{n}"));
        execute(&mut client, n % 100 + 1);
    }
    let open = |server| open_statements(lab, server);
    assert_eq!((open(0), open(1)), (u64::from(count) + 100, u64::from(count) / 2));
    for n in 1..=count {
        client.run(&format!("DEALLOCATE PREPARE t{n}"));
    }
    // What is gone is dropped with the next that is prepared.
    (2..=100).for_each(|n| client.run(&format!("DROP PREPARE s{n}")).clear());
    prepare(&mut client, 1);
    execute(&mut client, 1);
    assert_eq!((open(0), open(1)), (1, 1));
    // They take turns where there is room for two.
    lab.sql(1, "SET GLOBAL max_prepared_stmt_count = 2");
    let retried = || proxy.metrics().value("lagwise_read_retries_total");
    let before = retried();
    (2..=4).for_each(|n| prepare(&mut client, n));
    for n in [1, 2, 3, 4, 1, 2, 2] {
        execute(&mut client, n);
    }
    assert_eq!((open(1), retried()), (2, before));
    lab.sql(1, "SET GLOBAL max_prepared_stmt_count = 0");
    drop(client);
    settle(lab, &[0, 0]);
    let mut client = Client::app(proxy.port());
    prepare(&mut client, 1);
    execute(&mut client, 1);
    assert_eq!((open(1), retried()), (0, before + 1.0), "the primary has it");
    lab.sql(1, "SET GLOBAL max_prepared_stmt_count = 16382");
    drop(client);
    lost(lab, proxy);
    settle(lab, &[0, 0]);
}

/// On a new connection to the replica a statement is prepared again; with the primary's it is gone.
fn lost(lab: &Lab, proxy: &Proxy) {
    let other = Login { user: "other", password: "other_password", ..super::raw::APP };
    let mut client = Client::connect(proxy.port(), other).unwrap();
    client.run(READ);
    assert_eq!(client.value("EXECUTE s"), "item 1");
    kill_connections(lab, 1, "other");
    assert_eq!(client.value("EXECUTE s"), "item 1");
    assert_eq!(open_statements(lab, 1), 1);
    kill_connections(lab, 0, "other");
    assert!(client.query("SELECT name FROM items WHERE id = 1 FOR UPDATE").is_err());
    for _ in 0..2 {
        assert_eq!(client.query("EXECUTE s").unwrap_err().code(), 1243);
    }
}

/// What a replica lacks, the primary runs.
pub fn behind(world: &World) {
    let (lab, proxy) = (&world.lab, &world.proxy);
    let mut client = Client::app(proxy.port());
    lab.stop_applier(1);
    lab.sql(
        0,
        "CREATE TABLE shop.wire_text (n VARCHAR(9)); INSERT INTO shop.wire_text VALUES ('x')",
    );
    client.run("PREPARE s FROM 'SELECT n FROM wire_text'");
    assert_eq!(client.value("EXECUTE s"), "x");
    lab.start_applier(1);
    lab.sql(0, "DROP TABLE shop.wire_text");
    lab.wait_caught_up();
    assert_eq!(client.query("EXECUTE s").unwrap_err().code(), 1146);
}
