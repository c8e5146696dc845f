//! Who is the primary, step by step.

use super::super::gtid_mysql::GtidSet;
use super::super::member::ReadOnly;
use super::*;

const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

/// Some servers, and what their probes say.
struct Lab {
    start: Instant,
    now: Instant,
    roles: Roles,
    current: Option<MemberId>,
    servers: Vec<MemberStatus>,
}

impl Lab {
    fn new(count: usize) -> Self {
        let start = Instant::now();
        let servers = vec![MemberStatus::starting(start); count];
        Self { start, now: start, roles: Roles::default(), current: None, servers }
    }

    /// `a+5`: server a is writable and has transactions 1 to 5; `a-5`: it is read-only; `a*5`: writable,
    /// and replicates; `a!`: a probe failed; `a#`: it is down; `a?5`: writable after a restart, and
    /// replicates.
    fn probe(&mut self, told: &str) {
        let server = (told.as_bytes()[0] - b'a') as usize;
        let id = MemberId(server as u32);
        let status = &mut self.servers[server];
        let mut was_answered = true;
        match told.as_bytes()[1] {
            b'!' => (status.health, was_answered) = (Health::Suspect, false),
            b'#' => {
                (status.health, was_answered) = (Health::Down, false);
                (status.position, status.asked_at) = (None, None);
            }
            what => {
                if what == b'?' {
                    self.roles.observe(id, status, false, false);
                }
                status.health = Health::Up;
                status.asked_at = Some(self.now);
                let read_only = what == b'-';
                status.read_only = Some(ReadOnly { read_only, super_read_only: read_only });
                let runs = what != b'+';
                status.replication =
                    Some(if runs { Replication::Running } else { Replication::None });
                let set = GtidSet::parse(&format!("{UUID}:1-{}", &told[2..])).unwrap();
                status.position = Some(Arc::new(Position::MySql(set)));
            }
        }
        self.roles.observe(id, status, was_answered, self.current == Some(id));
    }

    /// `told` at `ms`, each as [`Lab::probe`] has it; what follows: the primary, `~` before it if it lacks
    /// something, a hold's first letter, and rivals behind a slash.
    fn step(&mut self, ms: u64, told: &str) -> String {
        self.now = self.start + Duration::from_millis(ms);
        for told in told.split_whitespace() {
            self.probe(told);
        }
        let seen: Vec<Seen<'_>> = (0..)
            .map(MemberId)
            .zip(&self.servers)
            .map(|(id, status)| Seen { id, candidate: true, status })
            .collect();
        let decision = self.roles.decide(&seen, self.current, self.now);
        let letter = |id: &MemberId| char::from(b'a' + id.0 as u8);
        let mut text = String::new();
        if decision.lacks {
            text.push('~');
        }
        text.push(decision.primary.as_ref().map_or('.', letter));
        text.extend(decision.hold.map(|hold| hold.as_str().chars().next().unwrap()));
        if !decision.rivals.is_empty() {
            text.push('/');
            text.extend(decision.rivals.iter().map(letter));
        }
        self.current = decision.primary.or(self.current);
        text
    }
}

/// Each step: milliseconds, what probes say, and the outcome.
fn check(servers: usize, steps: &[(u64, &str, &str)]) {
    let mut lab = Lab::new(servers);
    for (number, (ms, told, expected)) in steps.iter().enumerate() {
        assert_eq!(lab.step(*ms, told), *expected, "step {number} of {steps:?}");
    }
}

#[test]
fn at_the_start() {
    for (told, expected) in [
        // Nothing is decided before all have been looked at.
        ("a+1 b-1", ".u"),
        ("a+1 b-1 c-1", "a"),
        ("a-1 b-1 c+1", "c"),
        // Primaries of each other: one is writable.
        ("a-1 b*1 c-1", "b"),
        // Replicas that are writable by neglect.
        ("a*1 b+1 c*1", "b"),
        ("a*1 b*1 c-1", ".u/ab"),
        ("a+1 b+1 c-1", ".u/ab"),
        ("a-1 b-1 c-1", ".u"),
        // One that is down may be the primary that b replicates from.
        ("a# b*1 c-1", ".u"),
        ("a# b+1 c-1", "b"),
        ("a# b# c#", ".u"),
    ] {
        check(3, &[(0, told, expected)]);
    }
}

