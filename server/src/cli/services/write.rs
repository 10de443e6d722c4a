//! Services as they are to be: registered, changed, removed.

use amadeus_proto::v1::{
    AddDependencyRequest, Dependency, DeregisterServiceRequest, Health, RegisterServiceRequest,
    RemoveDependencyRequest, Schema, Service, SetCapabilityRequest, UpdateSchemaRequest,
};

use super::{
    command::{
        DepAddArgs, DepRmArgs, ServiceCapabilityArgs, ServiceDeregisterArgs, ServiceRegisterArgs,
        ServiceSchemaArgs, Switch,
    },
    read::dependency,
};
use crate::cli::{
    args::WriteOneArgs,
    entity_ref::{service as service_ref, written},
    failure::CliError,
    literal,
    overview::outcome,
    render,
    session::Session,
};

pub async fn register(session: &mut Session, args: ServiceRegisterArgs) -> Result<(), CliError> {
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
            endpoints: args.endpoints,
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

pub async fn deregister(
    session: &mut Session,
    args: ServiceDeregisterArgs,
) -> Result<(), CliError> {
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

pub async fn schema(session: &mut Session, args: ServiceSchemaArgs) -> Result<(), CliError> {
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

pub async fn capability(
    session: &mut Session,
    args: ServiceCapabilityArgs,
) -> Result<(), CliError> {
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

pub async fn dep_add(session: &mut Session, args: DepAddArgs) -> Result<(), CliError> {
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

pub async fn dep_rm(session: &mut Session, args: DepRmArgs) -> Result<(), CliError> {
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
