//! Sessions that wait for a server are told when it hangs, goes down, or is given up.
//!
//! A session that waits could listen to the server itself, but would then have to begin and end that
//! with every query, in a list that all cores share. So it is woken instead, and looks.

use std::sync::Arc;

use crate::cluster::{ClusterHandle, Member};
use crate::session::registry::Registry;

/// Tells them for as long as there are servers.
pub async fn tell(cluster: Arc<ClusterHandle>, registry: Arc<Registry>) {
    let mut changed = cluster.changed();
    let mut before: Vec<(Arc<Member>, [bool; 3], u32)> = Vec::new();
    while changed.changed().await.is_ok() {
        // Again when what runs there is given up.
        let now: Vec<_> = cluster
            .load()
            .members()
            .map(|member| {
                let states = [member.hangs(), member.is_down(), member.is_given_up()];
                (Arc::clone(member), states, member.displaced())
            })
            .filter(|(_, states, displaced)| states.contains(&true) || *displaced > 0)
            .collect();
        let is_new = |(member, states, displaced): &(Arc<Member>, [bool; 3], u32)| {
            !before.iter().any(|(old, were, was)| {
                Arc::ptr_eq(old, member) && were == states && was == displaced
            })
        };
        if now.iter().any(is_new) {
            registry.server_went_down();
        }
        before = now;
    }
}
