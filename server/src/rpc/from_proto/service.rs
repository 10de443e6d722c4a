//! Typed bodies from the wire: services, their dependencies and schemas.

use amadeus_proto::v1;
use kg_core::error::Fault;
use kg_core::model::service::{check_text, dependency_faults};
use kg_core::model::{Dependency, Endpoint, Name, Schema, ServiceBody, ServiceSpec};

use super::object;

/// A registration. Fields are named from the service on; the caller knows where it stands.
///
/// # Errors
/// The first fault of what cannot be parsed; the rules of a service as a whole are checked by `plan`.
pub fn service(given: &v1::Service) -> Result<ServiceSpec, Fault> {
    let name = super::name("name", &given.name)?;
    let dependency = |(i, one)| {
        parse_dependency(one).map_err(|fault: Fault| fault.under(&format!("dependencies[{i}]")))
    };
    let dependencies = given
        .dependencies
        .iter()
        .enumerate()
        .map(dependency)
        .collect::<Result<_, _>>()?;
    let endpoint = |(i, one)| {
        parse_endpoint(one).map_err(|fault: Fault| fault.under(&format!("endpoints[{i}]")))
    };
    let endpoints = given
        .endpoints
        .iter()
        .enumerate()
        .map(endpoint)
        .collect::<Result<_, _>>()?;
    Ok(ServiceSpec {
        name,
        dependencies,
        metadata: object("metadata", given.metadata.as_ref())?,
        body: ServiceBody {
            category: given.category.clone(),
            version: given.version.clone(),
            owner: given.owner.clone(),
            description: given.description.clone().unwrap_or_default(),
            capabilities: given
                .capabilities
                .iter()
                .map(|c| c.as_str().into())
                .collect(),
            schema: given.schema.as_ref().map(parse_schema).unwrap_or_default(),
            endpoints,
            models: given.models.clone(),
            health_check: given.health_check.clone(),
            metrics: given.metrics.clone(),
            health: super::health("health", given.health)?,
        },
    })
}

/// One dependency of `owner`, checked.
///
/// # Errors
/// A fault of `dependency` or below it.
pub fn dependency(owner: &Name, given: Option<&v1::Dependency>) -> Result<Dependency, Fault> {
    let given = super::required("dependency", given)?;
    let parsed = parse_dependency(given).and_then(|parsed| {
        match dependency_faults(owner, &parsed).into_iter().next() {
            Some(fault) => Err(fault),
            None => Ok(parsed),
        }
    });
    parsed.map_err(|fault| fault.under("dependency"))
}

/// A schema, checked.
///
/// # Errors
/// A fault of `schema` or below it.
pub fn schema(given: Option<&v1::Schema>) -> Result<Schema, Fault> {
    let schema = parse_schema(super::required("schema", given)?);
    check_text("schema.proto_path", &schema.proto_path)?;
    for (i, method) in schema.methods.iter().enumerate() {
        check_text(&format!("schema.methods[{i}]"), method)?;
    }
    Ok(schema)
}

fn parse_dependency(given: &v1::Dependency) -> Result<Dependency, Fault> {
    Ok(Dependency {
        service: super::name("service", &given.service)?,
        version: given.version.clone(),
        optional: given.optional,
        properties: object("properties", given.properties.as_ref())?,
    })
}

fn parse_schema(given: &v1::Schema) -> Schema {
    Schema {
        proto_path: given.proto_path.clone(),
        methods: given.methods.clone(),
    }
}

fn parse_endpoint(given: &v1::Endpoint) -> Result<Endpoint, Fault> {
    Ok(Endpoint {
        name: given.name.clone(),
        path: given.path.clone(),
        method: given.method.clone(),
        input_type: given.input_type.clone(),
        output_type: given.output_type.clone(),
        description: given.description.clone(),
        tags: given.tags.clone(),
        metadata: object("metadata", given.metadata.as_ref())?,
    })
}
