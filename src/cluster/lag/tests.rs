//! Lag of replicas whose true lag is known.

#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::super::position::Flavor;
use super::*;

const FRESH_FOR: Duration = Duration::from_millis(1500);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The position of a server that holds transactions 1 to `last`.
fn at(last: u64) -> Arc<Position> {
    let text = if last == 0 {
        String::new()
    } else {
        format!("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-{last}")
    };
    Arc::new(Position::parse(Flavor::MySql, &text).unwrap())
}

fn known(lag: u64) -> Lag {
    Lag::Known { lag: ms(lag), frozen: false }
}

fn frozen(lag: u64) -> Lag {
    Lag::Known { lag: ms(lag), frozen: true }
}

/// A clock fed with `(milliseconds, last transaction)`.
fn clock(start: Instant, samples: &[(u64, u64)]) -> LagClock {
    let mut clock = LagClock::new(FRESH_FOR);
    for (time, last) in samples {
        clock.sample(start + ms(*time), at(*last));
    }
    clock
}

#[test]
fn lag_is_the_age_of_the_oldest_sample_not_applied() {
    let start = Instant::now();
    let steady = [(0, 10), (250, 20), (500, 20), (750, 30), (1000, 30)];
    for (what, samples, now, applied, expected) in [
        ("no sample", &[][..], 0, 5, Lag::Unknown(NoLag::PrimaryNotSampled)),
        ("all applied", &steady, 1000, 30, known(0)),
        ("ahead of the last sample", &steady, 1000, 35, known(0)),
        ("all applied, idle since", &steady, 2400, 30, known(0)),
        ("lacks the newest", &steady, 1000, 29, known(250)),
        ("lacks the newest, later", &steady, 1100, 29, known(350)),
        ("lacks exactly the newest sample", &steady, 1000, 20, known(250)),
        ("lacks the second", &steady, 1000, 19, known(750)),
        ("at the first", &steady, 1000, 10, known(750)),
        ("behind the first", &steady, 1000, 9, Lag::AtLeast(ms(1000))),
        ("nothing applied", &steady, 1000, 0, Lag::AtLeast(ms(1000))),
        ("sample good for its time", &steady, 2500, 30, known(0)),
        ("no news of the primary", &steady, 2501, 30, known(1501)),
        ("no news, and already behind by more", &steady, 2501, 20, known(1751)),
        ("no news, and behind by less", &[(0, 10), (999, 10), (1000, 20)], 2501, 10, known(1501)),
        ("empty and empty", &[(0, 0)], 0, 0, known(0)),
        ("behind at once is not zero", &[(0, 5)], 0, 4, Lag::AtLeast(ms(0))),
    ] {
        let clock = clock(start, samples);
        assert_eq!(clock.lag(start + ms(now), &at(applied)), expected, "{what}");
    }
}

#[test]
fn an_idle_primary_keeps_a_stopped_replica_lagging() {
    let start = Instant::now();
    let mut clock = clock(start, &[(0, 1), (250, 2)]);
    for tick in 2..4000 {
        assert_eq!(clock.sample(start + ms(tick * 250), at(2)), Sampled::Unchanged);
    }
    assert_eq!(clock.samples.len(), 2);
    let now = start + ms(3999 * 250);
    assert_eq!(clock.lag(now, &at(1)), known(3998 * 250));
    assert_eq!(clock.lag(now, &at(2)), known(0));
}

#[test]
fn other_makes_are_unrelated() {
    let start = Instant::now();
    let clock = clock(start, &[(0, 1)]);
    let mariadb = Position::parse(Flavor::MariaDb, "0-1-1").unwrap();
    assert_eq!(clock.lag(start, &mariadb), Lag::Unknown(NoLag::Unrelated));
}

#[test]
fn a_lost_primary_freezes_the_lag() {
    let start = Instant::now();
    let mut clock = clock(start, &[(0, 10), (250, 20), (500, 30)]);
    clock.freeze(start + ms(1000));
    clock.freeze(start + ms(2000));
    for (now, applied, expected) in [
        (1000, 20, frozen(500)),
        (900_000, 20, frozen(500)),
        (900_000, 10, frozen(750)),
        (900_000, 30, frozen(0)),
        (900_000, 9, Lag::AtLeast(ms(1000))),
    ] {
        assert_eq!(clock.lag(start + ms(now), &at(applied)), expected, "{now} {applied}");
    }
    clock.thaw();
    let lag = clock.lag(start + ms(900_000), &at(30));
    assert_eq!(lag, known(899_500), "alive, but not sampled");
    // The same transactions again: the replica is behind by the whole outage.
    assert_eq!(clock.sample(start + ms(900_000), at(30)), Sampled::Unchanged);
    assert_eq!(clock.lag(start + ms(900_000), &at(20)), known(899_500));
    assert_eq!(clock.lag(start + ms(900_000), &at(30)), known(0));
}

#[test]
fn what_was_committed_in_a_gap_is_as_old_as_the_gap() {
    let start = Instant::now();
    let mut clock = clock(start, &[(0, 10), (250, 20)]);
    assert_eq!(clock.sample(start + ms(60_000), at(21)), Sampled::Advanced);
    assert_eq!(clock.lag(start + ms(60_000), &at(20)), known(59_750));
    assert_eq!(clock.sample(start + ms(60_250), at(22)), Sampled::Advanced);
    assert_eq!(clock.lag(start + ms(60_250), &at(21)), known(0));
}

