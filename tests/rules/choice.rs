//! Reads of ordinary sessions: tags by rule and by hint, and what hints cannot do.

use super::raw::{self, Client, Login};
use super::support::{Lab, Proxy, eventually};
use super::{BI, fails, login, ran_on, server_of, servers, visited, wait_all, with_bi, within};

/// Tagged users never touch the others, and nobody else touches the tagged.
pub fn tags(lab: &Lab, proxy: &mut Proxy) {
    let etl =
        "[[rule]]\nname = \"etl\"\nuser = \"admin\"\ntarget = \"replica\"\ntag = \"reporting\"\n";
    assert!(proxy.reload(&with_bi(lab, etl)));
    let admin = Login::of("admin", "admin_password");
    for _ in 0..5 {
        let mut app = Client::app(proxy.port());
        let mut bi = login(proxy, BI);
        let mut etl = login(proxy, admin);
        for _ in 0..4 {
            app.run("SELECT 'mark-app' FROM items LIMIT 1");
            app.run("SET @a = 1; SELECT 'mark-app-set'");
            bi.run("SELECT 'mark-bi' FROM items LIMIT 1");
            bi.run("SET @a = 1; SELECT 'mark-bi'");
            bi.execute("SELECT 'mark-bi'").unwrap();
            etl.run("SELECT 'mark-etl' FROM items LIMIT 1");
            // Asked of a replica by the rule, which no other read of this kind is.
            etl.run("SELECT 'mark-etl', VERSION()");
            etl.execute("SELECT 'mark-etl'").unwrap();
        }
        etl.run("CREATE TEMPORARY TABLE mark_temp (a INT)");
        etl.run("SELECT 'mark-held' FROM items LIMIT 1");
    }
    let on = |mark: &str| ran_on(lab, mark);
    assert_eq!(on("'mark-app'"), [1]);
    assert_eq!(on("mark-app-set"), [0]);
    within(&on("mark-bi"), &[2, 3], "reads of the kept");
    within(&on("mark-etl"), &[2, 3], "reads by rule");
    assert_eq!(on("mark_temp"), [0], "a rule makes nothing wrong");
    assert_eq!(on("mark-held"), [0]);
    within(&visited(lab, "other"), &[2, 3], "not for the login either");
    assert_eq!(visited(lab, "app"), [0, 1]);
    within(&visited(lab, "admin"), &[0, 2, 3], "no untagged replica");
    let metrics = proxy.metrics();
    let count = |series: &str| metrics.value(series);
    // Three statements of SET and SELECT and so on a turn, PREPARE and EXECUTE both counted.
    assert_eq!(count("lagwise_rule_statements_total{rule=\"bi\"}"), 5.0 * 4.0 * 4.0);
    // Of the statements that it prepares in each of its sessions, one.
    let etl = count("lagwise_rule_statements_total{rule=\"etl\"}");
    assert!(etl >= 5.0 * 12.0, "{etl}");
    let target = |target| metrics.sum("lagwise_queries_total", &[("target", target)]);
    assert!(target("replica") >= 5.0 * 4.0 * 8.0, "{}", target("replica"));
    assert!(
        count("lagwise_queries_total{target=\"replica\",reason=\"read_only_session\"}") == 80.0
    );
    assert!(count("lagwise_queries_total{target=\"replica\",reason=\"rule_replica\"}") > 0.0);
}

fn bad_hints(proxy: &Proxy) -> f64 {
    proxy.metrics().value("lagwise_bad_hints_total")
}

