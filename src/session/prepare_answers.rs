//! What servers have answered to a PREPARE lately, so that the next one needs no server.
//!
//! Frameworks prepare each query anew, on each page: half of their round trips say what the other half
//! would have told as well. An answer is given again to the same account (by secret, capabilities and
//! all that makes connections exchangeable), for the same text read under the same state, and only
//! while nothing has changed that lagwise knows of: a statement that may change what there is, or who
//! may see it, has all answers forgotten ([`changes_catalogue`]). What others change is noticed
//! [`LIFETIME`] later at most; until then the error, or the other columns, come with EXECUTE.
//!
//! What a replica has said is told only to sessions that need not see more than a replica has.
//!
//! Bounded in bytes. Pure: time is an argument.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::recent::Recent;
use crate::pool::LoginKey;
use crate::protocol::flags::StatusFlags;
use crate::protocol::frame::HEADER_LEN;
use crate::protocol::prepare::{PrepareOk, STATEMENT_ID};
use crate::sql::{Flags, Statement, StatementKind};

/// How long an answer is given again after a server was asked.
pub const LIFETIME: Duration = Duration::from_secs(10);

/// All answers that are remembered, in bytes.
const MAX_BYTES: usize = 8 << 20;

/// Longer answers are not remembered, in bytes.
pub const MAX_ANSWER: usize = 16 << 10;

/// What an answer costs besides its bytes, about.
const OVERHEAD: usize = 400;

/// What was asked, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// The id of the text, which stands for the state that it was read under.
    pub statement: u64,
    /// The fingerprint of all the state that the session is in: the character set of results, say, stands
    /// in the definitions of columns.
    pub state: u64,
    /// Who may be told the answer.
    pub login: LoginKey,
    /// The primary was asked, and not a replica.
    pub of_primary: bool,
}

/// The answer of a server to a PREPARE.
#[derive(Debug)]
pub struct Answer {
    asked: Asked,
    /// All its packets.
    bytes: Box<[u8]>,
    /// Where status flags stand in them: in EOF packets, which not all clients get.
    status_at: Vec<usize>,
    /// What its first packet says.
    pub ok: PrepareOk,
    since: Instant,
    generation: u64,
}

/// The answers that are remembered.
#[derive(Debug)]
pub struct PrepareAnswers {
    answers: Recent<Answer>,
    /// Answers of another one do not count.
    generation: AtomicU64,
}

impl Default for PrepareAnswers {
    fn default() -> Self {
        Self { answers: Recent::bounded(MAX_BYTES), generation: AtomicU64::new(0) }
    }
}

impl PrepareAnswers {
    /// To be taken before a server is asked.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Something may have changed that answers depend on.
    pub fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// What the answer is, if that is known.
    pub fn get(&self, asked: &Asked, now: Instant) -> Option<Arc<Answer>> {
        let answer = self.answers.find(self.answers.hash(asked), |known| known.asked == *asked)?;
        let is_fresh = now.saturating_duration_since(answer.since) < LIFETIME;
        (is_fresh && answer.generation == self.generation()).then_some(answer)
    }

    /// Remembers an answer to what was asked at `since` in `generation`, unless it cannot be given again.
    pub fn keep(&self, asked: Asked, bytes: &[u8], since: Instant, generation: u64) {
        let read = read(bytes).filter(|(ok, _)| ok.warnings == 0 && bytes.len() <= MAX_ANSWER);
        let Some((ok, status_at)) = read else { return };
        let hash = self.answers.hash(&asked);
        let answer = Answer { asked, bytes: bytes.into(), status_at, ok, since, generation };
        self.answers.keep(hash, Arc::new(answer), bytes.len() + OVERHEAD);
    }
}

impl Answer {
    /// Its packets for a client that is to know the statement by `id`, in a session with these flags.
    pub fn packets(&self, id: u32, status: StatusFlags) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        let at = HEADER_LEN + STATEMENT_ID.start;
        if let Some(field) = bytes.get_mut(at..at + 4) {
            field.copy_from_slice(&id.to_le_bytes());
        }
        for &at in &self.status_at {
            if let Some(field) = bytes.get_mut(at..at + 2) {
                field.copy_from_slice(&status.bits().to_le_bytes());
            }
        }
        bytes
    }
}

/// What the first packet says, and where EOF packets have their flags; `None` if it is not whole.
fn read(bytes: &[u8]) -> Option<(PrepareOk, Vec<usize>)> {
    let (mut ok, mut status_at, mut at) = (None, Vec::new(), 0);
    while let Some(&[low, mid, high, _]) = bytes.get(at..at + HEADER_LEN) {
        at += HEADER_LEN;
        let len = usize::from(low) | usize::from(mid) << 8 | usize::from(high) << 16;
        let payload = bytes.get(at..at + len)?;
        if ok.is_none() {
            ok = Some(PrepareOk::parse(payload).ok()?);
        } else if let &[0xfe, _, _, _, _] = payload {
            // int<1> header, int<2> warnings, int<2> status
            status_at.push(at + 3);
        }
        at += len;
    }
    (at == bytes.len()).then_some((ok?, status_at))
}

