//! All modes, once for a few seconds each, or in rounds for as long as the environment says.

use std::thread;
use std::time::{Duration, Instant};

use crate::disturb::disturb;
use crate::lab::{self, Field};
use crate::model::Model;
use crate::modes::{MODES, Mode};
use crate::session::{Round, Session};
use crate::shares;
use crate::support::{Lab, Make};
use crate::tally::Tally;

const SESSIONS: usize = 16;
/// Of a mode, in the ordinary test run.
const SHORT: Duration = Duration::from_millis(2000);
/// Of a mode, in a long run, before the next mode has its turn.
const LONG: Duration = Duration::from_secs(20);
const SEED: u64 = 1;
/// What the mode is called that measures shares.
const SHARES: &str = "shares";
/// Rounds of a mode in which something must be found, if it is not before.
const MAX_ROUNDS_TO_FIND: usize = 6;

/// A number of the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// When a run ends.
struct Plan {
    until: Option<Instant>,
    reads: Option<u64>,
    seed: u64,
}

impl Plan {
    fn from_environment() -> Self {
        let seconds = setting("LAGWISE_CHECK_SECONDS").map(Duration::from_secs);
        Self {
            until: seconds.map(|seconds| Instant::now() + seconds),
            reads: setting("LAGWISE_CHECK_READS"),
            seed: setting("LAGWISE_CHECK_SEED").unwrap_or(SEED),
        }
    }

    fn is_long(&self) -> bool {
        self.until.is_some() || self.reads.is_some()
    }

    fn is_over(&self, reads: u64) -> bool {
        let time_is_over = self.until.is_some_and(|until| Instant::now() >= until);
        !self.is_long() || time_is_over || self.reads.is_some_and(|wanted| reads >= wanted)
    }

    fn time(&self) -> Duration {
        match self.until {
            _ if !self.is_long() => SHORT,
            Some(until) => LONG.min(until.saturating_duration_since(Instant::now()).max(SHORT)),
            None => LONG,
        }
    }
}

/// Which mode is wanted; nothing for all.
fn wanted_mode() -> Option<String> {
    std::env::var("LAGWISE_CHECK_MODE").ok()
}

fn modes() -> Vec<&'static Mode> {
    let wanted = wanted_mode();
    let is_wanted = |mode: &&Mode| wanted.as_ref().is_none_or(|name| name == mode.name);
    let modes: Vec<&Mode> = MODES.iter().filter(is_wanted).collect();
    let names: Vec<&str> = MODES.iter().map(|mode| mode.name).collect();
    assert!(!modes.is_empty(), "LAGWISE_CHECK_MODE is {SHARES} or one of {names:?}");
    modes
}

/// Runs what the environment says, and fails with every read that was wrong.
pub fn run(make: Make) {
    let (lab, plan) = (lab::start(make), Plan::from_environment());
    if wanted_mode().as_deref() == Some(SHARES) {
        let time = plan.until.map(|until| until.saturating_duration_since(Instant::now()));
        return shares::run(&lab, plan.seed, time.unwrap_or_default());
    }
    let modes = modes();
    let tallies: Vec<Tally> = modes.iter().map(|_| Tally::default()).collect();
    // Of the modes that promise what they are held against.
    let reads = || -> u64 {
        let both = modes.iter().zip(&tallies);
        both.filter(|(mode, _)| mode.promises()).map(|(_, tally)| tally.reads()).sum()
    };
    for seed in plan.seed.. {
        println!("{make}: seed {seed}");
        for (mode, tally) in modes.iter().zip(&tallies) {
            for _ in 0..MAX_ROUNDS_TO_FIND {
                one_round(&lab, mode, tally, seed, plan.time());
                if mode.must_find.iter().all(|wrong| tally.wrong(*wrong) > 0) {
                    break;
                }
            }
            let evidence = tally.take_evidence();
            // Of what must be found, one of each kind shows that it was.
            let limit = if mode.promises() { evidence.len() } else { mode.must_find.len() };
            evidence.iter().take(limit).for_each(|text| println!("{make}: {text}"));
            println!("{make}: {}", tally.row(mode.name));
        }
        println!("{make}: {} reads so far in modes that promise", reads());
        if plan.is_over(reads()) {
            break;
        }
    }
    println!("{make}: {}", Tally::heading());
    for (mode, tally) in modes.iter().zip(&tallies) {
        println!("{make}: {}", tally.row(mode.name));
    }
    let verdicts = modes.iter().zip(&tallies).flat_map(|(mode, tally)| tally.verdict(mode));
    let verdicts: Vec<String> = verdicts.collect();
    assert!(verdicts.is_empty(), "{make}: {}", verdicts.join("\n"));
    if !plan.is_long() && wanted_mode().is_none() {
        shares::run_short(&lab, plan.seed);
    }
}

fn one_round(lab: &Lab, mode: &Mode, tally: &Tally, seed: u64, time: Duration) {
    let (field, model) = (Field::start(lab, mode), Model::new());
    let began = Instant::now();
    let until = began + time;
    let round = &Round { mode, field: &field, model: &model, tally, seed, began };
    thread::scope(|scope| {
        for number in 0..SESSIONS {
            scope.spawn(move || Session::new(round, number).run(until));
        }
        scope.spawn(move || disturb(lab, seed, until, mode.restarts_in(time)));
    });
}
