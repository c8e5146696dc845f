//! The modes that are checked: their configuration, what it promises, and what must be found where it
//! promises less.

use std::time::Duration;

/// Whose acknowledged writes a read must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    Nobody,
    Account,
    Everybody,
    Key,
}

/// What is wrong with a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Less than its session wrote.
    OwnStale,
    /// Less than its session read before.
    BackInTime,
    /// Less than others wrote.
    OthersStale,
}

impl Wrong {
    /// Those that a mode may promise not to be.
    pub const ALL: [Wrong; 3] = [Wrong::OwnStale, Wrong::BackInTime, Wrong::OthersStale];

    pub fn name(self) -> &'static str {
        match self {
            Wrong::OwnStale => "own-stale",
            Wrong::BackInTime => "back-in-time",
            Wrong::OthersStale => "cross-session stale",
        }
    }
}

pub struct Mode {
    pub name: &'static str,
    /// Lines of `[consistency]`.
    pub config: &'static str,
    /// Against which writes of others reads are held.
    pub others: Others,
    /// Monotonic reads are promised for each table alone.
    pub by_table: bool,
    /// Only statements of which lagwise knows the tables: after others nothing is by table for a while.
    pub clear: bool,
    /// Others write through a second lagwise and on the primary.
    pub cluster: bool,
    /// It does not promise these, and they must be found: or the checker proves nothing.
    pub must_find: &'static [Wrong],
}

/// A mode that promises what it is held against.
pub const fn mode(name: &'static str, config: &'static str, others: Others) -> Mode {
    let (by_table, clear, cluster) = (false, false, false);
    Mode { name, config, others, by_table, clear, cluster, must_find: &[] }
}

pub const MODES: &[Mode] = &[
    mode("session", "", Others::Nobody),
    mode("wait", "wait = \"20ms\"", Others::Nobody),
    mode("pin-session", "pin = \"session\"", Others::Nobody),
    Mode { by_table: true, clear: true, ..mode("account", "scope = \"account\"", Others::Account) },
    Mode { by_table: true, clear: true, ..mode("global", "scope = \"global\"", Others::Everybody) },
    // The same with statements that count as writes to every table.
    Mode { by_table: true, ..mode("unclear", "scope = \"global\"", Others::Everybody) },
    mode("position", "scope = \"global\"\nby_table = false", Others::Everybody),
    mode("keys", "", Others::Key),
    Mode { cluster: true, ..mode("cluster", "scope = \"cluster\"", Others::Everybody) },
    Mode {
        must_find: &[Wrong::OwnStale, Wrong::BackInTime],
        ..mode("off", "pin = \"none\"\nmonotonic_reads = false", Others::Nobody)
    },
    Mode { must_find: &[Wrong::OthersStale], ..mode("narrow", "", Others::Everybody) },
];

impl Mode {
    /// Whether it must hold all that it is held against.
    pub fn promises(&self) -> bool {
        self.must_find.is_empty()
    }

    /// Whether a replica restarts in a round of that length: in a short one that is all that would happen,
    /// so that it does in a few modes only.
    pub fn restarts_in(&self, time: Duration) -> bool {
        time >= Duration::from_secs(10) || matches!(self.name, "session" | "position")
    }
}
