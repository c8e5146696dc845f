//! Where the primary sees lagwise's connections come from: the host that its errors name.

use tokio::time::Instant;

use super::ClusterHandle;

impl ClusterHandle {
    /// The host of lagwise as the primary names it; by a connection as the monitor's account. `None`:
    /// it cannot be asked until `deadline`.
    pub async fn seen_as(&self, deadline: Instant) -> Option<String> {
        let mut connection = self.connect_to_primary(deadline).await.ok()?;
        let rows = connection.query_rows("SELECT USER()", deadline).await.ok()?;
        connection.quit().await;
        let user = rows.into_iter().next()?.into_iter().next()??;
        // A user's name may hold an @, a host's may not.
        let user = String::from_utf8(user.to_vec()).ok()?;
        user.rsplit_once('@').map(|(_, host)| host.to_owned())
    }
}
