//! Positions as MariaDB prints them, and the laws of their arithmetic.

#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn position(text: &str) -> GtidPosition {
    GtidPosition::parse(text).unwrap()
}

#[test]
fn canonical_text() {
    for (text, canonical) in [
        ("", ""),
        (" , ", ""),
        ("0-1-100", "0-1-100"),
        ("1-2-30,0-1-100", "0-1-100,1-2-30"),
        (" 0 - 1 - 100 ,\n1-2-30 ", "0-1-100,1-2-30"),
        ("0-1-100,0-2-101", "0-2-101"),
        ("0-2-101,0-1-100", "0-2-101"),
        (
            "4294967295-4294967295-18446744073709551615",
            "4294967295-4294967295-18446744073709551615",
        ),
    ] {
        assert_eq!(position(text).to_string(), canonical, "{text}");
        assert_eq!(position(canonical), position(text));
    }
}

#[test]
fn malformed_text() {
    for text in [
        "0",
        "0-1",
        "0-1-",
        "-1-100",
        "0--100",
        "0-1-100-5",
        "0-1-100 1-2-3",
        "0-1-100;",
        "4294967296-1-1",
        "0-4294967296-1",
        "0-1-18446744073709551616",
        "0x1-1-1",
        "NULL",
        "3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5",
    ] {
        let error = GtidPosition::parse(text).unwrap_err();
        assert!(matches!(error, ParseGtidError::Syntax { .. }), "{text}: {error}");
        assert_eq!(GtidState::parse(text).unwrap_err(), error);
    }
}

#[test]
fn containment() {
    for (own, other, contained) in [
        ("", "", true),
        ("0-1-5", "", true),
        ("", "0-1-5", false),
        ("0-1-5", "0-1-5", true),
        ("0-1-6", "0-1-5", true),
        ("0-1-4", "0-1-5", false),
        // Another server committed it; the order is the domain's.
        ("0-2-6", "0-1-5", true),
        ("0-1-9", "1-1-1", false),
        ("0-1-9,1-1-1", "1-2-1,0-3-9", true),
    ] {
        assert_eq!(position(own).contains(&position(other)), contained, "{own} contains {other}");
    }
}

/// Server 2 is the replica in every row; server 1 has been its primary.
#[test]
fn what_a_replica_has_applied() {
    for (what, slave_pos, binlog_pos, primary_state, expected) in [
        ("plain replica", "0-1-100", "", "0-1-105", "0-1-100"),
        ("log_slave_updates runs ahead", "0-1-100", "0-1-101", "0-1-105", "0-1-100"),
        ("former primary", "", "0-2-100", "0-2-100,0-1-90", "0-2-100"),
        ("former primary, replicating", "0-1-101", "0-1-101", "0-2-100,0-1-101", "0-1-101"),
        ("former primary of its own domain", "1-1-7", "2-2-50", "2-2-50,1-1-7", "1-1-7,2-2-50"),
        ("written to by mistake", "0-1-100", "0-2-103", "0-1-105", "0-1-100"),
        ("former primary, then by mistake", "0-1-90", "0-2-103", "0-2-100,0-1-105", "0-1-90"),
    ] {
        let primary = GtidState::parse(primary_state).unwrap();
        let found = applied(&position(slave_pos), &position(binlog_pos), 2, Some(&primary));
        assert_eq!(found.to_string(), expected, "{what}");
    }
    let found = applied(&position("0-1-5"), &position("0-2-9"), 2, None);
    assert_eq!(found.to_string(), "0-1-5", "nothing is known of the primary");
}

#[test]
fn errant_transactions() {
    for (what, replica, slave_pos_of_primary, primary, expected) in [
        ("plain replica", "0-1-100", "", "0-1-105", ""),
        ("a replica ahead of the sample", "0-1-106", "", "0-1-105", ""),
        ("former primary", "0-2-100,0-1-90", "", "0-2-100,0-1-105", ""),
        ("former primary, not all replicated", "0-2-102", "", "0-2-100,0-1-101", "0-2-102"),
        ("written to by mistake", "0-1-100,0-2-101", "", "0-1-105", "0-2-101"),
        ("own domain", "0-1-100,7-2-1", "", "0-1-105", "7-2-1"),
        ("the primary does not log what it replicated", "0-2-100", "0-2-100", "0-1-105", ""),
    ] {
        let mut known = GtidState::parse(primary).unwrap();
        known.add(&position(slave_pos_of_primary));
        let errant = GtidState::parse(replica).unwrap().errant(2, &known);
        assert_eq!(errant.to_string(), expected, "{what}");
    }
}

fn gtids() -> impl Strategy<Value = Vec<(u32, u32, u64)>> {
    prop::collection::vec((0..3_u32, 1..4_u32, 0..20_u64), 0..12)
}

fn text_of(gtids: &[(u32, u32, u64)]) -> String {
    let text: Vec<String> = gtids.iter().map(|(d, s, n)| format!("{d}-{s}-{n}")).collect();
    text.join(",")
}

fn model_of(gtids: &[(u32, u32, u64)]) -> BTreeMap<u32, u64> {
    let mut model = BTreeMap::new();
    for (domain, _, seq_no) in gtids {
        let last = model.entry(*domain).or_insert(*seq_no);
        *last = (*last).max(*seq_no);
    }
    model
}

proptest! {
    #[test]
    fn agrees_with_a_plain_map(left in gtids(), right in gtids()) {
        let (own, other) = (position(&text_of(&left)), position(&text_of(&right)));
        let (model_own, model_other) = (model_of(&left), model_of(&right));
        let contained = model_other
            .iter()
            .all(|(domain, seq_no)| model_own.get(domain).is_some_and(|own| own >= seq_no));
        prop_assert_eq!(own.contains(&other), contained);
        let mut union = own.clone();
        union.union(&other);
        let both: Vec<_> = left.iter().chain(&right).copied().collect();
        prop_assert_eq!(&union, &position(&text_of(&both)));
        prop_assert!(union.contains(&own) && union.contains(&other));
        prop_assert_eq!(position(&own.to_string()), own);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[0-9, \n-]{0,40}") {
        if let Ok(position) = GtidPosition::parse(&text) {
            prop_assert_eq!(GtidPosition::parse(&position.to_string()).unwrap(), position);
        }
    }
}
