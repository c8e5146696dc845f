//! A read sees what others wrote, as far as `consistency.scope` and keys say: with a replica that applies
//! nothing, so that only a proxy that knows which reads are concerned can be right; and by table no other
//! read is sent to the primary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod raw;
mod support;

use raw::Client;
use support::{Lab, Make, Proxy, eventually};

const SCHEMA: &str = "
    CREATE TABLE note (id INT PRIMARY KEY, v INT NOT NULL) ENGINE=InnoDB;
    INSERT INTO note VALUES (1, 0);
    CREATE TABLE quiet (id INT PRIMARY KEY, v INT NOT NULL);
    INSERT INTO quiet VALUES (1, 0);
    CREATE VIEW note_view AS SELECT v AS w FROM note WHERE id = 1;
    CREATE VIEW view_view AS SELECT w + 0 AS x FROM note_view;
    CREATE TABLE source (v INT NOT NULL);
    CREATE TABLE audit (v INT NOT NULL);
    INSERT INTO audit VALUES (0);
    CREATE TRIGGER on_source AFTER INSERT ON source FOR EACH ROW UPDATE audit SET v = NEW.v;
    CREATE TABLE parent (id INT PRIMARY KEY) ENGINE=InnoDB;
    CREATE TABLE child (id INT PRIMARY KEY, parent INT, v INT NOT NULL,
      FOREIGN KEY (parent) REFERENCES parent (id) ON UPDATE CASCADE) ENGINE=InnoDB;
    INSERT INTO parent VALUES (0);
    INSERT INTO child VALUES (1, 0, 0);
    CREATE PROCEDURE set_note(n INT) UPDATE note SET v = n WHERE id = 1;
    CREATE FUNCTION bump(n INT) RETURNS INT MODIFIES SQL DATA DETERMINISTIC
      BEGIN UPDATE note SET v = n WHERE id = 1; RETURN n; END;
    CREATE TABLE bumped (v INT NOT NULL);
    CREATE TABLE pieces (id INT PRIMARY KEY, v INT NOT NULL)
      PARTITION BY HASH (id) PARTITIONS 3;
    INSERT INTO pieces VALUES (1, 0)";

/// How something is written that only a replica lacks: statements with `{n}` in them, and the query whose
/// answer is `n` where it was.
struct Case {
    writes: &'static [&'static str],
    read: &'static str,
    /// What it touches is known, so that other tables may go on being read from the replica.
    precise: bool,
}

const fn precise(writes: &'static [&'static str], read: &'static str) -> Case {
    Case { writes, read, precise: true }
}

const fn unclear(writes: &'static [&'static str], read: &'static str) -> Case {
    Case { writes, read, precise: false }
}

const NOTE: &str = "SELECT CAST(v AS CHAR) FROM note WHERE id = 1";
const UPDATE: &str = "UPDATE note SET v = {n} WHERE id = 1";

/// Those that are precise first: after the others nothing is, until the replica has them.
const CASES: &[Case] = &[
    precise(&[UPDATE], NOTE),
    precise(&[UPDATE], "SELECT CAST(v AS CHAR) FROM `shop`.`note`"),
    precise(&[UPDATE], "SELECT CAST(w AS CHAR) FROM note_view"),
    precise(&[UPDATE], "SELECT CAST(x AS CHAR) FROM view_view"),
    precise(&["UPDATE note_view SET w = {n}"], NOTE),
    precise(&["BEGIN", UPDATE, "INSERT INTO source VALUES ({n})", "COMMIT"], NOTE),
    precise(&["SET autocommit = 0", UPDATE, "SET autocommit = 1"], NOTE),
    precise(&["UPDATE note JOIN source ON note.id = 1 SET note.v = {n}"], NOTE),
    precise(&["INSERT INTO source VALUES ({n})"], "SELECT CAST(v AS CHAR) FROM audit"),
    precise(&["UPDATE parent SET id = {n}"], "SELECT CAST(parent AS CHAR) FROM child"),
    precise(&["CALL set_note({n})"], NOTE),
    precise(&["INSERT INTO bumped VALUES (bump({n}))"], NOTE),
    precise(&["BEGIN; UPDATE note SET v = {n}; COMMIT"], NOTE),
    precise(&["UPDATE pieces PARTITION (p1) SET v = {n}"], "SELECT CAST(v AS CHAR) FROM pieces"),
    precise(&["CREATE TABLE made{n} AS SELECT {n} AS v"], "SELECT CAST(v AS CHAR) FROM made{n}"),
    precise(
        &["CREATE TABLE old{n} AS SELECT {n} AS v", "RENAME TABLE old{n} TO new{n}"],
        "SELECT CAST(v AS CHAR) FROM new{n}",
    ),
    precise(
        &["CREATE VIEW v{n} AS SELECT v FROM note", UPDATE],
        "SELECT CAST(v AS CHAR) FROM v{n}",
    ),
    unclear(
        &["PREPARE s FROM 'UPDATE note SET v = {n}'", "EXECUTE s", "DEALLOCATE PREPARE s"],
        NOTE,
    ),
    unclear(&["SELECT bump({n})"], NOTE),
    unclear(&["XA START 'x{n}'", UPDATE, "XA END 'x{n}'", "XA COMMIT 'x{n}' ONE PHASE"], NOTE),
];

