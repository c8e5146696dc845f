//! When a statement could not be run: whether another server may be asked, and what the client is
//! told.

use std::sync::Arc;
use std::time::Instant;

use super::Session;
use super::context::Settings;
use super::error::{self, End, Kind};
use super::job::{Done, Failed, Job, MAX_ATTEMPTS, Tried, Why};
use super::registry::Interrupt;
use super::relay::Withhold;
use super::reply;
use super::servers::Unavailable;
use crate::backend;
use crate::cluster::{Member, SessionFailure};
use crate::config::WhenAllLag;
use crate::protocol::ErrPacket;
use crate::protocol::response::ResponseKind;
use crate::route::{Side, Transaction};
use crate::sql::Flags;

/// What a question may leave behind or ask about its connection, so that it is not asked elsewhere.
const LEAVES_SOMETHING: Flags = Flags::INTO
    .union(Flags::ASSIGNS_USER_VARIABLE)
    .union(Flags::USER_LOCK)
    .union(Flags::SEQUENCE)
    .union(Flags::ABOUT_LAST)
    .union(Flags::FOUND_ROWS_FUNCTION)
    .union(Flags::AMBIGUOUS);

/// Errors that a replica may give where the primary would not: it lacks a table, a column, a routine
/// or a privilege that came to be only lately, or room for one more prepared statement.
pub const BEHIND: [u16; 14] = [
    1044, // ER_DBACCESS_DENIED_ERROR
    1049, // ER_BAD_DB_ERROR
    1054, // ER_BAD_FIELD_ERROR
    1142, // ER_TABLEACCESS_DENIED_ERROR
    1143, // ER_COLUMNACCESS_DENIED_ERROR
    1146, // ER_NO_SUCH_TABLE
    1176, // ER_KEY_DOES_NOT_EXITS
    1227, // ER_SPECIFIC_ACCESS_DENIED_ERROR
    1305, // ER_SP_DOES_NOT_EXIST
    1356, // ER_VIEW_INVALID
    1370, // ER_PROCACCESS_DENIED_ERROR
    1449, // ER_NO_SUCH_USER
    1461, // ER_MAX_PREPARED_STMT_COUNT_REACHED
    1735, // ER_UNKNOWN_PARTITION
];

impl Session {
    /// After a failure with nothing in the client's hands: whether another server is asked.
    pub(super) fn is_run_again(
        &mut self,
        job: &Job<'_>,
        side: Side,
        failed: &Failed,
        settings: &Settings,
        tried: &mut Tried,
    ) -> bool {
        let more = tried.avoid.len() + 1 < MAX_ATTEMPTS;
        let again = more && self.may_repeat(job, side, failed);
        // Not to wait for a replica's is no failure.
        if !(again && failed.is_crowded()) {
            self.note_failure(side, job, failed);
        }
        // The session's schema, say, is not there yet; and enough replicas have failed.
        let unfit = matches!(failed, Failed::Unavailable(Unavailable::Sync(_)));
        tried.primary_only = unfit || tried.avoid.len() + 1 >= replicas_to_try(settings);
        again
    }

    /// True if an error of a replica may come of its being behind, and the primary be asked instead.
    /// What a READ ONLY transaction on the replica runs, or what is fixed to it, stays there.
    pub(super) fn may_be_behind(&self, job: &Job<'_>, side: Side, tried: &Tried) -> bool {
        side == Side::Replica && tried.behind.is_none() && self.is_free(job, side)
    }

    /// May the statement be sent to another server? Never one that may have had an effect.
    pub(super) fn may_repeat(&self, job: &Job<'_>, side: Side, failed: &Failed) -> bool {
        match failed {
            Failed::Unavailable(Unavailable::StateLost { .. } | Unavailable::Demoted { .. }) => {
                false
            }
            // A READ ONLY transaction, too, goes on on the primary.
            Failed::Unavailable(Unavailable::Sync(_)) => {
                side == Side::Replica && job.fixed.is_none() && !job.incoming.was_streamed()
            }
            // Nothing was sent. The primary has no substitute.
            Failed::Unavailable(_) if self.is_kept() => self.is_movable(job),
            Failed::Unavailable(_) => side == Side::Replica && self.is_free(job, side),
            Failed::Lost(_) => self.is_repeatable(job, side),
        }
    }

    /// True if another server may be asked, also after the statement has been sent.
    pub(super) fn is_repeatable(&self, job: &Job<'_>, side: Side) -> bool {
        let statement = &job.statement;
        // Whatever else a query uses, on a replica it cannot write.
        let on_replica = side == Side::Replica || self.is_kept();
        let harmless =
            on_replica && statement.is_query() && !statement.flags.intersects(LEAVES_SOMETHING);
        let repeatable = statement.is_read() || harmless || job.kind == ResponseKind::Prepare;
        repeatable && self.is_free(job, side)
    }

    /// True in a session that a rule keeps on replicas if a statement that was not sent may as well
    /// be sent to another one.
    fn is_movable(&self, job: &Job<'_>) -> bool {
        let killed = self.handle.interrupt() == Interrupt::Kill;
        !(killed || self.state.is_bound_to_primary() || job.incoming.was_streamed())
    }

