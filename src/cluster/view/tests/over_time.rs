//! Pictures that follow each other: lags that waver, and replicas that have been away.

use proptest::prelude::*;

use super::*;

/// Pictures of the same replicas, one after the other.
struct Film {
    policy: RoutingPolicy,
    now: Instant,
    last: Candidates,
}

impl Film {
    fn new(policy: RoutingPolicy) -> Film {
        // Long after the beginning of the clock, so that it can be gone back from.
        let now = Instant::now() + Duration::from_secs(3600);
        Film { policy, now, last: Candidates::default() }
    }

    /// The next picture, `after` the last one; replicas keep their places.
    fn next(&mut self, after: u64, replicas: &[ReplicaView<'_>]) -> &Group {
        self.now += ms(after);
        let seen = |(index, replica): (usize, &ReplicaView<'static>)| {
            let probed_at = replica.probed_at.map(|_| self.now);
            ReplicaView { probed_at, was: Some(index), ..*replica }
        };
        let replicas: Vec<ReplicaView<'static>> =
            replicas.iter().map(|it| ReplicaView { tags: &[], zone: None, ..*it }).collect();
        let replicas: Vec<_> = replicas.iter().enumerate().map(seen).collect();
        self.last = eligible(&replicas, &self.last, &self.policy, self.now);
        self.last.group(None).unwrap()
    }

    fn lags(&mut self, lags: &[u64]) -> &Group {
        let replicas: Vec<_> = lags.iter().map(|lag| replica(self.now, known(*lag))).collect();
        self.next(250, &replicas)
    }
}

/// How often `is_in` changes from picture to picture, where the first replica does not lag, and the
/// second one as `lags` say.
fn changes(lags: &[u64], is_in: impl Fn(&Group) -> bool) -> usize {
    let mut film = Film::new(POLICY);
    let seen: Vec<bool> = lags.iter().map(|lag| is_in(film.lags(&[0, *lag]))).collect();
    seen.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

#[test]
fn a_lag_about_the_tolerance_does_not_flap() {
    let is_best = |group: &Group| group.members.iter().any(|candidate| candidate.index == 1);
    for (what, lags, expected) in [
        ("above and below", &[90, 110, 90, 110, 90, 110][..], 0),
        ("up to the margin", &[0, 150, 0, 150, 0], 0),
        ("beyond the margin", &[0, 151, 0, 151, 0], 4),
        ("once out, the margin does not help", &[0, 151, 149, 101, 120, 101], 1),
        ("out, and back for good", &[0, 200, 120, 100, 120, 100], 2),
        ("never in", &[200, 120, 101, 149, 200], 0),
    ] {
        assert_eq!(changes(lags, is_best), expected, "{what}: {lags:?}");
    }
}

#[test]
fn a_lag_about_max_lag_does_not_flap() {
    let takes = |group: &Group| group.spare.iter().any(|candidate| candidate.index == 1);
    for (what, lags, expected) in [
        ("above and below", &[9900, 10_100, 9900, 10_100, 9900, 10_100][..], 1),
        ("just below, never above", &[9900, 10_000, 9900, 10_000], 0),
        ("back at four fifths", &[9900, 10_001, 8001, 8000, 8001, 9999], 2),
        ("late from the beginning", &[10_100, 9900, 8001], 0),
        ("late again", &[9900, 10_001, 8000, 10_001, 8001], 3),
    ] {
        assert_eq!(changes(lags, takes), expected, "{what}: {lags:?}");
    }
}

#[test]
fn what_came_back_too_little_is_late_and_says_so() {
    let mut film = Film::new(POLICY);
    film.lags(&[0, 10_001]);
    let group = film.lags(&[0, 9000]).clone();
    assert_eq!(indexes(&group.late), [1]);
    // A wish that allows it is about its lag alone.
    assert!(group.allows(1, Some(ms(9500))) && !group.allows(1, Some(ms(8999))));
    let excluded = film.last.excluded(1).unwrap();
    assert_eq!(excluded, Excluded::StillLate(ms(9000)));
    assert_eq!(
        excluded.to_string(),
        "lags 9.000s; it was over max_lag, and is back at 4/5 of that"
    );
    // Another max_lag is another question.
    film.policy.max_lag = ms(9500);
    assert_eq!(indexes(&film.lags(&[0, 9000]).spare), [1]);
}

#[test]
fn a_reload_moves_what_is_remembered_along() {
    let mut film = Film::new(POLICY);
    film.lags(&[0, 50, 10_001]);
    let (now, at) = (film.now, |lag| replica(film.now, known(lag)));
    let moved = |lag, was| ReplicaView { was, ..at(lag) };
    // A new one, and the three of before in another order.
    let replicas = [moved(120, None), moved(9000, Some(2)), moved(120, Some(1)), moved(0, Some(0))];
    let next = eligible(&replicas, &film.last, &POLICY, now);
    let group = next.group(None).unwrap();
    assert_eq!((indexes(&group.members), indexes(&group.spare)), (vec![3, 2], vec![0]));
    assert_eq!(next.excluded(1), Some(Excluded::StillLate(ms(9000))));
}

#[test]
fn with_all_late_the_least_lagged_may_serve() {
    for (what, may_serve, lags, members, spare, late) in [
        ("not allowed", false, [20_000, 11_000, 11_050], &[][..], &[][..], &[1, 2, 0][..]),
        ("allowed", true, [20_000, 11_000, 11_050], &[1, 2], &[0], &[]),
        ("one is fit", true, [10_000, 11_000, 11_050], &[0], &[], &[1, 2]),
    ] {
        let mut film = Film::new(RoutingPolicy { late_may_serve: may_serve, ..POLICY });
        let group = film.lags(&lags);
        let found = (indexes(&group.members), indexes(&group.spare), indexes(&group.late));
        assert_eq!(found, (members.to_vec(), spare.to_vec(), late.to_vec()), "{what}");
        let is_makeshift = may_serve && members != [0];
        assert_eq!(group.is_makeshift, is_makeshift, "{what}");
        let chosen = group.choose(None, 7, |_| 0, |index| index == 0);
        assert_eq!(chosen.is_some(), may_serve, "{what}");
        // A wish of its own means what it means without the setting.
        let with_a_wish = group.choose(Some(ms(11_000)), 7, |_| 0, |index| index != 0);
        assert_eq!(with_a_wish, Some(1), "{what}");
        assert!(film.last.excluded(1).is_some(), "it serves, and is late nevertheless");
    }
    // What is down, errant or of unknown lag is no choice.
    let film = Film::new(RoutingPolicy { late_may_serve: true, ..POLICY });
    let good = replica(film.now, known(20_000));
    let unfit = [
        ReplicaView { health: Health::Down, ..good },
        ReplicaView { errant: true, ..good },
        ReplicaView { lag: Lag::AtLeast(ms(20_000)), ..good },
        ReplicaView { lag: Lag::Unknown(NoLag::Unrelated), ..good },
        ReplicaView { probed_at: None, ..good },
    ];
    let picture = eligible(&unfit, &Candidates::default(), &film.policy, film.now);
    assert_eq!(picture.group(None), Some(&Group::default()));
}

/// The policy with which a replica grows to its whole share in 8 s.
fn slow() -> RoutingPolicy {
    RoutingPolicy { slow_start: ms(8000), ..POLICY }
}

/// The first replica is fit all the time; the second one as told, then fit again. Its weight in the
/// picture in which it is, where 256 is the whole.
fn weight_after(
    policy: RoutingPolicy,
    before: &[fn(ReplicaView<'static>) -> ReplicaView<'static>],
) -> u32 {
    let mut film = Film::new(policy);
    let good = replica(film.now, known(0));
    for change in before {
        film.next(250, &[good, change(good)]);
    }
    let group = film.next(250, &[good, good]);
    let weight = |index| group.members.iter().find(|it| it.index == index).unwrap().weight;
    assert_eq!(weight(0), 256);
    weight(1)
}

#[test]
fn what_was_away_in_earnest_starts_slowly() {
    type Change = fn(ReplicaView<'static>) -> ReplicaView<'static>;
    let good: Change = |it| it;
    for (what, change, after_serving, at_the_start) in [
        ("nothing", good, 256, 256),
        ("down", |it| ReplicaView { health: Health::Down, ..it }, 16, 16),
        ("denied", |it| ReplicaView { health: Health::Denied, ..it }, 16, 256),
        ("suspect", |it| ReplicaView { health: Health::Suspect, ..it }, 256, 256),
        ("starting", |it| ReplicaView { health: Health::Starting, ..it }, 256, 256),
        ("over max_lag", |it| ReplicaView { lag: known(10_001), ..it }, 16, 256),
        ("over the tolerance", |it| ReplicaView { lag: known(9000), ..it }, 256, 256),
        ("errant", |it| ReplicaView { errant: true, ..it }, 16, 256),
        ("unbounded", |it| ReplicaView { lag: Lag::AtLeast(ms(1)), ..it }, 16, 256),
        (
            "without a position",
            |it| ReplicaView { lag: Lag::Unknown(NoLag::ReplicaHasNoPosition), ..it },
            16,
            256,
        ),
        (
            "the primary not sampled",
            |it| ReplicaView { lag: Lag::Unknown(NoLag::PrimaryNotSampled), ..it },
            256,
            256,
        ),
        ("not probed of late", |it| ReplicaView { probed_at: None, ..it }, 256, 256),
    ] as [(&str, Change, u32, u32); 12]
    {
        assert_eq!(weight_after(slow(), &[good, change]), after_serving, "{what}");
        assert_eq!(weight_after(slow(), &[change]), at_the_start, "{what}, at the start");
        assert_eq!(weight_after(POLICY, &[good, change]), 256, "{what}, with slow_start off");
    }
}

#[test]
fn a_share_grows_with_time() {
    let mut film = Film::new(slow());
    let good = ReplicaView { weight: 3, ..replica(film.now, known(0)) };
    let down = ReplicaView { health: Health::Down, ..good };
    let suspect = ReplicaView { health: Health::Suspect, ..good };
    for (after, second, expected) in [
        (0, good, Some(256)),
        (100, down, None),
        (100, good, Some(16)),
        (2000, good, Some(16 + 60)),
        // Out of sight for a moment: time goes on.
        (1000, suspect, None),
        (1000, good, Some(16 + 120)),
        (3999, good, Some(255)),
        (1, good, Some(256)),
        (100_000, good, Some(256)),
        (100, down, None),
        (100, good, Some(16)),
        // Away again: from the beginning.
        (4000, down, None),
        (100, good, Some(16)),
        (8000, good, Some(256)),
    ] {
        let group = film.next(after, &[good, second]);
        let found = group.members.iter().find(|it| it.index == 1).map(|it| it.weight);
        assert_eq!(found, expected.map(|share| share * 3), "{after} {:?}", second.health);
    }
}

#[test]
fn the_share_is_one_of_choices_and_nothing_is_held_back_from_the_last_one() {
    let mut film = Film::new(slow());
    let good = replica(film.now, known(0));
    let down = ReplicaView { health: Health::Down, ..good };
    film.next(0, &[good, down]);
    for (after, least, most) in [(1, 400, 800), (4000, 3000, 3900), (4000, 4600, 5400)] {
        let group = film.next(after, &[good, good]).clone();
        let chosen =
            (0..10_000).filter(|n| group.choose(None, next_random(*n), |_| 0, |_| true) == Some(1));
        let count = chosen.count();
        assert!((least..most).contains(&count), "{count} of 10000 after {after}");
        // One query on it is more than its share while it is cold, and others have few.
        if after == 1 {
            assert_eq!(group.choose(None, 1, |index| [15, 1][index], |_| true), Some(0));
            assert_eq!(group.choose(None, 1, |index| [17, 1][index], |_| true), Some(1));
        }
        assert!(group.keeps(1, None), "who is there stays there");
    }
    film.next(250, &[good, down]);
    let group = film.next(250, &[down, good]);
    assert_eq!(group.choose(None, 3, |_| 1000, |_| true), Some(1));
}

#[test]
fn what_a_reload_brings_in_starts_slowly() {
    let mut film = Film::new(slow());
    film.lags(&[0]);
    let replicas = [Some(0), None].map(|was| ReplicaView { was, ..replica(film.now, known(0)) });
    let next = eligible(&replicas, &film.last, &film.policy, film.now);
    let weights = next.group(None).unwrap().members.iter().map(|it| it.weight);
    assert_eq!(weights.collect::<Vec<_>>(), [256, 16]);
}

fn any_view() -> impl Strategy<Value = (u8, u64, u8)> {
    (0..10_u8, prop_oneof![0..300_u64, 7_500..12_000_u64], 0..3_u8)
}

proptest! {
    #[test]
    fn whatever_happens_the_promises_hold(
        may_serve: bool,
        steps in prop::collection::vec((0..5000_u64, prop::collection::vec(any_view(), 4)), 1..30),
    ) {
        const ZONES: [Option<&str>; 3] = [None, Some("a"), Some("b")];
        let zone = Some("a".to_owned());
        let policy = RoutingPolicy { zone, late_may_serve: may_serve, ..slow() };
        let mut now = Instant::now();
        let mut last = Candidates::default();
        for (after, states) in steps {
            now += ms(after);
            let views: Vec<_> = states.iter().enumerate().map(|(index, (state, lag, zone))| {
                let good = ReplicaView {
                    was: Some(index),
                    zone: ZONES[usize::from(*zone)],
                    ..replica(now, known(*lag))
                };
                match state {
                    0 => ReplicaView { health: Health::Down, ..good },
                    1 => ReplicaView { errant: true, ..good },
                    2 => ReplicaView { lag: Lag::AtLeast(ms(*lag)), ..good },
                    _ => good,
                }
            }).collect();
            last = eligible(&views, &last, &policy, now);
            let group = last.group(None).unwrap();
            let serving: Vec<usize> =
                group.best().chain(&group.spare).map(|candidate| candidate.index).collect();
            for (index, (state, lag, _)) in states.iter().enumerate() {
                let serves = serving.iter().filter(|it| **it == index).count();
                prop_assert!(serves <= 1);
                let fit = last.excluded(index).is_none();
                prop_assert!(!(fit && (*state < 3 || *lag > 10_000)));
                prop_assert_eq!(serves == 1, fit || group.is_makeshift && *state > 2);
                prop_assert!(fit || *state < 3 || *lag > 8000);
                let only = group.choose(None, 7, |_| 0, |it| it == index);
                prop_assert_eq!(only, (serves == 1).then_some(index));
            }
            prop_assert_eq!(group.members.is_empty(), serving.is_empty());
            prop_assert!(group.best().chain(&group.late).all(|it| it.weight >= 1));
            let stays = group.members.iter().all(|it| group.keeps(it.index, None));
            prop_assert!(stays && !group.far.iter().any(|it| group.keeps(it.index, None)));
        }
    }
}
