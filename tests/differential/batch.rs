//! Many scripts, on a few workers at once.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::generate;
use crate::ground::{self, Ground, Plot, Pools};
use crate::known::is_known;
use crate::run::{Outcome, Runner};
use crate::script::{Replicas, Script};
use crate::shrink::shrink;
use crate::support::Make;
use crate::text;

/// Scripts of the ordinary test run, for each make.
const COUNT: u64 = 2000;

/// For each of those with ample pools, so many run with small ones.
const SHARE_OF_SMALL: u64 = 5;

/// Scripts at a time; more would only wait for each other.
const WORKERS: usize = 4;

/// Scripts at a time for small pools: one more than there are connections.
const WORKERS_OF_SMALL: usize = 3;

/// Scripts between two changes of what the replicas do, when the run is bounded by time.
const ROUND: u64 = 300;

/// After so many differences, a run ends early, unless `LAGWISE_DIFF_FAILURES` says another number.
const MAX_FAILURES: usize = 6;

fn max_failures() -> usize {
    setting("LAGWISE_DIFF_FAILURES").map_or(MAX_FAILURES, |count| count as usize)
}

/// What is run.
struct Plan {
    first: u64,
    count: u64,
    /// Ever new seeds until then.
    until: Option<Instant>,
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

impl Plan {
    fn from_environment() -> Self {
        let seconds = setting("LAGWISE_DIFF_SECONDS").map(Duration::from_secs);
        Self {
            first: setting("LAGWISE_DIFF_SEED").unwrap_or(1),
            count: setting("LAGWISE_DIFF_COUNT").unwrap_or(COUNT),
            until: seconds.map(|seconds| Instant::now() + seconds),
        }
    }
}

/// A script, and where it comes from.
struct Named {
    name: String,
    script: Script,
}

#[derive(Default)]
struct Tally {
    scripts: usize,
    answers: usize,
    errors: usize,
    /// Scripts whose first difference is one of `known`.
    known: usize,
    failures: Vec<String>,
}

/// Runs what the environment says, and fails with every difference.
pub fn run(make: Make) {
    let lab = ground::lab(make);
    let only = std::env::var("LAGWISE_DIFF_POOLS").ok();
    for pools in Pools::ALL {
        if only.as_ref().is_none_or(|only| only == pools.name()) {
            let plan = Plan::from_environment();
            let divisor = if only.is_none() && pools != Pools::Ample { SHARE_OF_SMALL } else { 1 };
            let plan = Plan { count: plan.count.div_ceil(divisor), ..plan };
            run_with(&Ground::start(&lab, pools), make, &plan);
        }
    }
}

fn run_with(ground: &Ground<'_>, make: Make, plan: &Plan) {
    let name = ground.pools.name();
    let tally = Mutex::new(Tally::default());
    let workers = if ground.pools == Pools::Ample { WORKERS } else { WORKERS_OF_SMALL };
    let mut runners: Vec<Runner<'_>> =
        (0..workers).map(|worker| Runner::new(Plot::new(ground, worker), worker)).collect();
    let before = ground.statements();
    if let Ok(path) = std::env::var("LAGWISE_DIFF_SCRIPT") {
        let scripts = std::fs::read_to_string(&path).expect("LAGWISE_DIFF_SCRIPT names a file");
        run_all(&mut runners, &written(&scripts, make), &tally);
    } else {
        run_all(&mut runners, &written(include_str!("regressions.txt"), make), &tally);
        run_generated(make, plan, &mut runners, &tally);
    }
    let after = ground.statements();
    let on_replica = share(after.1 - before.1, after.0 + after.1 - before.0 - before.1);
    let tally = tally.into_inner().unwrap();
    let errors = share(tally.errors as f64, tally.answers as f64);
    println!(
        "{make}, {name} pools: {} scripts, {} answers, {errors:.0} % of them errors, {on_replica:.0} % of \
         statements on the replica, {} differences, {} known ones",
        tally.scripts,
        tally.answers,
        tally.failures.len(),
        tally.known
    );
    assert!(
        tally.failures.is_empty(),
        "{make}: {} scripts differ, see above",
        tally.failures.len()
    );
    if tally.scripts >= 100 {
        assert!(on_replica > 15.0, "{on_replica} % on the replica prove little");
        assert!(errors < 25.0, "{errors} % errors: most statements should succeed");
    }
}

fn share(part: f64, whole: f64) -> f64 {
    100.0 * part / whole.max(1.0)
}

/// Scripts of a text, separated by empty lines. One that is for one make only says so in its first
/// comment: `# mysql: why`.
fn written(text: &str, make: Make) -> Vec<Named> {
    let other = if make == Make::MySql { "# mariadb:" } else { "# mysql:" };
    let parts = text.split("\n\n").map(str::trim).filter(|part| part.contains("\nreplicas"));
    parts
        .filter(|part| !part.starts_with(other))
        .map(|part| Named {
            name: part.lines().next().unwrap_or_default().trim_start_matches("# ").to_owned(),
            script: text::parse(part).unwrap_or_else(|error| panic!("{part}\n{error}")),
        })
        .collect()
}

fn run_generated(make: Make, plan: &Plan, runners: &mut [Runner<'_>], tally: &Mutex<Tally>) {
    let started = Instant::now();
    let mut first = plan.first;
    loop {
        let count = if plan.until.is_some() { ROUND } else { plan.count };
        let scripts: Vec<Named> = (first..first + count)
            .map(|seed| Named {
                name: format!("LAGWISE_DIFF_SEED={seed} LAGWISE_DIFF_COUNT=1"),
                script: generate::script(seed, make),
            })
            .collect();
        run_all(runners, &scripts, tally);
        let so_far = tally.lock().unwrap();
        println!(
            "{make}: {} scripts in {:.0} s, {} differences",
            so_far.scripts,
            started.elapsed().as_secs_f64(),
            so_far.failures.len()
        );
        let ended = plan.until.is_none_or(|until| Instant::now() >= until);
        if ended || so_far.failures.len() >= max_failures() {
            return;
        }
        first += count;
    }
}

/// Runs scripts, those with the same replicas together.
fn run_all(runners: &mut [Runner<'_>], scripts: &[Named], tally: &Mutex<Tally>) {
    for replicas in Replicas::ALL {
        let same: Vec<&Named> =
            scripts.iter().filter(|named| named.script.replicas == replicas).collect();
        if same.is_empty() {
            continue;
        }
        let ground = runners[0].plot.ground;
        ground.set_replicas(replicas);
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for runner in runners.iter_mut() {
                scope.spawn(|| {
                    while let Some(named) = same.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if tally.lock().unwrap().failures.len() < max_failures() {
                            run_one(runner, named, tally);
                        }
                    }
                });
            }
        });
        ground.resume_replicas(replicas);
    }
}

