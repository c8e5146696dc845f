//! The kind of a statement by its leading words, for all that is neither a question (`query.rs`) nor
//! SET (`set.rs`).

use super::classify::Classifier;
use super::statement::{Flags, StatementKind};
use super::words::Word;

impl Classifier<'_> {
    /// The kind of the statement at hand. The caller moves to its end.
    pub(super) fn family(&mut self) -> StatementKind {
        if self.token.word == Word::OpenParen {
            return self.read();
        }
        match self.token.word {
            Word::Select | Word::Table | Word::Values | Word::With => self.read(),
            Word::Explain | Word::Describe | Word::Desc => self.explain(),
            Word::Show => self.show(),
            Word::Set => self.set(),
            Word::Insert | Word::Replace | Word::Update | Word::Delete => self.write(),
            Word::Create | Word::Alter | Word::Drop | Word::Rename => self.ddl(),
            Word::Truncate => self.plain(StatementKind::Ddl),
            Word::Grant | Word::Revoke => self.plain(StatementKind::Account),
            Word::Begin => self.begin(),
            Word::Start => self.start(),
            Word::Commit => StatementKind::Commit,
            Word::Rollback => self.rollback(),
            Word::Savepoint | Word::Release => StatementKind::Savepoint,
            Word::Analyze => self.analyze(),
            Word::Checksum => StatementKind::Checksum,
            Word::Help => self.help(),
            Word::Use => StatementKind::Use,
            Word::Load => self.load(),
            Word::Call => {
                self.skip_unknown = true;
                self.with_out_variables(StatementKind::Call)
            }
            Word::Get => self.get(),
            Word::Do => StatementKind::Do,
            Word::Handler => self.plain(StatementKind::Handler),
            Word::Prepare => StatementKind::TextPrepare,
            Word::Execute => StatementKind::TextExecute,
            Word::Deallocate => StatementKind::TextDeallocate,
            Word::Lock => self.lock(),
            Word::Unlock => StatementKind::UnlockTables,
            Word::Kill => StatementKind::Kill,
            Word::Xa => StatementKind::Xa,
            Word::Flush => self.flush(),
            // BACKUP STAGE and BACKUP LOCK last until their counterparts.
            Word::Backup => {
                self.flags |= Flags::USER_LOCK;
                self.plain(StatementKind::Admin)
            }
            Word::Reset
            | Word::Purge
            | Word::Optimize
            | Word::Repair
            | Word::Check
            | Word::Cache
            | Word::Install
            | Word::Uninstall
            | Word::Change
            | Word::Stop
            | Word::Shutdown
            | Word::Restart
            | Word::Clone
            | Word::Binlog
            | Word::Import => self.plain(StatementKind::Admin),
            _ => StatementKind::Unknown,
        }
    }

    /// HELP has one argument, a word or a string, and calls nothing.
    fn help(&mut self) -> StatementKind {
        self.bump();
        self.bump();
        if self.at_end() { StatementKind::Help } else { StatementKind::Unknown }
    }

    /// A kind whose names before parentheses are mostly columns.
    fn plain(&mut self, kind: StatementKind) -> StatementKind {
        self.skip_unknown = true;
        kind
    }

    /// LOCK TABLES; or LOCK INSTANCE, which UNLOCK TABLES does not end.
    fn lock(&mut self) -> StatementKind {
        self.bump();
        if !matches!(self.token.word, Word::Table | Word::Tables) {
            self.flags |= Flags::USER_LOCK;
        }
        self.plain(StatementKind::LockTables)
    }

    /// FLUSH TABLES … WITH READ LOCK and … FOR EXPORT leave locks.
    fn flush(&mut self) -> StatementKind {
        self.bump();
        while !self.at_end() {
            if matches!(self.token.word, Word::Lock | Word::For) {
                self.flags |= Flags::USER_LOCK;
            }
            self.bump();
        }
        self.plain(StatementKind::Admin)
    }

    pub(super) fn write(&mut self) -> StatementKind {
        self.plain(StatementKind::Write)
    }

    /// A kind that may write into the user variables it names.
    fn with_out_variables(&mut self, kind: StatementKind) -> StatementKind {
        self.bump();
        while !self.at_end() {
            if self.token.word == Word::UserVariable {
                self.flags |= Flags::ASSIGNS_USER_VARIABLE;
            }
            self.seek();
        }
        kind
    }

    fn get(&mut self) -> StatementKind {
        self.with_out_variables(StatementKind::GetDiagnostics)
    }

    fn ddl(&mut self) -> StatementKind {
        self.skip_unknown = true;
        let verb = self.token.word;
        self.bump();
        while !self.at_end() && self.token.word != Word::OpenParen {
            match self.token.word {
                Word::Prepare if verb == Word::Drop => return StatementKind::TextDeallocate,
                Word::User | Word::Role => return StatementKind::Account,
                Word::Temporary => self.flags |= Flags::TEMPORARY,
                Word::Table | Word::View | Word::Database | Word::Schema => break,
                Word::Procedure | Word::Function | Word::Trigger | Word::Event | Word::Package => {
                    if matches!(verb, Word::Create | Word::Alter) {
                        self.stored_program();
                    }
                    break;
                }
                _ => {}
            }
            self.bump();
        }
        StatementKind::Ddl
    }

    /// Takes the rest of the text: the semicolons in it part the statements of a program.
    fn stored_program(&mut self) {
        self.flags |= Flags::STORED_PROGRAM;
        while self.token.word != Word::End {
            self.seek();
        }
    }

    /// BEGIN [WORK]; anything more is a compound statement.
    fn begin(&mut self) -> StatementKind {
        self.bump();
        self.skip(Word::Work);
        if self.at_end() {
            return StatementKind::Begin {
                read_only: false,
                read_write: false,
                consistent_snapshot: false,
            };
        }
        self.stored_program();
        StatementKind::Unknown
    }

    /// START TRANSACTION with its modifiers; START of anything else is administration.
    fn start(&mut self) -> StatementKind {
        self.bump();
        if !self.skip(Word::Transaction) {
            return self.plain(StatementKind::Admin);
        }
        let (mut read_only, mut read_write, mut consistent_snapshot) = (false, false, false);
        while !self.at_end() {
            let known = match self.token.word {
                Word::Read => {
                    self.bump();
                    read_only |= self.token.word == Word::Only;
                    read_write |= self.token.word == Word::Write;
                    matches!(self.token.word, Word::Only | Word::Write)
                }
                Word::Snapshot => {
                    consistent_snapshot = true;
                    true
                }
                Word::With | Word::Consistent => true,
                _ => self.token.word == Word::Comma,
            };
            if !known {
                return StatementKind::Unknown;
            }
            self.bump();
        }
        StatementKind::Begin { read_only, read_write, consistent_snapshot }
    }

    fn rollback(&mut self) -> StatementKind {
        self.bump();
        self.skip(Word::Work);
        if self.token.word == Word::To { StatementKind::Savepoint } else { StatementKind::Rollback }
    }

    /// ANALYZE TABLE is administration; MariaDB's ANALYZE of a statement runs it.
    fn analyze(&mut self) -> StatementKind {
        self.bump();
        if matches!(self.token.word, Word::Table | Word::Local | Word::NoWriteToBinlog) {
            return self.plain(StatementKind::Admin);
        }
        match self.explained() {
            StatementKind::ExplainWrite => StatementKind::Write,
            StatementKind::Explain => StatementKind::Explain,
            _ => StatementKind::Unknown,
        }
    }

    fn load(&mut self) -> StatementKind {
        self.skip_unknown = true;
        self.bump();
        if !matches!(self.token.word, Word::Data | Word::Xml) {
            return StatementKind::Admin;
        }
        let mut local = false;
        while !self.at_end() && self.token.word != Word::Text {
            local |= self.token.word == Word::Local;
            self.bump();
        }
        self.with_out_variables(StatementKind::LoadData { local })
    }
}
