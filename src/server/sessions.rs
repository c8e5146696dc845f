//! What a look at the sessions shows.

use std::sync::Arc;
use std::time::Instant;

use crate::admin::{self, Connections, Pinned, SessionSource};
use crate::cluster::{Cluster, Floor, Wish};
use crate::config::Pin;
use crate::route::PinCause;
use crate::session::registry::Activity;
use crate::session::registry::snapshot::{ConnectionView, SessionView};
use crate::session::{Context, PinView};

/// Bytes of GTIDs that are shown.
const MAX_GTIDS: usize = 200;

/// The sessions of a running lagwise.
pub struct Sessions(pub Arc<Context>);

impl SessionSource for Sessions {
    fn sessions(&self, max: usize) -> admin::Sessions {
        let snapshot = self.0.registry.snapshot(max);
        let (cluster, policy) = (self.0.cluster.snapshot(), self.0.settings.load().pin);
        let now = Instant::now();
        let shown = |view| shown(view, policy, &cluster, now);
        admin::Sessions {
            total: snapshot.total,
            truncated: snapshot.sessions.len() < snapshot.total,
            sessions: snapshot.sessions.into_iter().map(shown).collect(),
        }
    }
}

fn shown(view: SessionView, policy: Pin, cluster: &Cluster, now: Instant) -> admin::Session {
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
        pinned: view.pin.and_then(|pin| {
            let until = until(&pin, policy, is_replicated(&pin, cluster), now)?;
            Some(Pinned {
                by: PinCause::NAMES.get(pin.cause as usize).copied().unwrap_or_default(),
                until,
            })
        }),
        connections: Connections {
            primary: connection(view.primary),
            replica: connection(view.replica),
        },
    }
}

/// Whether a replica that takes reads has what the session wrote.
fn is_replicated(pin: &PinView, cluster: &Cluster) -> bool {
    let own = Floor { own: Some(pin.writes.clone()), ..Floor::default() };
    cluster
        .replicas()
        .iter()
        .any(|member| cluster.allows(Wish::default(), member) && own.is_met_by(member, cluster))
}

/// Until when a pin holds, in words; `None` if it does not any more.
fn until(pin: &PinView, policy: Pin, is_replicated: bool, now: Instant) -> Option<String> {
    match policy {
        Pin::None => None,
        Pin::Session => Some("the session ends".to_owned()),
        Pin::For(time) => {
            let left = time.checked_sub(now.saturating_duration_since(pin.writes.until))?;
            Some(format!("in {} ms", left.as_millis()))
        }
        Pin::UntilReplicated if pin.is_lost => Some("the session ends".to_owned()),
        Pin::UntilReplicated if is_replicated => None,
        Pin::UntilReplicated => Some(match &pin.writes.gtids {
            None => "a replica has all until its last write".to_owned(),
            Some(gtids) => {
                let gtids = gtids.to_string();
                match gtids.get(..MAX_GTIDS) {
                    None => format!("a replica has {gtids}"),
                    Some(begin) => format!("a replica has {begin}..."),
                }
            }
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::OwnWrites;

    #[test]
    fn until_when() {
        let now = Instant::now();
        let pin = |is_lost| PinView {
            cause: PinCause::Write,
            writes: OwnWrites { until: now, gtids: None },
            is_lost,
        };
        let half = Pin::For(Duration::from_millis(500));
        let soon = now + Duration::from_millis(100);
        for (is_lost, policy, is_replicated, at, want) in [
            (false, Pin::None, false, now, None),
            (false, Pin::Session, true, now, Some("the session ends")),
            (false, half, false, soon, Some("in 400 ms")),
            (false, half, false, soon + Duration::from_secs(1), None),
            (true, Pin::UntilReplicated, true, now, Some("the session ends")),
            (false, Pin::UntilReplicated, true, now, None),
            (
                false,
                Pin::UntilReplicated,
                false,
                now,
                Some("a replica has all until its last write"),
            ),
        ] {
            let found = until(&pin(is_lost), policy, is_replicated, at);
            assert_eq!(found.as_deref(), want, "{policy:?}");
        }
    }
}
