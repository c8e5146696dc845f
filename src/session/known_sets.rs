//! SET and USE that a server has accepted lately: the next session that says the same is answered by
//! lagwise alone.
//!
//! Every page of an application begins with the same SET NAMES and USE. What a server said to them it
//! says again to the same words of the same account in the same state; and what they leave is brought
//! to a connection when the session needs one, as all its state is. So a session that only reads does
//! not go near the primary for them.
//!
//! Only texts whose outcome cannot depend on anything else are remembered: no function, no subquery, no
//! user variable, nothing that begins or ends a transaction. For [`LIFETIME`] at most, as the schema
//! may be dropped and a privilege be taken away meanwhile; statements of lagwise's own clients that do
//! such things make it forget everything at once.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::Session;
use super::context::Settings;
use super::diagnostics::Told;
use super::error::End;
use super::job::{Done, Job};
use super::proofs::LIFETIME;
use super::relay::Relayed;
use super::reply;
use super::tracked::Tracked;
use crate::auth::Credential;
use crate::backend::image::Image;
use crate::config::LogSql;
use crate::protocol::OkPacket;
use crate::protocol::flags::{Capabilities, StatusFlags};
use crate::protocol::response::ResponseKind;
use crate::route::{Side, Transaction};
use crate::sql::{Statement, StatementKind};

/// Longest text that is remembered, in bytes.
const MAX_TEXT: usize = 1024;

/// Texts that are remembered, with the states that they were said in. When there are more, all are
/// forgotten.
const MAX_KNOWN: usize = 4096;

/// All that a server's answer depends on.
#[derive(Debug)]
struct Key {
    credential: Arc<Credential>,
    capabilities: Capabilities,
    /// The server, by its name.
    server: String,
    /// The session's state before.
    image: Arc<Image>,
    status: StatusFlags,
    text: Box<[u8]>,
}

impl Key {
    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.text, self.image.fingerprint(), &self.credential.user).hash(&mut hasher);
        hasher.finish()
    }

    fn equals(&self, other: &Self) -> bool {
        self.text == other.text
            && self.image == other.image
            && self.status == other.status
            && self.capabilities == other.capabilities
            && self.server == other.server
            && (Arc::ptr_eq(&self.credential, &other.credential)
                || self.credential == other.credential)
    }
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    status: StatusFlags,
    info: Vec<u8>,
    state: Vec<u8>,
}

impl Answer {
    /// An OK packet that changed no rows and has no warnings; others are not remembered.
    fn of(ok: &OkPacket<'_>) -> Option<Self> {
        let plain = ok.affected_rows == 0 && ok.last_insert_id == 0 && ok.warnings == 0;
        plain.then(|| Self { status: ok.status, info: ok.info.to_vec(), state: ok.state.to_vec() })
    }

    fn ok(&self) -> OkPacket<'_> {
        OkPacket {
            header: 0,
            affected_rows: 0,
            last_insert_id: 0,
            status: self.status,
            warnings: 0,
            info: &self.info,
            state: &self.state,
        }
    }
}

#[derive(Debug)]
struct Known {
    key: Key,
    answer: Answer,
    /// When the server was asked.
    asked_at: Instant,
}

/// What servers have said to all sessions.
#[derive(Debug, Default)]
pub struct KnownSets {
    known: Mutex<HashMap<u64, Known>>,
}

impl KnownSets {
    fn find(&self, key: &Key, now: Instant) -> Option<Answer> {
        let known = self.lock();
        let found = known.get(&key.hash()).filter(|known| known.key.equals(key))?;
        (now.saturating_duration_since(found.asked_at) < LIFETIME).then(|| found.answer.clone())
    }

    fn insert(&self, key: Key, answer: Answer, asked_at: Instant) {
        let mut known = self.lock();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(key.hash(), Known { key, answer, asked_at });
    }

    /// Something has changed on a server that answers may depend on.
    pub fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the outcome of a text depends on nothing but the session's state.
fn is_plain(statement: &Statement, text: &[u8]) -> bool {
    let is_kind = matches!(statement.kind, StatementKind::Set | StatementKind::Use);
    // `@@name` is a variable of the session; `@name` the flags tell of.
    is_kind
        && statement.flags.is_empty()
        && statement.hint.is_none()
        && text.len() <= MAX_TEXT
        && !text.contains(&b'(')
        && !text.windows(6).any(|word| word.eq_ignore_ascii_case(b"global"))
}

impl Session {
    /// The key of a statement whose answer may be known, or be remembered.
    fn set_key(&mut self, job: &Job<'_>) -> Option<Key> {
        let kind = job.statement.kind;
        if !matches!(kind, StatementKind::Set | StatementKind::Use)
            || job.kind != ResponseKind::Results
            || job.statement_id.is_some()
            || job.fixed.is_some()
        {
            return None;
        }
        let text = self.text_of(job).filter(|text| is_plain(&job.statement, text))?.into();
        let state = &mut self.state;
        let is_free = state.transaction() == Transaction::None
            && state.status.contains(StatusFlags::AUTOCOMMIT)
            && !state.is_bound_to_primary()
            && !state.diagnostics.conditions().held
            && !state.is_untracked()
            && self.strays.is_empty();
        if !is_free || !self.rules.is_empty() {
            return None;
        }
        let cluster = self.context.cluster.snapshot();
        Some(Key {
            credential: Arc::clone(&self.login.credential),
            capabilities: self.login.capabilities,
            server: cluster.primary().config().name.clone(),
            image: Arc::clone(self.state.replayed.image(Side::Primary)),
            status: self.state.status & !StatusFlags::SESSION_STATE_CHANGED,
            text,
        })
    }