/// `tag=` picks; what is not understood is ignored and counted; a write stays a write.
pub fn hints(lab: &Lab, proxy: &mut Proxy) {
    assert!(proxy.reload(&with_bi(lab, "")));
    let mut app = Client::app(proxy.port());
    let before = bad_hints(proxy);
    for (hint, mark, on) in [
        ("tag=reporting", "h1", &[2, 3][..]),
        ("replica, tag=slow", "h2", &[3]),
        ("replica", "h3", &[1]),
        ("primary", "h4", &[0]),
        ("tag=slow max_lag=1m", "h5", &[3]),
        ("primary tag=slow", "h6", &[0]),
        ("tag=nobody", "h7", &[1]),
        ("tga=slow", "h8", &[1]),
        ("tag=slow tag=reporting", "h9", &[1]),
        ("primary tag=nobody", "h10", &[1]),
    ] {
        // What a session has read on the primary, it looks for on a replica.
        let mut app = Client::app(proxy.port());
        for _ in 0..8 {
            app.run(&format!("/* lagwise: {hint} */ SELECT 'mark-{hint}' FROM items LIMIT 1"));
        }
        let (id, _) = app.prepare(&format!("/* lagwise: {hint} */ SELECT 'p{mark}'")).unwrap();
        app.execute_id(id).unwrap();
        within(&ran_on(lab, &format!("'mark-{hint}'")), on, hint);
        within(&ran_on(lab, &format!("'p{mark}'")), on, hint);
    }
    // Eight texts and one PREPARE each, and each EXECUTE that named a tag that nobody has.
    assert_eq!(bad_hints(proxy) - before, 4.0 * 9.0 + 2.0);
    // A hint makes nothing wrong.
    app.run("/* lagwise: replica tag=reporting */ INSERT INTO orders (item_id, quantity) VALUES (1, 77)");
    app.run("BEGIN");
    app.run("/* lagwise: tag=slow */ SELECT 'mark-open'");
    app.run("COMMIT");
    assert_eq!(ran_on(lab, "mark-open"), [0]);
    assert_eq!(lab.sql(0, "SELECT COUNT(*) FROM shop.orders WHERE quantity = 77"), "1");
    lab.wait_caught_up();
    eventually("the session reads from replicas again", || server_of_hinted(&mut app, "") == 1);
    // A rule's tag is the operator's; a hint narrows it no further and leads nowhere else.
    let mut bi = login(proxy, BI);
    for hint in ["primary", "replica", "tag=slow", "tag=nobody", "max_lag=1ms"] {
        bi.run(&format!("/* lagwise: {hint} */ SELECT 'mark-bi-hint'"));
    }
    within(&ran_on(lab, "mark-bi-hint"), &[2, 3], "hints of the kept");

    let off = format!("[routing]\nhints = false\n{}", servers(lab));
    assert!(proxy.reload(&off));
    let before = bad_hints(proxy);
    for hint in ["tag=reporting", "primary", "rubbish", "tag=nobody"] {
        app.run(&format!("/* lagwise: {hint} */ SELECT 'mark-off'"));
    }
    assert_eq!(ran_on(lab, "mark-off"), [1]);
    assert_eq!(bad_hints(proxy), before);
}

fn server_of_hinted(client: &mut Client, hint: &str) -> usize {
    let sql = format!("/* lagwise: replica {hint} */ SELECT CAST(@@server_id AS CHAR)");
    client.value(&sql).parse::<usize>().unwrap() - 1
}

/// `max_lag=` narrows, and a rule's max_lag allows more, or less.
pub fn hints_by_lag(lab: &Lab, proxy: &mut Proxy) {
    let tolerant = "[[rule]]\nname = \"tolerant\"\nuser = \"nopass\"\nmax_lag = \"1h\"\ntarget = \"replica\"\n\
                    [[rule]]\nname = \"strict\"\nuser = \"other\"\nmax_lag = \"400ms\"\ntarget = \"replica\"\n";
    let with =
        |max_lag: &str| format!("[routing]\nmax_lag = {max_lag:?}\n{}{tolerant}", servers(lab));
    assert!(proxy.reload(&with("30s")));
    let mut app = Client::app(proxy.port());
    let mut tolerant = login(proxy, Login::of("nopass", ""));
    let mut strict = login(proxy, BI);
    assert_eq!(server_of_hinted(&mut app, "max_lag=1m"), 1);
    assert_eq!(server_of_hinted(&mut strict, ""), 1);
    lab.stop_applier(1);
    lab.sql(0, "UPDATE shop.items SET stock = stock + 1 WHERE id = 1");
    eventually("the lag is over 400 ms", || server_of_hinted(&mut strict, "") == 0);
    eventually("a hint for less sends it to the primary", || {
        server_of_hinted(&mut app, "max_lag=500ms") == 0
    });
    assert_eq!(server_of_hinted(&mut app, ""), 1);
    assert_eq!(server_of_hinted(&mut app, "max_lag=1m"), 1);
    assert_eq!(server_of_hinted(&mut tolerant, "max_lag=500ms"), 0);
    // On a loaded machine these, too, may be that late for a moment.
    eventually("a tag's replicas are within it", || {
        let on = server_of_hinted(&mut app, "tag=reporting max_lag=500ms");
        assert_ne!(on, 1);
        on != 0
    });
    // A hint for more than is configured gives no more.
    assert!(proxy.reload(&with("500ms")));
    assert_eq!(server_of_hinted(&mut app, "max_lag=1m"), 0);
    assert_eq!(server_of_hinted(&mut tolerant, ""), 1, "the rule allows more");
    assert_eq!(server_of_hinted(&mut tolerant, "max_lag=500ms"), 0);
    lab.start_applier(1);
    lab.wait_caught_up();
    wait_all(proxy);
}

