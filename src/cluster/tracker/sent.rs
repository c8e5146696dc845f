//! What a primary has sent to its replicas, and what of that it shows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::position::Position;
use super::super::shown::{Sent, ShownClock};
use super::{Note, Tracker};

/// A primary that would not say it is asked again after this long.
const ASK_AGAIN: Duration = Duration::from_secs(10);

impl Tracker {
    /// Whether the primary is to be asked what it has sent, because somebody `waits` for it to show that
    /// or because it has refused once.
    pub fn wants_sent(&self, waits: bool, now: Instant) -> bool {
        match &self.sent_refused {
            Some((at, _)) => now.saturating_duration_since(*at) >= ASK_AGAIN,
            None => waits,
        }
    }

    /// Takes in the answer to that, if it was asked at `asked_at`; `could_tell`: else it could be.
    pub(super) fn take_sent(
        &mut self,
        sent: Option<Result<Box<Sent>, Arc<str>>>,
        could_tell: bool,
        position: Option<&Position>,
        asked_at: Instant,
    ) -> Option<Note> {
        let mut note = None;
        match sent {
            Some(Ok(told)) => {
                let Sent { sent, shown } = *told;
                self.sent_refused = None;
                if let Some(shown) = shown.as_ref().or(position) {
                    self.shown.sample(asked_at, sent, shown);
                }
                self.status.tells_shown = true;
            }
            Some(Err(reason)) => {
                let is_new = self.sent_refused.as_ref().is_none_or(|(_, before)| *before != reason);
                note = is_new.then(|| Note::SentRefused(Arc::clone(&reason)));
                self.sent_refused = Some((asked_at, reason));
                self.status.tells_shown = false;
            }
            None => self.status.tells_shown = could_tell && self.sent_refused.is_none(),
        }
        if let Some((_, reason)) = &self.sent_refused {
            self.status.refused = Some(Arc::clone(reason));
        }
        self.status.shown_through = self.shown.through();
        note
    }

    /// It has another role, or may come back with less than it had.
    pub(super) fn forget_shown(&mut self) {
        self.shown = ShownClock::default();
        self.sent_refused = None;
        self.status.tells_shown = false;
        self.status.shown_through = None;
    }
}
