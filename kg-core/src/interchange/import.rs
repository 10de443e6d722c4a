//! A whole JSON file as the mutations of one transaction, or everything that is wrong with it.

use super::faults::Faults;
use super::form::{self, Form};
use super::{original, own, tree};
use crate::error::Fault;
use crate::limits::{IMPORT_MUTATIONS, NAMED_IN_ERRORS};
use crate::model::Name;
use crate::mutation::Mutation;
use std::collections::BTreeSet;

/// What a file says.
#[derive(Debug)]
pub struct Import {
    /// The form in which it says it.
    pub form: Form,
    /// The mutations, in the order in which they must be done: what a relation points at comes before the relation.
    pub mutations: Vec<Mutation>,
    /// What somebody should know about it, though it is no fault.
    pub warnings: Vec<String>,
}

/// Reads a JSON file in any form that is known. Into a graph that is not empty the mutations merge: what the file names is
/// replaced, the rest stays.
///
/// # Errors
/// Every fault with its path, at most [`crate::limits::LISTED_FAULTS`] and how many more there were.
pub fn parse_json(text: &[u8]) -> Result<Import, Vec<Fault>> {
    let mut faults = Faults::default();
    let Some(value) = tree::parse(text, &mut faults) else {
        return Err(faults.into_list());
    };
    let form = match form::of(&value) {
        Ok(form) => form,
        Err(fault) => {
            faults.push(fault);
            return Err(faults.into_list());
        }
    };
    let mut draft = Draft::default();
    match form {
        Form::Amadeus => own::read(&value, &mut draft, &mut faults),
        Form::KnowledgeGraph => original::knowledge_graph(&value, &mut draft, &mut faults),
        Form::ServiceGraph => original::service_graph(&value, &mut draft, &mut faults),
        Form::ServiceRegistration => original::registrations(&value, &mut draft, &mut faults),
    }
    let count = draft.mutations.len();
    if count > IMPORT_MUTATIONS {
        faults.add(
            "",
            format!(
                "holds {count} changes, and one file may hold {IMPORT_MUTATIONS}, because it is one transaction: divide it, \
                 or import the relations as CSV, which is read as a stream"
            ),
        );
    }
    if !faults.is_empty() {
        return Err(faults.into_list());
    }
    draft.warn_of_absent_services();
    Ok(Import {
        form,
        mutations: draft.mutations,
        warnings: draft.warnings,
    })
}

/// What is being made of a file.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) mutations: Vec<Mutation>,
    pub(super) warnings: Vec<String>,
}

impl Draft {
    /// Services that are needed and not in the file: no fault, for they may be in the graph, and often a misspelling.
    fn warn_of_absent_services(&mut self) {
        let mut registered: BTreeSet<&Name> = BTreeSet::new();
        let mut needed: BTreeSet<&Name> = BTreeSet::new();
        for mutation in &self.mutations {
            match mutation {
                Mutation::RegisterService { service, .. } => {
                    registered.insert(&service.name);
                    needed.extend(service.dependencies.iter().map(|d| &d.service));
                }
                Mutation::PutRelation { key, .. } => {
                    needed.extend(
                        [&key.from, &key.to]
                            .into_iter()
                            .filter(|end| end.is_service())
                            .map(|end| &end.name),
                    );
                }
                _ => {}
            }
        }
        let absent: Vec<&str> = needed.difference(&registered).map(|n| n.as_str()).collect();
        if absent.is_empty() {
            return;
        }
        let named = absent[..absent.len().min(NAMED_IN_ERRORS)].join(", ");
        let more = match absent.len().saturating_sub(NAMED_IN_ERRORS) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        self.warnings.push(format!(
            "{} service(s) are related to and not registered in this file: {named}{more}. Those that the graph does not know \
             stand as placeholders",
            absent.len()
        ));
    }
}
