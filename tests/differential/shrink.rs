//! Makes a script that shows a difference as short as it gets.

use crate::script::{Action, Script};

/// Runs that one script may take.
const MAX_RUNS: usize = 150;

/// The shortest script found for which `differs` says yes.
pub fn shrink(script: &Script, mut differs: impl FnMut(&Script) -> bool) -> Script {
    let mut best = script.clone();
    let mut runs = 0;
    let mut try_one = |candidate: &Script| {
        runs += 1;
        runs <= MAX_RUNS && differs(candidate)
    };
    let mut size = best.actions.len().div_ceil(2).max(1);
    loop {
        let mut shorter = false;
        let mut at = 0;
        while at < best.actions.len() {
            let end = (at + size).min(best.actions.len());
            let mut candidate = best.clone();
            candidate.actions.drain(at..end);
            if try_one(&candidate) {
                best = candidate;
                shorter = true;
            } else {
                at = end;
            }
        }
        if size == 1 && !shorter {
            break;
        }
        size = size.div_ceil(2).max(1);
    }
    for candidate in simpler(&best) {
        if try_one(&candidate) {
            best = candidate;
        }
    }
    best
}

/// The same actions with less around them.
fn simpler(script: &Script) -> Vec<Script> {
    let mut found = Vec::new();
    for at in 0..script.actions.len() {
        if let Action::Pipeline(actions) = &script.actions[at] {
            let mut flat = script.clone();
            flat.actions.splice(at..=at, actions.iter().cloned());
            found.push(flat);
        }
    }
    found
}
