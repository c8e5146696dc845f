//! Where the diagnostics area is that the client may ask about: SHOW WARNINGS, ROW_COUNT(),
//! FOUND_ROWS() and kin are about the statement before, wherever that ran.
//!
//! Some commands leave the warnings of the statement before as they are ([`Aside`]). Measured on MySQL
//! 9.7 and MariaDB 10.11. One of them that fails adds its error to these warnings; that is seen on its
//! own here if they are on another connection. Pure.

use crate::protocol::OkPacket;
use crate::protocol::eof::EofPacket;
use crate::route::Side;

/// Header of an OK packet that stands for no rows; at the end of rows it is 0xfe.
const OK_HEADER: u8 = 0;

/// What a server told at the end of one result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// An OK packet.
    Ok(OkPacket<'a>),
    /// An EOF packet.
    Eof(EofPacket),
    /// An ERR packet's code.
    Err(u16),
}

/// A command that keeps the warnings of the statement before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// COM_PING
    Ping,
    /// COM_INIT_DB
    InitDb,
    /// COM_SET_OPTION
    SetOption,
    /// COM_STMT_RESET
    StmtReset,
}

impl Aside {
    /// Whether MySQL's answer says how many warnings were kept. (MariaDB's says 0.)
    pub fn counts_warnings(self) -> bool {
        self != Self::StmtReset
    }

    /// Whether ROW_COUNT() is 0 afterwards.
    fn resets_row_count(self) -> bool {
        self != Self::SetOption
    }
}

/// What is known of the last statement's diagnostics area.
#[derive(Clone, Copy, Debug, Default)]
pub struct Diagnostics {
    side: Side,
    warnings: u16,
    /// An error was last: its packet does not tell how many warnings and errors there are.
    untold: bool,
    /// The area holds conditions, though the statement that only looked at them told of none.
    holds: bool,
    /// ROW_COUNT(): rows changed; -1 after a result set or an error, 0 after a login.
    row_count: i64,
    aside: bool,
    /// The side whose connection has the warnings and errors; in MariaDB not always that of the last
    /// statement.
    conditions_on: Side,
    /// The primary's connection may still have conditions that a statement on the replica has ended.
    stale: bool,
    /// The connection of `side` is still the one that ran the last statement.
    row_count_there: bool,
    /// The side whose connection has set FOUND_ROWS() last.
    found_on: Side,
    /// What FOUND_ROWS() is, where it could be told.
    found: FoundRows,
    /// The connection of `found_on` is still the one that has set it.
    found_there: bool,
    /// The connection was given up, and with it what no other can be told.
    lost: bool,
}

/// FOUND_ROWS() after the last query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundRows {
    /// So many.
    Known(u64),
    /// Only the connection that ran the query knows.
    Untold,
}

impl Default for FoundRows {
    fn default() -> Self {
        Self::Known(0)
    }
}

/// Which connection has the session's warnings and errors, and whether there are any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// The side of the connection.
    pub on: Side,
    /// There are some.
    pub held: bool,
}

impl Diagnostics {
    /// The side whose connection ran the last statement.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Warnings and errors of the last statement, which is what a command repeats that keeps them;
    /// at least one after an error, see [`Diagnostics::is_untold`].
    pub fn warnings(&self) -> u16 {
        self.warnings
    }

    /// How many there are, only the connection knows.
    pub fn is_untold(&self) -> bool {
        self.untold
    }

    /// The connection has said how many there are.
    pub fn tell(&mut self, warnings: u16) {
        (self.warnings, self.untold) = (warnings, false);
    }

    /// Where the warnings and errors are, and whether there is something to ask about.
    pub fn conditions(&self) -> Conditions {
        Conditions { on: self.conditions_on, held: self.holds }
    }

    /// A statement that has succeeded leaves the warnings and errors as they were before it, unless it
    /// had some of its own.
    pub fn keep_conditions(&mut self, before: Conditions) {
        if !self.holds {
            (self.conditions_on, self.holds) = (before.on, before.held);
            self.stale &= !(before.on == Side::Primary && before.held);
        }
    }

    /// A statement was prepared on `side`, which in MariaDB forgets the conditions if it has a table.
    pub fn forget_conditions(&mut self, side: Side, warnings: u16) {
        self.stale = side == Side::Replica && (self.stale || self.leaves_some_behind(side));
        (self.conditions_on, self.holds) = (side, warnings > 0);
    }

    /// Whether there are conditions on the primary that a statement on `side` ends.
    fn leaves_some_behind(&self, side: Side) -> bool {
        side == Side::Replica && self.conditions_on == Side::Primary && self.holds
    }

    /// Whether the primary's connection must be made to forget its conditions, before a statement there
    /// that may look at them.
    pub fn are_stale(&self) -> bool {
        self.stale && !self.holds
    }