/// Whether a statement may change what a PREPARE is answered, for its own session or others.
pub fn changes_catalogue(statement: &Statement) -> bool {
    use StatementKind::*;
    let flags = statement.flags;
    match statement.kind {
        Account | Admin | Call | TextExecute | Unknown => true,
        // What is temporary holds its session, which asks the servers then.
        Ddl => !flags.intersects(Flags::TEMPORARY | Flags::CREATES_TEMPORARY_TABLE),
        Set => flags.intersects(Flags::SETS_GLOBAL | Flags::AMBIGUOUS),
        _ => flags.intersects(Flags::MULTI | Flags::AMBIGUOUS),
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::auth::{Credential, CredentialSecret};
    use crate::pool::LoginRecord;
    use crate::protocol::flags::Capabilities;
    use crate::protocol::frame::build_packet;
    use crate::sql::{LexMode, classify};

    fn asked(user: &str, statement: u64) -> Asked {
        let secret = CredentialSecret::from_password(Zeroizing::new("pw".into()));
        let login = LoginRecord {
            credential: Arc::new(Credential { user: user.into(), secret, client: None }),
            capabilities: Capabilities::PROTOCOL_41,
            charset: 45,
            attributes: None,
            client_tls: false,
        };
        let login = LoginKey { login, read_only: false };
        Asked { statement, state: 7, login, of_primary: true }
    }

    /// One parameter, one column, each with an EOF packet, as clients without DEPRECATE_EOF get it.
    fn response(warnings: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let ok = [0, 9, 0, 0, 0, 1, 0, 1, 0, 0, warnings, 0];
        let eof = [0xfe, 0, 0, 0x22, 0];
        for (seq, payload) in (1..).zip([&ok[..], b"\x03def", &eof, b"\x03def", &eof]) {
            build_packet(&mut bytes, seq, |out| out.extend_from_slice(payload));
        }
        bytes
    }

    #[test]
    fn an_answer_is_given_again_in_the_clients_terms() {
        let (answers, now) = (PrepareAnswers::default(), Instant::now());
        assert!(answers.get(&asked("a", 1), now).is_none());
        answers.keep(asked("a", 1), &response(0), now, 0);
        let answer = answers.get(&asked("a", 1), now).unwrap();
        assert_eq!((answer.ok.num_params, answer.ok.num_columns), (1, 1));
        let packets = answer.packets(0x0102_0304, StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS);
        let changed: Vec<_> = packets.iter().zip(response(0)).filter(|(a, b)| **a != *b).collect();
        assert_eq!(packets.len(), response(0).len());
        assert_eq!(packets[5..9], [4, 3, 2, 1]);
        assert_eq!(changed.len(), 6, "the id and two flags");
    }

    #[test]
    fn an_answer_is_for_one_account_and_a_short_time() {
        let (answers, now) = (PrepareAnswers::default(), Instant::now());
        answers.keep(asked("a", 1), &response(0), now, answers.generation());
        let knows = |asked: Asked, now| answers.get(&asked, now).is_some();
        assert!(knows(asked("a", 1), now + LIFETIME - Duration::from_millis(1)));
        assert!(!knows(asked("a", 1), now + LIFETIME));
        assert!(!knows(asked("b", 1), now));
        assert!(!knows(asked("a", 2), now));
        assert!(!knows(Asked { state: 8, ..asked("a", 1) }, now));
        assert!(!knows(Asked { of_primary: false, ..asked("a", 1) }, now));
        answers.forget_all();
        assert!(!knows(asked("a", 1), now));
        // Asked before, answered after.
        answers.keep(asked("a", 1), &response(0), now, 0);
        assert!(!knows(asked("a", 1), now));
    }

    #[test]
    fn what_cannot_be_given_again() {
        #[track_caller]
        fn check(bytes: &[u8]) {
            let (answers, now) = (PrepareAnswers::default(), Instant::now());
            answers.keep(asked("a", 1), bytes, now, 0);
            assert!(answers.get(&asked("a", 1), now).is_none());
        }
        check(&response(1));
        check(b"");
        check(&response(0)[..30]);
        check(&[0; 4]);
        let mut long = response(0);
        build_packet(&mut long, 6, |out| out.extend_from_slice(&[3; MAX_ANSWER]));
        check(&long);
    }

    #[test]
    fn what_changes_the_catalogue() {
        #[track_caller]
        fn check(text: &str, want: bool) {
            let statement = classify(text.as_bytes(), &LexMode::default());
            assert_eq!(changes_catalogue(&statement), want, "{text}");
        }
        for text in [
            "ALTER TABLE t ADD a INT",
            "DROP VIEW v",
            "GRANT SELECT ON t TO u",
            "REVOKE ALL ON t FROM u",
            "DROP USER u",
            "CALL p()",
            "FLUSH PRIVILEGES",
            "SET GLOBAL sql_mode = ''",
            "WHATEVER",
            "INSERT INTO t VALUES (1); DROP TABLE t",
        ] {
            check(text, true);
        }
        for text in [
            "SELECT 1",
            "INSERT INTO t VALUES (1)",
            "BEGIN",
            "COMMIT",
            "SET NAMES utf8mb4",
            "CREATE TEMPORARY TABLE t (a INT)",
            "SHOW TABLES",
        ] {
            check(text, false);
        }
    }
}
