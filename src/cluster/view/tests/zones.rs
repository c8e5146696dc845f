//! lagwise's own zone comes first among equals.

use super::*;

fn in_zone(zone: Option<&str>) -> RoutingPolicy {
    RoutingPolicy { zone: zone.map(str::to_owned), slow_start: ms(8000), ..POLICY }
}

#[test]
fn among_equals_the_own_zone_comes_first() {
    let now = Instant::now();
    // Zone and lag of each replica.
    let replicas = [(Some("a"), 50), (Some("b"), 0), (None, 0), (Some("a"), 500), (Some("b"), 300)]
        .map(|(zone, lag)| ReplicaView { zone, ..replica(now, known(lag)) });
    for (own, members, far, spare) in [
        (None, &[1, 2, 0][..], &[][..], &[4, 3][..]),
        (Some("a"), &[0], &[1, 2], &[4, 3]),
        (Some("b"), &[1], &[2, 0], &[4, 3]),
        // Of no zone among the best, and of none at all.
        (Some("c"), &[1, 2, 0], &[], &[4, 3]),
    ] {
        let candidates = eligible(&replicas, &Candidates::default(), &in_zone(own), now);
        let group = candidates.group(None).unwrap();
        assert_eq!(indexes(&group.members), members, "{own:?}");
        assert_eq!(indexes(&group.far), far, "{own:?}");
        assert_eq!(indexes(&group.spare), spare, "{own:?}");
        for index in 0..5 {
            assert_eq!(group.keeps(index, None), members.contains(&index), "{own:?} {index}");
            assert!(group.allows(index, None));
        }
        for random in 0..50 {
            // However busy: its own zone, then the others', then the spare ones.
            let busy = |index| if members.contains(&index) { 1000 } else { 0 };
            let choose = |accept: &dyn Fn(usize) -> bool| group.choose(None, random, busy, accept);
            assert!(members.contains(&choose(&|_| true).unwrap()), "{own:?}");
            let next = choose(&|index| !members.contains(&index)).unwrap();
            let want = if far.is_empty() { &spare[..1] } else { far };
            assert!(want.contains(&next), "{own:?}: {next}");
            assert_eq!(choose(&|index| spare.contains(&index)), Some(4));
        }
    }
}

#[test]
fn a_wish_for_less_lag_may_lead_to_another_zone() {
    let now = Instant::now();
    let replicas = [("a", 50), ("b", 0)]
        .map(|(zone, lag)| ReplicaView { zone: Some(zone), ..replica(now, known(lag)) });
    let candidates = eligible(&replicas, &Candidates::default(), &in_zone(Some("a")), now);
    let group = candidates.group(None).unwrap();
    assert_eq!(group.choose(Some(ms(49)), 1, |_| 0, |_| true), Some(1));
    assert_eq!(group.choose(Some(ms(50)), 1, |_| 0, |_| true), Some(0));
}

#[test]
fn other_zones_help_out_while_the_own_one_is_cold() {
    let mut now = Instant::now();
    let policy = in_zone(Some("a"));
    let mut last = Candidates::default();
    let mut next = |after: u64, health: &[Health], weights: &[u32]| {
        now += ms(after);
        let views: Vec<_> = health
            .iter()
            .enumerate()
            .map(|(index, health)| {
                let zone = Some(if index < 2 { "a" } else { "b" });
                let good = replica(now, known(0));
                let (was, weight) = (Some(index), weights[index]);
                ReplicaView { health: *health, zone, was, weight, ..good }
            })
            .collect();
        last = eligible(&views, &last, &policy, now);
        let group = last.group(None).unwrap();
        let shown = |list: &[Candidate]| -> Vec<(usize, u32)> {
            list.iter().map(|it| (it.index, it.weight)).collect()
        };
        (shown(&group.members), shown(&group.far))
    };
    use Health::{Down, Up};
    let (even, heavy) = (&[1, 1, 1, 1], &[1, 1, 2, 6]);
    let both = vec![(0, 256), (1, 256)];
    assert_eq!(next(0, &[Up, Up, Up, Up], even).0, both);
    // One of the zone is warm: it can do it alone.
    next(100, &[Up, Down, Up, Up], even);
    let found = next(100, &[Up, Up, Up, Up], even);
    assert_eq!(found, (vec![(0, 256), (1, 16)], vec![(2, 256), (3, 256)]));
    // Both are cold: to the other zone goes what they are spared, by the weights there.
    next(9000, &[Down, Down, Up, Up], even);
    let found = next(100, &[Up, Up, Up, Up], even);
    assert_eq!(found, (vec![(0, 16), (1, 16), (2, 240), (3, 240)], vec![]));
    assert_eq!(next(0, &[Up, Up, Up, Up], heavy).0, [(0, 16), (1, 16), (2, 120), (3, 360)]);
    let found = next(4000, &[Up, Up, Up, Up], even);
    assert_eq!(found, (vec![(0, 136), (1, 136), (2, 120), (3, 120)], vec![]));
    // Warm again: all come home.
    assert_eq!(next(4000, &[Up, Up, Up, Up], even).0, both);
    // All zones are equally cold: nothing to be spared.
    next(100, &[Down, Down, Down, Down], even);
    let found = next(100, &[Up, Up, Up, Up], even);
    assert_eq!(found, (vec![(0, 16), (1, 16)], vec![(2, 16), (3, 16)]));
}
