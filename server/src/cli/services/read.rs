//! Services as they are: a table of many, everything about one.

use amadeus_proto::v1::{Dependency, GetServiceRequest, Health, ListServicesRequest, Service};

use super::command::{ServiceGetArgs, ServiceListArgs};
use crate::cli::{failure::CliError, literal, overview::tell_count, session::Session, table};

pub async fn list(session: &mut Session, args: ServiceListArgs) -> Result<(), CliError> {
    let request = ListServicesRequest {
        category: args.category,
        capability: args.capability,
        owner: args.owner,
        health: args.health.map(|h| Health::from(h).into()),
        include_placeholders: args.placeholders,
        consistency: args.read.consistency(),
        ..ListServicesRequest::default()
    };
    let reply = session
        .list(request, &args.list, async |r| {
            session.graph().list_services(r).await
        })
        .await?;
    session.show(&reply, |reply| services(&reply.services))?;
    tell_count(
        &table::count(reply.services.len(), "service", "services"),
        reply.header.as_ref(),
    );
    Ok(())
}

/// A table of services.
pub fn services(services: &[Service]) -> String {
    let row = |service: &Service| {
        vec![
            service.name.clone(),
            service.version.clone(),
            service.category.clone(),
            service.owner.clone(),
            health(service).to_owned(),
            service.capabilities.join(", "),
            service
                .dependencies
                .iter()
                .map(dependency)
                .collect::<Vec<_>>()
                .join(", "),
        ]
    };
    let heading = [
        "NAME",
        "VERSION",
        "CATEGORY",
        "OWNER",
        "HEALTH",
        "CAPABILITIES",
        "NEEDS",
    ];
    table::columns(&heading, services.iter().map(row))
}

fn health(service: &Service) -> &'static str {
    match service.health() {
        _ if !service.registered => "not registered",
        Health::Unknown => "unknown",
        Health::Up => "up",
        Health::Degraded => "degraded",
        Health::Down => "down",
    }
}

pub fn dependency(dependency: &Dependency) -> String {
    let version = if dependency.version.is_empty() {
        ""
    } else {
        ":"
    };
    let optional = if dependency.optional {
        " (optional)"
    } else {
        ""
    };
    format!(
        "{}{version}{}{optional}",
        dependency.service, dependency.version
    )
}

pub async fn get(session: &mut Session, args: ServiceGetArgs) -> Result<(), CliError> {
    let request = GetServiceRequest {
        name: args.name,
        consistency: args.read.consistency(),
    };
    let reply = session
        .call(request, async |r| session.graph().get_service(r).await)
        .await?;
    session.show(&reply, |reply| {
        reply.service.as_ref().map(service).unwrap_or_default()
    })
}

/// Everything that is known of one service.
pub fn service(service: &Service) -> String {
    let schema = service.schema.clone().unwrap_or_default();
    let mut text = table::record(&[
        ("name", service.name.clone()),
        (
            "description",
            service.description.clone().unwrap_or_default(),
        ),
        ("version", service.version.clone()),
        ("category", service.category.clone()),
        ("owner", service.owner.clone()),
        ("health", health(service).to_owned()),
        ("capabilities", service.capabilities.join(", ")),
        ("models", service.models.join(", ")),
        ("health check", service.health_check.clone()),
        ("metrics", service.metrics.clone()),
        ("schema", schema.proto_path),
        ("methods", schema.methods.join(", ")),
        (
            "metadata",
            literal::shown_properties(service.metadata.as_ref()),
        ),
        (
            "created",
            format!("at revision {}", service.created_revision),
        ),
        (
            "modified",
            format!("at revision {}", service.modified_revision),
        ),
    ]);
    let needs = service.dependencies.iter().map(|d| {
        let optional = if d.optional { "optional" } else { "" };
        vec![
            d.service.clone(),
            d.version.clone(),
            optional.to_owned(),
            literal::shown_properties(d.properties.as_ref()),
        ]
    });
    text += &table::section(
        "Needs",
        &["SERVICE", "VERSION", "", "PROPERTIES"],
        needs.collect(),
    );
    let offers = service.endpoints.iter().map(|e| {
        vec![
            e.method.clone(),
            e.path.clone(),
            e.name.clone(),
            e.input_type.clone(),
            e.output_type.clone(),
            e.description.clone(),
        ]
    });
    let heading = ["METHOD", "PATH", "NAME", "INPUT", "OUTPUT", "DESCRIPTION"];
    text += &table::section("Offers", &heading, offers.collect());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_shows_its_version_and_whether_it_is_optional() {
        let plain = Dependency {
            service: "cart".into(),
            ..Dependency::default()
        };
        assert_eq!(dependency(&plain), "cart");
        let full = Dependency {
            version: "v2".into(),
            optional: true,
            ..plain
        };
        assert_eq!(dependency(&full), "cart:v2 (optional)");
    }

    #[test]
    fn a_placeholder_is_shown_as_not_registered() {
        let text = services(&[Service {
            name: "ghost".into(),
            ..Service::default()
        }]);
        assert!(
            text.lines()
                .nth(1)
                .is_some_and(|line| line.contains("not registered")),
            "{text}"
        );
    }
}
