//! Services: list, get, register, deregister, schema, capability, dep.

use amadeus_proto::v1::{
    AddDependencyRequest, Dependency, DeregisterServiceRequest, GetServiceRequest, Health,
    ListServicesRequest, RegisterServiceRequest, RemoveDependencyRequest, Schema, Service,
    SetCapabilityRequest, UpdateSchemaRequest,
};

use super::{
    args::WriteOneArgs,
    command::{
        DepAddArgs, DepCommand, DepRmArgs, ServiceCapabilityArgs, ServiceCommand,
        ServiceDeregisterArgs, ServiceGetArgs, ServiceListArgs, ServiceRegisterArgs,
        ServiceSchemaArgs, Switch,
    },
    entity_ref::{service as service_ref, written},
    failure::CliError,
    literal,
    overview::{outcome, tell_count},
    render,
    session::Session,
    table,
};

pub async fn run(session: &mut Session, command: ServiceCommand) -> Result<(), CliError> {
    match command {
        ServiceCommand::List(args) => list(session, args).await,
        ServiceCommand::Get(args) => get(session, args).await,
        ServiceCommand::Register(args) => register(session, *args).await,
        ServiceCommand::Deregister(args) => deregister(session, args).await,
        ServiceCommand::Schema(args) => schema(session, args).await,
        ServiceCommand::Capability(args) => capability(session, args).await,
        ServiceCommand::Dep(DepCommand::Add(args)) => dep_add(session, args).await,
        ServiceCommand::Dep(DepCommand::Rm(args)) => dep_rm(session, args).await,
    }
}

async fn list(session: &mut Session, args: ServiceListArgs) -> Result<(), CliError> {
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

fn dependency(dependency: &Dependency) -> String {
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

async fn get(session: &mut Session, args: ServiceGetArgs) -> Result<(), CliError> {
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

async fn register(session: &mut Session, args: ServiceRegisterArgs) -> Result<(), CliError> {
    let service = match &args.file {
        Some(file) => render::parse(&literal::text_of(file)?)?,
        None => Service {
            name: args.name.unwrap_or_default(),
            category: args.category,
            version: args.version,
            owner: args.owner,
            description: args.description,
            capabilities: args.capabilities,
            dependencies: args.dependencies,
            health: args.health.map(Health::from).unwrap_or_default().into(),
            health_check: args.health_check,
            metrics: args.metrics,
            metadata: literal::properties(&args.metadata)?,
            ..Service::default()
        },
    };
    let name = service.name.clone();
    let WriteOneArgs { write, expect } = args.write;
    let request = RegisterServiceRequest {
        service: Some(service),
        strict: args.strict,
        request_id: write.request_id.clone(),
        reason: write.reason,
        expected_revision: expect,
        ..RegisterServiceRequest::default()
    };
    let send = async |r| session.graph().register_service(r).await;
    let reply = session.write(&write.request_id, request, send).await?;
    session.show(&reply, |r| {
        outcome(&named(&name), "registered", r.changed, r.header.as_ref())
    })
}

fn named(service: &str) -> String {
    written(&service_ref(service))
}

async fn deregister(session: &mut Session, args: ServiceDeregisterArgs) -> Result<(), CliError> {
    let WriteOneArgs { write, expect } = args.write;
    let request = DeregisterServiceRequest {
        name: args.name.clone(),
        force: args.force,
        request_id: write.request_id.clone(),
        reason: write.reason,
        expected_revision: expect,
    };
    let send = async |r| session.graph().deregister_service(r).await;
    let reply = session.write(&write.request_id, request, send).await?;
    session.show(&reply, |reply| {
        let mut text = outcome(
            &named(&args.name),
            "deregistered",
            reply.changed,
            reply.header.as_ref(),
        );
        if reply.service.is_some() {
            text += "it stays as a placeholder for those that depend on it\n";
        }
        text
    })
}

async fn schema(session: &mut Session, args: ServiceSchemaArgs) -> Result<(), CliError> {
    let WriteOneArgs { write, expect } = args.write;
    if !args.clear && args.proto_path.is_empty() && args.methods.is_empty() {
        return Err(CliError::Usage(
            "a schema has a --proto-path or a --method; --clear removes it".to_owned(),
        ));
    }
    let schema = Schema {
        proto_path: args.proto_path,
        methods: args.methods,
    };
    let request = UpdateSchemaRequest {
        name: args.name.clone(),
        schema: (!args.clear).then_some(schema),
        request_id: write.request_id.clone(),
        reason: write.reason,
        expected_revision: expect,
    };
    let send = async |r| session.graph().update_schema(r).await;
    let reply = session.write(&write.request_id, request, send).await?;
    session.show(&reply, |r| {
        outcome(
            &format!("schema of {}", named(&args.name)),
            "set",
            r.changed,
            r.header.as_ref(),
        )
    })
}

async fn capability(session: &mut Session, args: ServiceCapabilityArgs) -> Result<(), CliError> {
    let WriteOneArgs { write, expect } = args.write;
    let request = SetCapabilityRequest {
        name: args.name.clone(),
        capability: args.capability.clone(),
        enabled: args.state == Switch::On,
        request_id: write.request_id.clone(),
        reason: write.reason,
        expected_revision: expect,
    };
    let send = async |r| session.graph().set_capability(r).await;
    let reply = session.write(&write.request_id, request, send).await?;
    let done = if args.state == Switch::On {
        "switched on"
    } else {
        "switched off"
    };
    let what = format!("{} of {}", args.capability, named(&args.name));
    session.show(&reply, |r| {
        outcome(&what, done, r.changed, r.header.as_ref())
    })
}

async fn dep_add(session: &mut Session, args: DepAddArgs) -> Result<(), CliError> {
    let WriteOneArgs { write, expect } = args.write;
    let what = format!(
        "{} needs {}:",
        named(&args.name),
        dependency(&args.dependency)
    );
    let request = AddDependencyRequest {
        name: args.name,
        dependency: Some(Dependency {
            optional: args.optional,
            properties: literal::properties(&args.property)?,
            ..args.dependency
        }),
        request_id: write.request_id.clone(),
        reason: write.reason,
        expected_revision: expect,
    };
    let send = async |r| session.graph().add_dependency(r).await;
    let reply = session.write(&write.request_id, request, send).await?;
    session.show(&reply, |r| {
        outcome(&what, "added", r.changed, r.header.as_ref())
    })
}

async fn dep_rm(session: &mut Session, args: DepRmArgs) -> Result<(), CliError> {
    let WriteOneArgs { write, expect } = args.write;
    let what = format!("{} needs {}:", named(&args.name), args.service);
    let request = RemoveDependencyRequest {
        name: args.name,
        service: args.service,
        request_id: write.request_id.clone(),
        reason: write.reason,
        expected_revision: expect,
    };
    let send = async |r| session.graph().remove_dependency(r).await;
    let reply = session.write(&write.request_id, request, send).await?;
    session.show(&reply, |r| {
        outcome(&what, "removed", r.changed, r.header.as_ref())
    })
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
