//! GTID sets as MySQL prints them, and the laws of their arithmetic.

#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const A: &str = "2174b383-5441-11e8-b90a-c80aa9429562";
const B: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

fn set(text: &str) -> GtidSet {
    GtidSet::parse(&text.replace('A', A).replace('B', B)).unwrap()
}

/// `text` (with `A` and `B` for the two UUIDs) is printed as `canonical`.
fn check(text: &str, canonical: &str) {
    let canonical = canonical.replace('A', A).replace('B', B);
    assert_eq!(set(text).to_string(), canonical, "{text}");
    assert_eq!(GtidSet::parse(&canonical).unwrap(), set(text), "{text}");
}

#[test]
fn canonical_text() {
    for (text, canonical) in [
        ("", ""),
        (" ,\n, ", ""),
        ("A:1", "A:1"),
        ("A:1-5", "A:1-5"),
        ("A:7-9:1-5", "A:1-5:7-9"),
        ("A:1-5:6-9", "A:1-9"),
        ("A:5-9:1-6:3", "A:1-9"),
        ("A:1:2:3:5", "A:1-3:5"),
        ("B:1-3,A:4", "A:4,\nB:1-3"),
        ("A:1-3,\nA:4", "A:1-4"),
        (" A : 1 - 3 : 5 , B : 2 ", "A:1-3:5,\nB:2"),
        ("A:1-5:7-9:tag:1-3,B:4", "A:1-5:7-9:tag:1-3,\nB:4"),
        ("A:tag:1-3", "A:tag:1-3"),
        ("A:zeta:1:alpha:2:alpha:3,A:9", "A:9:alpha:2-3:zeta:1"),
        ("A:Domain_1:117", "A:domain_1:117"),
        ("A:_:1", "A:_:1"),
        ("A:9223372036854775807", "A:9223372036854775807"),
        ("A:9223372036854775806:9223372036854775807", "A:9223372036854775806-9223372036854775807"),
    ] {
        check(text, canonical);
    }
    let upper = GtidSet::parse(&format!("{}:1", A.to_uppercase())).unwrap();
    assert_eq!(upper, set("A:1"));
}

#[test]
fn malformed_text() {
    for text in [
        "A",
        "A:",
        "A:0",
        "A:5-3",
        "A:1-",
        "A:1-0",
        "A:-1",
        "A:tag",
        "A:1:tag",
        "A:1:tag,B:1",
        "A:1 B:1",
        "A:1;",
        "A:9223372036854775808",
        "A:99999999999999999999",
        "A:1.5",
        "A1:1",
        "2174b383-5441-11e8-b90a-c80aa942956:1",
        "2174b383x5441-11e8-b90a-c80aa9429562:1",
        "2174b38-35441-11e8-b90a-c80aa9429562:1",
        "-174b383-5441-11e8-b90a-c80aa9429562:1",
        "A:abcdefghijklmnopqrstuvwxyz_0123456:1",
        "0-1-100",
        "NULL",
    ] {
        let error = GtidSet::parse(&text.replace('A', A).replace('B', B)).unwrap_err();
        assert!(matches!(error, ParseGtidError::Syntax { .. }), "{text}: {error}");
    }
    // The longest tag that is allowed.
    check("A:abcdefghijklmnopqrstuvwxyz_01234:1", "A:abcdefghijklmnopqrstuvwxyz_01234:1");
}

#[test]
fn containment() {
    for (own, other, contained) in [
        ("", "", true),
        ("A:1-5", "", true),
        ("", "A:1", false),
        ("A:1-5", "A:1-5", true),
        ("A:1-5", "A:2-3", true),
        ("A:1-5", "A:5-6", false),
        ("A:1-5:7-9", "A:4-8", false),
        ("A:1-5:7-9", "A:4-5:8", true),
        ("A:1-5", "B:1-5", false),
        ("A:1-5,B:1-5", "B:1-5", true),
        ("A:1-5", "A:tag:1-5", false),
        ("A:tag:1-5", "A:1-5", false),
        ("A:1-5:tag:1-5", "A:tag:5", true),
    ] {
        assert_eq!(set(own).contains(&set(other)), contained, "{own} contains {other}");
    }
}