    /// The primary's connection has been made to forget its conditions.
    pub fn forgot(&mut self) {
        self.stale = false;
    }

    /// A statement ended on `side`; `looks`: it only looks at what the one before has left.
    pub fn observe(&mut self, side: Side, told: &Told<'_>, looks: bool) {
        let (warnings, untold) = match told {
            Told::Ok(ok) => (ok.warnings, false),
            Told::Eof(eof) => (eof.warnings, false),
            Told::Err(_) => (1, true),
        };
        let holds = warnings > 0 || looks && self.holds;
        let row_count = match told {
            // Measured: GET DIAGNOSTICS leaves it, unless it finds no such condition.
            Told::Ok(ok) if looks && ok.header == OK_HEADER && ok.warnings == 0 => self.row_count,
            Told::Ok(ok) if looks || ok.header != OK_HEADER => -1,
            Told::Ok(ok) => i64::try_from(ok.affected_rows).unwrap_or(i64::MAX),
            Told::Eof(_) | Told::Err(_) => -1,
        };
        let replaces = side == Side::Primary && warnings > 0;
        let stale = !replaces && (self.stale || !looks && self.leaves_some_behind(side));
        *self = Self {
            side,
            warnings,
            untold,
            holds,
            aside: false,
            conditions_on: side,
            stale,
            row_count,
            row_count_there: true,
            lost: false,
            ..*self
        };
    }

    /// The connection of `side` goes to another session, though it has what cannot be told to another
    /// connection: who asks for that has to be refused.
    pub fn give_up(&mut self, side: Side) {
        self.moved(side);
        if self.conditions_on == side {
            (self.holds, self.untold) = (false, false);
        }
        self.lost = true;
    }

    /// Whether what the last statement has left is not known any more.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// The statement that has ended has left ROW_COUNT() as it was before it.
    pub fn keep_row_count(&mut self, before: &Self) {
        self.row_count = before.row_count;
        self.row_count_there = before.row_count_there && before.side == self.side;
    }

    /// The connection of a side is another one now, or there is none.
    pub fn moved(&mut self, side: Side) {
        self.row_count_there &= self.side != side;
        self.found_there &= self.found_on != side;
        self.stale &= side != Side::Primary;
    }

    /// ROW_COUNT(), if it has to be brought about where `side` is, because the statement that it is
    /// about ran on a connection that is not the session's any more.
    pub fn row_count_to_bring(&self, side: Side) -> Option<i64> {
        (self.side == side && !self.row_count_there).then_some(self.row_count)
    }

    /// ROW_COUNT(), if the connection of `side` has it.
    pub fn row_count_there(&self, side: Side) -> Option<i64> {
        (self.side == side && self.row_count_there).then_some(self.row_count)
    }

    /// The connection on `side` has the session's ROW_COUNT() now.
    pub fn brought_row_count(&mut self) {
        self.row_count_there = true;
    }

    /// ROW_COUNT(), as the statement before has left it.
    pub fn row_count(&self) -> i64 {
        self.row_count
    }

    /// The side whose connection has set FOUND_ROWS() last.
    pub fn found_on(&self) -> Side {
        self.found_on
    }

    /// Whether the connection of `side` has the session's FOUND_ROWS().
    pub fn has_found_rows(&self, side: Side) -> bool {
        self.found_on == side && self.found_there
    }

    /// FOUND_ROWS(), where it could be told.
    pub fn found(&self) -> FoundRows {
        self.found
    }

    /// The connection that has FOUND_ROWS() has said what it is.
    pub fn tell_found(&mut self, rows: u64) {
        self.found = FoundRows::Known(rows);
    }

    /// A statement on `side` has set FOUND_ROWS().
    pub fn set_found(&mut self, side: Side, found: FoundRows) {
        (self.found_on, self.found, self.found_there) = (side, found, true);
    }

    /// A command of those that keep the warnings has succeeded.
    pub fn step_aside(&mut self, aside: Aside) {
        if aside.resets_row_count() {
            (self.aside, self.row_count) = (true, 0);
        }
    }

    /// Whether ROW_COUNT() is 0 since such a command; once.
    pub fn take_aside(&mut self) -> bool {
        std::mem::take(&mut self.aside)
    }

    /// The command that failed last added its error to so many warnings on `side`.
    pub fn add(&mut self, side: Side, before: u16) {
        self.warnings = self.warnings.saturating_add(before);
        self.untold &= side == self.side;
    }

