//! A server for tests that knows one session and exchanges its tokens, and ends it where a token is used twice.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use amadeus_proto::v1::auth_service_server::{AuthService, AuthServiceServer};
use amadeus_proto::v1::*;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, async_trait};

use super::signing::now_ms;
use crate::rpc::to_proto::timestamp;

/// The session.
#[derive(Clone, Default)]
pub struct OneSession(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    exchanges: u64,
    has_ended: bool,
}

/// The access token and the refresh token after so many exchanges.
pub fn pair(exchanges: u64) -> (String, String) {
    (
        format!("access-{exchanges}"),
        format!("refresh-{exchanges}"),
    )
}

impl OneSession {
    /// Serves it, for as long as the test runs.
    pub async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let served = tonic::transport::Server::builder()
            .add_service(AuthServiceServer::new(self.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(served);
        address
    }

    pub fn exchanges(&self) -> u64 {
        self.0.lock().expect("no panic").exchanges
    }

    pub fn has_ended(&self) -> bool {
        self.0.lock().expect("no panic").has_ended
    }

    pub fn end(&self) {
        self.0.lock().expect("no panic").has_ended = true;
    }
}

type Reply<T> = Result<Response<T>, Status>;

fn not_here<T>() -> Reply<T> {
    Err(Status::unimplemented("not here"))
}

#[async_trait]
impl AuthService for OneSession {
    async fn refresh_token(
        &self,
        request: Request<RefreshTokenRequest>,
    ) -> Reply<RefreshTokenResponse> {
        let mut state = self.0.lock().expect("no panic");
        let good = pair(state.exchanges).1 == request.into_inner().refresh_token;
        if state.has_ended || !good {
            state.has_ended = true;
            return Err(Status::unauthenticated("the session is over"));
        }
        state.exchanges += 1;
        let (access_token, refresh_token) = pair(state.exchanges);
        Ok(Response::new(RefreshTokenResponse {
            access_token,
            refresh_token,
            access_expires_at: Some(timestamp(now_ms() + 600_000)),
            refresh_expires_at: Some(timestamp(now_ms() + 6_000_000)),
            ..RefreshTokenResponse::default()
        }))
    }

    async fn register(&self, _: Request<RegisterRequest>) -> Reply<RegisterResponse> {
        not_here()
    }

    async fn login(&self, _: Request<LoginRequest>) -> Reply<LoginResponse> {
        not_here()
    }

    async fn validate_token(
        &self,
        _: Request<ValidateTokenRequest>,
    ) -> Reply<ValidateTokenResponse> {
        not_here()
    }

    async fn logout(&self, _: Request<LogoutRequest>) -> Reply<LogoutResponse> {
        not_here()
    }

    async fn create_api_key(&self, _: Request<CreateApiKeyRequest>) -> Reply<CreateApiKeyResponse> {
        not_here()
    }

    async fn revoke_api_key(&self, _: Request<RevokeApiKeyRequest>) -> Reply<RevokeApiKeyResponse> {
        not_here()
    }

    async fn list_api_keys(&self, _: Request<ListApiKeysRequest>) -> Reply<ListApiKeysResponse> {
        not_here()
    }
}
