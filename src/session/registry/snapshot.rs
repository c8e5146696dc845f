//! What can be seen of all sessions at a moment, for people who look for what keeps connections.
//!
//! Plain copies without anything of what a client said but its user's name: no statement, no schema,
//! no secret. Each session is looked at by itself, so that a list is not one moment of all of them.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::{Activity, Place, Registry, SessionHandle};
use crate::session::{Hold, PinView};

/// Sessions at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// How many there are.
    pub total: usize,
    /// Those with the lowest ids, by id.
    pub sessions: Vec<SessionView>,
}

/// One session.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionView {
    /// The connection id that the client was told.
    pub id: u32,
    /// The user that it is logged in as; empty before the login.
    pub user: Vec<u8>,
    /// Where its client is; `None`: on a Unix socket.
    pub client: Option<SocketAddr>,
    /// What it is at.
    pub activity: Activity,
    /// Its connection to the primary, or, kept on replicas by a rule, to the one that it lives on.
    pub primary: Option<ConnectionView>,
    /// Its connection to a replica.
    pub replica: Option<ConnectionView>,
    /// Why it keeps a connection, one of [`Hold::NAMES`]; as its last command has left it.
    pub held_by: Option<&'static str>,
    /// What a replica must have before it reads there; as its last command has left it.
    pub pin: Option<PinView>,
}

/// A connection that a session has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionView {
    /// The server's name.
    pub server: String,
    /// The server's id of it, as SHOW PROCESSLIST has it.
    pub thread_id: u32,
}

impl Registry {
    /// The sessions of now, at most `max` of them.
    pub fn snapshot(&self, max: usize) -> Snapshot {
        let mut handles: Vec<_> = self.lock().values().cloned().collect();
        let total = handles.len();
        handles.sort_unstable_by_key(|handle| handle.id);
        handles.truncate(max);
        Snapshot { total, sessions: handles.iter().map(SessionHandle::view).collect() }
    }
}

impl SessionHandle {
    fn view(self: &Arc<Self>) -> SessionView {
        let view = |place: &Option<Place>| {
            let place = place.as_ref().filter(|place| !place.is_away)?;
            let server = place.member.config().name.clone();
            Some(ConnectionView { server, thread_id: place.thread })
        };
        let (primary, replica) = {
            let places = self.places();
            (view(&places.primary), view(&places.replica))
        };
        let hold = self.hold.load(Ordering::Relaxed);
        SessionView {
            id: self.id,
            user: self.user.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            client: *self.client.lock().unwrap_or_else(PoisonError::into_inner),
            activity: self.activity(),
            primary,
            replica,
            pin: self.pin.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            held_by: usize::from(hold).checked_sub(1).and_then(|at| Hold::NAMES.get(at).copied()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_has_the_lowest_ids_in_order() {
        let registry = Arc::new(Registry::default());
        let client: SocketAddr = ([127, 0, 0, 1], 5000).into();
        let sessions: Vec<_> = (0..20).map(|_| registry.register(Some(client))).collect();
        let first = &sessions[0];
        first.set_user(b"app");
        first.set_activity(Activity::Waits);
        let Snapshot { total, sessions: listed } = registry.snapshot(5);
        assert_eq!(total, 20);
        let ids: Vec<_> = listed.iter().map(|view| view.id).collect();
        let want: Vec<_> = sessions.iter().take(5).map(|session| session.id).collect();
        assert_eq!(ids, want);
        let (user, client, activity) = (b"app".to_vec(), Some(client), Activity::Waits);
        let (primary, replica, held_by, pin) = (None, None, None, None);
        let id = first.id;
        let want = SessionView { id, user, client, activity, primary, replica, held_by, pin };
        assert_eq!(listed[0], want);
        assert_eq!(listed[1].activity, Activity::Login);
        drop(sessions);
        assert_eq!(registry.snapshot(5), Snapshot::default());
    }

    #[test]
    fn a_hold_is_told_by_its_name() {
        let registry = Arc::new(Registry::default());
        let session = registry.register(None);
        let told = |hold| {
            session.set_hold(hold);
            registry.snapshot(1).sessions[0].held_by
        };
        assert_eq!(told(Some(Hold::Transaction)), Some("transaction"));
        assert_eq!(told(Some(Hold::TemporaryTable)), Some("temporary_table"));
        assert_eq!(told(Some(Hold::ConnectionId)), Some("connection_id"));
        // The last of them.
        assert_eq!(told(Some(Hold::Session)), Some("session"));
        assert_eq!(told(None), None);
        assert_eq!(Hold::NAMES.len(), Hold::Session as usize + 1);
    }
}
