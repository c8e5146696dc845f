//! Sessions that a rule keeps on replicas: everything of a session works there, and no write leaves
//! lagwise.

use super::raw::{Client, Login};
use super::support::{Lab, Make, Proxy, eventually};
use super::{BI, fails, login, ran_on, server_of, servers, visited, with_bi, within};

const WRITES: &[&str] = &[
    "INSERT INTO items (name, price, stock) VALUES ('mark-w', 1, 1)",
    "/* lagwise: primary */ UPDATE items SET stock = 0 WHERE name = 'mark-w'",
    "DELETE FROM items WHERE name = 'mark-w'",
    "REPLACE INTO items (name, price, stock) VALUES ('mark-w', 1, 1)",
    "CREATE TABLE mark_w (a INT) COMMENT 'mark-w'",
    "TRUNCATE TABLE orders /* mark-w */",
    "SELECT 1; DELETE FROM items WHERE name = 'mark-w'",
    "CALL absent('mark-w')",
    "SELECT absent('mark-w')",
    "LOAD DATA LOCAL INFILE 'mark-w' INTO TABLE items",
    "SET GLOBAL max_connections = 7 /* mark-w */",
    "BEGIN NOT ATOMIC DELETE FROM items WHERE name = 'mark-w'; END",
    "XA START 'mark-w'",
];

/// With MySQL's number, without asking any server, and without harm to the session.
pub fn writes_are_refused(lab: &Lab, proxy: &mut Proxy) {
    assert!(proxy.reload(&with_bi(lab, "")));
    let mut bi = login(proxy, BI);
    for sql in WRITES {
        fails(sql, bi.query(sql), 1290, &["(HY000)", "'bi'", "read_only"]);
        fails(sql, bi.execute(sql), 1290, &["(HY000)", "'bi'"]);
    }
    // Of one that is not held whole the beginning speaks.
    let large = "x".repeat(2 << 20);
    let insert = format!("INSERT INTO items VALUES ('mark-w{large}')");
    fails("large", bi.query(&insert), 1290, &["'bi'"]);
    let select = format!("SELECT CAST(LENGTH('{large}') AS CHAR)");
    assert_eq!(bi.value(&select), large.len().to_string());
    fails("a slip", bi.query("SELEC 1"), 1064, &[]);
    bi.run("START TRANSACTION");
    let before = bi.value("SELECT CAST(COUNT(*) AS CHAR) FROM items");
    fails("in a transaction", bi.query(WRITES[0]), 1290, &["'bi'"]);
    assert_eq!(bi.status & 1, 1, "the transaction is open");
    assert_eq!(bi.value("SELECT CAST(COUNT(*) AS CHAR) FROM items"), before);
    bi.run("COMMIT");
    assert_eq!(ran_on(lab, "mark-w"), Vec::<usize>::new());
    assert_eq!(visited(lab, "other").len(), 1, "one server for all of it");
    let refused = "lagwise_queries_total{target=\"none\",reason=\"read_only_rule\"}";
    assert!(proxy.metrics().value(refused) > 2.0 * WRITES.len() as f64);
    let errors = "lagwise_errors_total{side=\"proxy\",kind=\"refused\"}";
    assert!(proxy.metrics().value(errors) > 2.0 * WRITES.len() as f64);
}

/// What a replica has written by itself.
fn own_position(lab: &Lab, server: usize) -> String {
    match lab.make {
        Make::MySql => lab.sql(server, "SELECT @@GLOBAL.gtid_executed"),
        Make::MariaDb => lab.sql(server, "SELECT @@GLOBAL.gtid_binlog_pos"),
    }
}

