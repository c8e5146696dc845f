//! Which replicas may take reads, and the choice among them.

#![allow(clippy::unwrap_used)]
mod over_time;
mod zones;

use super::group::next_random;
use super::*;

const POLICY: RoutingPolicy = RoutingPolicy {
    max_lag: Duration::from_secs(10),
    lag_tolerance: Duration::from_millis(100),
    fresh_for: Duration::from_millis(1500),
    zone: None,
    slow_start: Duration::ZERO,
    late_may_serve: false,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn known(lag: u64) -> Lag {
    Lag::Known { lag: ms(lag), frozen: false }
}

/// A replica that is fit for reads but for its lag.
fn replica(now: Instant, lag: Lag) -> ReplicaView<'static> {
    let probed_at = Some(now);
    let (zone, was) = (None, None);
    ReplicaView {
        health: Health::Up,
        lag,
        probed_at,
        errant: false,
        is_drained: false,
        weight: 1,
        tags: &[],
        zone,
        was,
    }
}

fn indexes(candidates: &[Candidate]) -> Vec<usize> {
    candidates.iter().map(|candidate| candidate.index).collect()
}

/// The first picture.
fn first(replicas: &[ReplicaView<'_>], now: Instant) -> Candidates {
    eligible(replicas, &Candidates::default(), &POLICY, now)
}

/// Checks the untagged group.
fn check(
    what: &str,
    replicas: &[ReplicaView<'_>],
    now: Instant,
    members: &[usize],
    spare: &[usize],
) {
    let candidates = first(replicas, now);
    let group = candidates.group(None).unwrap();
    assert_eq!(indexes(&group.members), members, "{what}");
    assert_eq!(indexes(&group.spare), spare, "{what}");
}

#[test]
fn the_least_lagged_and_their_equals() {
    let now = Instant::now();
    for (what, lags, members, spare) in [
        ("none", &[][..], &[][..], &[][..]),
        ("one", &[5000], &[0], &[]),
        ("equal", &[0, 0, 0], &[0, 1, 2], &[]),
        ("within tolerance", &[100, 0, 50], &[1, 2, 0], &[]),
        ("just over tolerance", &[101, 0], &[1], &[0]),
        ("tolerance is from the best", &[9000, 9100, 9101], &[0, 1], &[2]),
        ("at max_lag", &[10_000], &[0], &[]),
        ("over max_lag", &[10_001, 9999], &[1], &[]),
    ] {
        let replicas: Vec<_> = lags.iter().map(|lag| replica(now, known(*lag))).collect();
        check(what, &replicas, now, members, spare);
    }
}

#[test]
fn every_doubt_excludes() {
    let now = Instant::now() + Duration::from_secs(3600);
    let good = replica(now, known(0));
    let aged = |age| ReplicaView { probed_at: Some(now - ms(age)), ..good };
    for (replica, excluded) in [
        (good, None),
        (ReplicaView { lag: Lag::Known { lag: ms(5), frozen: true }, ..good }, None),
        (
            ReplicaView { health: Health::Starting, ..good },
            Some(Excluded::Health(Health::Starting)),
        ),
        (ReplicaView { health: Health::Suspect, ..good }, Some(Excluded::Health(Health::Suspect))),
        (ReplicaView { health: Health::Down, ..good }, Some(Excluded::Health(Health::Down))),
        (ReplicaView { health: Health::Denied, ..good }, Some(Excluded::Health(Health::Denied))),
        (aged(1500), None),
        (aged(1501), Some(Excluded::ProbeTooOld)),
        (ReplicaView { probed_at: None, ..good }, Some(Excluded::ProbeTooOld)),
        (ReplicaView { errant: true, ..good }, Some(Excluded::Errant)),
        (ReplicaView { is_drained: true, ..good }, Some(Excluded::Drained)),
        (ReplicaView { lag: known(10_001), ..good }, Some(Excluded::OverMaxLag(ms(10_001)))),
        (ReplicaView { lag: Lag::AtLeast(ms(0)), ..good }, Some(Excluded::LagUnbounded(ms(0)))),
        (
            ReplicaView { lag: Lag::Unknown(NoLag::PrimaryNotSampled), ..good },
            Some(Excluded::LagUnknown(NoLag::PrimaryNotSampled)),
        ),
    ] {
        // Between two good ones, so that a wrong index would show.
        let candidates = first(&[good, replica, good], now);
        assert_eq!(candidates.excluded(1), excluded, "{replica:?}");
        let expected: &[usize] = if excluded.is_none() { &[0, 1, 2] } else { &[0, 2] };
        let group = candidates.group(None).unwrap();
        let mut all = indexes(&group.members);
        all.extend(indexes(&group.spare));
        all.sort_unstable();
        assert_eq!(all, expected, "{replica:?}");
        if let Some(excluded) = excluded {
            assert!(!excluded.to_string().is_empty());
        }
    }
}

#[test]
fn tagged_replicas_serve_only_their_tags() {
    let now = Instant::now();
    let (bi, both) = (["bi".to_owned()], ["bi".to_owned(), "etl".to_owned()]);
    let plain = replica(now, known(0));
    let replicas = [
        plain,
        ReplicaView { tags: &bi, lag: known(500), ..plain },
        ReplicaView { tags: &both, ..plain },
        ReplicaView { tags: &bi, lag: known(20_000), ..plain },
    ];
    check("untagged", &replicas, now, &[0], &[]);
    let candidates = first(&replicas, now);
    for (tag, members, spare) in [("bi", &[2][..], &[1][..]), ("etl", &[2], &[])] {
        let group = candidates.group(Some(tag)).unwrap();
        assert_eq!(indexes(&group.members), members, "{tag}");
        assert_eq!(indexes(&group.spare), spare, "{tag}");
    }
    assert_eq!(candidates.group(Some("unknown")), None);
    // A tag whose replicas are all out is a group without members.
    let candidates = first(&replicas[3..], now);
    assert!(candidates.group(Some("bi")).unwrap().members.is_empty());
}

#[test]
fn a_wish_for_less_or_more_lag() {
    let now = Instant::now();
    let lags = [0, 50, 3000, 12_000, 30_000];
    let replicas: Vec<_> = lags.iter().map(|lag| replica(now, known(*lag))).collect();
    let unknown = ReplicaView { lag: Lag::AtLeast(ms(1)), ..replicas[0] };
    let all = first(&[&replicas[..], &[unknown]].concat(), now);
    let late = first(&[&replicas[3..], &[unknown]].concat(), now);
    for (what, candidates, max_lag, allowed, kept) in [
        ("none", &all, None, &[0, 1, 2][..], &[0, 1][..]),
        ("less", &all, Some(40), &[0], &[0]),
        ("equal", &all, Some(50), &[0, 1], &[0, 1]),
        ("more", &all, Some(12_000), &[0, 1, 2, 3], &[0, 1]),
        ("none, all late", &late, None, &[], &[]),
        ("more, all late", &late, Some(12_000), &[0], &[0]),
        ("much more, all late", &late, Some(60_000), &[0, 1], &[0, 1]),
    ] {
        let (group, max_lag) = (candidates.group(None).unwrap(), max_lag.map(ms));
        let those = |holds: &dyn Fn(usize) -> bool| -> Vec<usize> {
            (0..6).filter(|index| holds(*index)).collect()
        };
        assert_eq!(those(&|index| group.allows(index, max_lag)), allowed, "{what}");
        assert_eq!(those(&|index| group.keeps(index, max_lag)), kept, "{what}");
        for index in 0..6 {
            let chosen = group.choose(max_lag, 7, |_| 0, |other| other == index);
            assert_eq!(chosen, allowed.contains(&index).then_some(index), "{what}: {index}");
        }
        let least = group.choose(max_lag, 7, |_| 0, |index| index != 1);
        assert_eq!(least, allowed.first().copied(), "{what}");
    }
}

fn group_of(weights: &[u32]) -> Group {
    let candidate =
        |(index, weight): (usize, &u32)| Candidate { index, lag: ms(0), weight: *weight };
    Group { members: weights.iter().enumerate().map(candidate).collect(), ..Group::default() }
}

#[test]
fn the_fewest_outstanding_for_the_weight() {
    for (what, weights, loads, expected) in [
        ("idle one", &[1, 1, 1][..], &[3, 0, 2][..], 1),
        ("twice the weight", &[1, 2], &[2, 3], 1),
        ("twice the weight, more than twice the load", &[1, 2], &[2, 5], 0),
        ("large numbers", &[1000, 1], &[u32::MAX, u32::MAX], 0),
    ] {
        for random in 0..50 {
            let chosen =
                group_of(weights).choose(None, random * 7919, |index| loads[index], |_| true);
            assert_eq!(chosen, Some(expected), "{what}");
        }
    }
}

#[test]
fn ties_fall_by_weight() {
    let group = group_of(&[1, 3, 1]);
    let mut counts = [0_u32; 3];
    let mut random = 42;
    for _ in 0..10_000 {
        random = next_random(random);
        counts[group.choose(None, random, |_| 0, |_| true).unwrap()] += 1;
    }
    // Shares of 1, 3 and 1 in 5: far wider than the spread of a fair choice.
    for (count, expected) in counts.into_iter().zip([2000, 6000, 2000]) {
        assert!(count.abs_diff(expected) < 400, "{counts:?}");
    }
}

#[test]
fn a_large_group_is_used_evenly() {
    let group = group_of(&[1; 100]);
    let mut counts = [0_u32; 100];
    let mut random = 42;
    for _ in 0..20_000 {
        random = next_random(random);
        counts[group.choose(None, random, |_| 0, |_| true).unwrap()] += 1;
    }
    assert!(counts.iter().all(|count| (100..300).contains(count)), "{counts:?}");
}

#[test]
fn the_filter_is_asked_first_and_the_spare_last() {
    let mut group = group_of(&[1; 20]);
    group.spare = vec![
        Candidate { index: 20, lag: ms(500), weight: 1 },
        Candidate { index: 21, lag: ms(900), weight: 1 },
    ];
    for random in [0, 1, 77, u64::MAX] {
        assert_eq!(group.choose(None, random, |_| 0, |index| index == 13), Some(13));
        assert_eq!(group.choose(None, random, |_| 0, |index| index >= 20), Some(20));
        assert_eq!(group.choose(None, random, |_| 0, |index| index == 21), Some(21));
        assert_eq!(group.choose(None, random, |_| 0, |_| false), None);
        assert_eq!(Group::default().choose(None, random, |_| 0, |_| true), None);
    }
}
