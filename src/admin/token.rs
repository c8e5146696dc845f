//! `Authorization: Bearer TOKEN`: who may look at more than whether lagwise is well.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{AdminState, page};

/// What asks nothing: load balancers and systems that watch processes cannot say a token. The page, which
/// asks people for it, is open as well.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// The token that is asked for, if one is; a reload exchanges it.
#[derive(Clone, Default)]
pub struct Token(Arc<ArcSwapOption<Zeroizing<Vec<u8>>>>);

impl Token {
    /// Asks for this one from now on, or for none.
    pub fn set(&self, token: Option<&[u8]>) {
        self.0.store(token.map(|token| Arc::new(Zeroizing::new(token.to_vec()))));
    }

    /// Whether one is asked for.
    pub fn is_set(&self) -> bool {
        self.0.load().is_some()
    }

    /// Whether an `Authorization` header says it, or nothing is asked. In constant time but for the
    /// length.
    fn admits(&self, header: Option<&[u8]>) -> bool {
        let token = self.0.load();
        let Some(token) = token.as_deref() else { return true };
        let said = header.and_then(|header| {
            let (scheme, rest) = header.split_at_checked(b"Bearer ".len())?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then_some(rest.trim_ascii())
        });
        said.is_some_and(|said| said.ct_eq(token).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.load().is_some() { "Token(***)" } else { "Token(none)" })
    }
}

/// Before everything else is looked at, so that who has no token learns nothing of what there is.
pub async fn check(State(state): State<AdminState>, request: Request, next: Next) -> Response {
    let header = request.headers().get(header::AUTHORIZATION);
    let is_open = OPEN.contains(&request.uri().path()) || page::is_wanted(&request);
    if is_open || state.token.admits(header.map(|header| header.as_bytes())) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, "a token is needed: Authorization: Bearer TOKEN\n")
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let token = Token::default();
        assert!(token.admits(None), "none is asked for");
        token.set(Some(b"0123456789abcdef"));
        let check = |header: &str, want| {
            assert_eq!(token.admits(Some(header.as_bytes())), want, "{header}");
        };
        check("Bearer 0123456789abcdef", true);
        check("bearer  0123456789abcdef ", true);
        for bad in ["0123456789abcdef", "Bearer", "Bearer ", "Bearer 0123456789abcde", ""] {
            check(bad, false);
        }
        check("Bearer 0123456789abcdeF", false);
        check("Bearer 0123456789abcdef0", false);
        check("Basic 0123456789abcdef", false);
        assert!(!token.admits(None));
        assert!(!format!("{token:?}").contains("0123"));
        token.set(None);
        check("", true);
    }
}