const QUIET: &str = "SELECT server FROM quiet, place";

/// What a statement reads and where.
fn place(client: &mut Client, sql: &str) -> String {
    client.value(sql)
}

fn fill(text: &str, n: u32) -> String {
    text.replace("{n}", &n.to_string())
}

/// What is wrong with a write on one connection and reads on another.
fn check(writer: &mut Client, reader: &mut Client, case: &Case, n: u32) -> Vec<String> {
    for text in case.writes {
        if let Err(fail) = writer.query(&fill(text, n)) {
            return vec![format!("{text}: {fail}")];
        }
    }
    let mut wrong = Vec::new();
    let read = fill(case.read, n);
    for (how, got) in [("text", reader.query(&read)), ("binary", reader.execute(&read))] {
        match got.map(|rows| rows.last().cloned()) {
            Ok(Some(row)) if row[0] == Some(n.to_string()) => {}
            Ok(row) => wrong.push(format!("{:?}: {how} {read}: {row:?}, want {n}", case.writes)),
            Err(fail) => wrong.push(format!("{:?}: {how} {read}: {fail}", case.writes)),
        }
    }
    wrong
}

fn catalogue_is_known(proxy: &Proxy) {
    proxy.wait_log("the catalogue is known");
}

fn start(lab: &Lab, consistency: &str) -> Proxy {
    let proxy = Proxy::start(lab, &config(consistency));
    eventually("the replica takes reads", || {
        proxy.metrics().sum("lagwise_server_eligible", &[]) == 2.0
    });
    proxy
}

fn config(consistency: &str) -> String {
    format!("[routing]\nmax_lag = \"1h\"\n[consistency]\n{consistency}")
}

/// Everything that anybody wrote is seen by everybody, and what nobody wrote is read from the replica.
fn global_by_table(lab: &Lab, n: &mut u32) {
    let proxy = start(lab, "scope = \"global\"");
    let (mut writer, mut reader) = (Client::app(proxy.port()), Client::app(proxy.port()));
    writer.run("INSERT INTO source VALUES (0)");
    catalogue_is_known(&proxy);
    lab.wait_caught_up();
    proxy.wait_probed();
    lab.stop_applier(1);
    let mut wrong = Vec::new();
    for case in CASES {
        *n += 1;
        wrong.extend(check(&mut writer, &mut reader, case, *n));
        // The definitions have been read again.
        if case.precise {
            let known = || place(&mut reader, QUIET) == "1" && place(&mut writer, QUIET) == "1";
            if case.writes.iter().any(|text| text.starts_with("CREATE")) {
                continue;
            }
            if !{ known }() {
                wrong.push(format!("{:?}: other tables are read on the primary", case.writes));
            }
        }
    }
    assert_eq!(
        place(&mut Client::app(proxy.port()), QUIET),
        "0",
        "nothing is known to be untouched"
    );
    lab.start_applier(1);
    lab.wait_caught_up();
    assert!(wrong.is_empty(), "{}: {}", lab.make, wrong.join("\n"));
    let reasons = proxy.metrics().sum("lagwise_queries_total", &[("reason", "pinned_others")]);
    assert!(reasons > 20.0, "{reasons}");
}

