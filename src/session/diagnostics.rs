//! Where the diagnostics area is that the client may ask about: SHOW WARNINGS, ROW_COUNT(),
//! FOUND_ROWS() and kin are about the statement before, wherever that ran.
//!
//! Some commands leave the warnings of the statement before as they are ([`Aside`]). Measured on MySQL
//! 9.7 and MariaDB 10.11. One of them that fails adds its error to these warnings; that is seen on its
//! own here if they are on another connection. Pure.

use crate::protocol::OkPacket;
use crate::protocol::eof::EofPacket;
use crate::route::Side;

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
#[derive(Debug, Default)]
pub struct Diagnostics {
    side: Side,
    warnings: u16,
    aside: bool,
}

impl Diagnostics {
    /// The side whose connection ran the last statement.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Warnings and errors of the last statement.
    pub fn warnings(&self) -> u16 {
        self.warnings
    }

    /// A statement ended on `side`.
    pub fn observe(&mut self, side: Side, told: &Told<'_>) {
        let warnings = match told {
            Told::Ok(ok) => ok.warnings,
            Told::Eof(eof) => eof.warnings,
            Told::Err(_) => 1,
        };
        *self = Self { side, warnings, aside: false };
    }

    /// A command of those that keep the warnings has succeeded.
    pub fn step_aside(&mut self, aside: Aside) {
        self.aside |= aside.resets_row_count();
    }

    /// Whether ROW_COUNT() is 0 since such a command; once.
    pub fn take_aside(&mut self) -> bool {
        std::mem::take(&mut self.aside)
    }

    /// The command that failed last added its error to so many warnings.
    pub fn add(&mut self, before: u16) {
        self.warnings = self.warnings.saturating_add(before);
    }

    /// A statement was prepared on `side`, which in MySQL forgets warnings and keeps ROW_COUNT().
    pub fn observe_prepare(&mut self, side: Side, warnings: u16) {
        if self.warnings > 0 {
            self.side = side;
        }
        self.warnings = warnings;
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
        area.observe(Side::Replica, &eof(2));
        area.step_aside(Aside::SetOption);
        assert!(!area.take_aside());
        area.step_aside(Aside::Ping);
        assert_eq!((area.side(), area.warnings()), (Side::Replica, 2));
        assert!(area.take_aside() && !area.take_aside());
        area.observe_prepare(Side::Primary, 0);
        assert_eq!((area.side(), area.warnings()), (Side::Primary, 0));
        area.observe(Side::Replica, &eof(0));
        area.observe_prepare(Side::Primary, 0);
        assert_eq!(area.side(), Side::Replica, "ROW_COUNT() is there");
        area.observe(Side::Primary, &Told::Err(1044));
        area.observe(Side::Primary, &Told::Err(1049));
        area.add(1);
        assert_eq!(area.warnings(), 2);
        area.observe(Side::Primary, &Told::Err(1146));
        assert_eq!((area.side(), area.warnings()), (Side::Primary, 1));
        area.add(2);
        assert_eq!(area.warnings(), 3);
    }
}
