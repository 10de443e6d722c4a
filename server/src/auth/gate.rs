//! The gate: the one way to every RPC, unary and stream.
//!
//! It finds out who calls, counts what they use, asks the policy whether they may call this at all, and puts the [`Caller`]
//! among the call's extensions, where the service finds it. A call that is under way, and a stream that is open, is ended
//! when its session is over or its rights have become fewer. Every refusal is told to the audit log and counted, whoever
//! refused: the gate or the service.
//!
//! What is refused is counted like what is done, a stranger's by the network that it comes from, and before the store is
//! asked whose a token is: otherwise those who are refused would be the only ones without a limit.
//!
//! Where nobody has to sign in, a call without credentials passes as somebody who is trusted, and costs one entry among its
//! extensions.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, Either};
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::allowance::{Allowances, Limits, Reached, Spender, Using};
use super::caller::Caller;
use super::network::Network;
use super::policy::{Action, policy};
use super::principal::Principal;
use super::rules::{Row, Rule, Rules};
use super::session::{
    Authenticated, Authenticator, Credentials, NotSignedIn, Session, Standing, Strangers, bearer_of,
};
use super::trail::{Event, Outcome, Trail};
use crate::config::Reflection;
use crate::connection::Peer;
use crate::layer::code_of;
use crate::metrics::Metrics;
use crate::rpc::status;

/// Where a sign-in is refused. What for is told by whoever refused it.
const SIGN_INS: [&str; 4] = [
    "/amadeus.v1.AuthService/Login",
    "/amadeus.v1.AuthService/Register",
    "/amadeus.v1.AuthService/RefreshToken",
    "/amadeus.v1.AuthService/ValidateToken",
];

/// How long a call whose session is over may take to its reply.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What the gate needs.
pub struct Gate {
    /// Who finds out whose credentials these are.
    pub authenticator: Arc<dyn Authenticator>,
    /// Whether one has to sign in.
    pub required: bool,
    /// Who may ask for descriptors.
    pub reflection: Reflection,
    /// How much one principal may use.
    pub allowances: Allowances,
    /// Where refusals are told.
    pub trail: Trail,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    /// Milliseconds since 1970.
    pub clock: fn() -> u64,
}

struct Shared {
    gate: Gate,
    rules: Rules,
    trusted: Arc<Principal>,
    stranger: Arc<Principal>,
    nobody: Arc<Session>,
}

/// Surrounds every service with the gate.
#[derive(Clone)]
pub struct GateLayer(Arc<Shared>);

impl GateLayer {
    /// Around services that trust whoever calls.
    #[must_use]
    pub fn trusting(metrics: Arc<Metrics>) -> Self {
        Self::new(Gate {
            authenticator: Arc::new(Strangers),
            required: false,
            reflection: Reflection::Open,
            allowances: Allowances::new(Limits::NONE),
            trail: Trail::new().0,
            metrics,
            clock: crate::app::now_ms,
        })
    }

    /// Around every service.
    #[must_use]
    pub fn new(gate: Gate) -> Self {
        Self(Arc::new(Shared {
            gate,
            rules: Rules::new(),
            trusted: Arc::new(Principal::trusted()),
            stranger: Arc::new(Principal::nobody()),
            nobody: Arc::new(Session::of(Principal::nobody())),
        }))
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated {
            inner,
            shared: self.0.clone(),
        }
    }
}

/// A service behind the gate.
#[derive(Clone)]
pub struct Gated<S> {
    inner: S,
    shared: Arc<Shared>,
}

type Reply = Result<Response<Body>, Infallible>;

impl<S> Service<Request<Body>> for Gated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Reply>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let credentials = credentials(&request);
        if !self.shared.gate.required && credentials.are_absent() {
            request.extensions_mut().insert(Caller {
                principal: self.shared.trusted.clone(),
                source: credentials.source,
                session: None,
            });
            return Either::Left(self.inner.call(request));
        }
        // What nobody serves is answered as such, behind the gate.
        let row = self.shared.rules.of(request.uri().path()).unwrap_or(Row {
            rule: Rule::Open,
            streams: false,
        });
        // The clone that was polled ready is the one to call.
        let ready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, ready);
        let shared = self.shared.clone();
        Either::Right(Box::pin(async move {
            let call = Call {
                shared,
                row,
                credentials,
                path: request.uri().path().to_owned(),
                actor: "".into(),
            };
            Ok(call.carry_out(inner, request).await)
        }))
    }
}

fn credentials(request: &Request<Body>) -> Credentials {
    let bearer = request.headers().get(http::header::AUTHORIZATION);
    let peer = request.extensions().get::<Peer>();
    Credentials {
        bearer: bearer.map(bearer_of),
        certificate: peer.and_then(|peer| peer.certificate.clone()),
        source: peer.map(|peer| peer.address),
    }
}