    /// Answers a SET or USE as a server did lately, if one did. Otherwise prepares for remembering what
    /// it will say.
    ///
    /// # Errors
    /// The session ends.
    pub(super) async fn answer_known_set(
        &mut self,
        job: &Job<'_>,
        settings: &Settings,
    ) -> Result<Option<Done>, End> {
        self.learning = None;
        let Some(key) = self.set_key(job).filter(|_| settings.log_sql == LogSql::None) else {
            return Ok(None);
        };
        let now = Instant::now();
        let Some(answer) = self.context.known_sets.find(&key, now) else {
            self.learning = Some(Box::new(Learning { key, asked_at: now, answer: None }));
            return Ok(None);
        };
        self.context.metrics.local().set_remembered();
        let ok = answer.ok();
        self.state.observe(Side::Primary, &job.statement, Told::Ok(ok), now);
        let relayed = Relayed::default();
        self.note_untold(job, &relayed);
        // No connection has run it.
        self.state.diagnostics.moved(Side::Primary);
        let mut state = Vec::new();
        let tracked = Tracked::by_default(self.login.capabilities, self.state.lex_mode().make);
        let shown = tracked.shown(&ok, &mut state);
        let mut payload = Vec::new();
        shown.write(&mut payload);
        self.touched = true;
        reply::packet(&mut self.client, 1, &payload).await?;
        Ok(Some(Done::Forwarded(Side::Primary, relayed)))
    }

    /// After a statement on the primary: remembers what it said to a SET or USE.
    pub(super) fn remember_set(&mut self, done: &Done) {
        let Some(learning) = self.learning.take() else { return };
        let Learning { key, asked_at, answer } = *learning;
        let is_settled = !self.state.is_bound_to_primary()
            && self.state.is_resettable()
            && self.state.hold().is_none()
            && self.untold.is_empty();
        if let Some(answer) = answer.filter(|_| done.is_success() && is_settled) {
            self.context.known_sets.insert(key, answer, asked_at);
        }
    }
}

/// A statement whose answer will be remembered.
#[derive(Debug)]
pub struct Learning {
    key: Key,
    asked_at: Instant,
    answer: Option<Answer>,
}

impl Learning {
    /// The server has said this.
    pub fn observe(&mut self, told: &Told<'_>) {
        if let Told::Ok(ok) = told {
            self.answer = Answer::of(ok);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::CredentialSecret;
    use crate::sql::{LexMode, classify};

    #[test]
    fn which_texts_are_plain() {
        #[track_caller]
        fn check(sql: &str, want: bool) {
            let statement = classify(sql.as_bytes(), &LexMode::default());
            assert_eq!(is_plain(&statement, sql.as_bytes()), want, "{sql}");
        }
        for sql in [
            "SET NAMES utf8mb4",
            "set names 'utf8mb4' collate 'utf8mb4_unicode_ci', session sql_mode='STRICT_ALL_TABLES';",
            "use `shop`;",
            "SET time_zone = '+00:00'",
            "SET SESSION sql_mode = DEFAULT",
        ] {
            check(sql, true);
        }
        for sql in [
            "SET autocommit = 0",
            "SET @a = 1",
            "SET sql_mode = CONCAT(@@sql_mode, ',ANSI')",
            "SET GLOBAL max_connections = 10",
            "SET sql_mode = @@global.sql_mode",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SET ROLE r",
            "SET timestamp = (SELECT 1)",
            "SELECT 1",
            "USE a; USE b",
            "SET PASSWORD = 'x'",
        ] {
            check(sql, false);
        }
    }

    #[test]
    fn an_answer_is_given_again_for_a_while_and_to_the_same_question_only() {
        let secret = CredentialSecret::from_password(b"secret".to_vec().into());
        let credential = Arc::new(Credential { user: b"app".to_vec(), secret, client: None });
        let key = |text: &str, status| Key {
            credential: Arc::clone(&credential),
            capabilities: Capabilities::empty(),
            server: "db1".to_owned(),
            image: Arc::default(),
            status,
            text: text.as_bytes().into(),
        };
        let (known, now) = (KnownSets::default(), Instant::now());
        let answer = Answer { status: StatusFlags::AUTOCOMMIT, info: vec![], state: vec![1] };
        let plain = StatusFlags::AUTOCOMMIT;
        known.insert(key("SET a = 1", plain), answer.clone(), now);
        assert_eq!(known.find(&key("SET a = 1", plain), now), Some(answer));
        assert_eq!(known.find(&key("SET a = 2", plain), now), None);
        assert_eq!(known.find(&key("SET a = 1", StatusFlags::empty()), now), None);
        assert_eq!(known.find(&key("SET a = 1", plain), now + LIFETIME), None);
        known.forget();
        assert_eq!(known.find(&key("SET a = 1", plain), now), None);
    }
}
