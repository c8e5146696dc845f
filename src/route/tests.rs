//! Decisions, each a row: text, facts, target, reason.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::sql::{LexMode, Make, classify};
use std::collections::HashSet;
use std::sync::Arc;

pub(super) const MODE: LexMode = LexMode::utf8(Make::MySql, 90704);

#[track_caller]
fn check(sql: &str, facts: &SessionFacts, policy: &Policy, target: Target, reason: Reason) {
    let decided = || decide(&classify(sql.as_bytes(), &MODE), facts, policy);
    let route = crate::sql::without_allocation(decided);
    assert_eq!(route, Route { target, reason }, "{sql}\n{facts:?}");
    crate::sql::check_dressed(sql.as_bytes(), &MODE);
}

fn check_all(facts: SessionFacts, policy: &Policy, rows: &[(&str, Target, Reason)]) {
    assert!(!rows.is_empty());
    for &(sql, target, reason) in rows {
        check(sql, &facts, policy, target, reason);
    }
}

use Target::{Last, Primary, Replica};

#[test]
#[allow(clippy::too_many_lines)] // A table.
fn a_fresh_session() {
    check_all(
        SessionFacts::default(),
        &Policy::default(),
        &[
            ("SELECT 1", Replica, Reason::Read),
            ("SELECT 1; SELECT 2", Replica, Reason::Read),
            ("EXPLAIN SELECT 1", Replica, Reason::Read),
            ("DESCRIBE t", Replica, Reason::Read),
            ("SHOW TABLES", Replica, Reason::Read),
            ("CHECKSUM TABLE t", Replica, Reason::Read),
            ("HELP 'a'", Replica, Reason::Read),
            ("SELECT SQL_CALC_FOUND_ROWS 1", Replica, Reason::Read),
            ("START TRANSACTION READ ONLY", Replica, Reason::ReadOnlyTransactionStart),
            (
                "START TRANSACTION READ ONLY, WITH CONSISTENT SNAPSHOT",
                Replica,
                Reason::ReadOnlyTransactionStart,
            ),
            ("START TRANSACTION READ ONLY; SELECT 1", Primary, Reason::Multi),
            ("START TRANSACTION", Primary, Reason::TransactionStart),
            ("BEGIN", Primary, Reason::TransactionStart),
            ("COMMIT", Primary, Reason::TransactionEnd),
            ("ROLLBACK", Primary, Reason::TransactionEnd),
            ("SAVEPOINT a", Primary, Reason::TransactionEnd),
            ("SET TRANSACTION READ ONLY", Primary, Reason::TransactionCharacteristics),
            ("SET NAMES utf8mb4", Primary, Reason::SessionState),
            ("USE shop", Primary, Reason::SessionState),
            ("INSERT INTO t VALUES (1)", Primary, Reason::Write),
            ("LOAD DATA INFILE 'x' INTO TABLE t", Primary, Reason::LoadData),
            ("CREATE TABLE t (a INT)", Primary, Reason::Ddl),
            ("CREATE USER a", Primary, Reason::Account),
            ("FLUSH TABLES", Primary, Reason::Admin),
            ("CALL p()", Primary, Reason::Call),
            ("DO SLEEP(1)", Primary, Reason::Do),
            ("HANDLER t OPEN", Primary, Reason::Handler),
            ("XA START 'a'", Primary, Reason::Xa),
            ("LOCK TABLES t READ", Primary, Reason::LockTables),
            ("UNLOCK TABLES", Primary, Reason::LockTables),
            ("KILL 5", Primary, Reason::Kill),
            ("PREPARE s FROM 'SELECT 1'", Primary, Reason::TextPrepare),
            ("EXECUTE s", Primary, Reason::TextPrepare),
            ("DEALLOCATE PREPARE s", Primary, Reason::TextPrepare),
            ("frobnicate", Primary, Reason::Unknown),
            ("SELECT 'unterminated", Primary, Reason::Ambiguous),
            ("", Primary, Reason::Empty),
            ("SELECT 1; SET NAMES utf8mb4", Primary, Reason::Multi),
            ("SELECT 1; DELETE FROM t", Primary, Reason::Write),
            ("SELECT 1 FOR UPDATE", Primary, Reason::LockingRead),
            ("EXPLAIN SELECT 1 FOR UPDATE", Primary, Reason::LockingRead),
            ("SELECT 1 INTO OUTFILE 'x'", Primary, Reason::Into),
            ("SELECT @a", Primary, Reason::UserVariable),
            ("SELECT GET_LOCK('a', 1)", Primary, Reason::UserLock),
            ("SELECT NEXTVAL(s)", Primary, Reason::Sequence),
            ("SELECT LAST_INSERT_ID()", Primary, Reason::SessionFunction),
            ("SELECT VERSION()", Primary, Reason::ServerFunction),
            ("SELECT @@server_id", Primary, Reason::ServerVariable),
            ("SELECT @@sql_mode", Primary, Reason::SessionVariable),
            ("SELECT f(1)", Primary, Reason::UnknownFunction),
            ("SELECT * FROM information_schema.tables", Primary, Reason::ServerSchema),
            ("SHOW VARIABLES", Primary, Reason::ShowServer),
            ("EXPLAIN FOR CONNECTION 5", Primary, Reason::ShowServer),
            ("EXPLAIN UPDATE t SET a = 1", Primary, Reason::ExplainWrite),
            ("SET STATEMENT a = 1 FOR SELECT 1", Primary, Reason::SetStatement),
            ("SHOW WARNINGS", Primary, Reason::Diagnostics),
            ("SELECT FOUND_ROWS()", Primary, Reason::Diagnostics),
            ("/* lagwise: primary */ SELECT 1", Primary, Reason::Hint),
            ("/* lagwise: replica */ SELECT 1", Replica, Reason::HintReplica),
            ("/* lagwise: replica */ SELECT @@server_id", Replica, Reason::HintReplica),
            ("/* lagwise: replica */ SELECT f(1)", Primary, Reason::UnknownFunction),
            ("/* lagwise: replica */ SELECT 1 FOR UPDATE", Primary, Reason::LockingRead),
            ("/* lagwise: replica */ SELECT @a", Primary, Reason::UserVariable),
            ("/* lagwise: replica */ SELECT LAST_INSERT_ID()", Primary, Reason::SessionFunction),
            ("/* lagwise: replica */ DELETE FROM t", Primary, Reason::Write),
            ("/* lagwise: rubbish */ SELECT 1", Replica, Reason::Read),
        ],
    );
}