/// State of every kind, on one connection as on a direct one.
pub fn session_state(lab: &Lab, proxy: &mut Proxy) {
    let positions = [2, 3].map(|server| own_position(lab, server));
    let mut bi = login(proxy, BI);
    let home = server_of(&mut bi);
    assert!([2, 3].contains(&home), "{home}");
    bi.run("SET @a = 41, SESSION group_concat_max_len = 4321, time_zone = '+03:00'");
    assert_eq!(bi.value("SELECT CAST(@a + 1 AS CHAR)"), "42");
    assert_eq!(bi.value("SELECT CAST(@@group_concat_max_len AS CHAR)"), "4321");
    assert_eq!(bi.execute("SELECT CAST(@a AS CHAR)").unwrap()[0][0].as_deref(), Some("41"));
    bi.run("USE other");
    assert_eq!(bi.value("SELECT word FROM secrets"), "sesame");
    bi.simple(2, b"shop").unwrap();
    assert_eq!(bi.value("SELECT DATABASE()"), "shop");
    assert!(bi.run("SHOW TABLES").len() >= 2 && bi.run("SHOW VARIABLES LIKE 'port'").len() == 1);
    for (sql, in_transaction) in [
        ("START TRANSACTION READ ONLY", 1),
        ("SELECT COUNT(*) FROM items", 1),
        ("COMMIT", 0),
        ("SET autocommit = 0", 0),
        ("SELECT COUNT(*) FROM items", 1),
        ("ROLLBACK", 0),
        ("SET autocommit = 1", 0),
        ("BEGIN", 1),
        ("SAVEPOINT a", 1),
        ("ROLLBACK TO a", 1),
        ("COMMIT", 0),
    ] {
        bi.run(sql);
        assert_eq!(bi.status & 1, in_transaction, "{sql}");
    }
    bi.run("PREPARE s FROM 'SELECT CAST(? + 1 AS CHAR)'");
    assert_eq!(bi.value("EXECUTE s USING @a"), "42");
    bi.run("PREPARE w FROM 'INSERT INTO orders (item_id, quantity) VALUES (1, 1)'");
    let refused = bi.query("EXECUTE w").expect_err("a write");
    assert!([1290, 1792].contains(&refused.code()), "the server refuses it: {refused}");
    assert_eq!(bi.value("SELECT CAST(GET_LOCK('mark', 0) AS CHAR)"), "1");

    bi.run("CREATE TEMPORARY TABLE t (a INT NOT NULL AUTO_INCREMENT PRIMARY KEY, b INT)");
    bi.run("INSERT INTO t (b) VALUES (5), (6)");
    assert_eq!(bi.value("SELECT CAST(LAST_INSERT_ID() AS CHAR)"), "1");
    bi.run("UPDATE t SET b = b + 1");
    assert_eq!(bi.value("SELECT CAST(SUM(b) AS CHAR) FROM t"), "13");
    let real = "INSERT INTO orders (item_id, quantity) VALUES (1, 78)";
    let refused = bi.query(real).expect_err("a write to a real table");
    assert!([1290, 1836].contains(&refused.code()), "the server refuses it: {refused}");
    bi.run("TRUNCATE TABLE t");
    bi.run("DROP TEMPORARY TABLE t");
    assert_eq!(server_of(&mut bi), home, "all of it on one server");
    drop(bi);
    assert_eq!(visited(lab, "other"), [home]);
    let after = [2, 3].map(|server| own_position(lab, server));
    assert_eq!(after, positions, "no transactions of a replica's own");

    // A replica that does not refuse writes by itself is not asked about tables.
    let off = |on: bool| match lab.make {
        Make::MySql => format!("SET GLOBAL super_read_only = {on}, GLOBAL read_only = {on}"),
        Make::MariaDb => format!("SET GLOBAL read_only = {on}"),
    };
    for server in [2, 3] {
        lab.sql(server, &off(false));
    }
    let mut bi = login(proxy, BI);
    eventually("the monitors see it", || {
        bi.query("CREATE TEMPORARY TABLE IF NOT EXISTS t (a INT)").is_err()
    });
    fails("temporary", bi.query("CREATE TEMPORARY TABLE t2 (a INT)"), 1290, &["'bi'"]);
    fails("into it", bi.query("INSERT INTO t VALUES (1)"), 1290, &["'bi'"]);
    for server in [2, 3] {
        lab.sql(server, &off(true));
    }
    bi.run("SELECT 1");
}

/// Commands about the session itself.
pub fn commands(lab: &Lab, proxy: &mut Proxy) {
    let mut bi = login(proxy, BI);
    let (id, _) = bi.prepare("SELECT CAST(@a AS CHAR)").unwrap();
    bi.run("SET @a = 7");
    assert_eq!(bi.execute_id(id).unwrap()[0][0].as_deref(), Some("7"));
    let home = server_of(&mut bi);
    bi.simple(0x1f, &[]).expect("COM_RESET_CONNECTION");
    assert_eq!(bi.value("SELECT COALESCE(@a, 'gone')"), "gone");
    fails("a statement from before", bi.execute_id(id), 1243, &[]);
    assert_eq!(server_of(&mut bi), home);
    let set_option = |client: &mut Client, option: u8| {
        client.send(0x1b, &[option, 0]).unwrap();
        assert_eq!(client.read().unwrap()[0], 0xfe, "EOF answers COM_SET_OPTION");
    };
    // Several statements in one text: not allowed, and allowed again.
    set_option(&mut bi, 1);
    fails("two statements", bi.query("SELECT 1; SELECT 2"), 1064, &[]);
    set_option(&mut bi, 0);
    assert_eq!(bi.run("SELECT 'x'; SELECT 'y'").len(), 2);
    bi.simple(0x0e, &[]).expect("COM_PING");

    // To another account of the rule, to one without a rule, and back.
    bi.change_user(Login::of("nopass", "")).expect("COM_CHANGE_USER within the rule");
    assert!([2, 3].contains(&server_of(&mut bi)));
    assert_eq!(visited(lab, "nopass").len(), 1);
    bi.change_user(super::raw::APP).expect("COM_CHANGE_USER to app");
    assert_eq!(server_of(&mut bi), 0);
    bi.run("INSERT INTO orders (item_id, quantity) VALUES (1, 79)");
    bi.change_user(BI).expect("COM_CHANGE_USER back");
    assert!([2, 3].contains(&server_of(&mut bi)));
    fails("a write", bi.query("DELETE FROM orders"), 1290, &["'bi'"]);
    let wrong = Login { password: "wrong", ..BI };
    fails("a wrong password", bi.change_user(wrong), 1045, &["other"]);
    fails("a wrong password", Client::connect(proxy.port(), wrong).map(drop), 1045, &["other"]);
    let absent = Login { schema: Some("absent"), ..BI };
    let denied = Client::connect(proxy.port(), absent).map(drop);
    assert!([1044, 1049].contains(&denied.expect_err("an absent schema").code()));
    within(&visited(lab, "other"), &[2, 3], "other");
    within(&visited(lab, "nopass"), &[2, 3], "nopass");
    within(&visited(lab, "app"), &[0, 1], "app");
}