    /// A statement was prepared on `side`, which in MySQL forgets warnings and keeps ROW_COUNT().
    pub fn observe_prepare(&mut self, side: Side, warnings: u16) {
        if self.warnings > 0 {
            self.side = side;
        }
        self.tell(warnings);
        self.forget_conditions(self.side, warnings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::flags::StatusFlags;

    #[test]
    fn warnings_are_kept_until_something_forgets_them() {
        let eof = |warnings| Told::Eof(EofPacket { warnings, status: StatusFlags::AUTOCOMMIT });
        let mut area = Diagnostics::default();
        area.observe(Side::Replica, &eof(2), false);
        assert!(area.conditions().held && !area.is_untold());
        area.step_aside(Aside::SetOption);
        assert!(!area.take_aside());
        area.step_aside(Aside::Ping);
        assert_eq!((area.side(), area.warnings()), (Side::Replica, 2));
        assert!(area.take_aside() && !area.take_aside());
        area.observe_prepare(Side::Primary, 0);
        assert_eq!((area.side(), area.warnings()), (Side::Primary, 0));
        area.observe(Side::Replica, &eof(0), false);
        assert!(!area.conditions().held);
        area.observe_prepare(Side::Primary, 0);
        assert_eq!(area.side(), Side::Replica, "ROW_COUNT() is there");
        area.observe(Side::Primary, &Told::Err(1044), false);
        area.observe(Side::Primary, &Told::Err(1049), false);
        area.add(Side::Primary, 1);
        assert_eq!((area.warnings(), area.is_untold()), (2, true));
        area.tell(5);
        assert_eq!((area.warnings(), area.is_untold()), (5, false));
        area.observe(Side::Primary, &eof(0), true);
        assert_eq!((area.warnings(), area.conditions().held), (0, true), "SHOW WARNINGS");
        area.observe(Side::Primary, &Told::Err(1146), false);
        assert_eq!((area.side(), area.warnings()), (Side::Primary, 1));
        area.add(Side::Replica, 2);
        assert_eq!((area.warnings(), area.is_untold()), (3, false));
    }

    #[test]
    fn rows_are_counted_as_the_servers_do() {
        #[track_caller]
        fn check(before: Told<'_>, told: Told<'_>, looks: bool, want: i64) {
            let mut area = Diagnostics::default();
            area.observe(Side::Primary, &before, false);
            area.observe(Side::Primary, &told, looks);
            assert_eq!(area.row_count(), want);
            area.step_aside(Aside::SetOption);
            assert_eq!(area.row_count(), want);
            area.step_aside(Aside::Ping);
            assert_eq!(area.row_count(), 0);
        }
        let ok = |header, affected_rows, warnings| {
            let status = StatusFlags::AUTOCOMMIT;
            let (info, state): (&[u8], &[u8]) = (b"", b"");
            Told::Ok(OkPacket {
                header,
                affected_rows,
                last_insert_id: 0,
                status,
                warnings,
                info,
                state,
            })
        };
        let eof = Told::Eof(EofPacket { warnings: 0, status: StatusFlags::AUTOCOMMIT });
        let two = ok(0, 2, 0);
        check(eof, two, false, 2);
        check(two, ok(0, 0, 0), false, 0);
        check(two, eof, false, -1);
        // Rows end with an OK packet of another header.
        check(two, ok(0xfe, 0, 0), false, -1);
        check(two, Told::Err(1146), false, -1);
        // GET DIAGNOSTICS, and one of no such condition; SHOW WARNINGS.
        check(two, ok(0, 0, 0), true, 2);
        check(eof, ok(0, 0, 0), true, -1);
        check(two, ok(0, 0, 1), true, -1);
        check(two, ok(0xfe, 0, 0), true, -1);
        check(two, eof, true, -1);
    }

    #[test]
    fn conditions_are_where_mariadb_keeps_them() {
        let eof = |warnings| Told::Eof(EofPacket { warnings, status: StatusFlags::AUTOCOMMIT });
        let on = |on, held| Conditions { on, held };
        let mut area = Diagnostics::default();
        area.observe(Side::Primary, &Told::Err(1054), false);
        let before = area.conditions();
        assert_eq!(before, on(Side::Primary, true));
        area.observe(Side::Replica, &eof(0), false);
        assert_eq!(area.conditions(), on(Side::Replica, false), "as MySQL");
        area.keep_conditions(before);
        assert_eq!((area.side(), area.conditions()), (Side::Replica, before));
        area.observe(Side::Replica, &eof(1), false);
        area.keep_conditions(before);
        assert_eq!(area.conditions(), on(Side::Replica, true), "its own");
        area.forget_conditions(Side::Primary, 0);
        assert_eq!((area.side(), area.conditions()), (Side::Replica, on(Side::Primary, false)));
        assert!(!area.are_stale());
        area.observe(Side::Primary, &Told::Err(1054), false);
        area.observe(Side::Replica, &eof(0), false);
        area.observe(Side::Primary, &eof(0), false);
        assert!(area.are_stale());
        area.observe(Side::Primary, &eof(1), false);
        assert!(!area.are_stale(), "its own");
        area.forget_conditions(Side::Replica, 0);
        assert!(area.are_stale());
        area.forgot();
        assert!(!area.are_stale());
    }
}
