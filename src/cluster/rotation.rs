//! The monitor's password changes while lagwise runs: its file is read again when a server refuses it.
//!
//! Whoever rotates passwords changes the account and writes the file, in whatever order. Connections that
//! are open stay good; the next login is refused, and then the file is looked at, again and again, until
//! a server takes what is in it. So a rotation needs neither a signal nor a restart.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{ClusterHandle, Health};
use crate::auth::CredentialSecret;
use crate::config;

/// Between two looks at the file, while the account is refused.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reads the file again while a server refuses the monitor's account; never ends.
pub async fn watch(cluster: Arc<ClusterHandle>) {
    let mut changed = cluster.changed();
    loop {
        let file = cluster.settings().password_file.clone();
        match file.filter(|_| is_denied(&cluster)) {
            Some(file) => {
                read(&cluster, file).await;
                tokio::time::sleep(INTERVAL).await;
            }
            None => {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

fn is_denied(cluster: &ClusterHandle) -> bool {
    let cluster = cluster.snapshot();
    cluster.members().any(|member| member.with_status(|status| status.health) == Health::Denied)
}

async fn read(cluster: &ClusterHandle, file: PathBuf) {
    let path = file.clone();
    let read = tokio::task::spawn_blocking(move || config::read_password(&path)).await;
    let password = match read {
        Ok(Ok(password)) => password,
        Ok(Err(problem)) => {
            // It may be being written.
            tracing::warn!(%problem, "the monitor's password cannot be read again");
            return;
        }
        Err(error) => {
            tracing::error!(%error, "the monitor's password cannot be read again");
            return;
        }
    };
    let secret = CredentialSecret::from_password(password.expose().to_vec().into());
    if cluster.exchange_password(&file, secret) {
        tracing::info!(
            file = %file.display(),
            "a server refuses the monitor's password, and its file has another: that is used now"
        );
    }
}
