//! Which rule matches, and what becomes of a statement by it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::route::tests::MODE;
use crate::route::{HoldReason, Kept, PinCause, Policy, Reason, SessionFacts, Target, Transaction};
use crate::route::{Route, decide};
use crate::sql::classify;

fn rule(name: &str, users: &[&str], schemas: &[&str], statements: &[&str]) -> Rule {
    Rule {
        name: name.into(),
        users: users.iter().map(|user| user.as_bytes().into()).collect(),
        schemas: schemas.iter().map(|schema| schema.as_bytes().into()).collect(),
        statements: statements.iter().map(|text| Prefix::parse(text).unwrap()).collect(),
        ..Rule::default()
    }
}

fn rules() -> Arc<Rules> {
    Arc::new(Rules::new(vec![
        rule("report", &[], &[], &["select * from report", "TABLE report"]),
        rule("bi in shop", &["bi", "etl"], &["Shop", "archive"], &[]),
        rule("bi begins", &["bi"], &[], &["BEGIN"]),
        Rule { read_only: true, ..rule("bi", &["bi"], &[], &[]) },
        rule("archive", &[], &["archive"], &[]),
    ]))
}

#[test]
fn the_first_that_matches_wins() {
    let rules = rules();
    for (user, schema, sql, want) in [
        ("app", "", Some("SELECT 1"), None),
        ("app", "shop", Some("SELECT 1"), None),
        ("app", "archive", Some("SELECT 1"), Some("archive")),
        ("app", "ARCHIVE", Some("SELECT * FROM `Report` LIMIT 1"), Some("report")),
        ("app", "", Some("table report"), Some("report")),
        ("app", "", None, None),
        ("etl", "shop", Some("BEGIN"), Some("bi in shop")),
        ("etl", "", Some("BEGIN"), None),
        ("bi", "shop", Some("SELECT * FROM report"), Some("report")),
        ("bi", "shop", Some("BEGIN"), Some("bi in shop")),
        ("bi", "", Some("/* x */ begin"), Some("bi begins")),
        ("bi", "", Some("SELECT 1"), Some("bi")),
        ("bi", "", None, Some("bi")),
        ("BI", "", Some("SELECT 1"), None),
        ("", "", Some("SELECT 1"), None),
    ] {
        let mut mine = rules.of_user(user.as_bytes());
        // Another schema before, so that what was found for it would show.
        mine.find(b"archive", || None, &MODE);
        let found = mine.find(schema.as_bytes(), || sql.map(str::as_bytes), &MODE);
        let name = found.and_then(|index| mine.get(index)).map(|rule| &*rule.name);
        assert_eq!(name, want, "{user} {schema} {sql:?}");
        assert_eq!(mine.keeper().map(|(index, _)| index), (user == "bi").then_some(3), "{user}");
    }
}

#[test]
fn of_many_rules_the_first_is_found_at_once() {
    let text = |number: usize| format!("select * from report_{number} where a = 1");
    let mut all: Vec<Rule> = (0..1000)
        .map(|number| rule(&number.to_string(), &["app"], &[], &[&text(number)]))
        .collect();
    // Behind the others, and so never before them.
    all.push(rule("select", &["app"], &[], &["select"]));
    let rules = Arc::new(Rules::new(all));
    let (mut mine, mut others) = (rules.of_user(b"app"), rules.of_user(b"other"));
    for (sql, want) in [(text(0), 0), (text(999), 999), ("select 1".to_string(), 1000)] {
        let found =
            crate::sql::without_allocation(|| mine.find(b"", || Some(sql.as_bytes()), &MODE));
        assert_eq!(found, Some(want), "{sql}");
        assert_eq!(others.find(b"", || Some(sql.as_bytes()), &MODE), None, "{sql}");
    }
}