#[test]
fn a_primary_that_lost_transactions_starts_afresh() {
    let start = Instant::now();
    let mut clock = clock(start, &[(0, 10), (250, 20)]);
    clock.freeze(start + ms(300));
    assert_eq!(clock.sample(start + ms(500), at(15)), Sampled::Restarted);
    assert_eq!(clock.lag(start + ms(500), &at(15)), known(0));
    assert_eq!(clock.lag(start + ms(700), &at(14)), Lag::AtLeast(ms(200)));
    assert_eq!(clock.sample(start + ms(400), at(16)), Sampled::OutOfOrder);
    assert_eq!(clock.newest().unwrap().1, start + ms(500));
    clock.reset();
    assert_eq!(clock.lag(start, &at(15)), Lag::Unknown(NoLag::PrimaryNotSampled));
    assert_eq!(clock.sample(start, at(1)), Sampled::First);
}

/// Every `tick` for `total`, one transaction a tick; the error of the reported lag, as a part of
/// the true one, is at most `part` (and one tick).
fn check_coarse(tick: u64, total: u64, part: f64) {
    let start = Instant::now();
    let mut clock = LagClock::new(FRESH_FOR);
    let ticks = total / tick;
    for n in 0..=ticks {
        clock.sample(start + ms(n * tick), at(n + 1));
    }
    assert!(clock.samples.len() <= MAX_SAMPLES);
    let now = start + ms(ticks * tick);
    for applied in 1..=ticks {
        // Transaction `applied + 1` was first seen at `applied * tick`.
        let age = ms((ticks - applied) * tick);
        let Lag::Known { lag, .. } = clock.lag(now, &at(applied)) else {
            panic!("no lag at {applied}");
        };
        assert!(lag >= age, "{applied}: {lag:?} is less than {age:?}");
        let bound = age.mul_f64(1.0 + part) + ms(tick);
        assert!(lag <= bound, "{applied}: {lag:?} is more than {bound:?}");
    }
}

#[test]
fn old_samples_become_coarse() {
    check_coarse(250, 120_000, 0.0);
    check_coarse(250, 3_600_000, 0.05);
    check_coarse(100, 3_600_000, 0.05);
}

#[test]
fn long_gtid_sets_are_bounded_by_memory() {
    let start = Instant::now();
    let mut clock = LagClock::bounded(FRESH_FOR, MAX_SAMPLES, 4096);
    for n in 0..1000 {
        clock.sample(start + ms(n * 10), at(n + 1));
        let weight: usize = clock.samples.iter().map(|sample| sample.position.weight()).sum();
        assert_eq!(weight, clock.weight);
        assert!(weight <= 4096 || clock.samples.len() <= 3);
    }
    assert!(clock.samples.len() > 3, "some history is kept");
}

/// One step of a history: time passes, and then something happens.
#[derive(Debug, Clone)]
enum Step {
    Commit(u64),
    /// The question to the primary takes this long; it is answered half way.
    Sample(u64),
    Apply(u64),
}

fn step() -> impl Strategy<Value = (u64, Step)> {
    let step = prop_oneof![
        (1..4_u64).prop_map(Step::Commit),
        (0..40_u64).prop_map(Step::Sample),
        (1..6_u64).prop_map(Step::Apply),
    ];
    (0..120_u64, step)
}

proptest! {
    /// Against a model that knows when everything was committed.
    #[test]
    fn never_less_than_the_time_since_the_first_sample(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let start = Instant::now();
        let mut clock = LagClock::bounded(Duration::from_secs(3600), 16, MAX_WEIGHT);
        let mut committed_at: Vec<u64> = vec![0];
        let (mut now, mut applied) = (0, 0_usize);
        // (sent, transactions seen) of every sample.
        let mut samples: Vec<(u64, usize)> = Vec::new();
        for (wait, step) in steps {
            now += wait;
            match step {
                Step::Commit(count) => (0..count).for_each(|_| committed_at.push(now)),
                Step::Sample(took) => {
                    samples.push((now, committed_at.len()));
                    clock.sample(start + ms(now), at(committed_at.len() as u64));
                    now += took;
                }
                Step::Apply(count) => {
                    applied = (applied + count as usize).min(committed_at.len());
                }
            }
            let Some(&(first_sent, first_seen)) = samples.first() else { continue };
            let lag = clock.lag(start + ms(now), &at(applied as u64));
            let Some(missing) = samples.iter().position(|(_, seen)| *seen > applied) else {
                prop_assert_eq!(lag, known(0));
                continue;
            };
            if applied < first_seen {
                prop_assert_eq!(lag, Lag::AtLeast(ms(now - first_sent)));
                continue;
            }
            let (sent, _) = samples[missing];
            let (previous, _) = samples[missing - 1];
            let truth = now - committed_at[applied];
            let lag = lag.known().unwrap().as_millis() as u64;
            prop_assert!(lag >= now - sent, "{} less than {}", lag, now - sent);
            prop_assert!(lag + (sent - previous) >= truth, "{} hides more than a tick of {}", lag, truth);
            if samples.len() <= 16 {
                prop_assert_eq!(lag, now - sent, "exact while nothing is merged");
            }
        }
    }
}
