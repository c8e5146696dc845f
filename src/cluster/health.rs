//! Whether a server can be used, from what probes and sessions report.

use std::fmt;

/// How many results in a row it takes to change one's mind; 0 counts as 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Good probes until a server that was down is up.
    pub up_after: u32,
    /// Failed probes until a server is down.
    pub down_after: u32,
}

/// The state of one server.
///
/// ```text
///              ok                       failed
///  Starting ───────► Up ◄───────── ok ───────── Suspect
///     │              │ │                        ▲ ▲ │
///     │              │ └─ failed, or a session ─┘ │ │ failed × down_after
///     │              │    could not connect       │ ▼
///     └─ failed × down_after ────────────────► Down ── ok × up_after ──► Up
///
///  any ── denied ──► Denied ── ok ──► Up
///                    Denied ── failed × down_after ──► Down
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// Not judged yet.
    Starting,
    /// The last probe was good.
    Up,
    /// Was up, and the last probe failed or a session could not connect. No new reads; writes go
    /// on, because a primary is not given up for one lost packet.
    Suspect,
    /// Does not answer.
    Down,
    /// Answers, but not to the monitor's account: wrong password, missing privilege. The server is
    /// alive; it is the configuration that needs attention.
    Denied,
}

/// What was found out about a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// A probe was answered.
    Ok,
    /// A probe was not answered within its deadline, or the connection failed.
    Failed,
    /// The server refused the monitor's account or its question.
    Denied,
    /// The server answered that it takes no more connections. It is alive, and connections that
    /// exist go on working, but it cannot be probed: no reason to change one's mind.
    Busy,
    /// A session could not connect. One report may have causes of its own, so it makes the server
    /// suspect and asks for a probe; only probes declare it down.
    SessionFailed,
    /// A probe is still under way, and takes long. It may be answered yet.
    Hangs,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: Health,
    /// The state since.
    pub to: Health,
}

impl Health {
    /// Whether new reads may go there.
    pub fn serves_reads(self) -> bool {
        self == Health::Up
    }

    /// Whether a statement that only this server can run should be tried there: anything but down.
    /// A monitor that is denied, or has not answered yet, must not stop writes.
    pub fn may_be_alive(self) -> bool {
        self != Health::Down
    }

    /// The word for metrics, logs and status pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Starting => "starting",
            Health::Up => "up",
            Health::Suspect => "suspect",
            Health::Down => "down",
            Health::Denied => "denied",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The state machine of one server.
#[derive(Debug)]
pub struct HealthMachine {
    health: Health,
    /// Good probes in a row, counted while down.
    good: u32,
    /// Failed probes in a row.
    failed: u32,
}

impl Default for HealthMachine {
    fn default() -> HealthMachine {
        HealthMachine { health: Health::Starting, good: 0, failed: 0 }
    }
}

impl HealthMachine {
    /// The present state.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Takes in one report; returns the change of state, if it made one.
    pub fn observe(&mut self, report: Report, thresholds: &Thresholds) -> Option<Transition> {
        let from = self.health;
        let to = self.next(report, thresholds);
        self.health = to;
        (from != to).then_some(Transition { from, to })
    }

    fn next(&mut self, report: Report, thresholds: &Thresholds) -> Health {
        match report {
            Report::Ok => {
                self.failed = 0;
                self.good = self.good.saturating_add(1);
                let enough = self.health != Health::Down || self.good >= thresholds.up_after;
                if enough { Health::Up } else { Health::Down }
            }
            Report::Failed => {
                self.good = 0;
                self.failed = self.failed.saturating_add(1);
                if self.failed >= thresholds.down_after {
                    return Health::Down;
                }
                if self.health == Health::Up { Health::Suspect } else { self.health }
            }
            Report::Denied => {
                (self.good, self.failed) = (0, 0);
                Health::Denied
            }
            Report::Busy => {
                (self.good, self.failed) = (0, 0);
                self.health
            }
            Report::SessionFailed | Report::Hangs if self.health == Health::Up => Health::Suspect,
            Report::SessionFailed | Report::Hangs => self.health,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { up_after: 2, down_after: 3 };

    /// `reports`: o = ok, f = failed, d = denied, b = busy, s = session failed, h = hangs. `states`: the
    /// state after each, by the first letter of its word (D for down, X for denied).
    fn check_with(thresholds: &Thresholds, reports: &str, states: &str) {
        let mut machine = HealthMachine::default();
        let mut found = String::new();
        for report in reports.chars() {
            let report = match report {
                'o' => Report::Ok,
                'f' => Report::Failed,
                'd' => Report::Denied,
                'b' => Report::Busy,
                's' => Report::SessionFailed,
                'h' => Report::Hangs,
                other => unreachable!("{other}"),
            };
            let before = machine.health();
            let transition = machine.observe(report, thresholds);
            let changed = (before != machine.health())
                .then_some(Transition { from: before, to: machine.health() });
            assert_eq!(transition, changed, "{reports}");
            found.push(match machine.health() {
                Health::Starting => '-',
                Health::Up => 'U',
                Health::Suspect => 'S',
                Health::Down => 'D',
                Health::Denied => 'X',
            });
        }
        assert_eq!(found, states, "{reports}");
    }

    #[test]
    fn transitions() {
        for (reports, states) in [
            // Starting is judged by the first answer, or by down_after failures.
            ("o", "U"),
            ("ff", "--"),
            ("fff", "--D"),
            ("ffo", "--U"),
            ("ffbff", "-----"),
            ("s", "-"),
            ("b", "-"),
            ("d", "X"),
            // Up to down goes through suspect, and one good probe ends that.
            ("ofo", "USU"),
            ("offf", "USSD"),
            ("offofff", "USSUSSD"),
            ("offbff", "USSSSS"),
            // Sessions make a server suspect, and never take it down.
            ("oso", "USU"),
            ("osssssss", "USSSSSSS"),
            ("osfff", "USSSD"),
            ("oho", "USU"),
            ("ohfhfhf", "USSSSSD"),
            ("hh", "--"),
            // Down to up takes up_after good probes in a row.
            ("offfo", "USSDD"),
            ("offfoo", "USSDDU"),
            ("offfofoo", "USSDDDDU"),
            ("offfoboo", "USSDDDDU"),
            ("offfs", "USSDD"),
            // Denied is known at once, from any state, and left at once.
            ("od", "UX"),
            ("ofd", "USX"),
            ("offfd", "USSDX"),
            ("odo", "UXU"),
            ("odbs", "UXXX"),
            ("odff", "UXXX"),
            ("odfff", "UXXXD"),
            ("odffdff", "UXXXXXX"),
        ] {
            check_with(&THRESHOLDS, reports, states);
        }
    }

    #[test]
    fn a_threshold_of_zero_or_one_acts_at_once() {
        for threshold in [0, 1] {
            let thresholds = Thresholds { up_after: threshold, down_after: threshold };
            check_with(&thresholds, "ofofo", "UDUDU");
        }
    }

    #[test]
    fn what_the_states_allow() {
        for (health, reads, alive) in [
            (Health::Starting, false, true),
            (Health::Up, true, true),
            (Health::Suspect, false, true),
            (Health::Down, false, false),
            (Health::Denied, false, true),
        ] {
            assert_eq!((health.serves_reads(), health.may_be_alive()), (reads, alive), "{health}");
        }
    }
}