    /// True if nothing ties the statement to its connection.
    fn is_free(&self, job: &Job<'_>, side: Side) -> bool {
        let bound = match side {
            Side::Primary => self.state.is_bound_to_primary(),
            Side::Replica => self.state.transaction() == Transaction::OnReplica,
        };
        let killed = self.handle.interrupt() == Interrupt::Kill;
        !(killed || bound || job.fixed.is_some() || job.incoming.was_streamed())
    }

    /// Which errors the client is not told of at once.
    pub(super) fn withhold(&self, job: &Job<'_>, side: Side, tried: &Tried) -> Withhold {
        Withhold {
            behind: self.may_be_behind(job, side, tried),
            full: job.kind == ResponseKind::Prepare && !tried.made_room,
            stale: job.statement_id.is_some() && !tried.made_room,
            ending: side == Side::Replica && self.is_repeatable(job, side),
            read_only: side == Side::Primary && !self.is_kept(),
        }
    }

    /// What the client was not told of makes a difference to the next attempt; or there can be none.
    pub(super) async fn note_withheld(
        &mut self,
        why: Why,
        (side, member): (Side, &Arc<Member>),
        job: &Job<'_>,
        settings: &Settings,
        tried: &mut Tried,
    ) -> Option<Failed> {
        match why {
            Why::Behind(err) => {
                self.context.metrics.local().read_retried();
                tried.behind = Some(err);
            }
            Why::Full => tried.made_room = true,
            Why::Refused => {
                self.learn(job, settings);
                tried.refused = true;
            }
            Why::ReadOnly(err) => return self.note_read_only(job, member, err, tried).await,
            Why::Unread => {
                tried.unread += 1;
                if tried.unread >= MAX_ATTEMPTS || !self.is_free(job, side) {
                    let in_transaction = self.state.transaction() != Transaction::None;
                    return Some(Failed::Unavailable(Unavailable::StateLost { in_transaction }));
                }
                self.servers.drop_side(side, &self.handle);
            }
        }
        None
    }

    pub(super) fn note_failure(&mut self, side: Side, job: &Job<'_>, failed: &Failed) {
        match failed {
            Failed::Lost(error) => {
                if let Some(held) = self.servers.get(side) {
                    held.member.report_failure(SessionFailure::Lost);
                }
                tracing::debug!(session = self.id(), %error, "a server connection broke");
                self.servers.drop_side(side, &self.handle);
                self.count_error(Kind::Lost);
                self.state.lost(side, &job.statement, Instant::now());
                if side == Side::Primary {
                    self.forget_primary();
                }
            }
            Failed::Unavailable(Unavailable::StateLost { .. } | Unavailable::Demoted { .. }) => {
                self.count_error(Kind::Lost);
                self.state.lost(side, &job.statement, Instant::now());
                if side == Side::Primary {
                    self.forget_primary();
                }
            }
            Failed::Unavailable(Unavailable::Pool(_)) => self.count_error(Kind::Connect),
            Failed::Unavailable(Unavailable::Sync(_)) => self.count_error(Kind::Sync),
        }
    }

    /// Tells the client that its statement could not be run, or not to its end, with an ERR packet
    /// of sequence id `seq`.
    pub(super) async fn give_up(
        &mut self,
        job: Job<'_>,
        member: &Arc<Member>,
        failed: Failed,
        seq: u8,
    ) -> Result<Done, End> {
        let server = member.config().name.clone();
        let err = match &failed {
            Failed::Unavailable(Unavailable::Pool(error)) => error::unreachable(&server, error),
            Failed::Unavailable(Unavailable::StateLost { in_transaction }) => {
                error::state_lost(&server, *in_transaction)
            }
            Failed::Unavailable(Unavailable::Demoted { in_transaction }) => {
                error::demoted(&server, *in_transaction)
            }
            Failed::Unavailable(Unavailable::Sync(backend::Error::Server(err))) => err.clone(),
            Failed::Unavailable(Unavailable::Sync(error)) | Failed::Lost(error) => {
                error::outcome_unknown(&server, error)
            }
        };
        self.answer_error(&job, &err, seq).await?;
        Ok(Done::Failed)
    }

    /// Ends the command's response with an error, having read all of the command.
    pub(super) async fn answer_error(
        &mut self,
        job: &Job<'_>,
        err: &ErrPacket,
        seq: u8,
    ) -> Result<(), End> {
        if !job.incoming.is_whole() {
            // Its rest is still on the way; there is no telling where the next command begins.
            reply::err(&mut self.client, seq, err).await?;
            return Err(End::Refused(err.to_string()));
        }
        reply::err(&mut self.client, seq, err).await?;
        let settings = self.context.settings.load_full();
        self.finish_statement(job, None, &settings);
        Ok(())
    }

    /// Counts an error.
    pub(super) fn count_error(&self, kind: Kind) {
        self.context.metrics.local().error(kind.blame(), kind.index());
    }
}

/// How many replicas a read may try before it is the primary's turn.
fn replicas_to_try(settings: &Settings) -> usize {
    let spares_primary = settings.when_all_lag == WhenAllLag::Error;
    if spares_primary { MAX_ATTEMPTS } else { MAX_ATTEMPTS - 1 }
}