#[test]
fn transactions() {
    let none = Policy::default();
    let facts = |transaction| SessionFacts { transaction, ..SessionFacts::default() };
    check_all(
        facts(Transaction::OnPrimary),
        &none,
        &[
            ("SELECT 1", Primary, Reason::Transaction),
            ("/* lagwise: replica */ SELECT 1", Primary, Reason::Transaction),
            ("START TRANSACTION READ ONLY", Primary, Reason::Transaction),
            ("COMMIT", Primary, Reason::Transaction),
            ("SHOW WARNINGS", Primary, Reason::Transaction),
        ],
    );
    check_all(
        SessionFacts { autocommit: false, ..SessionFacts::default() },
        &none,
        &[
            ("SELECT 1", Primary, Reason::AutocommitOff),
            ("START TRANSACTION READ ONLY", Primary, Reason::AutocommitOff),
        ],
    );
}

#[test]
fn read_only_transactions_on_a_replica() {
    let none = Policy::default();
    let on_replica =
        SessionFacts { transaction: Transaction::OnReplica, ..SessionFacts::default() };
    check_all(
        on_replica,
        &none,
        &[
            ("SELECT 1", Replica, Reason::ReadOnlyTransaction),
            ("SELECT 1 FOR UPDATE", Primary, Reason::LockingRead),
            ("SELECT GET_LOCK('a', 1)", Primary, Reason::UserLock),
            ("SET @a = 1", Primary, Reason::SessionState),
            ("SHOW WARNINGS", Primary, Reason::Diagnostics),
            ("INSERT INTO t VALUES (1)", Primary, Reason::Write),
            ("CREATE TABLE t (a INT)", Primary, Reason::ImplicitCommit),
            ("CREATE TEMPORARY TABLE t (a INT)", Primary, Reason::Ddl),
            ("SAVEPOINT a", Primary, Reason::TransactionEnd),
            ("COMMIT", Replica, Reason::ReadOnlyTransaction),
            ("ROLLBACK AND CHAIN", Replica, Reason::ReadOnlyTransaction),
            ("START TRANSACTION READ ONLY", Replica, Reason::ReadOnlyTransaction),
            ("COMMIT; SELECT 1", Primary, Reason::Multi),
            ("/* lagwise: primary */ SELECT 1", Primary, Reason::Hint),
            ("BEGIN", Primary, Reason::ImplicitCommit),
            ("LOCK TABLES t READ", Primary, Reason::ImplicitCommit),
            ("FLUSH TABLES", Primary, Reason::ImplicitCommit),
        ],
    );
    check_all(
        SessionFacts { has_twin: true, carries: true, ..on_replica },
        &none,
        &[
            ("SELECT 1", Replica, Reason::ReadOnlyTransaction),
            ("COMMIT", Primary, Reason::TransactionEnd),
            ("START TRANSACTION READ ONLY", Primary, Reason::TransactionEnd),
        ],
    );
    check_all(
        SessionFacts { last_on: Side::Replica, conditions_on: Side::Replica, ..on_replica },
        &none,
        &[("SHOW WARNINGS", Last, Reason::Diagnostics)],
    );
    check_all(
        SessionFacts { hold: Some(HoldReason::UserLock), ..on_replica },
        &none,
        &[("SELECT 1", Primary, Reason::HeldUserLock)],
    );
    check_all(
        SessionFacts { carries: true, ..SessionFacts::default() },
        &none,
        &[
            ("START TRANSACTION READ ONLY", Primary, Reason::CarriedState),
            ("SELECT 1", Replica, Reason::Read),
        ],
    );
}

