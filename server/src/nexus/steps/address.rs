//! Where a service is: an endpoint of its entity whose `path` begins with `grpc://host:port`, `grpcs://`, `http://` or `https://`.
//!
//! The entity is looked up as the run's owner sees it: a run calls nobody whom its owner could not have looked up.

use std::fmt;

use http::uri::{Authority, PathAndQuery};
use kg_core::model::{Body, Endpoint, EntityRef, Name};
use kg_core::nexus::Failure;
use tonic::Code;

use super::parameters;
use super::rights::may;
use crate::nexus::failure::{invalid, of, of_status};
use crate::nexus::step::StepCall;

/// How somebody is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// gRPC without TLS.
    Grpc,
    /// gRPC over TLS.
    Grpcs,
    /// HTTP without TLS.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::Grpc, Self::Grpcs, Self::Http, Self::Https];

    fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Whether it is spoken over TLS.
    #[must_use]
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Grpcs | Self::Https)
    }
}

/// An address of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Its host and port.
    pub authority: Authority,
    /// What paths there begin with; without a slash at its end.
    pub base: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme.name(),
            self.authority,
            self.base
        )
    }
}

impl Address {
    /// The address that an endpoint's path is; none for one that is only a path.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let (name, rest) = path.split_once("://")?;
        let scheme = Scheme::ALL
            .into_iter()
            .find(|scheme| scheme.name() == name)?;
        let end = rest.find('/').unwrap_or(rest.len());
        let authority: Authority = rest[..end].parse().ok()?;
        // A name and a password would end up in logs, and gRPC has no default port.
        let whole = !authority.as_str().contains('@') && !authority.host().is_empty();
        let ported = authority.port_u16().is_some()
            || (authority.as_str() == authority.host()
                && matches!(scheme, Scheme::Http | Scheme::Https));
        let base = rest[end..].trim_end_matches('/');
        let plain =
            base.is_empty() || (base.parse::<PathAndQuery>().is_ok() && !base.contains(['?', '#']));
        (whole && ported && plain).then(|| Self {
            scheme,
            authority,
            base: base.to_owned(),
        })
    }
}

/// The address of the step's target: of the endpoint that the parameter `endpoint` names, else of the first that speaks so.
///
/// # Errors
/// INVALID_ARGUMENT, PERMISSION_DENIED or NOT_FOUND for the target, FAILED_PRECONDITION where it has no such address.
pub async fn find(call: &StepCall<'_>, wanted: &[Scheme]) -> Result<Address, Failure> {
    let name = call.target.strip_prefix("service/").unwrap_or(call.target);
    let name = Name::parse("target", name).map_err(|fault| invalid("target", fault.reason))?;
    let key = EntityRef::service(name.clone());
    let refused = |status| of_status(&status);
    may(&call.caller, "/amadeus.v1.GraphService/GetService")?;
    let seen = call.world.graph.see_head(&call.caller).await;
    let seen = seen.map_err(refused)?;
    seen.must_see(&key).map_err(refused)?;
    let entity = seen.service(name.as_str());
    let entity = entity.ok_or_else(|| of(Code::NotFound, format!("{key} does not exist")))?;
    let Body::Service(body) = &entity.body else {
        let why = format!("{key} has not registered yet");
        return Err(of(Code::FailedPrecondition, why));
    };
    let named = parameters::text(&call.parameters, "endpoint")?;
    choose(&body.endpoints, named, wanted).ok_or_else(|| {
        let schemes: Vec<_> = wanted.iter().map(|s| format!("{}://", s.name())).collect();
        let which = named.map_or_else(|| "no endpoint".into(), |n| format!("no endpoint {n:?}"));
        let why = format!(
            "{key} has {which} whose path begins with {} and a host and port",
            schemes.join(" or ")
        );
        of(Code::FailedPrecondition, why)
    })
}

fn choose(endpoints: &[Endpoint], named: Option<&str>, wanted: &[Scheme]) -> Option<Address> {
    endpoints
        .iter()
        .filter(|endpoint| named.is_none_or(|name| endpoint.name == name))
        .filter_map(|endpoint| Address::parse(&endpoint.path))
        .find(|address| wanted.contains(&address.scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_a_host_and_a_port() {
        let address = Address::parse("grpc://127.0.0.1:5005").expect("an address");
        assert_eq!(address.to_string(), "grpc://127.0.0.1:5005");
        let address = Address::parse("https://shop.test/api/").expect("an address");
        assert_eq!((address.scheme, &*address.base), (Scheme::Https, "/api"));
        assert!(Address::parse("grpcs://[::1]:443").is_some());
    }

    #[test]
    fn what_is_only_a_path_or_holds_a_password_is_no_address() {
        for wrong in [
            "",
            "/api/orders",
            "grpc://",
            "grpc://host",
            "grpc://:1",
            "ftp://host:1",
            "http://user:secret@host/",
            "http://host:99999",
            "http://host/a?b",
            "grpc://ho st:1",
            "http:///x",
            "http://host:",
        ] {
            assert_eq!(Address::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_first_that_fits_is_chosen_or_the_one_that_is_named() {
        let endpoint = |name: &str, path: &str| Endpoint {
            name: name.into(),
            path: path.into(),
            ..Endpoint::default()
        };
        let all = [
            endpoint("orders", "/orders"),
            endpoint("web", "http://web:80"),
            endpoint("a", "grpc://a:1"),
            endpoint("b", "grpcs://b:1"),
        ];
        let grpc = [Scheme::Grpc, Scheme::Grpcs];
        let host = |named| choose(&all, named, &grpc).map(|a| a.authority.host().to_owned());
        assert_eq!(host(None).as_deref(), Some("a"));
        assert_eq!(host(Some("b")).as_deref(), Some("b"));
        assert_eq!(host(Some("web")), None);
        assert_eq!(host(Some("c")), None);
    }
}
