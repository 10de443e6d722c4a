//! Sessions: what a call's credentials were found to be, and for how long.

use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::watch;

use super::principal::Principal;
use crate::tls::ClientCertificate;
use crate::users::SessionId;

/// What a call says of its caller.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// What stands behind `Bearer` in its `authorization`: an access token or an API key.
    pub bearer: Option<Arc<str>>,
    /// The client's certificate, which the transport has verified.
    pub certificate: Option<ClientCertificate>,
    /// Where it comes from.
    pub source: Option<SocketAddr>,
}

impl Credentials {
    /// Whether there are none.
    #[must_use]
    pub fn are_absent(&self) -> bool {
        self.bearer.is_none() && self.certificate.is_none()
    }
}

/// The token in an `authorization`. What is no bearer's token is no good one, and must not pass for none.
#[must_use]
pub fn bearer_of(authorization: &http::HeaderValue) -> Arc<str> {
    let text = authorization.to_str().unwrap_or_default();
    let token = text
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.map_or("", |(_, token)| token.trim()).into()
}

/// How a session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is good, and its principal may do this.
    Good(Arc<Principal>),
    /// It is over: expired, revoked, or its user is gone.
    Over(NotSignedIn),
}

/// Why nobody is signed in, in words that tell a stranger nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSignedIn {
    /// There are no credentials.
    #[error("sign in first: the call carries no token (`authorization: Bearer TOKEN`)")]
    Absent,
    /// They are malformed, forged, of another server, unknown, or their user is gone.
    #[error("the token is not good: sign in again")]
    Bad,
    /// They were good.
    #[error("the token has expired: refresh it, or sign in again")]
    Expired,
    /// They were ended.
    #[error("the session or the key was ended: sign in again, or use another key")]
    Revoked,
    /// Too many are being looked up.
    #[error("too many who call are being looked up: try again")]
    Busy,
    /// Nobody knows now.
    #[error("whose token this is cannot be looked up now: {0}")]
    Unavailable(String),
}

/// Credentials that were good when they were looked at.
#[derive(Clone, Debug)]
pub struct Session {
    /// The session that they signed in by; none by key, by certificate, or where nobody has to sign in.
    pub id: Option<SessionId>,
    /// How it stands; changes when its rights change or it ends, within five seconds on every server.
    pub standing: watch::Receiver<Standing>,
    /// Until when it is good, in milliseconds since 1970; `None` for as long as nobody ends it.
    pub expires_ms: Option<u64>,
}

impl Session {
    /// A session that never ends.
    #[must_use]
    pub fn of(principal: Principal) -> Self {
        // A receiver whose sender is gone keeps its value.
        let (_, standing) = watch::channel(Standing::Good(Arc::new(principal)));
        Self {
            id: None,
            standing,
            expires_ms: None,
        }
    }
}

/// An answer that is known, or one that has to be waited for.
pub enum Authenticated {
    /// Known.
    Now(Result<Arc<Session>, NotSignedIn>),
    /// The store has to be asked. It is not, before somebody waits for it.
    Later(BoxFuture<'static, Result<Arc<Session>, NotSignedIn>>),
}

/// Knows nobody: for a server at which nobody signs in.
#[derive(Clone, Copy, Debug)]
pub struct Strangers;

impl Authenticator for Strangers {
    fn authenticate(&self, _: &Credentials) -> Authenticated {
        Authenticated::Now(Err(NotSignedIn::Bad))
    }
}

/// Finds out whose credentials these are.
pub trait Authenticator: Send + Sync {
    /// Looks at them. What was found is remembered: a call with credentials that were seen waits for nothing.
    fn authenticate(&self, credentials: &Credentials) -> Authenticated;
}