/// One call on its way through.
struct Call {
    shared: Arc<Shared>,
    row: Row,
    credentials: Credentials,
    path: String,
    actor: Arc<str>,
}

/// A call that may go on.
struct Admitted {
    session: Arc<Session>,
    principal: Arc<Principal>,
    using: Using,
}

/// Why a call goes no further.
enum Turned {
    /// Whoever calls may not.
    Refused(Status),
    /// They have called too much.
    Limited(Reached),
}

impl Call {
    async fn carry_out<S>(mut self, mut inner: S, mut request: Request<Body>) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let Admitted {
            session,
            principal,
            using,
        } = match self.let_in().await {
            Ok(admitted) => admitted,
            Err(Turned::Refused(status)) => return self.refused(status.into_http()),
            Err(Turned::Limited(reached)) => {
                self.shared.gate.metrics.limited(reached.name);
                return status::retry_after(reached, reached.retry).into_http();
            }
        };
        let using = Arc::new(using);
        request.extensions_mut().insert(Caller {
            principal: principal.clone(),
            source: self.credentials.source,
            session: session.id.clone(),
        });
        let counted = using.clone();
        let request = request.map(|body| {
            Body::new(Counted {
                body,
                using: counted,
            })
        });
        let (began, rule) = if self.shared.gate.required {
            (principal, self.row.rule)
        } else {
            // Nothing can be taken away from whoever may do everything.
            (self.shared.stranger.clone(), Rule::Open)
        };
        let ended = ended(session, began, rule, self.shared.gate.clock);
        let mut ended: BoxFuture<'static, Status> = Box::pin(ended);
        let mut over = None;
        let reply = tokio::select! {
            biased;
            reply = inner.call(request) => Some(reply),
            () = overdue(&mut ended, &mut over) => None,
        };
        let response = match (reply, over) {
            (Some(Err(never)), _) => match never {},
            (Some(Ok(response)), None) => response,
            // The call that takes its own caller's rights away is still answered.
            (Some(Ok(response)), Some(_)) if !self.row.streams => response,
            (_, Some(status)) => status.into_http(),
            (None, None) => status::not_signed_in(NotSignedIn::Revoked).into_http(),
        };
        if let Some(code) = code_of(response.headers()) {
            return match is_refusal(code) {
                true => self.refused(response),
                false => response,
            };
        }
        if self.row.rule == Rule::Throughout(Action::Operate) {
            self.shared
                .gate
                .trail
                .tell(self.event("operate", Outcome::Done, String::new()));
        }
        if !self.row.streams {
            return response;
        }
        response.map(|body| {
            Body::new(Guarded {
                body,
                ended: Some(ended),
                call: self,
                _using: using,
            })
        })
    }

    /// Who calls, if they may.
    async fn let_in(&mut self) -> Result<Admitted, Turned> {
        let gate = &self.shared.gate;
        let mut using = None;
        let found = if self.credentials.are_absent() {
            Err(NotSignedIn::Absent)
        } else {
            match gate.authenticator.authenticate(&self.credentials) {
                Authenticated::Now(found) => found,
                Authenticated::Later(found) => {
                    // Whose it is nobody knows yet, so it is a stranger who asks the store.
                    using = Some(self.begin(&self.stranger())?);
                    found.await
                }
            }
        };
        let found = found.and_then(|session| {
            let standing = session.standing.borrow().clone();
            match standing {
                Standing::Good(principal) => Ok((session, principal)),
                Standing::Over(why) => Err(why),
            }
        });
        let user = found.as_ref().ok().and_then(|(_, who)| who.user.clone());
        let using = match (user, using) {
            (Some(user), _) => self.begin(&Spender::User(user))?,
            (None, Some(using)) => using,
            (None, None) => self.begin(&self.stranger())?,
        };
        let open = match self.row.rule {
            Rule::Open => true,
            Rule::Reflection => gate.reflection == Reflection::Open,
            Rule::SignedIn | Rule::Within(_) | Rule::Throughout(_) | Rule::Never => false,
        };
        let (session, principal) = match found {
            // Where nobody has to sign in everybody may do everything, also under a name.
            Ok((session, who)) if !gate.required => (session, Arc::new(who.trusted_as_well())),
            Ok(found) => found,
            Err(_) if open => (self.shared.nobody.clone(), self.shared.stranger.clone()),
            Err(why) => return Err(Turned::Refused(status::not_signed_in(why))),
        };
        if principal.is_somebody() {
            self.actor = principal.name.clone();
        }
        may_call(&principal, self.row.rule).map_err(Turned::Refused)?;
        Ok(Admitted {
            session,
            principal,
            using,
        })
    }

    fn stranger(&self) -> Spender {
        let source = self.credentials.source;
        source.map_or(Spender::Nobody, |source| {
            Spender::Stranger(Network::of(source.ip()))
        })
    }

    fn begin(&self, who: &Spender) -> Result<Using, Turned> {
        let allowances = &self.shared.gate.allowances;
        let begun = allowances.begin(who, self.row.streams, Instant::now());
        begun.map_err(Turned::Limited)
    }

    /// Counts a refusal and tells of it.
    fn refused(&self, response: Response<Body>) -> Response<Body> {
        if let Some(code) = code_of(response.headers()).filter(|code| is_refusal(*code)) {
            let why = Status::from_header_map(response.headers());
            self.tell(code, why.as_ref().map_or("", |status| status.message()));
        }
        response
    }

    fn tell(&self, code: Code, why: &str) {
        let gate = &self.shared.gate;
        gate.metrics.denied(code == Code::Unauthenticated);
        if SIGN_INS.contains(&&*self.path) {
            return;
        }
        let denied = self.event("denied", Outcome::Refused, why.to_owned());
        gate.trail.tell_repeatable(denied);
    }

    fn event(&self, action: &'static str, outcome: Outcome, reason: String) -> Event {
        let source = self.credentials.source;
        Event {
            time_ms: (self.shared.gate.clock)(),
            actor: self.actor.clone(),
            source: source.map_or_else(String::new, |source| source.ip().to_string()),
            action,
            resource: self.path.trim_start_matches('/').to_owned(),
            outcome,
            reason,
        }
    }
}