/// By prefix and schema; `read_only` in such a rule refuses writes and nothing else.
pub fn rules_by_statement(lab: &Lab, proxy: &mut Proxy) {
    let rules = "[[rule]]\nname = \"orders\"\nstatement = [\"select * from orders\"]\ntag = \"slow\"\n\
                 [[rule]]\nname = \"fresh\"\nstatement = \"SELECT 'fresh'\"\ntarget = \"primary\"\n\
                 [[rule]]\nname = \"archive\"\nschema = \"OTHER\"\ntag = \"reporting\"\nread_only = true\n";
    assert!(proxy.reload(&format!("{}{rules}", servers(lab))));
    let mut client = login(proxy, BI);
    for (sql, mark, on) in [
        ("/* a */ SELECT*FROM `orders` WHERE note = 'm1'", "'m1'", &[3][..]),
        ("SELECT * FROM items WHERE name = 'm2'", "'m2'", &[1]),
        ("select 'fresh' as m3", "m3", &[0]),
        ("SELECT 'Fresh' as m4", "m4", &[1]),
    ] {
        client.run(sql);
        assert_eq!(ran_on(lab, mark), on, "{sql}");
    }
    client.run("USE other");
    client.run("SELECT * FROM secrets WHERE word = 'm5'");
    client.run("SELECT word FROM secrets WHERE word = 'm5'");
    within(&ran_on(lab, "'m5'"), &[2, 3], "by schema");
    let write = "INSERT INTO secrets VALUES (99, 'm6')";
    fails(write, client.query(write), 1290, &["'archive'"]);
    fails(write, client.execute(write), 1290, &["'archive'"]);
    fails("temporary", client.query("CREATE TEMPORARY TABLE m6 (a INT)"), 1290, &["'archive'"]);
    let (id, _) = {
        client.run("USE shop");
        client.prepare("INSERT INTO other.secrets VALUES (98, 'm6')").unwrap()
    };
    let (long, _) = client.prepare("INSERT INTO other.secrets VALUES (97, ?)").unwrap();
    client.run("USE other");
    fails("prepared elsewhere", client.execute_id(id), 1290, &["'archive'"]);
    // Long data ties the execution to a connection, and changes nothing about the rule.
    let data = [&long.to_le_bytes()[..], &[0, 0], b"m6"].concat();
    client.send(0x18, &data).unwrap();
    let execution = [&long.to_le_bytes()[..], &[0, 1, 0, 0, 0, 0, 1, 0xfc, 0]].concat();
    client.send(0x17, &execution).unwrap();
    fails("with long data", client.results(true), 1290, &["'archive'"]);
    client.run("BEGIN");
    fails("in a transaction", client.query(write), 1290, &["'archive'"]);
    assert_eq!(client.run("SELECT 'm7' FROM secrets").len(), 1, "the transaction goes on");
    client.run("COMMIT");
    assert_eq!(ran_on(lab, "'m7'"), [0]);
    assert_eq!(ran_on(lab, "m6"), Vec::<usize>::new(), "nothing reached a server");
    client.run("USE shop");
    client.run("UPDATE items SET stock = stock + 1 WHERE name = 'm8'");
    assert_eq!(ran_on(lab, "'m8'"), [0]);
    let refused = "lagwise_queries_total{target=\"none\",reason=\"read_only_rule\"}";
    assert_eq!(proxy.metrics().value(refused), 6.0);
    let plain = raw::APP;
    assert_eq!(server_of(&mut login(proxy, plain)), 0, "@@server_id is the primary's business");
}
