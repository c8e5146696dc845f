//! Transactions of a replica that its primary lacks.

use super::*;

/// A primary may wait for a semi-synchronous replica for as long as it likes.
#[test]
fn what_the_primary_still_commits_is_not_errant() {
    let mut lab = Lab::new(Flavor::MySql);
    let owned = gtid("6#31");
    let waits = |lab: &mut Lab| {
        lab.answer_owning(Role::Primary, &owned, &["0", "0", "ON", &gtid("1-5")], None);
        lab.mysql(Role::Replica, 6)
    };
    waits(&mut lab);
    assert_eq!(waits(lab.at(60_000)), []);
    assert_eq!(lab.replica.status().errant, None);
    // It has died and lost it.
    lab.at(70_000).mysql(Role::Primary, 5);
    lab.mysql(Role::Replica, 6);
    lab.at(90_000).mysql(Role::Primary, 5);
    let errant = Arc::new(Position::parse(Flavor::MySql, &gtid("6")).unwrap());
    assert_eq!(lab.mysql(Role::Replica, 6), [Note::Errant(errant)]);
}

#[test]
fn errant_transactions_of_mysql() {
    let mut lab = Lab::new(Flavor::MySql);
    let stray = gtid("1-5:99");
    let errant = Arc::new(Position::parse(Flavor::MySql, &gtid("99")).unwrap());
    let mut all = Vec::new();
    for ms in (0..20_000).step_by(250) {
        lab.at(ms).mysql(Role::Primary, 5);
        all.extend(lab.answer(Role::Replica, &["0", "0", "ON", &stray]));
    }
    assert_eq!(all, [health(Health::Starting, Health::Up), Note::Errant(Arc::clone(&errant))]);
    assert_eq!(lab.replica.status().errant, Some(errant));
    assert_eq!(lab.answer(Role::Replica, &["0", "0", "ON", &stray]), []);
    lab.answer(Role::Primary, &["0", "0", "ON", &stray]);
    assert_eq!(lab.answer(Role::Replica, &["0", "0", "ON", &stray]), [Note::ErrantGone]);
    assert_eq!(lab.replica.status().errant, None);
}