/// What a session has read on the primary stays seen, however it was read there; and what does not name its
/// tables is about all of them.
fn by_table_in_every_way(lab: &Lab, n: &mut u32) {
    let proxy = start(lab, "scope = \"global\"");
    Client::app(proxy.port()).run("INSERT INTO source VALUES (0)");
    catalogue_is_known(&proxy);
    lab.wait_caught_up();
    proxy.wait_probed();
    lab.stop_applier(1);
    let mut wrong = Vec::new();
    let view = "/* lagwise: primary */ SELECT CAST(w AS CHAR) FROM note_view";
    let table = format!("/* lagwise: primary */ {NOTE}");
    let ways: [(&[&str], &str); 5] = [
        (&[&table], NOTE),
        (&[&table], "SELECT CAST(w AS CHAR) FROM note_view"),
        (&[view], NOTE),
        (&["BEGIN", NOTE, "COMMIT"], NOTE),
        (&["BEGIN", NOTE, "ROLLBACK"], NOTE),
    ];
    for (before, read) in ways {
        *n += 1;
        // By nobody whom lagwise knows.
        lab.sql(0, &format!("UPDATE shop.note SET v = {n}"));
        let mut client = Client::app(proxy.port());
        before.iter().for_each(|text| drop(client.run(text)));
        let got = client.value(read);
        if got != n.to_string() {
            wrong.push(format!("{before:?}, then {read}: {got}, want {n}"));
        }
        if client.value(QUIET) != "1" && !before.contains(&"BEGIN") {
            wrong.push(format!("{before:?}: other tables are read on the primary"));
        }
    }
    // A transaction that is begun on a replica shows what is there.
    *n += 1;
    Client::app(proxy.port()).run(&fill(UPDATE, *n));
    let mut client = Client::app(proxy.port());
    client.run("START TRANSACTION READ ONLY");
    assert_eq!(client.value(NOTE), n.to_string());
    client.run("COMMIT");
    client.run(&format!("CREATE TABLE listed{n} (id INT)"));
    for sql in [
        format!("SHOW TABLES LIKE 'listed{n}'"),
        format!(
            "SELECT table_name FROM information_schema.tables \
             WHERE table_schema = 'shop' AND table_name = 'listed{n}'"
        ),
    ] {
        for client in [&mut client, &mut Client::app(proxy.port())] {
            if client.run(&sql).is_empty() {
                wrong.push(format!("{sql}: nothing"));
            }
        }
    }
    lab.start_applier(1);
    lab.wait_caught_up();
    assert!(wrong.is_empty(), "{}: {}", lab.make, wrong.join("\n"));
}

/// Writes of an account are seen by its own sessions.
fn by_account(lab: &Lab, n: &mut u32) {
    let proxy = start(lab, "scope = \"account\"\nby_table = false");
    lab.wait_caught_up();
    proxy.wait_probed();
    let other =
        || Client::connect(proxy.port(), raw::Login::of("other", "other_password")).unwrap();
    let old = n.to_string();
    lab.stop_applier(1);
    lab.sql(0, "DO 1");
    let before = other().value(NOTE);
    *n += 1;
    Client::app(proxy.port()).run(&fill(UPDATE, *n));
    assert_eq!(Client::app(proxy.port()).value(NOTE), n.to_string());
    assert_eq!(place(&mut Client::app(proxy.port()), QUIET), "0", "not by table");
    assert_eq!((other().value(NOTE), before != n.to_string()), (before, true), "{old}");
    lab.start_applier(1);
    lab.wait_caught_up();
    eventually("all are back on the replica", || {
        place(&mut Client::app(proxy.port()), QUIET) == "1"
    });
}

/// Statements with the same key see each other's writes, whoever sends them.
fn by_key(lab: &Lab, n: &mut u32) {
    let proxy = start(lab, "");
    lab.wait_caught_up();
    proxy.wait_probed();
    lab.stop_applier(1);
    let old = Client::app(proxy.port()).value(NOTE);
    *n += 1;
    Client::app(proxy.port()).run(&format!("/* lagwise: key=cart-1 */ {}", fill(UPDATE, *n)));
    let mut client = Client::app(proxy.port());
    assert_eq!(client.value(NOTE), old);
    assert_eq!(client.value(&format!("/* lagwise: key=cart-2 */ {NOTE}")), old);
    assert_eq!(client.value(&format!("/* lagwise: key=cart-1 */ {NOTE}")), n.to_string());
    // For a session; the variable is there, too.
    let mut client = Client::app(proxy.port());
    client.run("SET @lagwise_key = 'cart-1'");
    assert_eq!(client.value(NOTE), n.to_string());
    assert_eq!(client.value("SELECT @lagwise_key"), "cart-1");
    *n += 1;
    client.run(&fill(UPDATE, *n));
    let mut other = Client::app(proxy.port());
    other.run("SET @lagwise_key = 'cart-1'");
    assert_eq!(other.value(NOTE), n.to_string());
    let mut other = Client::app(proxy.port());
    other.run("SET @lagwise_key = 'cart-1'");
    other.run("SET @lagwise_key = NULL");
    assert_eq!(other.value(NOTE), old);
    assert_eq!(other.query("SELECT @lagwise_key").unwrap()[0], [None]);
    let mut other = Client::app(proxy.port());
    other.run("SET @lagwise_key = 'cart-1'");
    other.simple(0x1f, &[]).unwrap();
    assert_eq!(other.value(NOTE), old, "COM_RESET_CONNECTION takes it away");
    lab.start_applier(1);
    lab.wait_caught_up();
}

