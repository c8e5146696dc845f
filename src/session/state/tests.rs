//! What a session learns from each thing that a server says, as scripts of steps.

mod replay;

use crate::backend::image::Image;
use crate::session::replayed::MAX_VARIABLES;

use replay::replay;

use super::*;
use crate::cluster::{Flavor, OwnWrites, Position};
use crate::config::Pin as Policy;
use crate::protocol::OkPacket;
use crate::protocol::ok::{write_schema, write_system_variable};
use crate::session::pin::Demand;
use crate::sql::{self, Make};

const AUTOCOMMIT: StatusFlags = StatusFlags::AUTOCOMMIT;
const IN_TRANS: StatusFlags = StatusFlags::AUTOCOMMIT.union(StatusFlags::IN_TRANS);
const MORE: StatusFlags = StatusFlags::AUTOCOMMIT.union(StatusFlags::MORE_RESULTS_EXISTS);
const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

/// A session and the time, which every step moves on by a millisecond.
struct Bed {
    state: SessionState,
    now: Instant,
}

fn bed() -> Bed {
    let lex_mode = LexMode { make: Make::MySql, server_version: 90_700, ..LexMode::default() };
    let pin = Pin::new(Flavor::MySql);
    let state = SessionState::new(AUTOCOMMIT, b"shop".to_vec(), lex_mode, pin);
    Bed { state, now: Instant::now() }
}

impl Bed {
    fn tell(&mut self, side: Side, sql: &str, told: Told<'_>) {
        self.now += std::time::Duration::from_millis(1);
        let statement = sql::classify(sql.as_bytes(), self.state.lex_mode());
        self.state.observe(side, &statement, told, self.now);
    }

    fn eof(&mut self, side: Side, sql: &str, status: StatusFlags) {
        self.tell(side, sql, Told::Eof(EofPacket { warnings: 0, status }));
    }

    /// An OK with session state, which is empty for none.
    fn ok(&mut self, side: Side, sql: &str, status: StatusFlags, state: &[u8]) {
        let mut status = status;
        status.set(StatusFlags::SESSION_STATE_CHANGED, !state.is_empty());
        let (affected_rows, last_insert_id, warnings, info) = (0, 0, 0, &b""[..]);
        let header = 0;
        let ok = OkPacket { header, affected_rows, last_insert_id, status, warnings, info, state };
        self.tell(side, sql, Told::Ok(ok));
    }

    fn done(&mut self, sql: &str) {
        self.ok(Side::Primary, sql, AUTOCOMMIT, b"");
    }

    fn error(&mut self, sql: &str, code: u16) {
        self.tell(Side::Primary, sql, Told::Err(code));
    }

    /// What a read would need now.
    fn demand(&mut self) -> Demand {
        self.state.pin.demand(Policy::UntilReplicated, || self.now)
    }

    /// All that was written until the last step, which these GTIDs are.
    fn writes(&self, gtids: Option<&str>) -> Demand {
        Demand::Writes(OwnWrites { until: self.now, gtids: gtids.map(position) })
    }
}

fn position(text: &str) -> std::sync::Arc<Position> {
    Position::parse(Flavor::MySql, &format!("{UUID}:{text}")).unwrap().into()
}

fn variable(name: &str, value: &str) -> Vec<u8> {
    let mut state = Vec::new();
    write_system_variable(&mut state, name.as_bytes(), value.as_bytes());
    state
}

/// One entry of a kind whose data is one string, behind `head`.
fn entry(kind: u8, head: &[u8], text: &str) -> Vec<u8> {
    let mut data = head.to_vec();
    crate::protocol::writer::lenenc_bytes(&mut data, text.as_bytes());
    let mut state = vec![kind];
    crate::protocol::writer::lenenc_bytes(&mut state, &data);
    state
}

fn gtid(text: &str) -> Vec<u8> {
    entry(3, &[0], &format!("{UUID}:{text}"))
}

/// SESSION_TRACK_STATE_CHANGE, whose data has no length of its own.
const STATE_CHANGED: &[u8] = &[2, 1, b'1'];