#[test]
fn a_text_is_looked_at_only_for_rules_that_ask() {
    let asks = |rules: &Arc<Rules>, user: &str| {
        let mut asked = false;
        rules.of_user(user.as_bytes()).find(
            b"",
            || {
                asked = true;
                None
            },
            &MODE,
        );
        asked
    };
    assert!(asks(&rules(), "app"));
    assert!(!asks(&Arc::default(), "app"));
    let by_user = Rules::new(vec![rule("bi", &["bi"], &[], &[])]);
    let by_user = Arc::new(by_user);
    assert!(!asks(&by_user, "bi") && !asks(&by_user, "app"));
}

#[test]
fn a_reload_is_noticed() {
    let (old, new) = (rules(), rules());
    let mine = old.of_user(b"bi");
    assert!(mine.are_of(&old) && !mine.are_of(&new));
    assert!(!UserRules::default().are_of(&old));
}

#[track_caller]
fn check(facts: SessionFacts, sql: &str, target: Target, reason: Reason) {
    let known = ["known"].into_iter().collect();
    let policy = Policy { read_only_functions: Arc::new(known), ..Policy::default() };
    let route = decide(&classify(sql.as_bytes(), &MODE), &facts, &policy);
    assert_eq!(route, Route { target, reason }, "{sql} {facts:?}");
}

fn says(target: Option<Side>, read_only: bool) -> SessionFacts {
    SessionFacts { rule: RuleSays { target, read_only }, ..SessionFacts::default() }
}

use Target::{Nowhere, Primary, Replica};

#[test]
fn a_rule_for_the_primary() {
    let facts = says(Some(Side::Primary), false);
    for (sql, target, reason) in [
        ("SELECT 1", Primary, Reason::Rule),
        ("/* lagwise: replica */ SELECT 1", Primary, Reason::Rule),
        ("/* lagwise: primary */ SELECT 1", Primary, Reason::Hint),
        ("START TRANSACTION READ ONLY", Primary, Reason::Rule),
        ("INSERT INTO t VALUES (1)", Primary, Reason::Rule),
    ] {
        check(facts, sql, target, reason);
    }
}

#[test]
fn a_rule_for_a_replica_makes_nothing_wrong() {
    let facts = says(Some(Side::Replica), false);
    for (sql, target, reason) in [
        ("SELECT 1", Replica, Reason::RuleReplica),
        ("SELECT VERSION()", Replica, Reason::RuleReplica),
        ("SELECT * FROM information_schema.tables", Replica, Reason::RuleReplica),
        ("/* lagwise: replica */ SELECT 1", Replica, Reason::HintReplica),
        ("/* lagwise: primary */ SELECT 1", Primary, Reason::Hint),
        ("START TRANSACTION READ ONLY", Replica, Reason::ReadOnlyTransactionStart),
        ("SELECT LAST_INSERT_ID()", Primary, Reason::SessionFunction),
        ("SELECT 1 FOR UPDATE", Primary, Reason::LockingRead),
        ("SELECT f()", Primary, Reason::UnknownFunction),
        ("DELETE FROM t", Primary, Reason::Write),
        ("SET NAMES utf8mb4", Primary, Reason::SessionState),
    ] {
        check(facts, sql, target, reason);
    }
    let pinned = SessionFacts { pin: Some(PinCause::Write), ..facts };
    check(pinned, "SELECT 1", Primary, Reason::PinnedWrite);
    let held = SessionFacts { hold: Some(HoldReason::TemporaryTable), ..facts };
    check(held, "SELECT 1", Primary, Reason::HeldTemporaryTable);
    let open = SessionFacts { transaction: Transaction::OnPrimary, ..facts };
    check(open, "SELECT 1", Primary, Reason::Transaction);
}

