//! GTID sets and positions as servers print them: what is read is printed and read again, and the
//! arithmetic that decides whether a replica is good enough keeps its laws.
#![no_main]

use lagwise::cluster::gtid_mariadb::{GtidPosition, GtidState};
use lagwise::cluster::gtid_mysql::GtidSet;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (one, two) = text.split_once('|').unwrap_or((text, ""));
    mysql(one, two);
    mariadb(one, two);
});

fn mysql(one: &str, two: &str) {
    let Ok(one) = GtidSet::parse(one) else { return };
    assert_eq!(GtidSet::parse(&one.to_string()).as_ref(), Ok(&one));
    assert_eq!(one.is_empty(), one.count() == 0);
    assert!(one.contains(&one));
    let Ok(two) = GtidSet::parse(two) else { return };
    let mut both = one.clone();
    both.union(&two);
    assert!(both.contains(&one) && both.contains(&two));
    let mut other_way = two.clone();
    other_way.union(&one);
    assert_eq!(both, other_way);
    let rest = one.subtract(&two);
    assert!(one.contains(&rest));
    assert_eq!(rest.is_empty(), two.contains(&one));
    let mut back = rest.clone();
    back.union(&two);
    assert_eq!(back, both);
    assert!(rest.subtract(&two) == rest);
}

fn mariadb(one: &str, two: &str) {
    let _ = GtidState::parse(one);
    let Ok(one) = GtidPosition::parse(one) else { return };
    assert_eq!(GtidPosition::parse(&one.to_string()).as_ref(), Ok(&one));
    assert!(one.contains(&one));
    let Ok(two) = GtidPosition::parse(two) else { return };
    let mut both = one.clone();
    both.union(&two);
    assert!(both.contains(&one) && both.contains(&two));
    assert!(!(one.contains(&two) && two.contains(&one)) || one.is_empty() == two.is_empty());
}