#[test]
fn transactions_follow_the_status_flags() {
    use Transaction::{None, OnPrimary, OnReplica};
    #[track_caller]
    fn check(steps: &[(Side, &str, StatusFlags, Transaction)]) {
        for eof in [false, true] {
            let mut bed = bed();
            for (side, sql, status, want) in steps {
                match eof {
                    true => bed.eof(*side, sql, *status),
                    false => bed.ok(*side, sql, *status, b""),
                }
                assert_eq!(bed.state.transaction(), *want, "{sql}");
                assert_eq!(bed.state.last_side(), *side, "{sql}");
                // What a batch has done to LAST_INSERT_ID(), only the connection knows.
                let bound = *want == OnPrimary || bed.state.insert_id() == InsertId::Untold;
                assert_eq!(bed.state.is_bound_to_primary(), bound, "{sql}");
                assert!(!bed.state.status.contains(StatusFlags::MORE_RESULTS_EXISTS));
            }
        }
    }
    let (primary, replica) = (Side::Primary, Side::Replica);
    check(&[(primary, "BEGIN", IN_TRANS, OnPrimary), (primary, "COMMIT", AUTOCOMMIT, None)]);
    check(&[
        (primary, "BEGIN", IN_TRANS, OnPrimary),
        (primary, "COMMIT AND CHAIN", IN_TRANS, OnPrimary),
        // An implicit commit, which no word of the text says.
        (primary, "CREATE TABLE t (a INT)", AUTOCOMMIT, None),
    ]);
    check(&[
        (replica, "START TRANSACTION READ ONLY", IN_TRANS, OnReplica),
        (replica, "SELECT 1", IN_TRANS, OnReplica),
        (replica, "COMMIT", AUTOCOMMIT, None),
    ]);
    check(&[
        // Within several results the flags of the last one count.
        (primary, "BEGIN; COMMIT", MORE | StatusFlags::IN_TRANS, OnPrimary),
        (primary, "BEGIN; COMMIT", AUTOCOMMIT, None),
    ]);
    check(&[(primary, "SELECT 1", StatusFlags::IN_TRANS, OnPrimary)]);
}

#[test]
fn an_error_leaves_the_transaction_as_it_was() {
    let mut bed = bed();
    bed.ok(Side::Primary, "BEGIN", IN_TRANS, b"");
    bed.error("SELECT * FROM missing", 1146);
    assert_eq!(bed.state.transaction(), Transaction::OnPrimary);
    assert_eq!(bed.state.pin.cause(), None, "nothing was written");
    bed.ok(Side::Primary, "INSERT INTO t VALUES (1)", IN_TRANS, b"");
    bed.error("SELECT * FROM t FOR UPDATE", 1213);
    assert_eq!(bed.state.pin.cause(), Some(PinCause::FailedWrite), "it may have been undone");
    assert!(bed.state.facts(None).autocommit);
    bed.ok(Side::Primary, "SET autocommit=0", StatusFlags::empty(), b"");
    assert!(!bed.state.facts(None).autocommit);
}

#[test]
fn what_may_have_written_pins() {
    #[track_caller]
    fn check(sql: &str, told: Result<(), u16>, want: Option<PinCause>) {
        let mut bed = bed();
        match told {
            Ok(()) => bed.done(sql),
            Err(code) => bed.error(sql, code),
        }
        assert_eq!(bed.state.pin.cause(), want, "{sql} {told:?}");
    }
    use PinCause::{Call, FailedWrite, Unknown, Write};
    check("SELECT a FROM t", Ok(()), None);
    check("SET NAMES utf8mb4", Ok(()), None);
    check("INSERT INTO t VALUES (1)", Ok(()), Some(Write));
    check("DROP TABLE t", Ok(()), Some(Write));
    check("SELECT f(a) FROM t", Ok(()), Some(Write));
    check("CALL p()", Ok(()), Some(Call));
    check("FROBNICATE", Ok(()), Some(Unknown));
    check("INSERT INTO t VALUES (1)", Err(1062), Some(FailedWrite));
    check("SELECT a FROM t", Err(1146), None);
    // What cannot be parsed was not run; but of several statements the ones before were, and
    // a procedure's parse errors are those of statements within.
    check("INSERT INTO", Err(1064), None);
    check("INSERT INTO t VALUES (1); INSERT INTO", Err(1064), Some(FailedWrite));
    check("CALL p()", Err(1064), Some(FailedWrite));
}

#[test]
fn a_read_that_follows_needs_the_write() {
    let mut bed = bed();
    bed.ok(Side::Primary, "INSERT INTO t VALUES (1)", AUTOCOMMIT, &gtid("7"));
    assert_eq!(bed.demand(), bed.writes(Some("7")));
    bed.done("UPDATE t SET a = 1");
    assert_eq!(bed.demand(), bed.writes(None), "no GTID was told");
}