/// KILL by lagwise's id and by CONNECTION_ID(), and nobody's session on the primary.
pub fn kill(lab: &Lab, proxy: &mut Proxy) {
    let mut killer = login(proxy, BI);
    for by_own_id in [true, false] {
        let mut victim = login(proxy, BI);
        // CONNECTION_ID() names a session only to those who are on the same server.
        eventually("both are on one server", || {
            let same = server_of(&mut victim) == server_of(&mut killer);
            if !same {
                victim = login(proxy, BI);
            }
            same
        });
        let id = match by_own_id {
            true => victim.id.to_string(),
            false => victim.value("SELECT CAST(CONNECTION_ID() AS CHAR)"),
        };
        victim.send(3, b"SELECT SLEEP(600) /* mark-sleep */").unwrap();
        eventually("it sleeps", || [2, 3].iter().any(|server| lab.seen(*server, "mark-sleep") > 0));
        killer.run(&format!("KILL QUERY {id}"));
        // Either way MySQL and MariaDB word an interrupted SLEEP.
        let _ = victim.results(false);
        assert_eq!(victim.value("SELECT 'alive'"), "alive");
        killer.run(&format!("KILL {id}"));
        assert!(victim.query("SELECT 1").is_err());
        super::forget_logs(lab);
    }
    let mut app = Client::app(proxy.port());
    let on_primary = app.value("SELECT CAST(CONNECTION_ID() AS CHAR)");
    fails("another's session", killer.query(&format!("KILL {}", app.id)), 1094, &[]);
    // The id of a connection on the primary is, on the replica, nobody's or one's own server's.
    let _ = killer.query(&format!("KILL QUERY {on_primary}"));
    assert_eq!(app.value("SELECT 'alive' FROM items LIMIT 1"), "alive");
    let met = visited(lab, "other");
    assert!(!met.contains(&0) && !met.contains(&1), "{met:?}");
    assert_eq!(ran_on(lab, "KILL").iter().filter(|server| **server < 2).count(), 0);
}

/// Rules that a reload brings and takes away, for sessions that are open.
pub fn reload(lab: &Lab, proxy: &mut Proxy) {
    let mut bi = login(proxy, BI);
    let mut idle = login(proxy, BI);
    let mut open = login(proxy, BI);
    bi.run("SET SESSION group_concat_max_len = 4321");
    bi.run("USE other");
    let (id, _) = bi.prepare("SELECT CAST(@@server_id AS CHAR), DATABASE()").unwrap();
    open.run("BEGIN");
    open.run("SELECT 1 FROM items");
    assert!(proxy.reload(&servers(lab)));
    // Nothing ties the first, the last has to end its transaction.
    assert_eq!(server_of(&mut bi), 0);
    assert_eq!(bi.value("SELECT CAST(@@group_concat_max_len AS CHAR)"), "4321");
    let row = bi.execute_id(id).unwrap().remove(0);
    assert_eq!(row, [Some("1".to_owned()), Some("other".to_owned())], "prepared anew");
    assert!([2, 3].contains(&server_of(&mut open)));
    open.run("COMMIT");
    assert_eq!(server_of(&mut open), 0);

    let slow = "[[rule]]\nname = \"slow\"\nuser = \"other\"\ntag = \"slow\"\nread_only = true\n";
    assert!(proxy.reload(&format!("{}{slow}", servers(lab))));
    for client in [&mut bi, &mut idle, &mut open] {
        assert_eq!(server_of(client), 3);
    }
    fails("a write", bi.query("DELETE FROM orders"), 1290, &["'slow'"]);
    assert_eq!(bi.value("SELECT DATABASE()"), "other");
    // A reload that does not change where they live leaves their connections alone.
    let connection = |client: &mut Client| client.value("SELECT CAST(CONNECTION_ID() AS CHAR)");
    let before = connection(&mut idle);
    assert!(proxy.reload(&format!("[routing]\nhints = false\n{}{slow}", servers(lab))));
    assert_eq!(connection(&mut idle), before);
    let unknown = slow.replace("\"slow\"\nread", "\"none\"\nread");
    assert!(!proxy.reload(&format!("{}{unknown}", servers(lab))));
    let said = proxy.wait_log("no replica has the tag \"none\"");
    assert!(said.contains("rule.tag"), "{said}");
    assert_eq!(server_of(&mut idle), 3, "a bad reload changes nothing");
    assert!(proxy.reload(&with_bi(lab, "")));
    proxy.wait_log("rule: [slow] -> [bi]");
    assert!([2, 3].contains(&server_of(&mut idle)));
}