#[test]
fn a_read_only_rule_refuses_what_may_write() {
    let refused = [
        "INSERT INTO t VALUES (1)",
        "REPLACE INTO t VALUES (1)",
        "UPDATE t SET a = 1",
        "WITH c AS (SELECT 1) DELETE FROM t",
        "/*! DELETE */ FROM t",
        "SELECT 1; DELETE FROM t",
        "LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
        "CREATE TABLE t (a INT)",
        "TRUNCATE t",
        "CREATE TEMPORARY TABLE a (b INT); DROP TABLE t; SELECT NEXTVAL(s)",
        "CREATE USER a",
        "SET PASSWORD = 'x'",
        "SET GLOBAL read_only = 0",
        "FLUSH TABLES",
        "CALL p()",
        "XA START 'a'",
        "SELECT f(1)",
        "SELECT NEXTVAL(s)",
        "SELECT 'open",
        "BEGIN NOT ATOMIC DELETE FROM t; END",
    ];
    let allowed =
        ["SELECT 1", "SELECT known(1)", "SET NAMES utf8mb4", "BEGIN", "COMMIT", "USE shop"];
    let with = |kept| SessionFacts { kept, ..says(None, true) };
    let kept = |server_read_only| Some(Kept { server_read_only });
    for sql in refused {
        for facts in [with(None), with(kept(true)), with(kept(false))] {
            check(facts, sql, Nowhere, Reason::ReadOnlyRule);
            // Wherever the transaction is: the statement is refused, the transaction stays open.
            let open = SessionFacts { transaction: Transaction::OnPrimary, ..facts };
            check(open, sql, Nowhere, Reason::ReadOnlyRule);
        }
    }
    for sql in allowed {
        check(with(kept(false)), sql, Replica, Reason::ReadOnlySession);
        let route = decide(&classify(sql.as_bytes(), &MODE), &with(None), &Policy::default());
        assert_ne!(route.reason, Reason::ReadOnlySession, "{sql}");
    }
    check(with(None), "SELECT 1", Replica, Reason::Read);
    check(with(None), "USE shop", Primary, Reason::SessionState);
}

#[test]
fn a_kept_session_runs_everything_else_where_it_is() {
    let kept = |server_read_only| SessionFacts {
        kept: Some(Kept { server_read_only }),
        ..says(None, true)
    };
    for sql in [
        "/* lagwise: primary */ SELECT 1",
        "SELECT @a := 1",
        "SELECT LAST_INSERT_ID()",
        "SELECT GET_LOCK('a', 1)",
        "SELECT 1 FOR UPDATE",
        "SHOW PROCESSLIST",
        "SHOW WARNINGS",
        "PREPARE s FROM 'SELECT 1'",
        "KILL 5",
        "",
    ] {
        check(kept(true), sql, Replica, Reason::ReadOnlySession);
        let pinned = SessionFacts { pin: Some(PinCause::LostWrite), ..kept(false) };
        check(pinned, sql, Replica, Reason::ReadOnlySession);
    }
    // What only the server can tell apart, it is asked about only if it refuses writes itself.
    let table = SessionFacts { hold: Some(HoldReason::TemporaryTable), ..kept(true) };
    let unsure = SessionFacts { kept: Some(Kept { server_read_only: false }), ..table };
    for (sql, without) in [
        ("CREATE TEMPORARY TABLE a (b INT)", true),
        ("DROP TEMPORARY TABLE a", true),
        ("EXECUTE s", true),
        ("SELEC 1", true),
        ("INSERT INTO a VALUES (1)", false),
        ("ALTER TABLE a ADD c INT", false),
    ] {
        check(table, sql, Replica, Reason::ReadOnlySession);
        check(unsure, sql, Nowhere, Reason::ReadOnlyRule);
        let (target, reason) = if without {
            (Replica, Reason::ReadOnlySession)
        } else {
            (Nowhere, Reason::ReadOnlyRule)
        };
        check(kept(true), sql, target, reason);
    }
    for sql in
        ["CALL p()", "LOAD DATA INFILE 'x' INTO TABLE a", "INSERT INTO a VALUES (NEXTVAL(s))"]
    {
        check(table, sql, Nowhere, Reason::ReadOnlyRule);
    }
}