#[test]
fn pins_and_holds() {
    const PINS: &[PinCause] = PinCause::ALL;
    const HOLDS: &[HoldReason] = &[
        HoldReason::TemporaryTable,
        HoldReason::UserLock,
        HoldReason::LockTables,
        HoldReason::UserVariable,
        HoldReason::TextPrepare,
        HoldReason::Handler,
        HoldReason::Cursor,
        HoldReason::OneShotTransaction,
        HoldReason::Xa,
        HoldReason::Unreplayable,
        HoldReason::UnknownState,
    ];
    let tied = PINS
        .iter()
        .map(|&pin| (Reason::from(pin), SessionFacts { pin: Some(pin), ..SessionFacts::default() }))
        .chain(HOLDS.iter().map(|&hold| {
            (Reason::from(hold), SessionFacts { hold: Some(hold), ..SessionFacts::default() })
        }));
    let mut reasons = HashSet::new();
    for (reason, facts) in tied {
        assert!(reasons.insert(reason));
        check_all(
            facts,
            &Policy::default(),
            &[
                ("SELECT 1", Primary, reason),
                ("/* lagwise: replica */ SELECT 1", Primary, reason),
                ("START TRANSACTION READ ONLY", Primary, reason),
                ("SHOW TABLES", Primary, reason),
                ("INSERT INTO t VALUES (1)", Primary, Reason::Write),
            ],
        );
    }
}

#[test]
fn the_statement_before_decides_where_its_diagnostics_are() {
    check_all(
        SessionFacts { conditions_on: Side::Replica, last_warned: true, ..SessionFacts::default() },
        &Policy::default(),
        &[("GET DIAGNOSTICS @a = NUMBER", Last, Reason::Diagnostics)],
    );
    // MariaDB: the last statement has left them where they were.
    check_all(
        SessionFacts { last_on: Side::Replica, last_warned: true, ..SessionFacts::default() },
        &Policy::default(),
        &[
            ("GET DIAGNOSTICS @a = NUMBER", Primary, Reason::Diagnostics),
            ("SHOW WARNINGS", Primary, Reason::Diagnostics),
            ("SELECT ROW_COUNT()", Last, Reason::Diagnostics),
            ("SELECT @@warning_count", Primary, Reason::Diagnostics),
            ("SELECT @@error_count, ROW_COUNT()", Primary, Reason::Diagnostics),
        ],
    );
    check_all(
        SessionFacts { conditions_on: Side::Replica, ..SessionFacts::default() },
        &Policy::default(),
        &[
            ("SELECT @@warning_count", Last, Reason::Diagnostics),
            ("SELECT @@warning_count, FOUND_ROWS()", Last, Reason::Diagnostics),
            ("SELECT @@warning_count, ROW_COUNT()", Primary, Reason::Diagnostics),
            ("SELECT @@warning_count, @a", Primary, Reason::UserVariable),
        ],
    );
    check_all(
        SessionFacts { stays_with_conditions: true, ..SessionFacts::default() },
        &Policy::default(),
        &[("SELECT 1", Primary, Reason::Diagnostics)],
    );
    check_all(
        SessionFacts { found_on: Side::Replica, ..SessionFacts::default() },
        &Policy::default(),
        &[
            ("SELECT FOUND_ROWS()", Last, Reason::Diagnostics),
            ("SELECT FOUND_ROWS(), ROW_COUNT()", Primary, Reason::Diagnostics),
        ],
    );
    check_all(
        SessionFacts { last_on: Side::Replica, ..SessionFacts::default() },
        &Policy::default(),
        &[
            ("SELECT FOUND_ROWS()", Primary, Reason::Diagnostics),
            ("SELECT FOUND_ROWS(), ROW_COUNT()", Last, Reason::Diagnostics),
        ],
    );
    check_all(
        SessionFacts {
            last_on: Side::Replica,
            conditions_on: Side::Replica,
            found_on: Side::Replica,
            ..SessionFacts::default()
        },
        &Policy::default(),
        &[
            ("SHOW WARNINGS", Last, Reason::Diagnostics),
            ("SHOW COUNT(*) ERRORS", Last, Reason::Diagnostics),
            ("GET DIAGNOSTICS @a = NUMBER", Primary, Reason::Diagnostics),
            ("SELECT FOUND_ROWS()", Last, Reason::Diagnostics),
            ("SELECT FOUND_ROWS(), ROW_COUNT()", Last, Reason::Diagnostics),
            ("SELECT ROW_COUNT(), @@warning_count", Last, Reason::Diagnostics),
            ("SELECT FOUND_ROWS(), LAST_INSERT_ID()", Primary, Reason::SessionFunction),
            ("SELECT FOUND_ROWS() FOR UPDATE", Primary, Reason::LockingRead),
            ("SELECT 1; SHOW WARNINGS", Primary, Reason::Multi),
            ("SELECT 1; SELECT FOUND_ROWS()", Primary, Reason::SessionFunction),
            ("INSERT INTO t VALUES (ROW_COUNT())", Primary, Reason::Write),
        ],
    );
}