#[test]
fn a_long_unsorted_text_parses_quickly() {
    // A quadratic parser would not finish.
    let mut text = A.to_string();
    for gno in (0..80_000_u64).rev() {
        text.push_str(&format!(":{}", gno * 2 + 1));
    }
    assert!(text.len() < crate::cluster::position::MAX_GTID_TEXT);
    assert_eq!(GtidSet::parse(&text).unwrap().count(), 80_000);
}

type Model = BTreeSet<(u8, u64)>;

/// Text for the model, an interval for each number, in the order given.
fn text_of(gtids: &[(u8, u64)]) -> String {
    let source = |id: u8| ["A", "B", "A:tag", "B:x"][usize::from(id)];
    let text: Vec<String> =
        gtids.iter().map(|(id, gno)| format!("{}:{gno}", source(*id))).collect();
    text.join(",")
}

fn gtid(id: u8, gno: u64) -> Gtid {
    let tag = ["", "", "tag", "x"][usize::from(id)].into();
    let uuid = set(["A:1", "B:1"][usize::from(id % 2)]).sources.into_keys().next().unwrap().uuid;
    Gtid { source: Source { uuid, tag }, gno }
}

fn gtids() -> impl Strategy<Value = Vec<(u8, u64)>> {
    prop::collection::vec((0..4_u8, 1..24_u64), 0..40)
}

/// Sorted, and a hole between any two neighbours.
fn is_normal(set: &GtidSet) -> bool {
    set.sources.values().all(|list| {
        !list.is_empty()
            && list.iter().all(|own| own.first <= own.last)
            && list.windows(2).all(|pair| pair[0].last + 1 < pair[1].first)
    })
}

proptest! {
    #[test]
    fn agrees_with_a_plain_set(left in gtids(), right in gtids()) {
        let (model_left, model_right): (Model, Model) =
            (left.iter().copied().collect(), right.iter().copied().collect());
        let (set_left, set_right) = (set(&text_of(&left)), set(&text_of(&right)));
        prop_assert!(is_normal(&set_left));
        prop_assert_eq!(set_left.count(), model_left.len() as u64);
        prop_assert_eq!(set_left.contains(&set_right), model_left.is_superset(&model_right));

        let mut union = set_left.clone();
        union.union(&set_right);
        let model_union: Vec<_> = model_left.union(&model_right).copied().collect();
        prop_assert!(is_normal(&union));
        prop_assert_eq!(&union, &set(&text_of(&model_union)));

        let difference = set_left.subtract(&set_right);
        let model_difference: Vec<_> = model_left.difference(&model_right).copied().collect();
        prop_assert!(is_normal(&difference));
        prop_assert_eq!(&difference, &set(&text_of(&model_difference)));

        let common = set_left.intersect(&set_right);
        let model_common: Vec<_> = model_left.intersection(&model_right).copied().collect();
        prop_assert!(is_normal(&common));
        prop_assert_eq!(&common, &set(&text_of(&model_common)));

        let mut inserted = set_left.clone();
        for (id, gno) in &right {
            inserted.insert(gtid(*id, *gno));
            prop_assert!(is_normal(&inserted));
        }
        prop_assert_eq!(&inserted, &union);
        for id in 0..4 {
            for gno in 1..24 {
                let held = model_left.contains(&(id, gno));
                prop_assert_eq!(set_left.contains_gtid(&gtid(id, gno)), held);
            }
        }
        prop_assert_eq!(GtidSet::parse(&set_left.to_string()).unwrap(), set_left);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "\\PC{0,80}") {
        let _ = GtidSet::parse(&text);
    }

    #[test]
    fn near_misses_never_panic(text in "[AB0-9a-f:, \n-]{0,40}") {
        let text = text.replace('A', A).replace('B', B);
        if let Ok(set) = GtidSet::parse(&text) {
            prop_assert!(is_normal(&set));
            prop_assert_eq!(GtidSet::parse(&set.to_string()).unwrap(), set);
        }
    }
}