#[test]
fn a_transaction_is_written_when_it_is_committed() {
    let mut bed = bed();
    bed.ok(Side::Primary, "BEGIN", IN_TRANS, b"");
    bed.ok(Side::Primary, "INSERT INTO t VALUES (1)", IN_TRANS, b"");
    bed.ok(Side::Primary, "COMMIT", AUTOCOMMIT, b"");
    assert_eq!(bed.demand(), bed.writes(None), "until the commit");

    let mut bed = self::bed();
    bed.ok(Side::Primary, "BEGIN", IN_TRANS, b"");
    bed.ok(Side::Primary, "INSERT INTO t VALUES (1)", IN_TRANS, b"");
    bed.ok(Side::Primary, "COMMIT", AUTOCOMMIT, &gtid("8"));
    assert_eq!(bed.demand(), bed.writes(Some("8")));

    let mut bed = self::bed();
    bed.ok(Side::Primary, "BEGIN", IN_TRANS, b"");
    bed.ok(Side::Primary, "SELECT a FROM t", IN_TRANS, b"");
    bed.ok(Side::Primary, "COMMIT", AUTOCOMMIT, b"");
    assert_eq!(bed.demand(), Demand::None, "nothing was written");
}

#[test]
fn a_lost_write_pins_for_good_and_a_lost_read_does_not() {
    #[track_caller]
    fn check(sql: &str, in_transaction: bool, want: bool) {
        let mut bed = bed();
        if in_transaction {
            bed.ok(Side::Primary, "BEGIN", IN_TRANS, b"");
        }
        let statement = sql::classify(sql.as_bytes(), bed.state.lex_mode());
        bed.state.lost(Side::Primary, &statement, bed.now);
        assert_eq!(bed.state.transaction(), Transaction::None);
        assert!(!bed.state.status.contains(StatusFlags::IN_TRANS));
        let late = bed.demand();
        let pinned = late == Demand::Primary(PinCause::LostWrite);
        assert_eq!(pinned, want, "{sql}: {late:?}");
    }
    check("UPDATE t SET a = 1", false, true);
    check("COMMIT", true, true);
    check("SELECT a FROM t", true, true);
    check("SELECT a FROM t", false, false);
}

/// A function may do anything, but on a replica's connection it cannot write.
#[test]
fn what_ran_on_a_replica_neither_pins_nor_holds() {
    let sql = "SELECT f(1)";
    let check = |told: &dyn Fn(&mut Bed), side| {
        let mut bed = bed();
        told(&mut bed);
        let pinned = bed.demand() != Demand::None;
        assert_eq!(pinned, side == Side::Primary, "{side:?}");
    };
    for side in [Side::Primary, Side::Replica] {
        check(&|bed| bed.eof(side, sql, AUTOCOMMIT), side);
        check(&|bed| bed.tell(side, sql, Told::Err(1290)), side);
        check(
            &|bed| {
                let statement = sql::classify(sql.as_bytes(), bed.state.lex_mode());
                bed.state.lost(side, &statement, bed.now);
            },
            side,
        );
    }
    let mut bed = bed();
    bed.eof(Side::Replica, sql, AUTOCOMMIT);
    assert!(!bed.state.is_bound_to_primary());
}

/// The half of a READ ONLY transaction that is on the primary ends with it, or takes it over.
#[test]
fn a_read_only_transaction_has_two_halves() {
    let began = || {
        let mut bed = bed();
        bed.ok(Side::Replica, "START TRANSACTION READ ONLY", IN_TRANS, b"");
        bed.state.set_twin();
        bed.ok(Side::Primary, "SET @a = 1", IN_TRANS, b"");
        assert_eq!(bed.state.transaction(), Transaction::OnReplica);
        assert!(bed.state.has_twin() && bed.state.is_bound_to_primary());
        bed
    };
    let check = |sql: &str, status, want| {
        let mut bed = began();
        bed.ok(Side::Primary, sql, status, b"");
        assert_eq!((bed.state.transaction(), bed.state.has_twin()), (want, false), "{sql}");
    };
    check("COMMIT", AUTOCOMMIT, Transaction::None);
    check("SET autocommit = 0", StatusFlags::IN_TRANS, Transaction::OnPrimary);
    let mut bed = began();
    bed.error("INSERT INTO t VALUES (1)", 1792);
    assert_eq!(bed.demand(), Demand::None, "nothing was written");
    bed.state.move_to_primary();
    bed.eof(Side::Primary, "SELECT @a FROM t", IN_TRANS);
    assert_eq!((bed.state.transaction(), bed.state.has_twin()), (Transaction::OnPrimary, false));
}

