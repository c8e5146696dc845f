//! What a look at the sessions shows.

use std::sync::Arc;

use crate::admin::{self, Connections, SessionSource};
use crate::session::registry::snapshot::{ConnectionView, SessionView};
use crate::session::registry::{Activity, Registry};

/// The sessions of a running lagwise.
pub struct Sessions(pub Arc<Registry>);

impl SessionSource for Sessions {
    fn sessions(&self, max: usize) -> admin::Sessions {
        let snapshot = self.0.snapshot(max);
        admin::Sessions {
            total: snapshot.total,
            truncated: snapshot.sessions.len() < snapshot.total,
            sessions: snapshot.sessions.into_iter().map(shown).collect(),
        }
    }
}

fn shown(view: SessionView) -> admin::Session {
    let is_user_known = view.activity != Activity::Login;
    let connection = |view: Option<ConnectionView>| {
        view.map(|ConnectionView { server, thread_id }| admin::Connection { server, thread_id })
    };
    admin::Session {
        id: view.id,
        user: is_user_known.then(|| String::from_utf8_lossy(&view.user).into_owned()),
        client: view.client,
        state: match view.activity {
            Activity::Login => "login",
            Activity::Runs => "running",
            Activity::Waits | Activity::Idle => "idle",
        },
        held_by: view.held_by,
        connections: Connections {
            primary: connection(view.primary),
            replica: connection(view.replica),
        },
    }
}
