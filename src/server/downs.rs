//! Sessions that wait for a server are told when it goes down.
//!
//! A session that waits could listen to the server itself, but would then have to begin and end that
//! with every query, in a list that all cores share. So it is woken instead, and looks.

use std::sync::Arc;

use crate::cluster::{ClusterHandle, Member};
use crate::session::registry::Registry;

/// Tells them for as long as there are servers.
pub async fn tell(cluster: Arc<ClusterHandle>, registry: Arc<Registry>) {
    let mut changed = cluster.changed();
    let mut before: Vec<Arc<Member>> = Vec::new();
    while changed.changed().await.is_ok() {
        let now: Vec<Arc<Member>> =
            cluster.load().members().filter(|member| member.is_down()).map(Arc::clone).collect();
        let is_new = |member: &Arc<Member>| !before.iter().any(|old| Arc::ptr_eq(old, member));
        if now.iter().any(is_new) {
            registry.server_went_down();
        }
        before = now;
    }
}