#[test]
fn state_that_cannot_move_holds() {
    use HoldReason::*;
    #[track_caller]
    fn check(steps: &[&str], want: Option<HoldReason>) {
        let mut bed = bed();
        for sql in steps {
            bed.done(sql);
        }
        assert_eq!(bed.state.facts(None).hold, want, "{steps:?}");
        if want.is_some() {
            assert!(bed.state.is_bound_to_primary());
            bed.state.forget_hold();
            assert_eq!(bed.state.facts(None).hold, None);
        }
    }
    let temporary = "CREATE TEMPORARY TABLE t (a INT)";
    check(&["SELECT a FROM t", "SET NAMES utf8mb4"], None);
    check(&[temporary], Some(TemporaryTable));
    check(&["SELECT GET_LOCK('a', 1)"], Some(UserLock));
    check(&["LOCK TABLES t READ"], Some(LockTables));
    check(&["LOCK TABLES t READ", "UNLOCK TABLES"], None);
    check(&["LOCK TABLES t READ", temporary, "UNLOCK TABLES"], Some(TemporaryTable));
    check(&[temporary, "LOCK TABLES t READ", "UNLOCK TABLES"], Some(TemporaryTable));
    check(&["SET gtid_next = 'AUTOMATIC'"], Some(Unreplayable));
    check(&["SET session_track_gtids = OFF"], Some(UnknownState));
    check(&["SET TRANSACTION READ ONLY"], Some(OneShotTransaction));
    check(&["SET TRANSACTION READ ONLY", "USE shop", "SET @a = 1"], Some(OneShotTransaction));
    check(&["SET TRANSACTION READ ONLY", "SELECT 1"], Some(OneShotTransaction));
}

#[test]
fn an_error_may_leave_state_behind() {
    let mut bed = bed();
    bed.error("SELECT GET_LOCK('a', 1), missing FROM t", 1054);
    assert_eq!(bed.state.hold(), Some(HoldReason::UserLock));
    let mut bed = self::bed();
    bed.error("CREATE TEMPORARY TABLE t (", 1064);
    assert_eq!(bed.state.hold(), None, "not run");
}

/// MariaDB reports the value for the one statement with it, and the session's with a later one.
#[test]
fn what_is_set_for_one_statement_is_not_replayed() {
    #[track_caller]
    fn check(sql: &str, hold: Option<HoldReason>) {
        let mut bed = bed();
        bed.ok(Side::Primary, sql, AUTOCOMMIT, &variable("sql_mode", "ANSI_QUOTES"));
        assert_eq!(
            (replay(&mut bed.state, Side::Replica), bed.state.hold()),
            (None, hold),
            "{sql}"
        );
        assert!(!bed.state.lex_mode().ansi_quotes);
    }
    check("SET STATEMENT sql_mode = 'ANSI_QUOTES' FOR INSERT INTO t VALUES (1)", None);
    check("SET STATEMENT sql_mode = 'ANSI_QUOTES' FOR CALL p()", Some(HoldReason::UnknownState));
}

#[test]
fn a_replica_does_not_say_what_the_session_is() {
    let mut bed = bed();
    bed.ok(Side::Replica, "SELECT 1", AUTOCOMMIT, &variable("time_zone", "UTC"));
    assert_eq!((replay(&mut bed.state, Side::Replica), bed.state.replayed.version()), (None, 1));
}

#[test]
fn the_version_counts_changes_only() {
    let mut bed = bed();
    let mut versions = Vec::new();
    let mut schema = Vec::new();
    write_schema(&mut schema, b"other");
    for change in [&variable("time_zone", "UTC"), &variable("time_zone", "UTC"), &schema, &schema] {
        bed.ok(Side::Primary, "SET x = y", AUTOCOMMIT, change);
        versions.push(bed.state.replayed.version());
    }
    assert_eq!(versions, [2, 2, 3, 3]);
    assert_eq!(bed.state.schema(), Some(&b"other"[..]));
    assert!(!bed.state.facts(None).in_server_schema);
    let mut schema = Vec::new();
    write_schema(&mut schema, b"MySQL");
    bed.ok(Side::Primary, "USE mysql", AUTOCOMMIT, &schema);
    assert!(bed.state.facts(None).in_server_schema);
}

#[test]
fn how_text_is_read_follows_the_server() {
    let mut bed = bed();
    bed.ok(
        Side::Primary,
        "SET x = y",
        AUTOCOMMIT,
        &variable("sql_mode", "ANSI_QUOTES,IGNORE_SPACE"),
    );
    assert!(bed.state.lex_mode().ansi_quotes && bed.state.lex_mode().ignore_space);
    bed.ok(Side::Primary, "SET x = y", AUTOCOMMIT, &variable("sql_mode", "STRICT_ALL_TABLES"));
    assert!(!bed.state.lex_mode().ansi_quotes && !bed.state.lex_mode().ignore_space);
    bed.ok(Side::Primary, "SET x = y", AUTOCOMMIT, &variable("character_set_client", "gbk"));
    assert_eq!(bed.state.lex_mode().charset, ClientCharset::Gbk);
    bed.eof(Side::Primary, "SELECT 1", AUTOCOMMIT | StatusFlags::NO_BACKSLASH_ESCAPES);
    assert!(bed.state.lex_mode().no_backslash_escapes);
}

