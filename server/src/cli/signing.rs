//! Who the calls of a command are: the token that goes with each of them, and how it is replaced when it has expired.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amadeus_proto::v1::{RefreshTokenRequest, auth_service_client::AuthServiceClient};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::credentials::{Credentials, Saved};
use super::failure::CliError;
use super::out;

/// A token that is good for less than this is exchanged before it is used.
const MARGIN_MS: u64 = 30_000;

/// How long the exchange may take; others wait for it.
const EXCHANGE: Duration = Duration::from_secs(10);

/// The token that goes with every call; clones are the same one.
#[derive(Clone, Default)]
pub struct Bearer(Arc<RwLock<Option<Worn>>>);

/// A token, and the form in which it goes with a call.
struct Worn {
    token: String,
    value: MetadataValue<Ascii>,
}

impl Bearer {
    fn set(&self, token: &str) -> Result<(), CliError> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| {
            CliError::Usage("the token is not one: it has letters that no token has".into())
        })?;
        value.set_sensitive(true);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Worn {
            token: token.to_owned(),
            value,
        });
        Ok(())
    }

    fn token(&self) -> Option<String> {
        let worn = self.0.read().unwrap_or_else(PoisonError::into_inner);
        worn.as_ref().map(|worn| worn.token.clone())
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let worn = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(worn) = &*worn {
            let value = worn.value.clone();
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

/// Whose calls they are.
pub enum Signing {
    /// Nobody's, or those of the certificate that was shown.
    Nobody,
    /// The bearer's of a token that was given, which is not ours to replace.
    Given,
    /// Those of who has signed in at this server.
    Saved {
        credentials: Credentials,
        server: String,
    },
}

impl Signing {
    /// The session that was left by signing in, if one was; its token is replaced where it has expired.
    pub async fn saved(server: &str, channel: &Channel, bearer: &Bearer) -> Result<Self, CliError> {
        let Ok(credentials) = Credentials::of_this_user() else {
            return Ok(Self::Nobody);
        };
        let Some(mut saved) = credentials.of(server)? else {
            return Ok(Self::Nobody);
        };
        if saved.access_expires_ms < now_ms() + MARGIN_MS {
            match exchange(&credentials, server, channel, &saved.access_token).await? {
                Some(next) => saved = next,
                None => return Ok(Self::Nobody),
            }
        }
        bearer.set(&saved.access_token)?;
        let server = server.to_owned();
        Ok(Self::Saved {
            credentials,
            server,
        })
    }

    /// The bearer of this token.
    pub fn given(token: &str, bearer: &Bearer) -> Result<Self, CliError> {
        bearer.set(token)?;
        Ok(Self::Given)
    }

    /// After a call was refused as nobody's: whether it is worth making again, by another token. The clock of this machine
    /// may be wrong, and a token ends early when its session does.
    pub async fn renew(&self, channel: &Channel, bearer: &Bearer) -> Result<bool, CliError> {
        let Self::Saved {
            credentials,
            server,
        } = self
        else {
            return Ok(false);
        };
        let refused = bearer.token().unwrap_or_default();
        match exchange(credentials, server, channel, &refused).await? {
            Some(next) => bearer.set(&next.access_token).map(|()| true),
            None => Ok(false),
        }
    }
}

/// Exchanges the refresh token, unless another process has done it since `old` was found. None: the session is over.
async fn exchange(
    credentials: &Credentials,
    server: &str,
    channel: &Channel,
    old: &str,
) -> Result<Option<Saved>, CliError> {
    let locked = credentials.lock().await?;
    let Some(saved) = locked.of(server)? else {
        return Ok(None);
    };
    if saved.access_token != old {
        return Ok(Some(saved));
    }
    let mut request = Request::new(RefreshTokenRequest {
        refresh_token: saved.refresh_token,
    });
    request.set_timeout(EXCHANGE);
    // Never sent twice: if it was the answer that was lost, the token is used up.
    let reply = AuthServiceClient::new(channel.clone())
        .refresh_token(request)
        .await;
    match reply {
        Ok(reply) => {
            let reply = reply.into_inner();
            let next = Saved {
                user: saved.user,
                access_expires_ms: in_ms(reply.access_expires_at),
                access_token: reply.access_token,
                refresh_expires_ms: in_ms(reply.refresh_expires_at),
                refresh_token: reply.refresh_token,
            };
            locked.save(server, next.clone())?;
            Ok(Some(next))
        }
        Err(status) if status.code() == Code::Unauthenticated => {
            locked.forget(server)?;
            out::note(&format!(
                "the session of {} at {server} is over: sign in again with `amadeus login`",
                super::table::visible(&saved.user)
            ));
            Ok(None)
        }
        Err(status) => Err(CliError::call(status)),
    }
}

/// A time of the wire in milliseconds since 1970; none is 0, which is long ago.
pub fn in_ms(time: Option<prost_types::Timestamp>) -> u64 {
    let time = time.and_then(|time| SystemTime::try_from(time).ok());
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Now, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    crate::app::now_ms()
}