/// What the primary has acknowledged to anybody is seen, through another lagwise, too; and the replica
/// serves reads all the same.
fn cluster_wide(lab: &Lab, n: &mut u32) {
    let proxy = start(lab, "scope = \"cluster\"\nwait = \"2s\"");
    let other = start(lab, "");
    let mut reader = Client::app(proxy.port());
    let mut writer = Client::app(other.port());
    let mut on_replica = 0;
    for _ in 0..50 {
        *n += 1;
        writer.run(&fill(UPDATE, *n));
        let row = reader.run("SELECT v, server FROM note, place WHERE id = 1").remove(0);
        assert_eq!(row[0], Some(n.to_string()), "{}", lab.make);
        on_replica += usize::from(row[1].as_deref() == Some("1"));
    }
    println!("{}: cluster: {on_replica} of 50 on the replica", lab.make);
    assert!(on_replica > 40, "{on_replica}");
    // One that stands still costs a wait, and then the primary is asked.
    assert!(proxy.reload(&config("scope = \"cluster\"")));
    lab.stop_applier(1);
    *n += 1;
    lab.sql(0, &format!("UPDATE shop.note SET v = {n}"));
    assert_eq!(reader.value(NOTE), n.to_string());
    lab.start_applier(1);
    lab.wait_caught_up();
}

/// Without the privileges every write counts as one to every table, and the log says what is missing.
fn without_privileges(lab: &Lab, n: &mut u32) {
    let proxy = start(lab, "scope = \"global\"");
    let mut writer = Client::app(proxy.port());
    writer.run("INSERT INTO source VALUES (0)");
    let line = proxy.wait_log("consistency by table");
    assert!(line.contains("SHOW VIEW") && line.contains("GRANT"), "{line}");
    lab.wait_caught_up();
    lab.stop_applier(1);
    *n += 1;
    writer.run(&fill(UPDATE, *n));
    let mut reader = Client::app(proxy.port());
    assert_eq!(reader.value("SELECT CAST(x AS CHAR) FROM view_view"), n.to_string());
    assert_eq!(place(&mut reader, QUIET), "0");
    lab.start_applier(1);
    lab.wait_caught_up();
}

fn run(make: Make) {
    let lab = Lab::start(make, 1);
    if make == Make::MySql {
        lab.sql(0, "SET GLOBAL log_bin_trust_function_creators = 1");
    }
    let root = raw::Login::of("root", "");
    Client::connect_unix(&lab.socket(0), root).unwrap().run(SCHEMA);
    lab.sql(0, "GRANT SELECT ON shop.* TO other@'%'");
    lab.name_places();
    let mut n = 1;
    without_privileges(&lab, &mut n);
    let routines = match make {
        Make::MySql => "GRANT SHOW_ROUTINE ON *.* TO monitor@'%'",
        Make::MariaDb => "GRANT SELECT ON mysql.proc TO monitor@'%'",
    };
    lab.sql(0, &format!("GRANT SHOW VIEW, TRIGGER, SELECT ON *.* TO monitor@'%'; {routines}"));
    global_by_table(&lab, &mut n);
    by_table_in_every_way(&lab, &mut n);
    by_account(&lab, &mut n);
    by_key(&lab, &mut n);
    cluster_wide(&lab, &mut n);
}

#[test]
fn writes_of_others_are_seen_on_mysql() {
    run(Make::MySql);
}

#[test]
fn writes_of_others_are_seen_on_mariadb() {
    run(Make::MariaDb);
}
