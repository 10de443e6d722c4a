//! The caller of an RPC, as the gate found them out and the service meets them.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Extensions;

use super::principal::Principal;
use crate::users::SessionId;

/// Who makes a call. The gate puts it among the call's extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who, and what they may do.
    pub principal: Arc<Principal>,
    /// From where.
    pub source: Option<SocketAddr>,
    /// The session that they signed in by; none by key, by certificate, or where nobody has to sign in.
    pub session: Option<SessionId>,
}

impl Caller {
    /// Somebody who is trusted, where nobody has to sign in.
    #[must_use]
    pub fn trusted() -> Self {
        Self {
            principal: Arc::new(Principal::trusted()),
            source: None,
            session: None,
        }
    }

    /// The caller of the call of these extensions; nobody, where no gate has seen it.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_else(|| Self {
            principal: Arc::new(Principal::nobody()),
            source: None,
            session: None,
        })
    }

    /// Whether an API key made the call: by the slash in its name, which no user's has.
    #[must_use]
    pub fn is_by_key(&self) -> bool {
        self.principal.user.is_some() && self.principal.name.contains('/')
    }

    /// Where they call from, as the audit log says it.
    #[must_use]
    pub fn source(&self) -> String {
        self.source.map_or_else(String::new, |s| s.ip().to_string())
    }
}