#[test]
fn what_trackers_say_and_nobody_understands_holds() {
    #[track_caller]
    fn check(sql: &str, state: &[u8], want: Option<HoldReason>) {
        let mut bed = bed();
        bed.ok(Side::Primary, sql, AUTOCOMMIT, state);
        assert_eq!(bed.state.hold(), want, "{sql}");
    }
    let unknown = Some(HoldReason::UnknownState);
    check("SET x = y", &variable("time_zone", "it's"), unknown);
    check("SET x = y", &variable("rand_seed1", "5"), unknown);
    check("SET x = y", b"\x00\x09short", unknown);
    check("CALL p()", STATE_CHANGED, unknown);
    check("SELECT f(a) FROM t", STATE_CHANGED, unknown);
    check("USE shop", STATE_CHANGED, None);
    let mut bed = bed();
    for index in 0..=MAX_VARIABLES {
        assert_eq!(bed.state.hold(), None);
        bed.ok(Side::Primary, "SET x = y", AUTOCOMMIT, &variable(&format!("v{index}"), "1"));
    }
    assert_eq!(bed.state.hold(), unknown, "a bound on what is kept");
}

/// MySQL gives a characteristic that was set within a transaction to the next one, unless SET
/// autocommit ended it: then to the next but one.
#[test]
fn characteristics_set_within_a_transaction_await_its_end() {
    let hold = |ended_by: &[&str]| {
        let mut bed = bed();
        bed.ok(Side::Primary, "BEGIN", IN_TRANS, b"");
        let set = "SET SESSION TRANSACTION READ ONLY";
        bed.ok(Side::Primary, set, IN_TRANS, &variable("transaction_read_only", "ON"));
        for sql in ended_by {
            bed.ok(Side::Primary, sql, AUTOCOMMIT, b"");
        }
        bed.state.facts(None).hold
    };
    let awaits = Some(HoldReason::OneShotTransaction);
    assert_eq!(hold(&[]), awaits);
    assert_eq!(hold(&["COMMIT"]), None);
    assert_eq!(hold(&["SET autocommit = 1"]), awaits);
    assert_eq!(hold(&["SET autocommit = 1", "SELECT 1"]), awaits);
    let mut bed = bed();
    let set = "SET SESSION TRANSACTION READ ONLY";
    bed.ok(Side::Primary, set, AUTOCOMMIT, &variable("transaction_read_only", "ON"));
    assert_eq!(bed.state.facts(None).hold, None);
}

#[test]
fn a_reset_leaves_the_schema_and_the_pin() {
    let mut bed = bed();
    bed.ok(Side::Primary, "SET x = y", AUTOCOMMIT, &variable("time_zone", "UTC"));
    bed.done("CREATE TEMPORARY TABLE t (a INT)");
    bed.done("INSERT INTO t VALUES (1)");
    bed.done("SET TRANSACTION READ ONLY");
    bed.ok(Side::Primary, "BEGIN", IN_TRANS, b"");
    let before = bed.state.replayed.version();
    bed.state.reset(AUTOCOMMIT);
    assert!(bed.state.replayed.version() > before, "other connections must be brought in line");
    assert_eq!((replay(&mut bed.state, Side::Replica), bed.state.hold()), (None, None));
    assert_eq!(bed.state.transaction(), Transaction::None);
    assert!(!bed.state.is_bound_to_primary());
    assert_eq!(bed.state.schema(), Some(&b"shop"[..]));
    assert_eq!(bed.state.pin.cause(), Some(PinCause::Write));
}

#[test]
fn what_the_server_reports_at_login_is_read_and_not_replayed() {
    let mut bed = bed();
    bed.state.begin_with(&variable("sql_mode", "ANSI_QUOTES,IGNORE_SPACE"));
    assert!(bed.state.lex_mode().ansi_quotes && bed.state.lex_mode().ignore_space);
    assert_eq!((replay(&mut bed.state, Side::Primary), bed.state.replayed.version()), (None, 1));
    bed.state.begin_with(&variable("sql_mode", ""));
    assert!(!bed.state.lex_mode().ansi_quotes);
}
