//! The classifier never calls a write a read: random statements of a grammar of writes, and random
//! texts against a scanner that knows nothing of the classifier. The same checks run under the fuzzer
//! for as long as one likes (`scripts/fuzz.sh`, targets `sql_writes` and `sql_reads`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../fuzz/fuzz_targets/support/grammar.rs"]
mod grammar;
#[path = "../fuzz/fuzz_targets/support/naive.rs"]
mod naive;
#[path = "../fuzz/fuzz_targets/support/texts.rs"]
mod texts;

use lagwise::route::Target;

fn bytes(random: &mut fastrand::Rng, longest: usize) -> Vec<u8> {
    let length = random.usize(1..longest);
    (0..length).map(|_| random.u8(..)).collect()
}

#[test]
fn no_write_is_sent_to_a_replica() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..100_000 {
        let mode = texts::mode(random.u8(..));
        let choices = bytes(&mut random, 120);
        let sql = grammar::dangerous(&mut grammar::Choices(&choices), &mode);
        let route = texts::route(sql.as_bytes(), &mode);
        assert_eq!(route.target, Target::Primary, "{sql}\n{mode:?} {route:?}");
    }
}

#[test]
fn nothing_dangerous_is_sent_to_a_replica() {
    let mut random = fastrand::Rng::with_seed(2);
    let mut sent = 0;
    for _ in 0..100_000 {
        let mode = texts::mode(random.u8(..));
        let mut raw = bytes(&mut random, 20);
        // Mostly words and few odd bytes, as of a question.
        for byte in raw.iter_mut().filter(|byte| **byte > 60) {
            *byte = 1;
        }
        let sql = [b"SELECT 1 ".to_vec(), texts::expand(&raw)].concat();
        if texts::route(&sql, &mode).target == Target::Replica {
            sent += 1;
            let danger = naive::danger(&sql, &mode);
            assert_eq!(danger, None, "{}\n{mode:?}", String::from_utf8_lossy(&sql));
        }
    }
    assert!(sent > 1_000, "only {sent} texts were sent to a replica");
}

#[test]
fn the_scanner_sees_danger() {
    for (sql, dangerous) in [
        ("SELECT 1", false),
        ("SELECT 'FOR UPDATE', `into`, t.update, REPLACE('a', 'b', 'c') FROM t", false),
        ("(SELECT 1) UNION (SELECT 2); SHOW TABLES", false),
        ("SELECT 1 /*!99999 FOR UPDATE */", false),
        ("SELECT 1 -- FOR UPDATE\n, 2 # INTO @a", false),
        ("SHOW CREATE VIEW v", false),
        ("DESC t call", false),
        ("EXPLAIN FORMAT=TREE SELECT a FROM t", false),
        ("SELECT 1 FOR UPDATE", true),
        ("SELECT 1 /*!50000 FOR UPDATE */", true),
        ("SELECT 1.FOR/**/SHARE", true),
        ("SELECT 1 INTO @a", true),
        ("SELECT a:=1", true),
        ("SELECT GET_LOCK ('a', 1)", true),
        ("SELECT `release_lock`('a')", true),
        ("SELECT NEXT VALUE FOR s", true),
        ("SELECT 1; DELETE FROM t", true),
        ("EXPLAIN FORMAT=JSON SELECT 1 LOCK IN SHARE MODE", true),
        ("EXPLAIN ANALYZE DELETE FROM t", true),
        ("SELECT 'a", true),
        ("SELECT 1 /* a", true),
        ("frobnicate", true),
    ] {
        let danger = naive::danger(sql.as_bytes(), &texts::mode(0));
        assert_eq!(danger.is_some(), dangerous, "{sql}: {danger:?}");
    }
}