/// A transaction that begins on the primary leaves them on the replica, in MariaDB.
#[test]
fn conditions_of_before_a_transaction() {
    for (transaction, autocommit) in [(Transaction::OnPrimary, true), (Transaction::None, false)] {
        let facts = SessionFacts {
            transaction,
            autocommit,
            conditions_on: Side::Replica,
            last_warned: true,
            ..SessionFacts::default()
        };
        let other = match autocommit {
            true => Reason::Transaction,
            false => Reason::AutocommitOff,
        };
        check_all(
            facts,
            &Policy::default(),
            &[
                ("SHOW WARNINGS", Last, Reason::Diagnostics),
                ("SELECT @@warning_count", Last, Reason::Diagnostics),
                ("GET DIAGNOSTICS @a = NUMBER", Last, Reason::Diagnostics),
                ("SELECT ROW_COUNT()", Primary, other),
                ("SELECT @@warning_count, @a", Primary, other),
                ("SHOW WARNINGS; SELECT 1", Primary, other),
                ("SELECT 1", Primary, other),
            ],
        );
        check_all(
            SessionFacts { last_warned: false, ..facts },
            &Policy::default(),
            &[("SHOW WARNINGS", Primary, other)],
        );
    }
}

#[test]
fn the_policy_decides_on_functions_hints_and_variables() {
    let set = |names: &[&str]| Arc::new(names.iter().copied().collect());
    let configured = Policy {
        read_only_functions: set(&["F", "shop.g"]),
        hints: false,
        variables_synced: true,
        ..Policy::default()
    };
    let fresh = SessionFacts::default();
    check_all(
        fresh,
        &configured,
        &[
            ("SELECT f(1), shop.f(2), shop.g(3)", Replica, Reason::Read),
            ("SELECT g(1)", Primary, Reason::UnknownFunction),
            ("SELECT f(1), h(1)", Primary, Reason::UnknownFunction),
            ("SELECT @@sql_mode", Replica, Reason::Read),
            ("SELECT @@global.sql_mode", Primary, Reason::ServerVariable),
            ("/* lagwise: primary */ SELECT 1", Replica, Reason::Read),
        ],
    );
    let learning = Policy { try_unknown_functions: true, ..Policy::default() };
    check_all(
        fresh,
        &learning,
        &[
            ("SELECT f(1)", Replica, Reason::TriedFunction),
            ("SELECT a(1), b(1), c(1), d(1)", Primary, Reason::UnknownFunction),
            ("SELECT f(1) FOR UPDATE", Primary, Reason::LockingRead),
            ("DO f(1)", Primary, Reason::Do),
        ],
    );
    let refused = SessionFacts { refused_function: true, ..fresh };
    check_all(
        refused,
        &learning,
        &[
            ("SELECT w(1)", Primary, Reason::UnknownFunction),
            ("SELECT ABS(1)", Replica, Reason::Read),
        ],
    );
    check_all(refused, &configured, &[("SELECT f(1)", Replica, Reason::Read)]);
}

#[test]
fn a_server_schema_is_read_on_the_primary() {
    check_all(
        SessionFacts { in_server_schema: true, ..SessionFacts::default() },
        &Policy::default(),
        &[
            ("SELECT * FROM processlist", Primary, Reason::ServerSchema),
            ("/* lagwise: replica */ SELECT * FROM processlist", Replica, Reason::HintReplica),
        ],
    );
}

#[test]
fn reasons_have_names_of_their_own() {
    let mut names = HashSet::new();
    let mut sentences = HashSet::new();
    for (index, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(reason.index(), index);
        assert!(names.insert(reason.as_str()) && sentences.insert(reason.explain()), "{reason}");
        assert!(reason.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        assert!(reason.explain().ends_with('.'));
    }
    assert!(names.len() > 50);
}