#[test]
fn a_planned_switchover() {
    check(
        3,
        &[
            (0, "a+5 b-5 c-5", "a"),
            (100, "a+7 b-6", "a"),
            // Held from the first probe that says so, until b has everything and is writable.
            (200, "a-8", "ar"),
            (300, "b-8", "ar"),
            (400, "b+8", "b"),
            (500, "b+9 a-8", "b"),
            // And back.
            (600, "b-9", "br"),
            (700, "a+8", "br/a"),
            (800, "a+9", "a"),
            // Nobody takes over: it is made writable again.
            (900, "a-9", "ar"),
            (1000, "a+9", "a"),
        ],
    );
}

#[test]
fn what_lacks_something_is_waited_for_while_the_primary_lives() {
    check(
        2,
        &[
            (0, "a+5 b-5", "a"),
            (100, "a-8 b-7", "ar"),
            (200, "b+7", "ar/b"),
            (900, "a-8 b+7", "ar/b"),
            (1000, "b+8", "b"),
        ],
    );
}

#[test]
fn an_unplanned_failover() {
    check(
        3,
        &[
            (0, "a+5 b-5 c-5", "a"),
            (100, "a+9", "a"),
            (200, "a!", "a"),
            (300, "a# b-8", "ad"),
            // What it lacks is lost in any case.
            (400, "b+8", "~b"),
            // The old one comes back as if nothing had happened.
            (900, "a+9", "b"),
            (1000, "b+9 a+9", "b/a"),
            (1100, "a-9", "b"),
        ],
    );
    // It comes back before anybody was promoted.
    check(2, &[(0, "a+5 b-5", "a"), (100, "a#", "ad"), (200, "a+5", "a")]);
    check(2, &[(0, "a+5 b-5", "a"), (100, "a#", "ad"), (200, "a-5", "ar"), (300, "b+5", "b")]);
}

#[test]
fn a_primary_that_hangs_is_waited_for_for_half_a_second() {
    check(
        2,
        &[
            (0, "a+5 b-5", "a"),
            (100, "b+5", "a"),
            (350, "b+5", "a"),
            (599, "b+5", "a"),
            (600, "b+5", "b"),
        ],
    );
    // One that answers stays.
    check(
        2,
        &[
            (0, "a+5 b-5", "a"),
            (100, "b+5", "a"),
            (300, "a+6", "a/b"),
            (5000, "b+5", "a/b"),
            (6000, "b-5", "a"),
        ],
    );
}

#[test]
fn writable_by_neglect_is_not_promoted() {
    // b replicates; then its server is restarted, and read_only is off.
    check(
        2,
        &[
            (0, "a+5 b-5", "a"),
            (50, "a+5", "a"),
            (100, "a# b-5", "ad"),
            (200, "b!", "ad"),
            (300, "b?5", "ad"),
            (400, "b*5", "ad"),
            // Until somebody takes it off replication; it has everything.
            (500, "b+5", "b"),
        ],
    );
    // An empty server that never was a replica is no primary.
    check(2, &[(0, "a+5 b+5", ".u/ab"), (100, "b-1", "a"), (150, "b?1", "a")]);
    check(2, &[(0, "a+5 b-5", "a"), (100, "a# b!", "ad"), (200, "b+4", "ad")]);
}

#[test]
fn of_several_the_one_that_has_everything() {
    check(3, &[(0, "a+5 b-5 c-5", "a"), (100, "a+9", "a"), (200, "a# b+7 c+9", "c")]);
}

#[test]
fn servers_that_are_gone_are_forgotten() {
    let mut lab = Lab::new(2);
    assert_eq!(lab.step(0, "a+5 b-5"), "a");
    lab.roles.retain(|id| id == MemberId(1));
    assert_eq!(lab.roles.servers.len(), 1);
    assert!(lab.roles.last.is_none());
}
