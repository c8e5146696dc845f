//! A client arrives: from its socket to a session, or to the end of its login.

use std::sync::Arc;

use tokio::time::error::Elapsed;

use super::context::{Context, Settings};
use super::error::{self, End, Kind};
use super::guesses::Origin;
use super::login::{self, Established, Failure};
use super::logins::Notice;
use super::registry::Registration;
use super::visitor::{RejectCause, Visitor};
use super::{Session, reply};
use crate::metrics::LoginResult;
use crate::net::listen::Accepted;
use crate::net::{PacketStream, Socket, Transport};

/// Serves one accepted client until it leaves.
pub async fn serve(accepted: Accepted, context: Arc<Context>) {
    let address = match &accepted {
        Accepted::Tcp(_, address) => Some(*address),
        Accepted::Unix(_) => None,
    };
    let accepted_at = accepted.local_address();
    let Ok(socket) = to_socket(accepted) else { return };
    let mut client = PacketStream::new(Transport::Plain(socket));
    let mut visitor = match Visitor::arrive(&context, address, accepted_at) {
        Ok(visitor) => visitor,
        Err(cause) => {
            let _ = cause.tell(&mut client, &context, address).await;
            return;
        }
    };
    let handle = context.registry.register(address);
    let id = handle.id;
    // Boxed: logging in needs much more room than the session does afterwards.
    let session = Box::pin(establish(client, handle, Arc::clone(&context), &mut visitor)).await;
    let Some(mut session) = session else { return };
    let _count = context.metrics.session();
    let end = session.until_end().await;
    session.farewell(&end).await;
    session.leave();
    tracing::debug!(session = id, %end, "session ended");
}

fn to_socket(accepted: Accepted) -> std::io::Result<Socket> {
    match accepted {
        Accepted::Tcp(stream, _) => Socket::tcp(stream, CLIENT_DEAD_AFTER),
        Accepted::Unix(stream) => Ok(Socket::Unix(stream)),
    }
}

/// A client that vanished silently is given up after about this long. Longer than for servers:
/// clients may be far away.
const CLIENT_DEAD_AFTER: std::time::Duration = std::time::Duration::from_secs(60);

async fn establish(
    mut client: PacketStream,
    handle: Registration,
    context: Arc<Context>,
    visitor: &mut Visitor,
) -> Option<Box<Session>> {
    let settings = context.settings.load_full();
    let notice = visitor.notice();
    let login = login::login(&mut client, &handle, &context, &settings, visitor);
    let login = tokio::time::timeout(settings.login_timeout, login);
    let result = tokio::select! {
        biased;
        result = login => Ok(result),
        cause = notice.given() => Err(cause),
    };
    let metrics = context.metrics.local();
    let peer = &*visitor;
    let result = match result {
        Ok(result) => result,
        Err(cause) => {
            give_way(&mut client, &context, cause).await;
            tracing::debug!(%peer, ?cause, "had to give way to another login");
            return None;
        }
    };
    note_outcome(&context, &settings, peer.origin(), &notice, &result);
    match result {
        Ok(Ok(established)) => {
            metrics.login(LoginResult::Ok);
            return Some(Box::new(Session::new(client, handle, context, established)));
        }
        Ok(Err(Failure::Denied(error))) => {
            metrics.login(LoginResult::Denied);
            tracing::info!(%peer, ?error, "login denied");
        }
        Ok(Err(Failure::Limit)) => {
            metrics.login(LoginResult::Error);
            tracing::debug!(%peer, "too many clients of the account");
        }
        Ok(Err(Failure::Ended(end))) => {
            metrics.login(LoginResult::Error);
            let kind = end.kind().unwrap_or(Kind::Internal);
            metrics.error(kind.blame(), kind.index());
            tracing::debug!(%peer, ?end, "login failed");
        }
        Err(_) => {
            metrics.login(LoginResult::Timeout);
            let _ = reply::err_at_login(&mut client, &error::read_timeout()).await;
            tracing::debug!(%peer, "login timed out");
        }
    }
    None
}

/// Tells a client that has not logged in that another takes its place.
async fn give_way(client: &mut PacketStream, context: &Context, cause: RejectCause) {
    let metrics = context.metrics.local();
    metrics.client_rejected(cause as usize);
    metrics.login(LoginResult::Error);
    let _ = reply::err_at_login(client, &error::too_many_connections()).await;
}

/// Counts logins that clients have broken off.
fn note_outcome(
    context: &Context,
    settings: &Settings,
    origin: Origin,
    notice: &Notice,
    result: &Result<Result<Established, Failure>, Elapsed>,
) {
    if settings.max_connect_errors == 0 {
        return;
    }
    let errors = &context.connect_errors;
    match result {
        Ok(Ok(_)) => errors.succeeded(origin),
        Ok(Err(Failure::Ended(End::ClientGone(_) | End::Refused(_)))) | Err(_)
            if notice.is_owed() =>
        {
            errors.broken_off(origin, settings.unblock_after, std::time::Instant::now());
        }
        _ => {}
    }
}
