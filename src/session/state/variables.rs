//! What session trackers and the text of a statement say of a session's variables.

use super::*;

impl SessionState {
    pub(super) fn observe_changes(&mut self, statement: &Statement, state: &[u8], now: Instant) {
        for change in changes(state) {
            match change {
                // Set for one statement: what it is again afterwards is reported with a later one.
                Ok((StateChange::SystemVariable { name, .. }, _))
                    if statement.flags.contains(Flags::SET_STATEMENT) && name != b"last_gtid" =>
                {
                    if runs_unseen(statement) {
                        self.set_unknown();
                    }
                }
                Ok((StateChange::SystemVariable { name, value }, _)) => {
                    self.observe_variable(name, value, now);
                }
                Ok((StateChange::Schema(schema), _)) => self.replayed.set_schema(schema),
                Ok((StateChange::Gtids(gtids), _)) => self.pin.gtids(gtids, now),
                Ok((StateChange::TransactionCharacteristics(text), _)) => {
                    self.one_shot = !text.is_empty() && self.transaction == Transaction::None;
                }
                // A routine may have made a temporary table, and a batch anything.
                Ok((StateChange::State(_), _)) if runs_unseen(statement) => {
                    self.set_unknown();
                }
                Ok(_) => {}
                Err(_) => self.hold = Some(HoldReason::UnknownState),
            }
        }
        self.replayed.settle(state);
    }

    pub(super) fn observe_variable(&mut self, name: &[u8], value: &[u8], now: Instant) {
        match name {
            b"sql_mode" => self.set_sql_mode(value),
            b"character_set_client" => {
                self.lex_mode.charset = ClientCharset::from_name(value);
            }
            b"last_gtid" => self.pin.gtids(value, now),
            b"wait_timeout" => self.wait_timeout = seconds(value),
            // On MariaDB, SHOW PROFILES goes on showing the statements.
            b"profiling" => self.outlives_reset = true,
            b"transaction_isolation" | b"transaction_read_only" => {
                self.unsettled |= self.transaction == Transaction::OnPrimary;
            }
            _ => {}
        }
        if let Err(Unreplayable) = self.replayed.observe(name, value) {
            self.set_unknown();
        }
    }

    /// True if the collation of literals must be read from the statement that has just run.
    pub fn is_collation_untold(&self) -> bool {
        self.replayed.names.is_untold()
    }

    /// The collation of literals, as the statement says.
    pub fn set_collation(&mut self, collation: NamesCollation<'_>, now: Instant) {
        match collation {
            NamesCollation::Named(name) => {
                self.observe_variable(names::COLLATION, name, now);
                self.replayed.named(name);
            }
            NamesCollation::OfCharset | NamesCollation::OfSchema => {
                self.replayed.named_by_charset();
            }
            NamesCollation::Unknown => {
                self.replayed.names.is_told();
                self.set_unknown();
            }
        }
    }

    /// Takes in what the primary's connection reported when it was asked.
    pub fn observe_report(&mut self, reported: &[u8], now: Instant) {
        self.observe_changes(&Statement::of_kind(StatementKind::Set), reported, now);
    }

    /// What the session is like is known to the primary's connection alone.
    pub fn set_unknown(&mut self) {
        self.hold = self.hold.or(Some(HoldReason::UnknownState));
    }

    pub(super) fn set_sql_mode(&mut self, value: &[u8]) {
        let has = |name: &[u8]| {
            value.split(|byte| *byte == b',').any(|mode| mode.eq_ignore_ascii_case(name))
        };
        self.lex_mode.ansi_quotes = has(b"ANSI_QUOTES");
        self.lex_mode.no_backslash_escapes = has(b"NO_BACKSLASH_ESCAPES");
        self.lex_mode.ignore_space = has(b"IGNORE_SPACE");
    }
}

/// A variable's value in whole seconds.
fn seconds(value: &[u8]) -> Option<Duration> {
    std::str::from_utf8(value).ok()?.parse().ok().map(Duration::from_secs)
}
