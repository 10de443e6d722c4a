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
    pub async fn saved(
        credentials: Credentials,
        server: &str,
        channel: &Channel,
        bearer: &Bearer,
    ) -> Result<Self, CliError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exchange_server::{OneSession, pair};
    use tempfile::TempDir;
    use tonic::transport::Endpoint;

    const SERVER: &str = "http://here";

    struct Here {
        session: OneSession,
        channel: Channel,
        credentials: Credentials,
        _folder: TempDir,
    }

    /// A server, and what signing in there has left: the first pair, which is good for so long by the clock of this machine.
    async fn here(good_for_ms: u64) -> Here {
        let session = OneSession::default();
        let address = session.serve().await;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let folder = tempfile::tempdir().expect("a folder");
        let credentials = Credentials::in_folder(folder.path().into());
        let (access_token, refresh_token) = pair(0);
        let saved = Saved {
            user: "alice".into(),
            access_token,
            access_expires_ms: now_ms() + good_for_ms,
            refresh_token,
            refresh_expires_ms: now_ms() + 6_000_000,
        };
        let locked = credentials.lock().await.expect("nobody has it");
        locked.save(SERVER, saved).expect("there is room");
        Here {
            session,
            channel: endpoint.connect().await.expect("it listens"),
            credentials,
            _folder: folder,
        }
    }

    impl Here {
        async fn sign(&self) -> (Signing, Bearer) {
            let bearer = Bearer::default();
            let credentials = self.credentials.clone();
            let signing = Signing::saved(credentials, SERVER, &self.channel, &bearer).await;
            (signing.expect("it can be read"), bearer)
        }
    }

    #[tokio::test]
    async fn a_token_that_is_good_is_used_as_it_is() {
        let here = here(600_000).await;
        let (_, mut bearer) = here.sign().await;
        assert_eq!(bearer.token(), Some(pair(0).0));
        assert_eq!(here.session.exchanges(), 0);
        let request = bearer.call(Request::new(())).expect("a request");
        let value = request.metadata().get("authorization").expect("there");
        assert_eq!(value.to_str().expect("text"), "Bearer access-0");
        assert!(!format!("{request:?}").contains("access-0"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_who_find_an_expired_token_exchange_it_once() {
        let here = Arc::new(here(0).await);
        let sign = async |here: Arc<Here>| here.sign().await.1.token();
        let all: Vec<_> = (0..16).map(|_| tokio::spawn(sign(here.clone()))).collect();
        for one in all {
            assert_eq!(one.await.expect("no panic"), Some(pair(1).0));
        }
        assert_eq!(here.session.exchanges(), 1);
        assert!(!here.session.has_ended());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_whose_token_is_refused_exchange_it_once() {
        // By the clock of this machine it is good; by that of the server it is not.
        let here = Arc::new(here(600_000).await);
        let mut all = Vec::new();
        for _ in 0..16 {
            let (here, (signing, bearer)) = (here.clone(), here.sign().await);
            all.push(tokio::spawn(async move {
                let renewed = signing.renew(&here.channel, &bearer).await;
                (renewed.expect("it is answered"), bearer.token())
            }));
        }
        for one in all {
            assert_eq!(one.await.expect("no panic"), (true, Some(pair(1).0)));
        }
        assert_eq!(here.session.exchanges(), 1);
        assert!(!here.session.has_ended());
    }

    #[tokio::test]
    async fn a_session_that_is_over_is_forgotten_and_calls_are_nobodys() {
        let here = here(0).await;
        here.session.end();
        let (signing, bearer) = here.sign().await;
        assert!(matches!(signing, Signing::Nobody));
        assert_eq!(bearer.token(), None);
        assert_eq!(here.credentials.of(SERVER).expect("it can be read"), None);
    }
}