fn run_one(runner: &mut Runner<'_>, named: &Named, tally: &Mutex<Tally>) {
    let outcome = watched(runner, named);
    let first = outcome.differences.first();
    let known = first.is_some_and(|first| is_known(first));
    let failure = (first.is_some() && !known).then(|| explain(runner, named, &outcome));
    let mut tally = tally.lock().unwrap();
    tally.scripts += 1;
    tally.answers += outcome.answers;
    tally.errors += outcome.errors;
    tally.known += usize::from(known);
    if let Some(failure) = failure {
        eprintln!("{failure}");
        tally.failures.push(failure);
    }
}

/// A run. A panic ends everything, and says which script it was: the server may be gone.
fn watched(runner: &mut Runner<'_>, named: &Named) -> Outcome {
    let run = AssertUnwindSafe(|| runner.run(&named.script));
    catch_unwind(run).unwrap_or_else(|panic| {
        eprintln!("# {}\n{}", named.name, named.script);
        resume_unwind(panic)
    })
}

/// The difference for people, by the shortest script that shows one.
fn explain(runner: &mut Runner<'_>, named: &Named, outcome: &Outcome) -> String {
    let mut last = outcome.differences.clone();
    let short = shrink(&named.script, |candidate| {
        let found = runner.run(candidate).differences;
        let differs = found.first().is_some_and(|first| !is_known(first));
        if differs {
            last = found;
        }
        differs
    });
    format!("# {}\n{short}# {}\n", named.name, last.join("\n").replace('\n', "\n# "))
}