fn is_refusal(code: Code) -> bool {
    matches!(code, Code::Unauthenticated | Code::PermissionDenied)
}

/// Whether somebody may make a call of this rule at all. What it names is the service's to judge.
///
/// # Errors
/// The status that they are told.
pub(crate) fn may_call(principal: &Principal, rule: Rule) -> Result<(), Status> {
    match (rule.asks(), rule) {
        (Some((action, resource)), _) => {
            policy(principal, action, resource).map_err(status::refused)
        }
        (None, Rule::Open | Rule::Reflection) => Ok(()),
        (None, Rule::SignedIn) if principal.is_somebody() => Ok(()),
        (None, Rule::SignedIn) => Err(status::not_signed_in(NotSignedIn::Absent)),
        (None, _) => Err(status::denied("nobody may call this")),
    }
}

/// Ends when a call must not go on, with what its caller is told.
async fn ended(
    session: Arc<Session>,
    began: Arc<Principal>,
    rule: Rule,
    clock: fn() -> u64,
) -> Status {
    let mut standing: watch::Receiver<Standing> = session.standing.clone();
    let expired = async {
        match session.expires_ms {
            Some(at) => sleep(Duration::from_millis(at.saturating_sub(clock()))).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(expired);
    loop {
        let changed = async {
            // Whoever could change it is gone: it stays as it is.
            if standing.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = &mut expired => return status::not_signed_in(NotSignedIn::Expired),
            () = changed => {}
        }
        let now = standing.borrow_and_update().clone();
        match now {
            Standing::Over(why) => return status::not_signed_in(why),
            Standing::Good(now) => {
                if let Err(status) = may_call(&now, rule) {
                    return status;
                }
                // More than before is had by whoever asks again.
                if !now.includes(&began) {
                    return status::denied("what you may see has become less: ask again");
                }
            }
        }
    }
}

/// Ends a little later, so that a call whose session is over may come to its reply. What is told instead is in `over`.
async fn overdue(ended: &mut BoxFuture<'static, Status>, over: &mut Option<Status>) {
    *over = Some(ended.await);
    sleep(LAST_WORD).await;
}

/// A request's body, counted as it comes.
struct Counted {
    body: Body,
    using: Arc<Using>,
}

impl http_body::Body for Counted {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.using.bytes(data.len());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that ends when its caller's session does.
struct Guarded {
    body: Body,
    /// None once it has ended so.
    ended: Option<BoxFuture<'static, Status>>,
    call: Call,
    _using: Arc<Using>,
}

impl http_body::Body for Guarded {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<bytes::Bytes>, Status>>> {
        let this = &mut *self;
        let Some(ended) = &mut this.ended else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(status) = ended.as_mut().poll(cx) {
            this.ended = None;
            // What the service would still say is not said.
            this.body = Body::empty();
            this.call.tell(status.code(), status.message());
            let mut trailers = HeaderMap::new();
            if status.add_header(&mut trailers).is_err() {
                return Poll::Ready(Some(Err(status)));
            }
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
            && let Some(code) = code_of(trailers).filter(|code| is_refusal(*code))
        {
            let why = Status::from_header_map(trailers);
            this.call
                .tell(code, why.as_ref().map_or("", |status| status.message()));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.ended.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests;
