//! Hashes of mysql_native_password accounts, as far as the monitor account may read them.
//!
//! Clients that know only mysql_native_password never show their password, but with SHA1(SHA1(pw))
//! their scramble yields what a server asks for. MariaDB keeps these hashes in mysql.user, and so
//! does MySQL before 9; a monitor account with SELECT on that table makes such clients work. The
//! hash of an account is taken for the truth only for as long as the primary shows it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::ClusterHandle;
use crate::backend;

/// How often the hashes are read again: a changed password takes effect within this time.
const INTERVAL: Duration = Duration::from_secs(5);

/// Deadline of one reading, connecting included.
const DEADLINE: Duration = Duration::from_secs(3);

/// Hashes by user name; several where the user has accounts from several hosts. Each is as good as the
/// password towards this plugin: not shown, and wiped from memory when dropped.
#[derive(Default, PartialEq, Eq)]
pub struct NativeHashes(HashMap<Vec<u8>, Vec<Zeroizing<[u8; 20]>>>);

impl NativeHashes {
    /// Those of a user.
    pub fn of(&self, user: &[u8]) -> &[Zeroizing<[u8; 20]>] {
        self.0.get(user).map_or(&[], Vec::as_slice)
    }
}

impl fmt::Debug for NativeHashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NativeHashes(of {} users)", self.0.len())
    }
}

const SQL: &str = "SELECT User, authentication_string FROM mysql.user \
     WHERE plugin = 'mysql_native_password' AND authentication_string LIKE '*%'";

/// Reads the hashes from the primary, now and then, into `target`; never ends.
pub async fn refresh(cluster: Arc<ClusterHandle>, target: Arc<ArcSwap<NativeHashes>>) {
    let mut told = false;
    loop {
        let wanted = cluster.settings().read_native_hashes;
        let read = if wanted { read(&cluster).await } else { Ok(NativeHashes::default()) };
        match read {
            Ok(hashes) => {
                told = false;
                if **target.load() != hashes {
                    target.store(Arc::new(hashes));
                }
            }
            Err(error) => {
                // Not allowed to: then there is nothing to know. Unreachable: what was read stays.
                if error.server().is_some() {
                    target.store(Arc::default());
                }
                if !told {
                    told = true;
                    tracing::debug!(%error, "cannot read mysql_native_password hashes");
                }
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn read(cluster: &ClusterHandle) -> Result<NativeHashes, backend::Error> {
    let deadline = Instant::now() + DEADLINE;
    let mut connection = cluster.connect_to_primary(deadline).await?;
    let rows = connection.query_rows(SQL, deadline).await?;
    connection.quit().await;
    let mut hashes = NativeHashes::default();
    for row in rows {
        let mut values = row.into_iter().flatten();
        if let (Some(user), Some(text)) = (values.next(), values.next())
            && let Some(hash) = crate::auth::native_password::parse_hash(&text)
        {
            hashes.0.entry(user).or_default().push(Zeroizing::new(hash));
        }
    }
    Ok(hashes)
}
